"""What did not come out: leads that were not reproduced, and methods that lie below their baseline. No torch here."""

from itertools import product

from .. import studies
from ..stats import Interval
from ..studies import Cell
from ..studies.outcomes import Status
from .comparisons import compare
from .ledger import Ledger

TIERS = ("full", "short")


def lost_gains(ledger: Ledger) -> list[Cell]:
    """Cells of the paper whose printed lead over the baseline was not reproduced."""
    judged = ((cell, ledger.gain(cell)) for cell in studies.load_cells().values())
    return [cell for cell, verdict in judged if verdict and verdict.status == Status.NOT_REPRODUCED]


def against_baseline(ledger: Ledger) -> list[tuple[str, Cell, Interval, tuple[int, int], str]]:
    """Every method that has runs beside its baseline's in a tier, each pair of trainings once, under the last of its cells: tier,
    cell, difference of the means with its interval, runs of both, and the epoch. That is the best one; where a rule of the table
    judges the full runs, they are compared as it says, and not otherwise."""
    by_pair = {}
    for tier, cell in product(TIERS, studies.load_cells().values()):
        base = studies.baseline(cell)
        ruled = tier == "full" and cell.table in studies.rules()
        if base and not ruled and (difference := ledger.difference(cell, tier)):
            pair = ledger.key(cell, tier), ledger.key(base, tier)
            by_pair[tier, *pair] = tier, cell, difference, (len(ledger.of(cell, tier)), len(ledger.of(base, tier))), "best"
    by_rule = [("full", c.cell, c.outcome, (len(c.seeds[0]), len(c.seeds[1])), rule.outcome)
               for rule in studies.rules().values() for c in compare(rule, ledger)
               if c.outcome and c.base == studies.baseline(c.cell)]
    return [*by_pair.values(), *by_rule]
