"""When our runs are looked at: after how many seeds, and how much of the error rate each look may spend. Fixed in ``paper.toml``
before the first run, so that looking again after more seeds does not find what is not there. No torch here.

The spending is of the type of O'Brien and Fleming (Lan and DeMets 1983): little before the planned number of seeds, a stated
share by then, and the rest in equal parts at the looks that come after. Levels follow from it by the recursion of Armitage,
McPherson and Rowe (1969) for a mean of normal values that come in one by one. Used for p-values of t statistics they keep the
error rate nearly, and where one side is printed, so that the looks differ less, they are stricter than need be; the simulations
of `tests/judging/test_error_rates.py` show by how much.
"""

from dataclasses import dataclass
from functools import cache

from ..stats import LEVEL

ERROR = 1 - LEVEL


@dataclass(frozen=True)
class Looks:
    """``seeds``: how many of each side there are at each look; ``planned``: the look that is meant to decide; ``share``: of the
    error rate that may be spent by then; ``words``: the whole rule, for readers; ``error``: the whole error rate."""

    seeds: tuple[int, ...]
    planned: int
    share: float
    words: str = ""
    error: float = ERROR

    def __post_init__(self):
        rising = all(a < b for a, b in zip((1, *self.seeds), self.seeds, strict=False))
        if not self.seeds or not rising or self.planned not in self.seeds or not 0 < self.share <= 1:
            raise ValueError("looks rise from two seeds on, the planned one is among them, and its share is above 0, 1 at most")

    def upto(self, n: int) -> list["Look"]:
        """The looks that n seeds of each side allow; below the first there is one that can settle nothing."""
        return [Look(self, seeds) for seeds in self.seeds if seeds <= n] or [Look(self, n)]

    def spent(self, n: int) -> float:
        """The share of the error rate that may be spent up to the look of n seeds.

        >>> [round(Looks((2, 4, 8, 16), 4, 0.6).spent(n), 3) for n in (2, 4, 8, 16)]
        [0.043, 0.6, 0.8, 1.0]
        """
        from scipy.special import ndtr, ndtri

        if n <= self.planned:
            return 2 * float(ndtr(ndtri(self.share * self.error / 2) / (n / self.planned) ** 0.5)) / self.error
        after = [seeds for seeds in self.seeds if seeds > self.planned]
        return self.share + (1 - self.share) * (after.index(n) + 1) / len(after)


@dataclass(frozen=True)
class Look:
    """One look, at ``n`` seeds of each side."""

    looks: Looks
    n: int

    @property
    def level(self) -> float:
        """Of the two-sided interval that decides here; 1, an interval without bounds, before the first look.

        >>> [round(look.level, 3) for look in Looks((2, 4, 8, 16), 4, 0.6).upto(16)]
        [0.998, 0.971, 0.984, 0.985]
        >>> Looks((4,), 4, 1).upto(4)[0].level             # n fixed beforehand
        0.95
        """
        return round(1 - nominal(self.looks, self.n), 12)

    def __str__(self) -> str:
        """
        >>> print(Looks((2, 4, 8, 16), 4, 0.6).upto(5)[1], Looks((4,), 4, 1).upto(1)[0], sep="; ")
        look of 4 seeds, interval of 97.09 %; 1 on record, first look at 4 seeds
        """
        if self.n not in self.looks.seeds:
            return f"{self.n} on record, first look at {self.looks.seeds[0]} seeds"
        return f"look of {self.n} seeds, interval of {100 * self.level:.2f} %"

    def counted(self, p, family: int = 1):
        """p of a test at this look, with the other looks counted in: to be held against the whole error rate, or corrected over a
        ``family`` of tests by Holm, whose strictest step asks for that part of it."""
        return p * (self.looks.error / family / nominal(self.looks, self.n, family)) if self.n in self.looks.seeds else 0 * p + 1


@cache
def nominal(looks: Looks, n: int, family: int = 1) -> float:
    """The two-sided level of one test at the look of n seeds, so that over all looks a false one comes out in a share of the
    whole error rate over ``family``. 0 where there is no such look."""
    return _nominal(looks, family).get(n, 0.0)


@cache
def _nominal(looks: Looks, family: int) -> dict[int, float]:
    """The sum of n values of N(0, 1) has come to each look within its bounds with the density that is kept at Gauss-Legendre
    nodes between them; a look's bound is where what leaves there is what may be spent."""
    import numpy as np
    from scipy.optimize import brentq
    from scipy.special import ndtr

    nodes, weights = np.polynomial.legendre.leggauss(60)
    at, mass, before, levels = np.zeros(1), np.ones(1), 0, {}
    gone = 0.0
    for n in looks.seeds:
        step, spend = (n - before) ** 0.5, looks.spent(n) * looks.error / family

        def leaves(bound, at=at, mass=mass, step=step):
            return mass @ (ndtr((at - bound) / step) + ndtr((-at - bound) / step))

        bound = brentq(lambda b: leaves(b) - (spend - gone), 0, 40 * n**0.5, xtol=1e-10)  # noqa: B023
        levels[n] = float(2 * ndtr(-bound / n**0.5))
        new = nodes * bound
        mass = np.exp(-(((new[:, None] - at) / step) ** 2) / 2) @ mass / (2 * np.pi) ** 0.5 / step * weights * bound
        at, before, gone = new, n, spend
    return levels

