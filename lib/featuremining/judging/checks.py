"""Checks of a paper's printed numbers by themselves, each with a name, what it asks, and what it finds in a report. How well each
finds what is wrong is measured on invented reports (`planted`). No training, no torch.

A report is what a paper prints: means of n runs in percent with their spreads, by table; trainings that stand in several tables;
numbers and gains that its sentences quote; and which number it says lies above which.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import sqrt

import numpy as np

from .. import studies
from ..studies import claims

STEP = 0.01             # percentage points: the last digit that is printed
ALARM = 0.005           # two-sided p below which spreads are taken for no sample of one common spread
DRAWS = 2000            # of the simulated distribution behind that p


@dataclass(frozen=True)
class Number:
    """A printed mean of n runs with its standard deviation; ``images`` of its test set, None where it is no share of images."""

    table: str
    mean: float
    spread: float | None
    n: int
    images: int | None


@dataclass(frozen=True)
class Report:
    """What is printed. ``same``: ids of one training; ``quoted``: (as a sentence has it, as the table has it); ``gains``:
    (higher, lower, the gain as printed); ``orders``: ids, (higher, lower)."""

    numbers: dict[str, Number]
    same: tuple[tuple[str, ...], ...] = ()
    quoted: tuple[tuple[float, float], ...] = ()
    gains: tuple[tuple[float, float, float], ...] = ()
    orders: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Check:
    """``find`` gives one entry for everything that it objects to in a report, out of so many things that it ``looks_at``."""

    name: str
    asks: str
    find: Callable[[Report], list]
    looks_at: Callable[[Report], int]
    things: str


def attainable(mean: float, n: int, images: int) -> bool:
    """Whether n accuracies on so many images can have a mean that is printed so: the GRIM test (Brown and Heathers 2017).

    >>> attainable(73.71, 4, 10_000), attainable(73.71, 1, 450), attainable(73.78, 1, 450)
    (True, False, True)
    """
    return bool(_attainable(mean, n, images))


def _attainable(means, n: int, images: int):
    """Whether a whole number of right answers of all runs together gives the mean, half a step more or less."""
    answers, half = n * images / 100, STEP / 2 + 1e-9
    return np.ceil((means - half) * answers) <= np.floor((means + half) * answers)


def share_attainable(n: int, images: int) -> float:
    """Of all numbers from 0.00 to 100.00, how many n runs on so many images can have as their mean; where it is 1, `attainable`
    finds nothing, whatever is printed.

    >>> share_attainable(4, 10_000), round(share_attainable(1, 450), 2)
    (1.0, 0.05)
    """
    return float(np.mean(_attainable(np.arange(10_001) * STEP, n, images)))


def unattainable(report: Report) -> list[str]:
    return [id_ for id_, x in report.numbers.items() if x.images and not attainable(x.mean, x.n, x.images)]


def chance_of_spread(spread: float, sigma: float, n: int) -> float:
    """That n runs whose true standard deviation is sigma show this spread or less.

    >>> round(chance_of_spread(0.07, 0.25, 4), 3)
    0.028
    """
    from scipy.special import chdtr

    return float(chdtr(n - 1, (n - 1) * (spread / sigma) ** 2))


def spreads(report: Report) -> dict[str, list[tuple[float, int]]]:
    """(spread, n) by table, a training that stands in several with the same spread once."""
    seen: set[tuple] = set()
    by_table: dict[str, list[tuple[float, int]]] = {}
    group = {id_: ids for ids in report.same for id_ in ids}
    for id_, x in report.numbers.items():
        if x.spread is not None and (group.get(id_, id_), x.spread) not in seen:
            seen.add((group.get(id_, id_), x.spread))
            by_table.setdefault(x.table, []).append((x.spread, x.n))
    return {table: found for table, found in by_table.items() if len(found) > 1}


def spread_p(report: Report) -> float:
    """p that the spreads of each table are those of samples with one common true spread: Bartlett's statistic summed over tables
    (two-sided: they may differ too much, or too little) and the largest share of a variance in its table's pooled one, whichever
    is the rarer among simulated spreads that are rounded as these are; doubled, since these are two."""
    by_table = spreads(report)
    if not by_table:
        return 1.0
    found = [_unlike(np.array([s for s, _ in rows]), np.array([n for _, n in rows])) for rows in by_table.values()]
    null = [_null(tuple(n for _, n in rows), f"{pooled(rows):.1g}", seed) for seed, rows in enumerate(by_table.values())]
    bartlett, largest = sum(b for b, _ in found), max(m for _, m in found)
    simulated, extremes = np.sum([b for b, _ in null], axis=0), np.max([m for _, m in null], axis=0)
    tails = np.mean(simulated >= bartlett), np.mean(simulated <= bartlett)
    return min(1.0, 2 * float(min(2 * min(tails), np.mean(extremes >= largest))))


def pooled(rows: list[tuple[float, int]]) -> float:
    """Of (spread, n)."""
    return sqrt(sum((n - 1) * s * s for s, n in rows) / sum(n - 1 for _, n in rows))


@cache
def _null(n: tuple[int, ...], sigma: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`_unlike` of simulated tables with one true spread. It matters only for what rounding does, so one digit of it is enough,
    and tables like each other share their simulation."""
    df = np.array(n) - 1
    drawn = float(sigma) * np.sqrt(np.random.default_rng(seed).chisquare(df, (DRAWS, len(df))) / df)
    return _unlike(np.round(drawn / STEP) * STEP, np.array(n))


