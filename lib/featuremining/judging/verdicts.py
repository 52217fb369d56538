"""Does it hold? Verdicts are computed from records and printed numbers alone, never typed. No torch here.

A cell's number is compared by Welch's interval for the difference of two means: ours over seeds against the printed mean,
spread and n. The margin within which two results count as equal comes from the variance: it is the smallest difference
that the paper's own design (n runs against n runs, at the table's pooled spread) detects with 80 % power. Of the
interval for ours - paper: inside the margin, reproduced; wholly beyond it, not reproduced; else inconclusive.

Runs are looked at after stated numbers of seeds (`studies.Looks`), and each look decides by an interval of its own level.
What is said here of one number holds elementwise of arrays, one value for each of many simulated worlds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from statistics import fmean
from typing import Any

from .. import studies
from ..stats import LEVEL, POWER, Interval, Summary, difference_of_gains, power, share, welch
from ..studies import Cell, Look, Looks
from ..studies.outcomes import Standing, Status


@dataclass(frozen=True)
class Verdict:
    """A status, the numbers it rests on, the seeds with which it is decided in 80 % of cases (None: it is decided, or no number
    of seeds is), and the power with which these runs detect the margin."""

    status: Status
    ours: Summary | None = None
    difference: Interval | None = None      # of the level of its look: what decides
    margin: float | None = None
    seeds_needed: int | None = None
    power: float | None = None
    left_out: int = 0           # runs on record that do not count: of uncommitted changes, or the same network again
    look: Look | None = None

    @property
    def needed(self) -> str:
        """What would decide, in words, where runs are on record that do not."""
        if self.status != Status.INCONCLUSIVE or self.look is None:
            return ""
        return (f"{self.seeds_needed} seeds would decide in {share(POWER)} of cases" if self.seeds_needed
                else f"no number of seeds up to {self.look.looks.seeds[-1]} would decide in {share(POWER)} of cases")

    def standing(self, cell: Cell) -> Standing:
        """The status, and what is missing where a cell can't run yet, or the seeds that would decide where it is open."""
        if self.status == Status.NOT_RUN and cell.missing:
            return Standing(self.status, f"lacks {cell.missing}")
        aside = f"{self.left_out} on record count not: uncommitted changes, or the same network again" if self.left_out else ""
        return Standing(self.status, "; ".join(filter(None, (self.needed, aside))))


def pick(default: Status, *cases: tuple[Any, Status]):
    """The status of the first case that holds, else the default; an array of them where the cases are arrays."""
    if all(getattr(holds, "ndim", 0) == 0 for holds, _ in cases):
        return next((status for holds, status in cases if holds), default)
    import numpy as np

    return np.select([holds for holds, _ in cases], [status for _, status in cases], default)


def latest(looks: Looks, seeds: int, judged: Callable[[Look], Any]) -> Any:
    """What the latest look that settles says, of those that so many seeds allow; the latest one where none does. ``judged`` gives
    something with a ``status``."""
    found = [judged(look) for look in looks.upto(seeds)]
    return next((one for one in reversed(found) if not one.status.open), found[-1])


def number_status(difference: Interval, within: float):
    """Of the interval for ours less the printed mean."""
    return pick(Status.INCONCLUSIVE, ((-within <= difference.low) & (difference.high <= within), Status.REPRODUCED),
                ((difference.low > within) | (difference.high < -within), Status.NOT_REPRODUCED))


def gain_status(ours: tuple[Summary, Summary], paper: tuple[Summary, Summary], within: float, level: float = LEVEL):
    """Of four means, (method, baseline) each; `judge_gain` has the rule."""
    printed, wide = paper[0].mean - paper[1].mean, sqrt(2) * within
    gain, beside = welch(*ours, level), difference_of_gains(ours, paper, level)
    a, b = (Summary(s.n, s.mean / 2, s.sd / 2) for s in paper)
    half = difference_of_gains(ours, (a, b), level)
    sign = 1 - 2 * (printed < 0)
    low, high = sign * gain.value - gain.half, sign * gain.value + gain.half
    return pick(Status.INCONCLUSIVE, ((high < 0) & (printed != 0), Status.NOT_REPRODUCED),
                ((low > 0) & (-wide <= beside.low) & (beside.high <= wide), Status.REPRODUCED), (low > 0, Status.DIRECTION),
                ((-within <= low) & (high <= within) & (sign * half.value + half.half < 0), Status.NOT_REPRODUCED))


def judge(ours: Summary | None, paper: Summary, within: float, level: float = LEVEL) -> Verdict:
    """The verdict on one printed number, by an interval of 95 % where the number of runs was fixed beforehand, else of a look's
    ``level``."""
    if ours is None:
        return Verdict(Status.NOT_RUN, margin=within)
    difference = welch(ours, paper, level)
    return Verdict(number_status(difference, within), ours, difference, within, power=power(ours, paper, within, level))


def judge_gain(ours: tuple[Summary | None, Summary | None], paper: tuple[Summary, Summary], within: float,
               level: float = LEVEL) -> Verdict:
    """The verdict on a printed gain, (method, baseline) each: the same size, only the same sign, or not there.

    Reproduced: our gain's interval lies on the printed side of zero, and the interval of our gain less the printed one, from all
    four means, inside the margin of a difference of differences (sqrt 2 times that of a number). Direction only: the first, but
    not the second. Not reproduced: our interval lies on the other side of zero, whatever the margin, or it holds zero, lies
    inside the margin around it, and the interval of our gain less half of the printed one, from all four means, below zero.
    """
    method, baseline = ours
    if method is None or baseline is None:
        return Verdict(Status.NOT_RUN, margin=within)
    return Verdict(gain_status((method, baseline), paper, within, level), method, welch(method, baseline, level), within,
                   power=power(method, baseline, within, level))


def printed(cell: Cell) -> Summary:
    """What the paper printed for a cell; its spread is read as the standard deviation of its runs. Where none is printed
    (Table 8), the pooled spread that `pooled_spread` finds stands in."""
    spread = sqrt(fmean(s * s for s in pooled_spread(cell))) if cell.spread is None else cell.spread
    return Summary(cell.n, cell.published, spread)


def pooled_spread(cell: Cell) -> list[float]:
    """The printed spreads of the cell's table, from which its margin comes; of the same network on the same data in other
    tables where the table itself prints none."""
    cells = [c for c in studies.load_cells().values() if c.spread is not None]
    return ([c.spread for c in cells if c.table == cell.table]
            or [c.spread for c in cells if (c.network, c.dataset) == (cell.network, cell.dataset)])
