"""The statistics against scipy, and every verdict from numbers made for it."""

import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
from made_records import example
from scipy import stats

from featuremining.judging.ledger import Ledger
from featuremining.judging.verdicts import (
    judge,
    judge_gain,
    pooled_spread,
    printed,
)
from featuremining.stats import Summary, margin, mean_interval, power, prediction_interval, welch
from featuremining.studies import baseline, load_cells

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
    assert judge(ours, PAPER, DELTA).status == status


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
        assert judge(again(cell), printed(cell), within).status in ("reproduced", "inconclusive")
        if base := baseline(cell):
            found = judge_gain((again(cell), again(base)), (printed(cell), printed(base)), within)
            assert found.status != "not reproduced", cell.id


def test_a_gain_of_the_other_sign_is_not_reproduced_however_small():
    small = (Summary(4, 75.00, 0.1), Summary(4, 74.75, 0.1))
    low, high = made_of(74.65, 74.66, 74.64, 74.65), made_of(74.9, 74.91, 74.89, 74.9)
    assert judge_gain((low, high), small, DELTA).status == "not reproduced"
    assert judge_gain((high, low), small, DELTA).status == "reproduced"
    less = made_of(74.75, 74.76, 74.74, 74.75)          # a smaller gain than printed, and no other within the margin
    assert judge_gain((less, low), small, DELTA).status == "reproduced"


def test_a_loss_that_the_paper_prints_is_judged_with_its_sign():
    lost = (Summary(4, 81.31, 0.24), Summary(4, 81.54, 0.31))
    better = (made_of(82.5, 82.4, 82.6, 82.5), made_of(81.5, 81.6, 81.4, 81.5))
    assert judge_gain(better, lost, DELTA).status == "not reproduced"


@pytest.mark.parametrize(("n", "sd", "difference"), [((4, 4), (0.2, 0.2), 0.5), ((2, 2), (0.2, 0.2), 0.5),
                                                     ((3, 4), (0.2, 0.2), 0.5),
                                                     ((6, 4), (0.1, 0.3), 0.4), ((4, 4), (0.2, 0.2), 0.0)])
def test_power_is_how_often_a_difference_is_found(n, sd, difference):
    """Welch's test by scipy on simulated runs, whose degrees of freedom are estimated anew each time."""
    rng = np.random.default_rng(1)
    a, b = (rng.normal(mean, s, (20000, k)) for mean, s, k in zip((difference, 0.0), sd, n, strict=True))
    found = (stats.ttest_ind(a, b, axis=1, equal_var=False).pvalue < 0.05).mean()
    assert power(Summary(n[0], 9, sd[0]), Summary(n[1], 9, sd[1]), difference) == pytest.approx(found, abs=0.01)


def test_power_has_no_gaps():
    """It rises with the difference from the test's size, which is below 5 % with so few runs, to 1."""
    found = np.array([power(Summary(4, 0, 0.1), Summary(4, 0, 0.1), d) for d in np.arange(0, 12, 0.1)])
    assert np.isfinite(found).all() and (np.diff(found) > -1e-9).all() and found[-1] == 1
    assert found[0] == pytest.approx(0.041, abs=0.002)


def test_power_of_students_test():
    """The two examples of R's ``power.t.test``: 20 against 20 at one spread, 86.90 %; 90 % of a difference of one with 22.02.
    Welch's test, which does not know that the spreads are equal, finds a little less."""
    assert 0.867 < power(Summary(20, 0, 1), Summary(20, 0, 1), 1) < 0.8689528
    assert power(Summary(22, 0, 1), Summary(22, 0, 1), 1) < 0.90 < power(Summary(23, 0, 1), Summary(23, 0, 1), 1)


