"""What did not come out: leads that were not reproduced, and methods that lie below their baseline. No torch here."""

from itertools import product

from .. import studies
from ..stats import Interval
from ..studies import Cell
from ..studies.outcomes import Status
from .ledger import Ledger

TIERS = ("full", "short")


def lost_gains(ledger: Ledger) -> list[Cell]:
    """Cells of the paper whose printed lead over the baseline was not reproduced."""
    judged = ((cell, ledger.gain(cell)) for cell in studies.load_cells().values())
    return [cell for cell, verdict in judged if verdict and verdict.status == Status.NOT_REPRODUCED]


def against_baseline(ledger: Ledger) -> list[tuple[str, Cell, Interval, tuple[int, int]]]:
    """Every method that has runs beside its baseline's in a tier, each pair of trainings once, under the last of its cells: tier,
    cell, difference of the means (best epoch) with its interval, runs of both."""
    by_pair = {}
    for tier, cell in product(TIERS, studies.load_cells().values()):
        base = studies.baseline(cell)
        if base and (difference := ledger.difference(cell, tier)):
            pair = ledger.key(cell, tier), ledger.key(base, tier)
            by_pair[tier, *pair] = tier, cell, difference, (len(ledger.of(cell, tier)), len(ledger.of(base, tier)))
    return list(by_pair.values())
