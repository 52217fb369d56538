"""Statistics of a few runs: means, intervals, tests and their power. No torch, no records: numbers in, numbers out.

A `Summary` may hold arrays, one value for each of many simulated worlds; intervals and tests of it are arrays then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import correlation, fmean, stdev

from .errors import UsageError

LEVEL, POWER = 0.95, 0.80


@dataclass(frozen=True)
class Summary:
    """n numbers as mean and standard deviation (n - 1 in the denominator; nan for n = 1)."""

    n: int
    mean: float
    sd: float

    @classmethod
    def of(cls, values: list[float], least: float = 0.0) -> "Summary":
        """Of runs; where several are equal to the last digit, their spread is taken as ``least``: equal runs are a coincidence of
        counting and no proof that a run has no spread."""
        spread = stdev(values) if len(values) > 1 else float("nan")
        return cls(len(values), fmean(values), spread or least)


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


def share(value: float, digits: int = 0) -> str:
    """A part of one in percent, as it is shown.

    >>> share(0.405), share(0.0341, 1)
    ('40 %', '3.4 %')
    """
    return f"{100 * value:.{digits}f} %"


def t_quantile(probability: float, df: float) -> float:
    """Quantile of Student's t.

    >>> round(t_quantile(0.975, 3), 3)
    3.182
    """
    from scipy.special import stdtrit

    return _plain(stdtrit(df, probability))


def _plain(value):
    """A number of Python where it is one number, else the array."""
    return value if getattr(value, "ndim", 0) else float(value)


def _is(value, number: float) -> bool:
    """Whether it is one number, and this one: among simulated worlds no spread is nothing."""
    return not getattr(value, "ndim", 0) and value == number


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


def mean_p(s: Summary) -> float:
    """Two-sided p of Student's test that a mean is zero; 1 where one value says nothing about spread.

    >>> round(mean_p(Summary(4, 0.1, 0.1)), 4)
    0.1393
    """
    from scipy.special import stdtr

    if s.n < 2:
        return 1.0
    if _is(s.sd, 0):
        return float(s.mean == 0)
    return _plain(2 * stdtr(s.n - 1, -abs(s.mean) * sqrt(s.n) / s.sd))


def welch(a: Summary, b: Summary, level: float = LEVEL) -> Interval:
    """Welch's interval for mean(a) - mean(b), degrees of freedom by Satterthwaite."""
    return _interval(a.mean - b.mean, *_error(a, b), level)


def difference_of_gains(ours: tuple[Summary, Summary], theirs: tuple[Summary, Summary], level: float = LEVEL) -> Interval:
    """Our gain less theirs, (method, baseline) each, with the interval of all four means.

    >>> pair = Summary(4, 75.0, 0.2), Summary(4, 74.0, 0.2)
    >>> i = difference_of_gains(pair, pair)
    >>> i.value, round(i.half, 2)            # 12 degrees of freedom, a standard error of 0.2
    (0.0, 0.44)
    """
    value = ours[0].mean - ours[1].mean - theirs[0].mean + theirs[1].mean
    return _interval(value, *_error(*ours, *theirs), level)


def _interval(value: float, error: float, df: float, level: float) -> Interval:
    half = error if _is(error, 0) or _is(error, float("inf")) else t_quantile((1 + level) / 2, df) * error
    return Interval(value, value - half, value + half)


def welch_p(a: Summary, b: Summary) -> float:
    """Two-sided p of Welch's test that the means are equal; 1 where one run says nothing about spread.

    >>> round(welch_p(Summary(4, 75.35, 0.07), Summary(4, 74.55, 0.11)), 4)
    0.0001
    """
    from scipy.special import stdtr

    difference, (error, df) = a.mean - b.mean, _error(a, b)
    if _is(error, 0):
        return float(difference == 0)
    return _plain(2 * stdtr(df, -abs(difference) / error))


def below_p(a: Summary, b: Summary, bound: float) -> float:
    """One-sided p of Welch's test that mean(a) - mean(b) is ``bound`` at least; 1 where one run says nothing about spread."""
    from scipy.special import stdtr

    difference, (error, df) = a.mean - b.mean, _error(a, b)
    if _is(error, 0) or _is(error, float("inf")):
        return float(error > 0 or difference >= bound)
    return _plain(stdtr(df, (difference - bound) / error))


def equivalence_p(a: Summary, b: Summary, within: float) -> float:
    """p of two one-sided tests (Schuirmann 1987) that the means differ by ``within`` at least. Below 0.025 exactly where the
    interval of `welch` lies inside the margin.

    >>> round(equivalence_p(Summary(4, 75.0, 0.1), Summary(4, 75.0, 0.1), 0.3), 4)
    0.0027
    """
    return larger(below_p(a, b, within), below_p(b, a, within))


