"""What did not come out: leads that were not reproduced, and methods that lie below their baseline. No torch here."""

from .. import stats, studies
from ..records import Record, by_key
from ..stats import Interval
from ..studies import Cell
from ..studies.outcomes import Status
from . import verdicts

TIERS = ("full", "short")


def lost_gains(records: list[Record]) -> list[Cell]:
    """Cells of the paper whose printed lead over the baseline was not reproduced."""
    judged = ((cell, verdicts.gain(cell, records)) for cell in studies.load_cells().values())
    return [cell for cell, found in judged if found and found.status == Status.NOT_REPRODUCED]


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
                found[tier, *pair] = tier, cell, stats.welch(*ours), tuple(s.n for s in ours)
    return list(found.values())
