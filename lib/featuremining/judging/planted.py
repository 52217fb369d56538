"""What the checks of printed numbers find, measured: consistent reports are invented, something is made wrong in each, and it is
counted how often the check objects, to the wrong ones and to the right ones. Seeded, so that rates are the same each time.

An invented report has the form of the paper: four runs on 10,000 images, six networks with six methods in a table and some of
these again in a second one, gains and orders that sentences claim. It is drawn from runs, so all of it is consistent.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from math import sqrt

import numpy as np

from .checks import CHECKS, Check, Number, Report

WORLDS, FOUND, FALSE = 500, 0.95, 0.01          # reports a rate rests on; what a check with power finds, and how rarely it errs
STEPS = [k / 100 for k in range(-9, 10) if abs(k) > 1]
N, IMAGES, NETWORKS, OTHERS = 4, 10_000, 6, 5
DRAW = 100 * sqrt(0.2 / IMAGES)         # of a lead, where two networks disagree on a fifth of the images
AGAIN = (("n0.ours", "n0.m0"), ("n1.ours", "n1.m0"))

Plant = Callable[[Report, np.random.Generator], Report]


def world(rng: np.random.Generator) -> Report:
    """A consistent report: a true spread of runs of 0.1 to 0.4 points, other methods within a point of the baseline, the paper's
    own 3.5 to 5 above it."""
    methods = (*(f"m{i}" for i in range(OTHERS)), "ours")
    ids = [f"n{i}.{method}" for i in range(NETWORKS) for method in methods]
    above = np.column_stack([np.zeros(NETWORKS), rng.uniform(0, 1, (NETWORKS, OTHERS - 1)), rng.uniform(3.5, 5, NETWORKS)])
    true = (rng.uniform(65, 80, (NETWORKS, 1)) + above).reshape(-1, 1)
    runs = np.round(rng.normal(true, rng.uniform(0.1, 0.4), (len(ids), N)) * IMAGES / 100) * 100 / IMAGES
    exact = dict(zip(ids, runs.mean(1).tolist(), strict=True))
    numbers = {id_: Number("A", round(exact[id_], 2), round(spread, 2), N, IMAGES)
               for id_, spread in zip(ids, runs.std(1, ddof=1).tolist(), strict=True)}
    same = [(id_, f"again.{id_}") for pair in AGAIN for id_ in pair]
    numbers |= {again: replace(numbers[id_], table="B") for id_, again in same}
    pairs = [(f"n{i}.ours", f"n{i}.m0") for i in range(NETWORKS)]
    source = exact if rng.random() < 0.5 else {id_: x.mean for id_, x in numbers.items()}      # some subtract before they round
    gains = [(numbers[a].mean, numbers[b].mean, round(source[a] - source[b], 2)) for a, b in pairs]
    quoted = [(numbers[id_].mean, numbers[id_].mean) for pair in pairs for id_ in pair]
    orders = [(f"n{i}.ours", f"n{i}.m{k}") for i in range(NETWORKS) for k in range(OTHERS)]
    return Report(numbers, tuple(same), tuple(quoted), tuple(gains), tuple(orders))


def _digit(value: float, place: int | np.integer, rng: np.random.Generator) -> float:
    """The same number with another digit at 10^place."""
    place = int(place)
    digits = round(value * 100)
    old = digits // 10 ** (place + 2) % 10
    new = (old + rng.integers(1, 10)) % 10
    return (digits + int(new - old) * 10 ** (place + 2)) / 100


def _pick(items, rng: np.random.Generator):
    return items[rng.integers(len(items))]


def _changed(report: Report, id_: str, **values) -> Report:
    return replace(report, numbers={**report.numbers, id_: replace(report.numbers[id_], **values)})


def digit_of_mean(report: Report, rng) -> Report:
    id_ = _pick(list(report.numbers), rng)
    return _changed(report, id_, mean=_digit(report.numbers[id_].mean, rng.integers(-2, 2), rng))


def _in_order(place: int) -> Plant:
    def plant(report: Report, rng) -> Report:
        id_ = _pick([i for pair in report.orders for i in pair], rng)
        return _changed(report, id_, mean=_digit(report.numbers[id_].mean, place, rng))
    return plant


def _shifted(factor: float) -> Plant:
    """The decimal point of one spread in the wrong place."""
    def plant(report: Report, rng) -> Report:
        id_ = _pick([i for i in report.numbers if not i.startswith("again")], rng)
        return _changed(report, id_, spread=round(report.numbers[id_].spread * factor, 2))
    return plant


def alike(report: Report, rng) -> Report:
    """Spreads that nobody measured: all within a fifth of one value."""
    middle = float(np.median([x.spread for x in report.numbers.values() if x.spread is not None]))
    return replace(report, same=(), numbers={
        id_: x if x.spread is None else replace(x, spread=round(middle * rng.uniform(0.8, 1.2), 2))
        for id_, x in report.numbers.items()})


def _as_errors(share: float) -> Plant:
    """Standard errors of the mean printed for so many of the spreads."""
    def plant(report: Report, rng) -> Report:
        return replace(report, same=(), numbers={
            id_: replace(x, spread=round(x.spread / sqrt(x.n), 2)) if rng.random() < share else x
            for id_, x in report.numbers.items()})
    return plant


def digit_of_copy(report: Report, rng) -> Report:
    """In a training's second table, of its mean or its spread."""
    _, id_ = _pick(report.same, rng)
    x = report.numbers[id_]
    if rng.random() < 0.5:
        return _changed(report, id_, mean=_digit(x.mean, rng.integers(-2, 2), rng))
    return _changed(report, id_, spread=_digit(x.spread, rng.integers(-2, 0), rng))


