"""Which images were right: expected spreads and intervals against worlds whose truth is known, tests against other hands."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from made_records import example
from statsmodels.stats.contingency_tables import mcnemar as theirs

from featuremining import UsageError, records, studies
from featuremining.judging import comparisons, images
from featuremining.judging.ledger import Ledger
from featuremining.showing import images as shown
from featuremining.showing.tables import comparisons as table

RULE = studies.rules()["X3"]
WORLDS = 400


def answers(rng, runs, n=1000, gain=0.0, common=0.0, hard=None):
    """Runs of one training on images of known difficulty (log odds): independent errors given the image, but for what a run has
    in ``common`` on all of them."""
    hard = rng.normal(2, 3, n) if hard is None else hard
    odds = hard + gain + rng.normal(0, common, (runs, 1))
    return rng.random((runs, len(hard))) < 1 / (1 + np.exp(-odds))


def test_the_expected_spread_is_that_of_runs_with_independent_errors():
    """The same images, 20,000 runs: their variance is what the disagreement of two or five runs says on average."""
    rng = np.random.default_rng(0)
    hard = rng.normal(2, 3, 500)
    true = (100 * answers(rng, 20_000, hard=hard).mean(1)).var()
    for runs in (2, 5):
        expected = [images.expected_variance(answers(rng, runs, hard=hard)) for _ in range(WORLDS)]
        assert np.mean(expected) == pytest.approx(true, rel=0.03)


def test_what_runs_have_in_common_is_missing_in_it():
    rng = np.random.default_rng(1)
    hard = rng.normal(2, 3, 500)
    true = (100 * answers(rng, 20_000, common=0.3, hard=hard).mean(1)).var()
    expected = np.mean([images.expected_variance(answers(rng, 4, common=0.3, hard=hard)) for _ in range(WORLDS)])
    assert expected < 0.7 * true


def test_the_observed_spread_is_found_not_to_fit_as_rarely_as_it_says():
    """One cell by its interval, ten cells together by chi-square; of correlated errors both are found to fail."""
    rng = np.random.default_rng(2)
    alone, together, missed = [], [], []
    for _ in range(WORLDS // 4):
        several = [images.spread(answers(rng, 4)) for _ in range(10)]
        alone += [s.fits for s in several]
        together.append(images.fit(several) >= 0.05)
        missed.append(images.fit([images.spread(answers(rng, 4, common=0.3)) for _ in range(10)]) >= 0.05)
    assert 0.93 < np.mean(alone) < 0.97 and np.mean(together) > 0.9 and np.mean(missed) < 0.1


def test_its_interval_is_that_of_a_normal_standard_deviation():
    right = answers(np.random.default_rng(3), 4)
    values, found = 100 * right.mean(1), images.spread(right)
    assert found.observed.value == pytest.approx(np.std(values, ddof=1))
    assert [found.observed.low**2, found.observed.high**2] == pytest.approx(
        [3 * values.var(ddof=1) / scipy.stats.chi2.ppf(q, 3) for q in (0.975, 0.025)])
    pairs = [(right[i] != right[j]).mean() for i in range(4) for j in range(i)]
    assert found.disagreement == pytest.approx(100 * np.mean(pairs))
    assert images.spread(right[:1]) is None and images.spread(right[[0, 0]]) is None


def test_equal_accuracies_of_different_answers_are_a_coincidence():
    """On few images they are common, and no spread of nothing; on many they are rare."""
    few = images.spread(np.array([[True] * 30 + [False] * 10, [False] * 10 + [True] * 30]))
    assert few.observed.value == 0 and few.fits and images.fit([few]) > 0.05
    rng = np.random.default_rng(10)
    fits = [s.fits for _ in range(WORLDS) if (s := images.spread(answers(rng, 2, n=40)))]
    assert np.mean(fits) > 0.93


@pytest.mark.parametrize("common", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("runs", [2, 4])
def test_the_interval_on_new_images_covers_what_new_images_and_seeds_show(common, runs):
    """In every world new images and new seeds; the truth is the gain on a million others."""
    rng = np.random.default_rng(4)
    many, twist = rng.normal(2, 3, 1_000_000), rng.normal(0, 1, 1_000_000)
    luck = rng.normal(0, common, 1_000_000)
    true = 100 * (1 / (1 + np.exp(-(many + 0.3 + twist + luck))) - 1 / (1 + np.exp(-(many + luck)))).mean()
    inside = []
    for _ in range(WORLDS):
        hard = rng.normal(2, 3, 1000)
        base = answers(rng, runs, hard=hard, common=common)
        method = answers(rng, runs, hard=hard + rng.normal(0, 1, 1000), gain=0.3, common=common)
        found = images.on_new_images(method, base)
        inside.append(found.low <= true <= found.high)
    assert np.mean(inside) > 0.95 - 2 * np.sqrt(0.95 * 0.05 / WORLDS)


def test_seeds_alone_do_not_cover_new_images():
    """What the second interval is for: the first, over seeds, is of these test images and misses the truth on others."""
    rng, inside = np.random.default_rng(5), []
    for _ in range(WORLDS):
        hard, tilt = rng.normal(2, 3, 1000), rng.normal(0, 2, 1000)
        sides = answers(rng, 4, hard=hard + tilt), answers(rng, 4, hard=hard - tilt)        # a gain of nothing on all images
        found = scipy.stats.ttest_ind(*(100 * s.mean(1) for s in sides), equal_var=False).confidence_interval(0.95)
        both = images.on_new_images(*sides)
        inside.append((found.low <= 0 <= found.high, both.low <= 0 <= both.high))
    seeds, both = np.mean(inside, axis=0)
    assert seeds < 0.85 and both > 0.93


def test_mcnemar_is_statsmodels():
    rng = np.random.default_rng(6)
    for n in (5, 40, 400):
        a, b = rng.random(n) < 0.8, rng.random(n) < 0.7
        first, second, p = images.mcnemar(a, b)
        found = theirs([[(a & b).sum(), first], [second, (~a & ~b).sum()]], exact=True)
        assert p == pytest.approx(found.pvalue)
    assert images.mcnemar(a, a) == (0, 0, 1.0)


def test_what_cannot_be_compared_is_one_sentence():
    small, large = (answers(np.random.default_rng(7), 2, n) for n in (10, 20))
    for ask in (lambda: images.on_new_images(small, large), lambda: images.mcnemar(small[0], large[0]),
                lambda: images.disagreement(small[:1])):
        with pytest.raises(UsageError):
            ask()
    assert images.on_new_images(None, small) is None and images.on_new_images(small[:1], small).half == np.inf


def made(id_, right):
    """Records with these answers in their last and best epoch."""
    run, n = studies.cell(id_).run("full", 0), right.shape[1]
    return [example(key=run.key, spec=run.spec(), seed=seed, metrics=records.metrics([round(100 * row.mean(), 4)], n),
                    right={"best": records.pack(row), "last": records.pack(row)}) for seed, row in enumerate(right)]


def test_answers_stand_beside_a_comparison_and_change_no_verdict():
    """The page with answers, and the same runs as older records: equal but for what answers add."""
    rng = np.random.default_rng(8)
    hard = rng.normal(2, 3, 2000)
    runs = [r for id_, gain in (("X3.resnet20.baseline", 0), ("X3.resnet20.fm2", 0.2))
            for r in made(id_, answers(rng, 4, hard=hard, gain=gain))]
    without = [replace(r, schema=1, right={}) for r in runs]
    new, old = (comparisons.compare(RULE, Ledger(rs)) for rs in (runs, without))
    assert [replace(c, new_images=None) for c in new] == old and new[0].new_images.value == pytest.approx(new[0].outcome.value)
    assert table(new)["on new images like these"][0].startswith("+")
    page = shown.answers(RULE, Ledger(runs))
    assert "of 2 cells with two runs or more" in page and "needs two runs" in page
    assert page.count(">p (McNemar)<") == 1 and len(shown.side_by_side(new, Ledger(runs), "last")) == 4
    empty = shown.answers(RULE, Ledger(without))
    assert "none of these 6 cells has two runs" in empty and "McNemar" not in empty


def test_side_by_side_pairs_seeds():
    rng = np.random.default_rng(9)
    a, b = made("X3.resnet20.fm2", answers(rng, 3)), made("X3.resnet20.baseline", answers(rng, 4))[1:]
    rows = images.side_by_side(a, b, "last")
    assert [row["seed"] for row in rows] == [1, 2]
    for row in rows:
        first, second = (next(r for r in side if r.seed == row["seed"]).images("last") for side in (a, b))
        test = scipy.stats.ttest_rel(first.astype(float), second.astype(float)).confidence_interval(0.95)
        assert (row["difference"].low, row["difference"].high) == pytest.approx((100 * test.low, 100 * test.high), abs=1e-3)
