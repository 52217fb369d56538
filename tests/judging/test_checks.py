"""The checks of printed numbers: what they find in invented reports, and their parts against other hands."""

import re
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from made_records import example

from featuremining.judging import audit, checks, planted, selection
from featuremining.judging.ledger import Ledger
from featuremining.showing import checks as shown
from featuremining.showing.selection import best_epoch

CHECKS = {c.name: c for c in checks.CHECKS}
POWER = {                       # which faults each check can be relied on for, and to which it is blind
    "yes": {"a spread ten times too large", "all spreads within a fifth of one", "another digit in a copy",
            "another digit in a quote", "another digit, not the last", "the last digit by two or more", "two cells swapped",
            "a lead of nothing"},
    "partly": {"another tens digit"},
    "no": {"another digit in a mean", "half of the spreads are standard errors", "a spread ten times too small",
           "all spreads are standard errors", "the last digit by one", "another last digit"}}


def test_a_check_with_power_finds_nearly_all_and_errs_rarely():
    for rate in planted.rates():
        assert rate.plant in POWER[rate.power], (rate.plant, rate.found, rate.false)
        assert rate.false <= planted.FALSE                      # a blind check errs no more often
        if rate.power == "yes":
            assert rate.found >= planted.FOUND
    assert {r.plant for r in planted.rates()} == set().union(*POWER.values())
    assert {r.check.name for r in planted.rates()} == set(CHECKS)


def test_invented_reports_are_consistent_and_plants_change_them():
    rng = np.random.default_rng(1)
    for _ in range(50):
        report = planted.world(rng)
        assert not any(CHECKS[name].find(report) for name in ("rounding", "printed twice", "gains", "orders"))
        for name, plant in (p for plants in planted.PLANTS.values() for p in plants):
            assert plant(report, rng) != report or "ten times" in name          # 0.00 stays as it is


@pytest.mark.parametrize("images", [40, 450])
def test_attainable_means_are_those_that_runs_have(images):
    """All means of two runs, rounded as numbers are printed, and no other."""
    possible = {round(100 * k / (2 * images), 2) for k in range(2 * images + 1)}
    for hundredths in range(10_001):
        value = round(hundredths / 100, 2)
        half = abs(value * 2 * images / 100 % 1 - 0.5) < 1e-9
        assert half or checks.attainable(value, 2, images) >= (value in possible)
    assert checks.share_attainable(2, images) == pytest.approx(len(possible) / 10_001, rel=0.3)


def test_rounding_has_no_power_on_this_paper_and_has_some_elsewhere():
    report = checks.of_paper()
    assert {checks.share_attainable(x.n, x.images) for x in report.numbers.values() if x.images} == {1.0}
    rng = np.random.default_rng(2)
    small = {f"{i}": checks.Number("A", round(rng.uniform(50, 90), 2), 0.1, 1, 450) for i in range(100)}
    assert len(checks.unattainable(checks.Report(small))) > 90


def test_the_chance_of_a_small_spread_is_simulated():
    drawn = np.random.default_rng(3).normal(0, 0.25, (400_000, 4)).std(1, ddof=1)
    assert checks.chance_of_spread(0.07, 0.25, 4) == pytest.approx((drawn <= 0.07).mean(), rel=0.03)


def test_bartletts_statistic_is_scipys():
    """But for a factor that depends on the numbers of runs alone, which the simulated distribution makes good."""
    rng = np.random.default_rng(4)
    factors = []
    for _ in range(5):
        samples = rng.normal(0, 1, (6, 4))
        ours, largest = checks._unlike(samples.std(1, ddof=1), np.full(6, 4))
        factors.append(float(ours) / scipy.stats.bartlett(*samples).statistic)
        assert largest == pytest.approx(samples.var(1, ddof=1).max() / samples.var(1, ddof=1).mean())
    assert np.ptp(factors) < 1e-9


def test_spreads_of_one_truth_are_rarely_objected_to():
    """At any level: the p-values of consistent tables are no smaller than uniform ones."""
    rng = np.random.default_rng(5)
    p = np.array([checks.spread_p(planted.world(rng)) for _ in range(400)])
    for level in (0.05, 0.2, 0.5):
        assert (p < level).mean() <= level + 2 * np.sqrt(level * (1 - level) / 400)