def larger(a, b):
    """Of two numbers, or of two arrays one by one."""
    if not getattr(a, "ndim", 0):
        return max(a, b)
    from numpy import maximum

    return maximum(a, b)


def holm(p):
    """Holm's step-down adjusted p-values (Holm 1979), in the order given: a list of a list, an array of arrays.

    >>> [round(v, 3) for v in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    import numpy as np

    given = np.asarray(p, float)
    order = given.argsort(axis=0, kind="stable")
    left = np.arange(len(given), 0, -1).reshape(-1, *[1] * (given.ndim - 1))
    stepped = np.maximum.accumulate(np.minimum(1.0, np.take_along_axis(given, order, 0) * left), axis=0)
    adjusted = np.empty_like(given)
    np.put_along_axis(adjusted, order, stepped, 0)
    return adjusted.tolist() if adjusted.ndim == 1 else adjusted


def _error(*means: Summary) -> tuple[float, float]:
    """Standard error of a sum or difference of these means and its degrees of freedom, by Satterthwaite; an infinite error with
    fewer than two runs of any."""
    if min(s.n for s in means) < 2:
        return float("inf"), 1.0
    variances = [s.sd**2 / s.n for s in means]
    if _is(total := sum(variances), 0):
        return 0.0, 1.0
    return total**0.5, total**2 / sum(v**2 / (s.n - 1) for v, s in zip(variances, means, strict=True))


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
    interval = mean_interval(Summary.of(differences))
    return {"mean": round(interval.value, 4), "low": round(interval.low, 4), "high": round(interval.high, 4),
            "n": len(differences)}


@dataclass(frozen=True)
class BySeed:
    """A difference over the seeds that both sides have: Student's interval of the differences seed by seed, and the correlation
    of the sides over those seeds; None below three seeds, or where a side never changes."""

    interval: Interval
    r: float | None
    n: int


def paired_by_seed(a: Mapping[int, float], b: Mapping[int, float], level: float = LEVEL) -> BySeed | None:
    """a - b, each a value by seed; None where no seed is in both.

    >>> found = paired_by_seed({0: 75.1, 1: 75.4, 2: 75.2, 7: 0.0}, {0: 74.0, 1: 74.4, 2: 74.1})
    >>> round(found.interval.value, 2), round(found.interval.half, 2), round(found.r, 2), found.n
    (1.07, 0.14, 1.0, 3)
    """
    if not (both := sorted(a.keys() & b.keys())):
        return None
    sides = [[of[seed] for seed in both] for of in (a, b)]
    interval = mean_interval(Summary.of([v - w for v, w in zip(*sides, strict=True)]), level)
    moves = len(both) > 2 and all(len(set(side)) > 1 for side in sides)
    return BySeed(interval, correlation(*sides) if moves else None, len(both))


def margin(spreads: list[float], n: int) -> float:
    """The smallest difference that n runs against n runs detect with 80 % power at the pooled spread."""
    pooled = sqrt(fmean(s * s for s in spreads))
    df = 2 * n - 2
    return (t_quantile((1 + LEVEL) / 2, df) + t_quantile(POWER, df)) * pooled * sqrt(2 / n)


def power(a: Summary, b: Summary, difference: float, level: float = LEVEL) -> float:
    """The probability that Welch's two-sided test finds a true ``difference`` of means, at these spreads and numbers of runs.
    With one run there is no test, and it is 0.

    Given both sample variances, which decide the test's error and degrees of freedom, the difference of means is normal; over
    the variances the mean is taken at Gauss-Legendre nodes of their quantiles. Exact to 0.002 (40 nodes beside 200).

    >>> round(power(Summary(4, 0, 0.2), Summary(4, 0, 0.2), margin([0.2], 4)), 2)
    0.75
    """
    import numpy as np
    from scipy.special import chdtri, ndtr, stdtrit

    error, _ = _error(a, b)
    if error == 0 or error == float("inf") or level >= 1:
        return float(error == 0)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    u, v = np.meshgrid(*(s.sd**2 / s.n * chdtri(s.n - 1, (1 - nodes) / 2) / (s.n - 1) for s in (a, b)))
    bound = stdtrit((u + v) ** 2 / (u**2 / (a.n - 1) + v**2 / (b.n - 1)), (1 + level) / 2) * np.sqrt(u + v)
    beyond = ndtr((difference - bound) / error) + ndtr((-difference - bound) / error)
    return float(weights @ beyond @ weights / 4)
