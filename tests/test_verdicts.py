"""The statistics against scipy, and every verdict from numbers made for it."""

import math
import statistics

import numpy as np
import pytest
from scipy import stats
from test_records import example

from featuremining.studies import baseline, load_cells
from featuremining.verdicts import (
    Summary,
    gain,
    judge,
    judge_gain,
    margin,
    mean_interval,
    pooled_spread,
    printed,
    seeds_to_decide,
    verdict,
    welch,
)

PAPER = Summary(4, 75.35, 0.2)
DELTA = margin([0.2], 4)


def made_of(*values):
    return Summary.of(list(values))


def test_mean_interval_is_students():
    values = [73.4, 73.9, 73.7, 74.1]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    got = mean_interval(made_of(*values))
    assert (got.low, got.high) == pytest.approx((low, high))
    assert math.isinf(mean_interval(made_of(73.4)).half)


def test_welch_is_scipys():
    a, b = [73.4, 73.9, 73.7, 74.1], [75.0, 75.6, 75.2]
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    got = welch(made_of(*a), made_of(*b))
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high))
    assert welch(Summary(4, 1, 0), Summary(4, 0, 0)).half == 0


def test_margin_is_what_the_papers_design_detects():
    """Simulated power of a two-sample t test at the margin is 80 %."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 0.2, (20000, 4)), rng.normal(DELTA, 0.2, (20000, 4))
    power = (stats.ttest_ind(a, b, axis=1).pvalue < 0.05).mean()
    assert power == pytest.approx(0.80, abs=0.04)


@pytest.mark.parametrize(("ours", "status"), [
    (None, "not run"), (made_of(75.3), "inconclusive"), (made_of(75.3, 75.5, 75.2, 75.4), "reproduced"),
    (made_of(73.0, 73.2, 73.1, 73.3), "not reproduced"), (made_of(79.0, 79.2, 79.1, 79.3), "not reproduced"),
    (made_of(74.9, 75.9, 74.7, 75.8), "inconclusive"), (made_of(74.9, 75.0, 74.8, 75.1), "inconclusive")], ids=str)
def test_verdict_on_a_number(ours, status):
    assert judge(ours, PAPER, DELTA, 0.2).status == status


@pytest.mark.parametrize(("method", "baseline", "status"), [
    (None, made_of(73.7), "not run"), (made_of(75.3), made_of(73.7), "inconclusive"),
    (made_of(75.3, 75.4, 75.2, 75.4), made_of(73.7, 73.6, 73.8, 73.7), "reproduced"),
    (made_of(74.2, 74.3, 74.2, 74.3), made_of(73.7, 73.6, 73.8, 73.7), "direction only"),
    (made_of(73.0, 73.1, 72.9, 73.0), made_of(73.7, 73.6, 73.8, 73.7), "not reproduced"),
    (made_of(73.7, 73.6, 73.8, 73.7), made_of(73.7, 73.7, 73.6, 73.8), "not reproduced"),
    (made_of(73.0, 75.1, 74.0, 74.6), made_of(73.7, 73.6, 73.8, 73.7), "inconclusive")], ids=str)
def test_verdict_on_a_gain(method, baseline, status):
    assert judge_gain((method, baseline), (PAPER, Summary(4, 73.71, 0.28)), DELTA).status == status


@pytest.mark.parametrize("n", [2, 4, 16, 64])
def test_the_papers_own_numbers_never_fail_to_reproduce_themselves(n):
    """Printed means and spreads fed back as ours: no number and no gain comes out as not reproduced."""
    cells = [c for c in load_cells().values() if c.published is not None]
    again = lambda c: Summary(n, c.published, printed(c).sd)  # noqa: E731
    for cell in cells:
        spreads = pooled_spread(cell)
        within = margin(spreads, 4)
        assert judge(again(cell), printed(cell), within, spreads[0]).status in ("reproduced", "inconclusive")
        if base := baseline(cell):
            found = judge_gain((again(cell), again(base)), (printed(cell), printed(base)), within)
            assert found.status != "not reproduced", cell.id


def test_a_loss_that_the_paper_prints_is_judged_with_its_sign():
    lost = (Summary(4, 81.31, 0.24), Summary(4, 81.54, 0.31))
    better = (made_of(82.5, 82.4, 82.6, 82.5), made_of(81.5, 81.6, 81.4, 81.5))
    assert judge_gain(better, lost, DELTA).status == "not reproduced"


def test_the_seeds_that_would_decide():
    needed = seeds_to_decide(0.0, 0.2, PAPER, DELTA)
    assert welch(Summary(needed, 0, 0.2), Summary(4, 0, 0.2)).half <= DELTA
    assert welch(Summary(needed - 1, 0, 0.2), Summary(4, 0, 0.2)).half > DELTA
    assert seeds_to_decide(DELTA, 0.2, PAPER, DELTA) is None      # on the edge no number of seeds decides


def test_only_full_records_of_the_same_training_reach_a_cell():
    cell, base = (load_cells()[f"T1.resnet56.{m}"] for m in ("fm2", "baseline"))
    run = cell.run("full", 0)
    right = [example(key=run.key, seed=s, metrics={"best": 75.3 + s / 10}) for s in range(3)]
    short = [example(key=cell.run("short", 0).key, metrics={"best": 10.0})]
    assert verdict(cell, short).status == "not run"
    found = verdict(cell, right + short)
    assert found.ours.n == 3 and found.ours.mean == pytest.approx(statistics.fmean([75.3, 75.4, 75.5]))
    assert verdict(base, right).status == "not run" and gain(cell, right).status == "not run"
    assert gain(base, right) is None and verdict(load_cells()["X1.resnet20.fm2"], right) is None


def test_a_table_without_spreads_borrows_those_of_its_network():
    """Table 8 prints means alone: ResNet-110's spreads on CIFAR-100 in Tables 1, 2 and 3 stand in."""
    cell = load_cells()["T8.resnet110.fm2.pair20"]
    borrowed = [0.23, 0.33, 0.12, 0.07, 0.08, 0.13, 0.23, 0.14, 0.08, 0.21, 0.16, 0.11, 0.23, 0.25, 0.12, 0.17]
    assert pooled_spread(cell) == borrowed
    assert printed(cell).sd == pytest.approx((sum(s * s for s in borrowed) / len(borrowed)) ** 0.5)
