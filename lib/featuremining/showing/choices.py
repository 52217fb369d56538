"""The register of open choices as the book's page. No torch here."""

import pandas as pd

from .. import stats
from ..judging.ledger import Ledger
from ..records import seeds
from ..studies.choices import PLACES, Choice, choices, default_of, differing, place
from .markup import counted

RULE, TABLE = "median10", "A9s"         # one network on one small data set


def markdown(part: str) -> str:
    """The questions whose id begins with ``part``, each under a heading that can be linked to, as MyST."""
    return "\n\n".join(_entry(choice) for choice in choices() if choice.id.startswith(part)) + "\n"


def _entry(choice: Choice) -> str:
    lines = _lines(choice) or [f"- here: **{choice.ours}**", f"- instead: {choice.others}"]
    parts = [f"({choice.id.lower()})=\n### {choice.title} [{choice.id}]{{.fm-key}}", choice.question.strip(), "\n".join(lines),
             choice.evidence.strip()]
    return "\n\n".join([*parts, *_tried(choice)])


def _lines(choice: Choice) -> list[str]:
    """One line per setting and values, with all that have it so."""
    owners: dict[tuple, list[str]] = {}
    for full, values in choice.settings.items():
        kind, owner, name = place(full)
        owners.setdefault((kind, name, *values), []).append(owner)
    lines = []
    for (kind, name, *values), named in owners.items():
        ours, *others = (f"{value}".replace("'", '"') for value in values)
        instead = f"; instead {', '.join(f'`{v}`' for v in others)}" if others else ""
        lines.append(f"- {PLACES[kind].format('`, `'.join(named))}: **`{name}={ours}`**{instead}")
    return lines


def _tried(choice: Choice) -> list[str]:
    """A sentence about the cells that choose otherwise, and how many of their runs are on record; nothing without such cells."""
    cells = differing(choice)
    keys = {(tier, cell.run(tier, 0).key) for cell in cells for tier in ("short", "full")}
    runs = sum(len(numbers) for key, numbers in seeds().items() if key in keys)
    named = ", ".join(f"`{cell.id}`" for cell in cells)
    return [f"Tried otherwise in {named}; runs on record: {runs}."] if cells else []


def effects(ledger: Ledger) -> pd.DataFrame:
    """What an open choice, made otherwise, changed in our table `TABLE` of them: a row per cell, where it and the cell that
    differs in nothing else have full-tier runs. Percentage points of the median of the last ten epochs, for which none is chosen,
    largest first; intervals and ``p``, with Holm's correction, where both have several seeds; ``another``: how far one more seed
    of the default itself would lie from its mean, in 95 % of cases."""
    rows = []
    for choice in choices():
        for cell in (c for c in differing(choice) if c.table == TABLE):
            default = default_of(choice, cell)
            pair = [ledger.ours(c, "full", RULE) for c in (cell, default)] if default else [None]
            if None not in pair:
                found = stats.welch(*pair)
                rows.append({"choice": choice.id, "title": choice.title, "cell": cell.id, "instead": cell.labels[1],
                             "n": pair[0].n, "difference": found.value, "low": found.low, "high": found.high,
                             "p": stats.welch_p(*pair) if min(s.n for s in pair) > 1 else float("nan"),
                             "another": stats.prediction_interval(pair[1]).half})
    frame = pd.DataFrame(rows, columns=["choice", "title", "cell", "instead", "n", "difference", "low", "high", "p", "another"])
    several = frame.p.notna()
    frame.loc[several, "p"] = stats.holm(frame.p[several].tolist())
    return frame.sort_values("difference", key=abs, ascending=False, ignore_index=True)


def picture(ledger: Ledger) -> str:
    """`effects` as sentences and a figure; another sentence while nothing of them is on record."""
    from .figures.differences import effects as drawn

    rows = effects(ledger)
    several, single = rows[rows.p.notna()], rows[(rows.n == 1) & (rows.another < float("inf"))]
    clear = [f"{row.instead} ({stats.signed(row.difference, 1)})" for row in several.itertuples() if row.p < 1 - stats.LEVEL]
    outside = (single.difference.abs() > single.another).sum()
    said = (f"Of the {counted(len(several), 'choice')} tried with several seeds, {len(clear) or 'none'} changed the accuracy by "
            f"more than seeds do, with Holm's correction{': ' + ', '.join(clear) if clear else ''}. "
            f"Of the {len(single)} tried with one seed, {outside or 'none'} {'lie' if outside > 1 else 'lies'} outside the grey "
            "bar, within which one more seed of the default would fall in 95 % of cases; by chance "
            f"{len(single) / 20:.1f} would.\n\n") if len(rows) else ""
    return said + drawn(rows) + "\n"