def _unlike(s: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bartlett's statistic and the largest variance over the pooled one, of spreads (..., k); one that is rounded to nothing
    counts as half a step."""
    df, variances = n - 1, np.maximum(s, STEP / 2) ** 2
    pooled = (df * variances).sum(-1) / df.sum()
    return df.sum() * np.log(pooled) - (df * np.log(variances)).sum(-1), variances.max(-1) / pooled


def uncommon_spreads(report: Report) -> list[float]:
    return [p] if (p := spread_p(report)) < ALARM else []


def unequal(report: Report) -> list:
    """Trainings whose mean or spread differs between tables, and quotes that differ from their table."""
    groups = [(ids, {(report.numbers[i].mean, report.numbers[i].spread) for i in ids}) for ids in report.same]
    return [ids for ids, values in groups if len(values) > 1] + [pair for pair in report.quoted if abs(pair[0] - pair[1]) > 1e-6]


def wrong_gains(report: Report) -> list[tuple[float, float, float]]:
    """Gains that are not the difference of their parts, whatever was rounded off of the three."""
    return [gain for gain in report.gains if abs(gain[2] - (gain[0] - gain[1])) > 1.5 * STEP + 1e-6]


def wrong_orders(report: Report) -> list[tuple[str, str]]:
    return [(a, b) for a, b in report.orders if report.numbers[a].mean <= report.numbers[b].mean]


def within_images(report: Report) -> list[tuple[str, str]]:
    """Leads within 1.96 standard errors of two accuracies on different images: other images could turn them. How much drops out
    since both are tested on the same images is not printed, so this is the most that the error can be."""
    found = []
    for a, b in ((a, b) for a, b in report.orders if report.numbers[a].images):
        first, second = report.numbers[a], report.numbers[b]
        error = sqrt(sum(x.mean * (100 - x.mean) / x.images for x in (first, second)))
        found += [(a, b)] if 0 < first.mean - second.mean < 1.96 * error else []
    return found


def _shares(report: Report) -> int:
    return sum(x.images is not None for x in report.numbers.values())


def _shared_orders(report: Report) -> int:
    return sum(report.numbers[a].images is not None for a, _ in report.orders)


CHECKS = [
    Check("rounding", "Can n runs on so many images have this mean?", unattainable, _shares, "means"),
    Check("spreads", "Do the spreads of a table vary as those of n runs with one true spread do?", uncommon_spreads,
          lambda r: sum(map(len, spreads(r).values())), "spreads"),
    Check("printed twice", "Is what stands in two places the same in both?", unequal,
          lambda r: len(r.same) + len(r.quoted), "trainings and quotes"),
    Check("gains", "Is a printed gain the difference of its parts?", wrong_gains, lambda r: len(r.gains), "gains"),
    Check("orders", "Does the number that a sentence puts first lie above the other?", wrong_orders,
          lambda r: len(r.orders), "comparisons"),
    Check("test images", "Would a lead hold if the two were tested on other images, drawn anew for each?", within_images,
          _shared_orders, "leads"),
]


def of_paper() -> Report:
    """The report of the Feature Mining paper. Each comparison of an order counts once."""
    from . import audit

    images = audit.data()["images"]
    cells = {c.id: c for c in studies.load_cells().values() if c.published is not None}
    numbers = {id_: Number(c.table, float(c.published), None if c.spread is None else float(c.spread), c.n,
                           None if c.task == "detection" else images.get(c.dataset)) for id_, c in cells.items()}
    quotes, gains, quoted = audit.arithmetic(), [], []
    for row in quotes.itertuples():
        higher, lower = claims.load_claims()[row.claim].named_pairs()[0]
        for said, table, is_gain in zip(row.said, row.tables, row.gains, strict=True):
            if is_gain:
                gains.append((numbers[higher].mean, numbers[lower].mean, float(said)))
            else:
                quoted.append((float(said), float(table)))
    once = audit.distinct(audit.pairs())
    return Report(numbers, tuple(map(tuple, audit.repeated().cells)), tuple(quoted), tuple(gains),
                  tuple(zip(once.higher, once.lower, strict=True)))
