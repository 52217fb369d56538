"""The rule of an order: every pair of a family by itself, and what they say together. Of one value each, or of arrays with one
value for each of many simulated worlds. No torch here."""

from collections.abc import Sequence

from .. import stats, studies
from ..stats import Summary, holm
from ..studies import Look
from ..studies.looks import ERROR
from ..studies.outcomes import Status
from .verdicts import pick, pooled_spread


def bounds(higher: str, lower: str) -> tuple[float, float | None]:
    """The margin of a pair's difference, and half of the printed one. Without any printed spread, and among cells of our own,
    there is no margin: it is 0, and a difference of nil stays open."""
    a, b = studies.cell(higher), studies.cell(lower)
    spreads = [] if b.own else pooled_spread(b)
    margin = stats.margin(spreads, b.n or studies.wanted(b, "full")) if spreads else 0.0
    return margin, None if None in (a.published, b.published) else (a.published - b.published) / 2


def family(ours: Sequence[tuple[Summary, Summary] | None], bounds: Sequence[tuple[float, float | None]],
           look: Look | None = None):
    """Of each pair Holm's p that there is no difference; Holm's p that it matters, or is half of the printed one at least; and
    whether its interval holds zero or lies below. Those that were not run count with p = 1."""
    counted = (lambda p, n=1: look.counted(p, n)) if look else (lambda p, n=1: p)
    plain = [1.0 if mine is None else stats.welch_p(*mine) for mine in ours]
    error = look.looks.error if look else ERROR
    zero = [True if mine is None else (mine[0].mean <= mine[1].mean) | (counted(p) >= error)
            for mine, p in zip(ours, plain, strict=True)]
    none = [1.0 if mine is None else _none(mine, *of) for mine, of in zip(ours, bounds, strict=True)]
    return *(holm([counted(p, len(plain)) for p in tests]) for tests in (plain, none)), zero


def _none(ours: tuple[Summary, Summary], margin: float, half: float | None):
    some = stats.equivalence_p(*ours, margin)
    return some if half is None else stats.larger(some, stats.below_p(*ours, half))


def order_status(values, p, none, zero, pairs: int, error: float = ERROR):
    """Of the differences that were run, among so many pairs, by what `family` says of them, at an error rate."""
    import numpy as np

    values, p, none, zero = map(np.asarray, (values, p, none, zero))
    settled, small = p < error, none < error / 2
    return pick(Status.REPRODUCED, ((settled & (values < 0) | small & zero).any(0), Status.NOT_REPRODUCED),
                (settled.sum(0) < pairs, Status.INCONCLUSIVE), (small.any(0), Status.DIRECTION))
