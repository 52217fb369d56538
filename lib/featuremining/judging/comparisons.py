"""Comparisons of our own by a rule that was fixed before the runs it asks for (``[rules]`` in the studies, which say what was
known by then): each method of a family minus its baseline, over the same seeds. No torch here.

Welch's interval and test, corrected by Holm over the whole family, decide once every seed of both sides is on record. What is
not finished counts with p = 1, so a verdict can only firm up as others finish.
"""

from dataclasses import dataclass

from .. import studies
from ..records import Record
from ..stats import BySeed, Interval, Summary, holm, paired_by_seed, welch, welch_p
from ..studies import Rule
from ..studies.outcomes import Status
from .images import answers, on_new_images
from .ledger import Ledger
from .verdicts import pick


@dataclass(frozen=True)
class Comparison:
    """A cell minus another, mostly its baseline, in percentage points. ``seeds`` are those on record of both; intervals have
    infinite bounds below two seeds, and are None without any."""

    cell: studies.Cell
    base: studies.Cell
    seeds: tuple[tuple[int, ...], tuple[int, ...]]
    status: Status
    outcome: Interval | None = None
    paired: BySeed | None = None            # over the seeds that both have; stands beside and does not decide
    beside: Interval | None = None          # of the other epoch, by Welch
    new_images: Interval | None = None      # of the runs whose answers are on record; stands beside and does not decide
    p: float | None = None                  # by Holm over the family, once all seeds are there
    devices: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())     # that the runs of each side were on

    @property
    def label(self) -> str:
        """Network and method, and what is subtracted where that is not the baseline, in the words that differ."""
        of = self.base.labels if self.base.labels[0] != self.cell.labels[0] else self.base.labels[1:]
        other = "" if self.base == studies.baseline(self.cell) else f" minus {' · '.join(of)}"
        return " · ".join(self.cell.labels) + other


def compare(rule: Rule, ledger: Ledger) -> list[Comparison]:
    """Every comparison of the family, in its order, from the full tier. Seeds that the rule does not name are left out."""
    sides = [[_by_seed(c, rule, ledger) for c in pair] for pair in rule.pairs]
    whole = [all(by_seed.keys() == set(rule.seeds) for by_seed in pair) for pair in sides]
    p = holm([welch_p(*(_summary(by_seed, rule.outcome) for by_seed in pair)) if done else 1.0
              for pair, done in zip(sides, whole, strict=True)])
    return [_comparison(*cells, pair, rule, q if done else None)
            for cells, pair, done, q in zip(rule.pairs, sides, whole, p, strict=True)]


def _by_seed(cell: studies.Cell, rule: Rule, ledger: Ledger) -> dict[int, Record]:
    return {r.seed: r for r in ledger.counting(cell) if r.seed in rule.seeds}


def _summary(by_seed: dict[int, Record], which: str) -> Summary:
    return Summary.of([r.value(which) for r in by_seed.values()])


def _comparison(cell: studies.Cell, other: studies.Cell, pair: list[dict[int, Record]], rule: Rule, p: float | None
                ) -> Comparison:
    method, base = pair
    seeds = tuple(method), tuple(base)
    if not method or not base:
        return Comparison(cell, other, seeds, Status.UNFINISHED if method or base else Status.NOT_RUN)
    outcome, beside = (welch(_summary(method, which), _summary(base, which), rule.level) for which in (rule.outcome, rule.beside))
    a, b = ({seed: r.value(rule.outcome) for seed, r in side.items()} for side in pair)
    paired = paired_by_seed(a, b, rule.level)
    new = on_new_images(answers(method.values(), rule.outcome), answers(base.values(), rule.outcome), rule.level)
    return Comparison(cell, other, seeds, status(p, rule.level, outcome.value), outcome, paired, beside, new, p,
                      (_devices(method), _devices(base)))


def _devices(by_seed: dict[int, Record]) -> frozenset[str]:
    return frozenset(e["device"] for r in by_seed.values() for e in r.environments)


def status(p: float | None, level: float, difference: float):
    """By Holm's p, of one comparison, or elementwise of many worlds; None: not all of its seeds are there."""
    if p is None:
        return Status.UNFINISHED
    settled = p < 1 - level
    return pick(Status.NO_CLEAR_DIFFERENCE, (settled & (difference > 0), Status.ABOVE), (settled, Status.BELOW))


def progress(rule: Rule, ledger: Ledger) -> tuple[int, int]:
    """Runs of the rule's cells and seeds that are on record, and how many there will be."""
    cells = {c.id: c for pair in rule.pairs for c in pair}
    return sum(len(_by_seed(c, rule, ledger)) for c in cells.values()), len(cells) * len(rule.seeds)
