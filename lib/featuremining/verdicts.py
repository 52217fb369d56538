"""Does it hold? Verdicts are computed from records and printed numbers alone, never typed. No torch here.

A cell's number is compared by Welch's interval for the difference of two means: ours over seeds against the printed mean,
spread and n. The margin within which two results count as equal comes from the variance: it is the smallest difference
that the paper's own design (n runs against n runs, at the table's pooled spread) detects with 80 % power. Of the
interval for ours - paper: inside the margin, reproduced; wholly beyond it, not reproduced; else inconclusive.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from . import studies
from .errors import UsageError
from .records import Record
from .studies import Cell

REPRODUCED, DIRECTION, NOT_REPRODUCED = "reproduced", "direction only", "not reproduced"
INCONCLUSIVE, NOT_RUN = "inconclusive", "not run"
CONTRADICTED, UNTESTABLE = "contradicted by the paper's own numbers", "not testable"
DECIDED = (REPRODUCED, DIRECTION, NOT_REPRODUCED, INCONCLUSIVE, CONTRADICTED)
UNDECIDED = (UNTESTABLE, NOT_RUN)       # where lists of claims end
LEVEL, POWER, MOST_SEEDS = 0.95, 0.80, 64


@dataclass(frozen=True)
class Summary:
    """n numbers as mean and standard deviation (n - 1 in the denominator; nan for n = 1)."""

    n: int
    mean: float
    sd: float

    @classmethod
    def of(cls, values: list[float]) -> "Summary":
        return cls(len(values), fmean(values), stdev(values) if len(values) > 1 else float("nan"))


@dataclass(frozen=True)
class Interval:
    """A difference or a mean with its 95 % interval; infinite bounds where one run says nothing about spread."""

    value: float
    low: float
    high: float

    @property
    def half(self) -> float:
        return (self.high - self.low) / 2


def signed(value: float, digits: int = 2) -> str:
    """A difference as it is shown.

    >>> signed(0.8), signed(-0.534), signed(-1.54, 1)
    ('+0.80', '−0.53', '−1.5')
    """
    return f"{value:+.{digits}f}".replace("-", "−")


def t_quantile(probability: float, df: float) -> float:
    """Quantile of Student's t.

    >>> round(t_quantile(0.975, 3), 3)
    3.182
    """
    from scipy.special import stdtrit

    return float(stdtrit(df, probability))


def mean_interval(s: Summary, level: float = LEVEL) -> Interval:
    """The t interval of a mean."""
    half = t_quantile((1 + level) / 2, s.n - 1) * s.sd / sqrt(s.n) if s.n > 1 else float("inf")
    return Interval(s.mean, s.mean - half, s.mean + half)


def prediction_interval(s: Summary, level: float = LEVEL) -> Interval:
    """Where one new run lies, with probability ``level``, after n runs of this mean and spread.

    >>> i = prediction_interval(Summary(4, 75.35, 0.07))
    >>> round(i.low, 2), round(i.high, 2)
    (75.1, 75.6)
    """
    half = t_quantile((1 + level) / 2, s.n - 1) * s.sd * sqrt(1 + 1 / s.n) if s.n > 1 else float("inf")
    return Interval(s.mean, s.mean - half, s.mean + half)


def welch(a: Summary, b: Summary, level: float = LEVEL) -> Interval:
    """Welch's interval for mean(a) - mean(b), degrees of freedom by Satterthwaite."""
    difference, (error, df) = a.mean - b.mean, _error(a, b)
    half = t_quantile((1 + level) / 2, df) * error if 0 < error < float("inf") else error
    return Interval(difference, difference - half, difference + half)


def welch_p(a: Summary, b: Summary) -> float:
    """Two-sided p of Welch's test that the means are equal; 1 where one run says nothing about spread.

    >>> round(welch_p(Summary(4, 75.35, 0.07), Summary(4, 74.55, 0.11)), 4)
    0.0001
    """
    from scipy.special import stdtr

    difference, (error, df) = a.mean - b.mean, _error(a, b)
    if error == 0:
        return float(difference == 0)
    return 2 * float(stdtr(df, -abs(difference) / error))