def test_every_verdict_on_runs_has_its_power():
    assert judge(None, PAPER, DELTA).power is None
    assert judge(made_of(75.3), PAPER, DELTA).power == 0       # one run: no test
    two, four = (judge(Summary(n, 75.3, 0.2), PAPER, DELTA).power for n in (2, 4))
    assert 0.05 < two < four == pytest.approx(0.753, abs=0.002)
    assert judge_gain((Summary(4, 75.3, 0.2), Summary(4, 73.7, 0.2)), (PAPER, PAPER), DELTA).power == pytest.approx(four)
    assert judge_gain((None, PAPER), (PAPER, PAPER), DELTA).power is None
    assert power(Summary(4, 0, 0.0), Summary(4, 0, 0.0), DELTA) == power(Summary(4, 0, 1e-9), Summary(4, 0, 0.0), DELTA) == 1


def test_a_new_run_lies_in_the_prediction_interval():
    """95 of 100 fifth runs lie in the interval of four others."""
    runs = np.random.default_rng(2).normal(75.0, 0.2, (4000, 5))
    found = [prediction_interval(Summary(4, row[:4].mean(), row[:4].std(ddof=1))) for row in runs]
    inside = np.mean([i.low <= run <= i.high for i, run in zip(found, runs[:, 4], strict=True)])
    assert inside == pytest.approx(0.95, abs=0.012)
    assert math.isinf(prediction_interval(made_of(75.0)).half)


def test_only_full_records_of_the_same_training_reach_a_cell():
    cell, base = (load_cells()[f"T1.resnet56.{m}"] for m in ("fm2", "baseline"))
    run = cell.run("full", 0)
    right = [example(key=run.key, seed=s, metrics={"best": 75.3 + s / 10}) for s in range(4)]
    short = [example(key=cell.run("short", 0).key, metrics={"best": 10.0})]
    assert Ledger(short).verdict(cell).status == "not run"
    found = Ledger(right + short).verdict(cell)
    assert found.ours.n == 4 and found.ours.mean == pytest.approx(statistics.fmean([75.3, 75.4, 75.5, 75.6]))
    assert Ledger(right).verdict(base).status == "not run" and Ledger(right).gain(cell).status == "not run"
    assert Ledger(right).gain(base) is None and Ledger(right).verdict(load_cells()["X1.resnet20.fm2"]) is None


def test_a_table_without_spreads_borrows_those_of_its_network():
    """Table 8 prints means alone: ResNet-110's spreads on CIFAR-100 in Tables 1, 2 and 3 stand in."""
    cell = load_cells()["T8.resnet110.fm2.pair20"]
    borrowed = [0.23, 0.33, 0.12, 0.07, 0.08, 0.13, 0.23, 0.14, 0.08, 0.21, 0.16, 0.11, 0.23, 0.25, 0.12, 0.17]
    assert pooled_spread(cell) == borrowed
    assert printed(cell).sd == pytest.approx((sum(s * s for s in borrowed) / len(borrowed)) ** 0.5)


def test_only_clean_commits_decide_and_each_network_once():
    """A run of uncommitted changes, of no commit, or of a seed that ended in the same weights stays on record, no more."""
    run = load_cells()["T1.resnet56.fm2"].run("full", 0)
    cell_ = load_cells()["T1.resnet56.fm2"]
    values = (75.3, 75.4, 75.35, 75.3)
    good = [example(key=run.key, seed=s, metrics={"best": v}) for s, v in enumerate(values)]
    assert Ledger(good).verdict(cell_).status == "reproduced" and Ledger(good).verdict(cell_).left_out == 0
    elsewhere = {"resumed_elsewhere": [{"commit": "b" * 40, "dirty": True}]}
    for change in ({"dirty": True}, {"dirty": None}, {"commit": None}, elsewhere):
        bad = [replace(r, provenance={**r.provenance, **change}) for r in good]
        found = Ledger(bad).verdict(cell_)
        assert found.status == "not run" and found.left_out == 4 and "4 on record count not" in str(found.standing(cell_))
        assert len(Ledger(bad).of(cell_)) == Ledger(bad).ours(cell_).n == 4
    same = [replace(r, weights="0" * 64, metrics={"best": 75.35}) for r in good]
    assert Ledger(same).verdict(cell_).ours.n == 1 and Ledger(same).verdict(cell_).left_out == 3
