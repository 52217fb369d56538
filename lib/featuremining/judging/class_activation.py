"""Class activation against the baseline's: over seeds, and image by image. No torch here."""

from itertools import product

from .. import stats, studies
from ..records import findings
from ..records.findings import Finding
from ..studies import Cell
from .negative import TIERS


def of_seeds(per_seed: list[Finding], how: str, what: str) -> stats.Summary:
    """Mean and spread over the seeds of one kind of map and one quantity."""
    return stats.Summary.of([f.values[how][what] for f in per_seed])


def over_seeds(per_seed: list[Finding], base: list[Finding], how: str, what: str) -> dict:
    """Welch's interval for the difference of the means over seeds, of one kind of map and one quantity."""
    i = stats.welch(of_seeds(per_seed, how, what), of_seeds(base, how, what))
    return {"mean": i.value, "low": i.low, "high": i.high}


def elsewhere() -> list[tuple[Cell, findings.Finding, str, str, dict]]:
    """Networks whose class activation is further off the true part than their baseline's: cell, finding, map, quantity, and the
    paired difference over the images. The difference's interval has to lie below zero."""
    measured = [(cell, f) for cell in studies.load_cells().values() for tier in TIERS
                for f in findings.read("localise", cell.run(tier, 0))]
    by_id, worse = {(cell.id, f.tier, f.name): f for cell, f in measured}, []
    for cell, f in measured:
        base = studies.baseline(cell)
        other = by_id.get((base.id, f.tier, f.name)) if base else None
        for how in ("cam", "grad_cam") if other else ():
            for what in ("pointing", "energy"):
                d = stats.paired(f.values[how]["each"][what], other.values[how]["each"][what])
                worse += [(cell, f, how, what, d)] if d["high"] < 0 else []
    return worse


def worse_over_seeds() -> list[tuple[Cell, str, str, str, dict, tuple[int, int]]]:
    """As `elsewhere`, of the means over the seeds of networks that have several, by Welch's interval: cell, tier, map, quantity,
    difference, seeds of both."""
    worse = []
    for cell, tier in product(studies.load_cells().values(), TIERS):
        base = studies.baseline(cell)
        if not base:
            continue
        per_seed, other = (findings.read("localise", c.run(tier, 0)) for c in (cell, base))
        for how, what in product(("cam", "grad_cam"), ("pointing", "energy")) if min(len(per_seed), len(other)) > 1 else ():
            d = over_seeds(per_seed, other, how, what)
            if d["high"] < 0:
                worse.append((cell, tier, how, what, d, (len(per_seed), len(other))))
    return worse