def holm(p: list[float]) -> list[float]:
    """Holm's step-down adjusted p-values (Holm 1979), in the order given.

    >>> [round(v, 3) for v in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    adjusted, worst = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        worst = max(worst, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = worst
    return adjusted


def _error(a: Summary, b: Summary) -> tuple[float, float]:
    """Standard error of mean(a) - mean(b) and its degrees of freedom; an infinite error with fewer than two runs of each."""
    if min(a.n, b.n) < 2:
        return float("inf"), 1.0
    va, vb = a.sd**2 / a.n, b.sd**2 / b.n
    if va + vb == 0:
        return 0.0, 1.0
    return sqrt(va + vb), (va + vb) ** 2 / (va**2 / (a.n - 1) + vb**2 / (b.n - 1))


def paired(a: Sequence, b: Sequence) -> dict:
    """Mean of a - b over the same images in percentage points, with its 95 % interval: Student's t of the differences, which
    for 0/1 values are -1, 0 and 1. ``a`` and ``b`` are what `insight.localise` has in ``each``; pairs with a None are left out.

    The interval is over images, for these two networks. It says nothing about other seeds.

    >>> paired("1110", "0100")
    {'mean': 50.0, 'low': -41.8693, 'high': 141.8693, 'n': 4}
    """
    if len(a) != len(b):
        raise UsageError(f"paired compares the same images, got {len(a)} and {len(b)} values.")
    differences = [100 * (float(v) - float(w)) for v, w in zip(a, b, strict=True) if None not in (v, w)]
    if len(differences) < 2:
        raise UsageError(f"paired needs two images at least whose maps are not silent, got {len(differences)}.")
    found = mean_interval(Summary.of(differences))
    return {"mean": round(found.value, 4), "low": round(found.low, 4), "high": round(found.high, 4), "n": len(differences)}


def margin(spreads: list[float], n: int) -> float:
    """The smallest difference that n runs against n runs detect with 80 % power at the pooled spread (see the module)."""
    pooled = sqrt(fmean(s * s for s in spreads))
    df = 2 * n - 2
    return (t_quantile((1 + LEVEL) / 2, df) + t_quantile(POWER, df)) * pooled * sqrt(2 / n)


def power(a: Summary, b: Summary, difference: float) -> float:
    """The probability that Welch's two-sided test at 95 % finds a true ``difference`` of means, at these spreads and numbers of
    runs: of the noncentral t distribution, with Satterthwaite's degrees of freedom at these spreads. The test itself estimates
    them from its runs, so with two or three runs this is rough (a tenth). With one run there is no test, and it is 0.

    >>> round(power(Summary(4, 0, 0.2), Summary(4, 0, 0.2), margin([0.2], 4)), 2)
    0.8
    """
    from scipy.special import ncfdtr  # of t squared; scipy's noncentral t has gaps where the power is all but 1

    error, df = _error(a, b)
    if error == 0 or error == float("inf"):
        return float(error == 0)
    shift, beyond = abs(difference) / error, t_quantile((1 + LEVEL) / 2, df)
    return 1.0 if shift > 30 else float(1 - ncfdtr(1, df, shift**2, beyond**2))


@dataclass(frozen=True)
class Verdict:
    """A status, the numbers it rests on, the seeds that would decide (None: decided, or no number of seeds would), and the
    power with which these runs detect the margin."""

    status: str
    ours: Summary | None = None
    difference: Interval | None = None
    margin: float | None = None
    seeds_needed: int | None = None
    power: float | None = None


def seeds_to_decide(difference: float, spread: float, paper: Summary, within: float) -> int | None:
    """The fewest seeds whose expected interval would lie inside or beyond the margin, at this difference and spread."""
    room = abs(within - abs(difference))
    for n in range(2, MOST_SEEDS + 1):
        if welch(Summary(n, difference, spread), Summary(paper.n, 0.0, paper.sd)).half <= room:
            return n
    return None


def seeds_for_gain(method: Summary, baseline: Summary, printed: float, wide: float) -> int | None:
    """The fewest seeds of both whose expected interval would lie on one side of zero or within ``wide`` of the printed gain, at
    the gain and the spreads of our runs; None where one run of either says nothing about spread."""
    gain = method.mean - baseline.mean
    room = max(abs(gain), wide - abs(gain - printed))
    for n in range(2, MOST_SEEDS + 1) if min(method.n, baseline.n) > 1 else ():
        if welch(Summary(n, gain, method.sd), Summary(n, 0.0, baseline.sd)).half <= room:
            return n
    return None


def judge(ours: Summary | None, paper: Summary, within: float, pooled: float) -> Verdict:
    """The verdict on one printed number."""
    if ours is None:
        return Verdict(NOT_RUN, margin=within)
    difference, able = welch(ours, paper), power(ours, paper, within)
    if -within <= difference.low and difference.high <= within:
        return Verdict(REPRODUCED, ours, difference, within, power=able)
    if difference.low > within or difference.high < -within:
        return Verdict(NOT_REPRODUCED, ours, difference, within, power=able)
    needed = seeds_to_decide(difference.value, ours.sd if ours.n > 1 else pooled, paper, within)
    return Verdict(INCONCLUSIVE, ours, difference, within, needed, able)


def judge_gain(ours: tuple[Summary | None, Summary | None], paper: tuple[Summary, Summary], within: float) -> Verdict:
    """The verdict on a printed gain, (method, baseline) each: the same size, only the same sign, or not there.

    Reproduced: our gain's interval, less the printed gain, lies inside the margin of a difference of differences
    (sqrt 2 times that of a number). Direction only: our interval lies on the printed side of zero. Not reproduced:
    it lies on the other side, whatever the margin, or it excludes the printed gain and lies inside the margin around zero.
    """
    method, baseline = ours
    if method is None or baseline is None:
        return Verdict(NOT_RUN, margin=within)
    gain, printed, wide = welch(method, baseline), paper[0].mean - paper[1].mean, sqrt(2) * within
    able, sign = power(method, baseline, within), 1 if printed >= 0 else -1
    low, high = sorted((sign * gain.low, sign * gain.high))
    if high < 0 < abs(printed):
        return Verdict(NOT_REPRODUCED, method, gain, within, power=able)
    if -wide <= low - abs(printed) and high - abs(printed) <= wide:
        return Verdict(REPRODUCED, method, gain, within, power=able)
    if low > 0:
        return Verdict(DIRECTION, method, gain, within, power=able)
    if -within <= low and high <= within and high < abs(printed):
        return Verdict(NOT_REPRODUCED, method, gain, within, power=able)
    return Verdict(INCONCLUSIVE, method, gain, within, seeds_for_gain(method, baseline, printed, wide), able)


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


def ours(cell: Cell, records: list[Record], tier: str = "full", rule: str = "best") -> Summary | None:
    """Our seeds of a cell in one tier under one selection rule; None without any."""
    key = cell.run(tier, 0).key
    found = sorted((r.seed, r.value(rule, cell.reported)) for r in records if r.key == key)
    return Summary.of([value for _, value in found]) if found else None


def verdict(cell: Cell, records: list[Record]) -> Verdict | None:
    """Full-tier records against the printed number, by the paper's own rule (best epoch); None where nothing is printed."""
    if cell.published is None:
        return None
    found = ours(cell, records)
    if found is None:
        return Verdict(NOT_RUN)
    spreads = pooled_spread(cell)
    return judge(found, printed(cell), margin(spreads, cell.n), sqrt(fmean(s * s for s in spreads)))


def gain(cell: Cell, records: list[Record]) -> Verdict | None:
    """The verdict on the gain over the baseline of the same table and network; None where there is no such pair."""
    base = studies.baseline(cell)
    if base is None or None in (cell.published, base.published):
        return None
    pair = ours(cell, records), ours(base, records)
    if None in pair:
        return Verdict(NOT_RUN)
    return judge_gain(pair, (printed(cell), printed(base)), margin(pooled_spread(cell), cell.n))
