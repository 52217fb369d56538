"""Does it hold? Verdicts are computed from records and printed numbers alone, never typed. No torch here.

A cell's number is compared by Welch's interval for the difference of two means: ours over seeds against the printed mean,
spread and n. The margin within which two results count as equal comes from the variance: it is the smallest difference
that the paper's own design (n runs against n runs, at the table's pooled spread) detects with 80 % power. Of the
interval for ours - paper: inside the margin, reproduced; wholly beyond it, not reproduced; else inconclusive.
"""

from dataclasses import dataclass
from math import sqrt
from statistics import fmean

from .. import studies
from ..stats import MOST_SEEDS, Interval, Summary, difference_of_gains, power, welch
from ..studies import Cell
from ..studies.outcomes import Standing, Status


@dataclass(frozen=True)
class Verdict:
    """A status, the numbers it rests on, the seeds that would decide (None: decided, or no number of seeds would), and the
    power with which these runs detect the margin."""

    status: Status
    ours: Summary | None = None
    difference: Interval | None = None
    margin: float | None = None
    seeds_needed: int | None = None
    power: float | None = None
    left_out: int = 0           # runs on record that do not count: of uncommitted changes, or the same network again

    def standing(self, cell: Cell) -> Standing:
        """The status, and what is missing where a cell can't run yet, or the seeds that would decide where it is open."""
        if self.status == Status.NOT_RUN and cell.missing:
            return Standing(self.status, f"lacks {cell.missing}")
        needed = f"{self.seeds_needed} seeds would decide" if self.seeds_needed else ""
        aside = f"{self.left_out} on record count not: uncommitted changes, or the same network again" if self.left_out else ""
        return Standing(self.status, "; ".join(filter(None, (needed, aside))))


def seeds_to_decide(difference: float, spread: float, paper: Summary, within: float) -> int | None:
    """The fewest seeds whose expected interval would lie inside or beyond the margin, at this difference and spread."""
    room = abs(within - abs(difference))
    for n in range(2, MOST_SEEDS + 1):
        if welch(Summary(n, difference, spread), Summary(paper.n, 0.0, paper.sd)).half <= room:
            return n
    return None


def seeds_for_gain(method: Summary, baseline: Summary, printed: float, within: float) -> int | None:
    """The fewest seeds of both whose expected interval would lie on one side of zero, or inside the margin around it and short of
    the printed gain, at the gain and the spreads of our runs; None where one run of either says nothing about spread."""
    gain = method.mean - baseline.mean
    room = max(abs(gain), min(within, abs(printed)) - abs(gain))
    for n in range(2, MOST_SEEDS + 1) if min(method.n, baseline.n) > 1 else ():
        if welch(Summary(n, gain, method.sd), Summary(n, 0.0, baseline.sd)).half < room:
            return n
    return None


def judge(ours: Summary | None, paper: Summary, within: float, pooled: float) -> Verdict:
    """The verdict on one printed number."""
    if ours is None:
        return Verdict(Status.NOT_RUN, margin=within)
    difference, able = welch(ours, paper), power(ours, paper, within)
    if -within <= difference.low and difference.high <= within:
        return Verdict(Status.REPRODUCED, ours, difference, within, power=able)
    if difference.low > within or difference.high < -within:
        return Verdict(Status.NOT_REPRODUCED, ours, difference, within, power=able)
    needed = seeds_to_decide(difference.value, ours.sd if ours.n > 1 else pooled, paper, within)
    return Verdict(Status.INCONCLUSIVE, ours, difference, within, needed, able)


def judge_gain(ours: tuple[Summary | None, Summary | None], paper: tuple[Summary, Summary], within: float) -> Verdict:
    """The verdict on a printed gain, (method, baseline) each: the same size, only the same sign, or not there.

    Reproduced: our gain's interval lies on the printed side of zero, and the interval of our gain less the printed one, from all
    four means, inside the margin of a difference of differences (sqrt 2 times that of a number). Direction only: the first, but
    not the second. Not reproduced: our interval lies on the other side of zero, whatever the margin, or it holds zero, lies
    inside the margin around it and short of the printed gain.
    """
    method, baseline = ours
    if method is None or baseline is None:
        return Verdict(Status.NOT_RUN, margin=within)
    gain, printed, wide = welch(method, baseline), paper[0].mean - paper[1].mean, sqrt(2) * within
    able, sign = power(method, baseline, within), 1 if printed >= 0 else -1
    low, high = sorted((sign * gain.low, sign * gain.high))
    beside = difference_of_gains((method, baseline), paper)
    if high < 0 < abs(printed):
        status = Status.NOT_REPRODUCED
    elif low > 0:
        status = Status.REPRODUCED if -wide <= beside.low and beside.high <= wide else Status.DIRECTION
    elif -within <= low and high <= within and high < abs(printed):
        status = Status.NOT_REPRODUCED
    else:
        return Verdict(Status.INCONCLUSIVE, method, gain, within, seeds_for_gain(method, baseline, printed, within), able)
    return Verdict(status, method, gain, within, power=able)


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