def digit_of_quote(report: Report, rng) -> Report:
    quoted = list(report.quoted)
    i = rng.integers(len(quoted))
    quoted[i] = _digit(quoted[i][0], rng.integers(-2, 2), rng), quoted[i][1]
    return replace(report, quoted=tuple(quoted))


def _gain(change: Callable[[float, np.random.Generator], float]) -> Plant:
    def plant(report: Report, rng) -> Report:
        gains = list(report.gains)
        i = rng.integers(len(gains))
        gains[i] = *gains[i][:2], change(gains[i][2], rng)
        return replace(report, gains=tuple(gains))
    return plant


def swapped(report: Report, rng) -> Report:
    """Two cells that a sentence orders, one in the place of the other."""
    a, b = _pick(report.orders, rng)
    return replace(report, numbers={**report.numbers, a: report.numbers[b], b: report.numbers[a]})


def lead_of_nothing(report: Report, rng) -> Report:
    """Two networks that are equally good on all images and disagree on a fifth of them; whichever these images favour leads."""
    return _led(report, abs(rng.normal(0, DRAW)), rng)


def _led(report: Report, lead: float, rng) -> Report:
    a, b = _pick(report.orders, rng)
    return replace(_changed(report, a, mean=round(report.numbers[b].mean + max(lead, 0.01), 2)), orders=((a, b),))


PLANTS: dict[str, list[tuple[str, Plant]]] = {
    "rounding": [("another digit in a mean", digit_of_mean)],
    "spreads": [("a spread ten times too large", _shifted(10)), ("all spreads within a fifth of one", alike),
                ("half of the spreads are standard errors", _as_errors(0.5)), ("a spread ten times too small", _shifted(0.1)),
                ("all spreads are standard errors", _as_errors(1))],
    "printed twice": [("another digit in a copy", digit_of_copy), ("another digit in a quote", digit_of_quote)],
    "gains": [("another digit, not the last", _gain(lambda v, rng: _digit(v, rng.integers(-1, 1), rng))),
              ("the last digit by two or more", _gain(lambda v, rng: round(v + STEPS[rng.integers(len(STEPS))], 2))),
              ("the last digit by one", _gain(lambda v, rng: round(v + rng.choice([-0.01, 0.01]), 2)))],
    "orders": [("two cells swapped", swapped), ("another tens digit", _in_order(1)), ("another last digit", _in_order(-2))],
    "test images": [("a lead of nothing", lead_of_nothing)],
}


@dataclass(frozen=True)
class Rate:
    """Of one check: how many planted faults of a kind it finds, and to how many consistent reports it objects."""

    check: Check
    plant: str
    found: float
    false: float

    @property
    def power(self) -> str:
        """In a word: whether the check can be relied on for such faults, finds at least half of them, or is no use."""
        return "yes" if self.found >= FOUND and self.false <= FALSE else "partly" if self.found >= 0.5 else "no"


def flagged(lead: float, worlds: int = WORLDS) -> float:
    """How often the check of test images objects to a lead that is truly so many points on all images, which is no fault."""
    check, rng = next(c for c in CHECKS if c.name == "test images"), np.random.default_rng(1)
    return float(np.mean([bool(check.find(_led(world(rng), rng.normal(lead, DRAW), rng))) for _ in range(worlds)]))


@cache
def rates(worlds: int = WORLDS) -> list[Rate]:
    """Every check with every fault it may be asked about."""
    rng = np.random.default_rng(0)
    reports = [world(rng) for _ in range(worlds)]
    found = []
    for check in CHECKS:
        false = float(np.mean([bool(check.find(r)) for r in reports]))
        found += [Rate(check, name, float(np.mean([bool(check.find(plant(r, rng))) for r in reports])), false)
                  for name, plant in PLANTS[check.name]]
    return found
