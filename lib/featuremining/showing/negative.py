"""What did not come out: claims that failed, and methods of our own cells that lie below their baseline. Computed from records,
findings and printed numbers; no torch here."""

from .. import stats, studies
from ..judging import listing
from ..judging.class_activation import elsewhere, worse_over_seeds
from ..judging.ledger import Ledger
from ..judging.negative import against_baseline, lost_gains
from ..stats import Interval
from ..studies import Cell
from ..studies.outcomes import FAILED, Status
from . import markup, tables


def markdown(ledger: Ledger) -> str:
    """What failed of the paper, then what lies below its baseline in our own runs, each with how much stands behind it."""
    return "\n\n".join(["## Of the paper", *_paper(ledger), "## Of its neighbours", *_neighbours(ledger),
                        "## Of our own runs", *_ours(ledger), *_elsewhere()]) + "\n"


def _paper(ledger: Ledger) -> list[str]:
    rows, gains = listing.of_first(ledger), lost_gains(ledger)
    printed = [row for row in rows if row["kind"] == "number" and not row["same_as"]]
    accuracies = [row for row in printed if studies.cell(row["claim"]).published is not None]
    run = sum(row["verdict"].status != Status.NOT_RUN for row in accuracies)
    numbers = [row for row in accuracies if row["verdict"].status in FAILED]
    parts = [f"Of {len(accuracies)} printed accuracies, {run or 'none'} {'has' if run < 2 else 'have'} runs under the paper's "
             + (f"protocol; not reproduced: {len(numbers)}." if run else "protocol yet, so none could fail.")
             + " Printed costs can't fail here: a device other than the paper's may simply have other ratios."]
    if cells := list({cell.id: cell for cell in (*(studies.cell(row["claim"]) for row in numbers), *gains)}.values()):
        parts.append(markup.html(tables.claims(cells, ledger), "Numbers and leads that were not reproduced", "full"))
    return [*parts, *_sentences(rows)]


def _neighbours(ledger: Ledger) -> list[str]:
    first = next(iter(studies.papers()))
    return _sentences([row for row in listing.rows(ledger) if row["of"] != first])


def _sentences(rows: list[dict]) -> list[str]:
    """Those that failed, of these rows of claims."""
    claims = [row for row in rows if row["kind"] != "number" and not row["same_as"]]
    failed = [row for row in claims if row["verdict"].status in FAILED]
    if not failed:
        return [f"None of the {len(claims)} sentences that claim something has failed by what is on record."]
    return [f"Of {len(claims)} sentences that claim something, {len(failed)} did not hold:", *map(_quoted, failed)]


def _quoted(row: dict) -> str:
    facts = {name: row[key] for name, key in (("the paper", "paper"), ("ours", "ours"), ("limit", "limit")) if row[key]}
    return markup.render("quoted", status=row["verdict"].status, says=row["says"], where=_where(row["section"]), facts=facts,
                         note=row["note"])


def _where(section: str) -> str:
    return f"section {section}" if section[0].isdigit() else section


def _ours(ledger: Ledger) -> list[str]:
    pairs = against_baseline(ledger)
    below = [pair for pair in pairs if pair[2].value < 0]
    if not below:
        return [f"Of {len(pairs)} trainings with a method that have a baseline beside them, none lies below it."]
    parts = [f"Of {len(pairs)} trainings with a method that have a baseline beside them, {len(below)} "
             f"{'lies' if len(below) == 1 else 'lie'} below it."]
    if any(min(n) < 2 for *_, n, _ in below):
        parts.append("A single seed gives no interval: such a difference may be due to the seed alone.")
    if any(tier == "short" for tier, *_ in below):
        parts.append(tables.SHORT)
    rows = [_row(*pair) for pair in below]
    return [*parts, markup.html(rows, "Methods below their baseline, in percentage points; the epoch is the best, or the one "
                                "that a study's rule names")]


def _row(tier: str, cell: Cell, difference: Interval, n: tuple[int, int], epoch: str) -> dict:
    return {"cell": cell.id, "method": cell.labels[1], "difference": stats.signed(difference.value),
            "95 % interval": markup.bounds(difference, signed=True), "n": f"{n[0]}, {n[1]}", "epoch": epoch,
            "tier": markup.tier_badge(tier), "of": "mAP" if cell.task == "detection" else "top-1", "network": cell.labels[0]}


def _elsewhere() -> list[str]:
    names = {"cam": "CAM", "grad_cam": "Grad-CAM", "pointing": "points at the true part", "energy": "has its energy inside"}
    rows = [(cell, tier, f"all {n[0]}", how, what, "seeds", d) for cell, tier, how, what, d, n in worse_over_seeds()]
    rows += [(cell, f.tier, f.name.removeprefix("seed"), how, what, f"{d['n']} images", d)
             for cell, f, how, what, d in elsewhere()]
    shown = [{
        "cell": cell.id, "network": ", ".join(cell.labels), "seed": seed,
        "what": f"{names[how]} {names[what]}", "to baseline (95 %)": tables.difference(d),
        "interval over": over, "tier": markup.tier_badge(tier)}
        for cell, tier, seed, how, what, over, d in rows]
    if not shown:
        return []
    return ["Where networks look, against the baseline of the same table: the means over all seeds, then each seed image by "
            "image, whose interval says nothing of other seeds. Only differences whose interval lies below zero stand here.",
            markup.html(shown, "Class activation further off the true part, in percentage points")]
