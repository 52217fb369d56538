"""The register of open choices as the book's page. No torch here."""

from ..records import seeds
from ..studies.choices import PLACES, Choice, choices, differing, place


def markdown(part: str) -> str:
    """The questions whose id begins with ``part``, each under a heading that can be linked to, as MyST."""
    return "\n\n".join(_entry(choice) for choice in choices() if choice.id.startswith(part)) + "\n"


def _entry(choice: Choice) -> str:
    lines = _lines(choice) or [f"- here: **{choice.ours}**", f"- instead: {choice.others}"]
    parts = [f"({choice.id.lower()})=\n### {choice.id} · {choice.title}", choice.question.strip(), "\n".join(lines),
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
    return [f"Cells that choose otherwise: {named}; runs of them on record: {runs}."] if cells else []