def test_what_the_checks_object_to_in_the_paper():
    report = checks.of_paper()
    found = {name: check.find(report) for name, check in CHECKS.items()}
    trainings = audit.repeated()
    assert found["printed twice"] == [tuple(ids) for ids in trainings.cells[~trainings.same_spread]]
    assert len(found["test images"]) == audit.images(audit.distinct(audit.pairs())).below.sum()
    assert not (found["rounding"] or found["gains"] or found["spreads"])
    assert len(report.numbers) == 80 and (len(report.quoted), len(report.gains)) == (17, 7)
    below = audit.distinct(audit.pairs()).difference <= 0
    assert len(found["orders"]) == below.sum()


def test_each_check_sees_what_is_wrong_in_the_paper():
    """The same faults, made in the paper's own report, that it has power for."""
    report, rng = checks.of_paper(), np.random.default_rng(6)
    for name, plant in (("printed twice", planted.digit_of_quote), ("orders", planted.swapped),
                        ("gains", planted.PLANTS["gains"][0][1])):
        before = len(CHECKS[name].find(report))
        assert np.mean([len(CHECKS[name].find(plant(report, rng))) > before for _ in range(40)]) >= 0.95
    assert checks.uncommon_spreads(planted.alike(report, rng))


def test_the_best_of_many_epochs_is_what_order_statistics_say():
    x = np.linspace(-8, 8, 4001)
    for n in (5, 75):
        density = n * scipy.stats.norm.pdf(x) * scipy.stats.norm.cdf(x) ** (n - 1)
        assert selection.lift(2, 0, n) == pytest.approx(2 * np.trapezoid(x * density, x), rel=0.02)
    assert selection.lift(1, 0.9, 75) < selection.lift(1, 0.5, 75) < selection.lift(1, 0, 75)


def curves(rng, sd, epochs, late, **more):
    """A record whose accuracy climbs along a line and varies about it, ``late`` of its epochs at the last learning rate."""
    accuracy = 60 + 0.1 * np.arange(epochs) + rng.normal(0, sd, epochs)
    lr = [0.1] * (epochs - late) + [0.01] * late
    base = example(**more)
    return replace(base, curves={**base.curves, "lr": lr, "test_acc": accuracy.tolist()})


def test_noise_from_epoch_to_epoch_is_found_again():
    rng = np.random.default_rng(7)
    quiet, loud = ([curves(rng, sd, 40, 20, spec={**example().spec, "methods": methods}) for _ in range(60)]
                   for sd, methods in ((0.1, []), (0.3, [{"name": "fm"}])))
    base, ours = (selection.noise(Ledger(quiet + loud), "cifar100", methods) for methods in ((), ("fm",)))
    assert (base.runs, base.epochs) == (60, 20) and base.sd == pytest.approx(0.1, rel=0.1) and base.phi < 0.1
    assert base.best == pytest.approx(base.expected, rel=0.1) and ours.best == pytest.approx(ours.expected, rel=0.1)
    gain = selection.inherited(base, ours, 75)
    assert gain.low < gain.value < gain.high and gain.value == pytest.approx(0.2 * selection.lift(1, 0, 75), rel=0.15)


def test_only_epochs_that_were_tested_one_after_the_other_count():
    r = curves(np.random.default_rng(8), 0.1, 30, 12)
    assert len(selection._last_phase(r)) == 12
    gaps = [None if i < 25 and i % 5 else v for i, v in enumerate(r.curves["test_acc"])]
    assert len(selection._last_phase(replace(r, curves={**r.curves, "test_acc": gaps}))) == 5
    assert selection.noise(Ledger([r]), "cub", ()) is None


def test_the_page_says_what_the_numbers_say():
    html = shown.instrument()
    text = re.sub(r"<[^>]+>", "", html)
    report = checks.of_paper()
    objecting = [c for c in checks.CHECKS if c.find(report)]
    assert f"{len(objecting)} of {len(checks.CHECKS)} checks object to something" in text
    assert "printed twice to 2 of 24 trainings and quotes" in text and "Without power here: rounding." in text
    assert all(f"<td>{r.plant}" in html or f">{r.plant}<" in html for r in planted.rates()) and "GRIM" not in text
    assert "100 % of all numbers with two decimals" in text
    assert "raises no alarm" in best_epoch(Ledger.read()) and "on record yet" in best_epoch(Ledger())
