"""What did not come out: claims that failed, and methods of our own cells that lie below their baseline. Computed from records,
findings and printed numbers; no torch here."""

from html import escape
from itertools import product

import pandas as pd

from . import findings, judging, studies, tables, verdicts
from .records import Record, by_key
from .studies import Cell
from .verdicts import CONTRADICTED, NOT_REPRODUCED, NOT_RUN, Interval

TIERS = ("full", "short")
FAILED = (NOT_REPRODUCED, CONTRADICTED)


def lost_gains(records: list[Record]) -> list[Cell]:
    """Cells of the paper whose printed lead over the baseline was not reproduced."""
    judged = ((cell, verdicts.gain(cell, records)) for cell in studies.load_cells().values())
    return [cell for cell, found in judged if found and found.status == NOT_REPRODUCED]


def against_baseline(records: list[Record]) -> list[tuple[str, Cell, Interval, tuple[int, int]]]:
    """Every method that has runs beside its baseline's in a tier, each pair of trainings once, under the last of its cells: tier,
    cell, difference of the means (best epoch) with its interval, runs of both."""
    groups, found = by_key(records), {}
    for tier in TIERS:
        for cell in studies.load_cells().values():
            base = studies.baseline(cell)
            pair = tuple(c.run(tier, 0).key for c in (cell, base)) if base else ()
            if pair and all(key in groups for key in pair):
                ours = [verdicts.ours(c, records, tier) for c in (cell, base)]
                found[tier, *pair] = tier, cell, verdicts.welch(*ours), tuple(s.n for s in ours)
    return list(found.values())


def elsewhere() -> list[tuple[Cell, findings.Finding, str, str, dict]]:
    """Networks whose class activation is further off the true part than their baseline's: cell, finding, map, quantity, and the
    paired difference over the images. The difference's interval has to lie below zero."""
    found = [(cell, f) for cell in studies.load_cells().values() for tier in TIERS
             for f in findings.read("localise", cell.run(tier, 0))]
    by_id, worse = {(cell.id, f.tier, f.name): f for cell, f in found}, []
    for cell, f in found:
        base = studies.baseline(cell)
        other = by_id.get((base.id, f.tier, f.name)) if base else None
        for how in ("cam", "grad_cam") if other else ():
            for what in ("pointing", "energy"):
                d = verdicts.paired(f.values[how]["each"][what], other.values[how]["each"][what])
                worse += [(cell, f, how, what, d)] if d["high"] < 0 else []
    return worse


def over_seeds() -> list[tuple[Cell, str, str, str, dict, tuple[int, int]]]:
    """As `elsewhere`, of the means over the seeds of networks that have several, by Welch's interval: cell, tier, map, quantity,
    difference, seeds of both."""
    worse = []
    for cell, tier in product(studies.load_cells().values(), TIERS):
        base = studies.baseline(cell)
        sides = [findings.read("localise", c.run(tier, 0)) for c in (cell, base)] if base else [[]]
        for how, what in product(("cam", "grad_cam"), ("pointing", "energy")) if min(map(len, sides)) > 1 else ():
            d = tables.over_seeds(*sides, how, what)
            if d["high"] < 0:
                worse.append((cell, tier, how, what, d, tuple(map(len, sides))))
    return worse


def markdown(records: list[Record]) -> str:
    """What failed of the paper, then what lies below its baseline in our own runs, each with how much stands behind it."""
    return "\n\n".join(["## Of the paper", *_paper(records), "## Of our own runs", *_ours(records), *_elsewhere()]) + "\n"


def _paper(records: list[Record]) -> list[str]:
    rows, gains = judging.rows(records), lost_gains(records)
    printed, said = ([row for row in rows if (row["kind"] == "number") == number] for number in (True, False))
    accuracies = [row for row in printed if studies.cell(row["claim"]).published is not None]
    run = sum(row["verdict"] != NOT_RUN for row in accuracies)
    numbers, sentences = ([row for row in kind if row["verdict"] in FAILED] for kind in (accuracies, said))
    parts = [f"Of {len(accuracies)} printed accuracies, {run or 'none'} {'has' if run < 2 else 'have'} runs under the paper's "
             + (f"protocol; not reproduced: {len(numbers)}." if run else "protocol yet, so none could fail.")
             + " Printed costs can't fail here: another device than the paper's only has other ratios."]
    if shown := list({cell.id: cell for cell in (*(studies.cell(row["claim"]) for row in numbers), *gains)}.values()):
        parts.append(tables.html(tables.claims(shown, records), "Numbers and leads that were not reproduced", "full"))
    parts.append(f"Of {len(said)} sentences that claim something, {len(sentences) or 'none'} did not hold"
                 + (":" if sentences else " by what is on record."))
    return [*parts, *map(_quoted, sentences)]


def _quoted(row: dict) -> str:
    found = [f"{name}: {escape(row[key])}" for name, key in (("the paper", "paper"), ("ours", "ours")) if row[key]]
    return (f"<p>{tables.badge(row['verdict'])} <q>{escape(row['says'])}</q> ({_where(row['section'])})<br>"
            f"<small>{'. '.join([*found, escape(row['note'])]).strip()}</small></p>")


def _where(section: str) -> str:
    return f"section {section}" if section[0].isdigit() else section


def _ours(records: list[Record]) -> list[str]:
    pairs = against_baseline(records)
    below = [pair for pair in pairs if pair[2].value < 0]
    if not below:
        return [f"Of {len(pairs)} trainings with a method that have a baseline beside them, none lies below it."]
    parts = [f"Of {len(pairs)} trainings with a method that have a baseline beside them, {len(below)} "
             f"{'lies' if len(below) == 1 else 'lie'} below it at the best epoch."]
    if any(min(n) < 2 for *_, n in below):
        parts.append("A single seed gives no interval: such a difference may be the seed's.")
    if any(tier == "short" for tier, *_ in below):
        parts.append(tables.SHORT)
    frame = pd.DataFrame([_row(*pair) for pair in below])
    return [*parts, tables.html(frame, "Methods below their baseline, best epoch, in percentage points")]


def _row(tier: str, cell: Cell, difference: Interval, n: tuple[int, int]) -> dict:
    return {"cell": cell.id, "method": cell.labels[1], "difference": verdicts.signed(difference.value),
            "95 % interval": tables.bounds(difference, signed=True), "n": f"{n[0]}, {n[1]}", "tier": tables.tier_badge(tier),
            "of": "mAP" if cell.task == "detection" else "top-1", "network": cell.labels[0]}


def _elsewhere() -> list[str]:
    names = {"cam": "CAM", "grad_cam": "Grad-CAM", "pointing": "points at the true part", "energy": "has its energy inside"}
    rows = [(cell, tier, f"all {n[0]}", how, what, "seeds", d) for cell, tier, how, what, d, n in over_seeds()]
    rows += [(cell, f.tier, f.name.removeprefix("seed"), how, what, f"{d['n']} images", d)
             for cell, f, how, what, d in elsewhere()]
    frame = pd.DataFrame([{
        "cell": cell.id, "seed": seed, "what": f"{names[how]} {names[what]}", "to baseline (95 %)": tables.difference(d),
        "interval over": over, "tier": tables.tier_badge(tier)}
        for cell, tier, seed, how, what, over, d in rows])
    if frame.empty:
        return []
    return ["Where networks look, against the baseline of the same table: the means over all seeds, then each seed image by "
            "image, whose interval says nothing of other seeds. Only differences whose interval lies below zero stand here.",
            tables.html(frame, "Class activation further off the true part, in percentage points")]
