"""Which test images were right: what two networks, two runs or two methods say image by image. numpy, no torch.

Answers are bool arrays (runs, images), one row per run. If runs err independently from image to image, given how hard each
image is (a run is right on image i with chance p_i), the variance of an accuracy over runs is sum p_i (1 - p_i) / N^2. Two runs
disagree on image i with chance 2 p_i (1 - p_i), so their disagreement D, a share of the N images, estimates that variance by
D / 2N. Jordan (ICLR 2024, arXiv:2304.01910) makes this assumption of independent errors and finds that it accounts for the spread
on a test set, while accuracies on the distribution that the images come from spread much less. A run that is better than another
on all images is beyond the assumption: the estimate is then too small. So it stands beside the observed spread, in place of none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from ..errors import UsageError
from ..records import Record
from ..stats import LEVEL, POWER, Interval, paired, t_quantile

Answers = np.ndarray        # bool, (runs, images)


def answers(records: Iterable[Record], rule: str, reported: str = "") -> Answers | None:
    """Of runs in the epoch of a rule, ``best`` or ``last``; those whose record says it not are left out, None without any."""
    found = [right for r in records if (right := r.images(rule, reported)) is not None]
    if len({len(right) for right in found}) > 1:
        raise UsageError("Answers are compared on the same test images, and these runs were tested on different numbers of them.")
    return np.stack(found) if found else None


def error(right: Answers) -> float:
    """Standard error of a mean accuracy in percentage points by the draw of the test images; of one run, the binomial one.

    >>> round(error(np.array([[True] * 75 + [False] * 25])), 2), round(100 * sqrt(0.75 * 0.25 / 100), 2)
    (4.35, 4.33)
    """
    return float(100 * right.mean(0).std(ddof=1) / sqrt(right.shape[1]))


def mcnemar(a: np.ndarray, b: np.ndarray) -> tuple[int, int, float]:
    """Two networks on the same images: how many only the first has right, how many only the second, and the two-sided p of
    McNemar's exact test that these are equally likely.

    >>> mcnemar(np.array([True] * 9 + [False]), np.array([False] * 8 + [True] * 2))
    (8, 1, 0.0390625)
    """
    from scipy.stats import binomtest

    if a.shape != b.shape:
        raise UsageError(f"McNemar's test compares the same images, got {a.size} and {b.size}.")
    first, second = int((a & ~b).sum()), int((b & ~a).sum())
    return first, second, float(binomtest(first, first + second).pvalue) if first + second else 1.0


def side_by_side(method: Sequence[Record], base: Sequence[Record], rule: str, reported: tuple[str, str] = ("", "")) -> list[dict]:
    """Each seed that both have with answers: images that only the one has right, McNemar's p, and the paired difference in points
    with its interval over images. All of it is of these two networks alone."""
    others = {r.seed: r for r in base if r.right}
    rows = []
    for r in (r for r in method if r.right and r.seed in others):
        a, b = r.images(rule, reported[0]), others[r.seed].images(rule, reported[1])
        first, second, p = mcnemar(a, b)
        found = paired(a, b)
        rows.append({"seed": r.seed, "only_method": first, "only_base": second, "p": p,
                     "difference": Interval(found["mean"], found["low"], found["high"])})
    return rows


def disagreement(right: Answers) -> float:
    """The share of images, in percent, on which one of two runs is right and the other is not; mean over all pairs of runs.

    >>> disagreement(np.array([[True, True, False, False], [True, False, False, True]]))
    50.0
    """
    runs, hits = len(right), right.sum(0)
    if runs < 2:
        raise UsageError("Two runs can disagree, one can't.")
    return float(100 * (2 * hits * (runs - hits) / (runs * (runs - 1))).mean())


def expected_variance(right: Answers) -> float:
    """Of one run's accuracy in percentage points, if errors are independent given the image: without bias from two runs on."""
    return 100 * disagreement(right) / (2 * right.shape[1])


@dataclass(frozen=True)
class Spread:
    """Over runs of one training on the same test images: how far two disagree (percent), the standard deviation of accuracies
    that follows from it if errors are independent, the observed one with its 95 % interval (of normal accuracies), all in points,
    and ``ratio``, (runs - 1) times the observed variance over the expected one."""

    runs: int
    disagreement: float
    expected: float
    observed: Interval
    ratio: float

    @property
    def fits(self) -> bool:
        """Whether the expected spread lies within the interval of the observed one."""
        return self.observed.low <= self.expected <= self.observed.high


def spread(right: Answers) -> Spread | None:
    """Expected beside observed; None below two runs, or where all runs answer alike."""
    runs = len(right)
    if runs < 2 or not (variance := expected_variance(right)):
        return None
    from scipy.special import chdtri

    df, observed = runs - 1, float((100 * right.mean(1)).var(ddof=1))
    squares = df * max(observed, (100 / right.shape[1]) ** 2 / 8)       # equal accuracies may differ by less than half an image
    low, high = (sqrt(squares / chdtri(df, p)) for p in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Spread(runs, disagreement(right), sqrt(variance), Interval(sqrt(observed), low, high), squares / variance)


def fit(spreads: Sequence[Spread]) -> float:
    """Two-sided p that several trainings all spread as independent errors would: the sum of their ratios by chi-square."""
    from scipy.special import chdtr, chdtrc

    total, df = sum(s.ratio for s in spreads), sum(s.runs - 1 for s in spreads)
    return min(1.0, 2 * float(min(chdtr(df, total), chdtrc(df, total))))


def seen(df: int) -> float:
    """The factor by which the true spread must exceed the expected one for `fit` to find it with 80 % power.

    >>> round(seen(3), 1), round(seen(18), 1)
    (3.0, 1.6)
    """
    from scipy.special import chdtri

    return sqrt(float(chdtri(df, (1 - LEVEL) / 2) / chdtri(df, POWER)))


def on_new_images(method: Answers | None, base: Answers | None, level: float = LEVEL) -> Interval | None:
    """The mean accuracy of a method less that of its baseline, in percentage points, with an interval over images and seeds: what
    other runs would show on other images like these. None without answers of both, infinite below two runs of either.

    Images are shared by all runs and runs by all images, so the variance is that of two-way clustering (Cameron, Gelbach and
    Miller 2011): over seeds, plus over images, less what both hold. Over images it is that of the paired differences between the
    two methods' shares of right runs, over N. Over seeds it is Welch's, of which one part, `expected_variance`, is in the first
    already; what remains, never below zero, is how far networks differ on all images.
    """
    if method is None or base is None:
        return None
    sides = method, base
    if method.shape[1] != base.shape[1]:
        raise UsageError("A gain on new images is of methods tested on the same images.")
    paired = 100 * (method.mean(0) - base.mean(0))
    if min(map(len, sides)) < 2:
        return Interval(float(paired.mean()), -inf, inf)
    over_images = paired.var(ddof=1) / len(paired)
    over_seeds = [(100 * side.mean(1)).var(ddof=1) / len(side) for side in sides]
    shared = sum(expected_variance(side) / len(side) for side in sides)
    variance = over_images + max(0.0, sum(over_seeds) - shared)
    if not variance:
        return Interval(float(paired.mean()), float(paired.mean()), float(paired.mean()))
    terms = [(over_images, len(paired) - 1), *((v, len(side) - 1) for v, side in zip(over_seeds, sides, strict=True))]
    df = variance**2 / sum(v**2 / n for v, n in terms)
    half = t_quantile((1 + level) / 2, df) * sqrt(variance)
    return Interval(float(paired.mean()), float(paired.mean() - half), float(paired.mean() + half))
