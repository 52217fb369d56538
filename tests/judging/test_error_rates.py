"""How often verdicts err, by simulation: worlds in which the truth is known, drawn with a fixed seed. Rates are of the seeds
drawn, so they are equal from run to run; what is allowed beyond a bound is the error of the simulation."""

from math import sqrt
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import norm

from featuremining import paths
from featuremining.judging import orders, sentences
from featuremining.judging.ledger import Ledger
from featuremining.judging.sentences import judge
from featuremining.judging.verdicts import gain_status, judge_gain, number_status
from featuremining.stats import Summary, equivalence_p, margin, welch
from featuremining.studies import Looks, cell, papers
from featuremining.studies.claims import claim
from featuremining.studies.looks import nominal
from featuremining.studies.outcomes import Status

SIGMA, N = 0.2, 3000                # spread of runs in points; worlds
DELTA = margin([SIGMA], 4)
LOOKS = papers()["feature_mining"].looks


def summaries(means, n, rng, sigma=SIGMA):
    """One draw of n runs around each mean."""
    return [Summary.of(list(rng.normal(mean, sigma, n))) for mean in means]


def rate(status, gain, printed, n, worlds=N):
    """How often a gain that is truly ``gain`` has this verdict where the paper drew four runs of a gain of ``printed``."""
    rng = np.random.default_rng(0)
    ours, paper = ([many(75 + mean, runs, rng, worlds) for mean in pair] for pair, runs in (((gain, 0), n), ((printed, 0), 4)))
    return (gain_status(ours, paper, DELTA) == status).mean()


def many(mean, n, rng, worlds, sigma=SIGMA):
    """One side in many worlds."""
    runs = rng.normal(mean, sigma, (worlds, n))
    return Summary(n, runs.mean(1), runs.std(1, ddof=1))


def at_most(bound, worlds=N):
    """The bound and two standard errors of the simulation."""
    return bound + 2 * sqrt(bound * (1 - bound) / worlds)


@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_a_gain_at_the_margin_is_rarely_reproduced(n):
    for side in (-1, 1):
        assert rate(Status.REPRODUCED, 2.0 + side * sqrt(2) * DELTA, 2.0, n) <= at_most(0.025)


@pytest.mark.parametrize("n", [4, 16])
def test_no_gain_is_rarely_reproduced_and_a_gain_rarely_refuted(n):
    assert rate(Status.REPRODUCED, 0.0, 0.4, n) <= at_most(0.025)
    assert rate(Status.NOT_REPRODUCED, 1.0, 1.0, n) <= at_most(0.025)
    assert rate(Status.NOT_REPRODUCED, 0.5, 1.0, n) <= at_most(0.025)      # half of it: smaller, and there


def test_a_gain_of_nothing_is_not_the_printed_one():
    """0.00 (-0.21 to +0.21) could be +0.40 by its margin, and is no gain."""
    ours = Summary(4, 75.0, 0.12), Summary(4, 75.0, 0.12)
    assert welch(*ours).high == pytest.approx(0.21, abs=0.005)
    assert judge_gain(ours, (Summary(4, 75.4, 0.2), Summary(4, 75.0, 0.2)), 0.48).status != Status.REPRODUCED


@pytest.mark.parametrize("id_", ["T1.consistently", "T1.one_layer"])
@pytest.mark.parametrize("share", [1.0, 0.5], ids=["as printed", "half the gains"])
def test_an_order_that_is_true_is_rarely_refuted(id_, share):
    """Four runs each, looked at after two and four: with every mean as printed, and where all gains over the baseline are half of
    what is printed."""
    rng, worlds, asked = np.random.default_rng(1), 2000, claim(id_)
    pairs = [pair for pair in asked.named_pairs() if cell(pair[0]).published > cell(pair[1]).published]     # as printed: true
    runs = {}
    for c in asked.needs:
        low = cell(f"{c.table}.{c.network}.baseline").published
        runs[c.id] = rng.normal(low + share * (c.published - low), c.spread, (worlds, 4))
    bounds, refuted = [orders.bounds(*pair) for pair in pairs], False
    for look in LOOKS.upto(4):
        at = {id_: Summary(look.n, r[:, :look.n].mean(1), r[:, :look.n].std(1, ddof=1)) for id_, r in runs.items()}
        ours = [(at[a], at[b]) for a, b in pairs]
        found = orders.order_status([a.mean - b.mean for a, b in ours], *orders.family(ours, bounds, look), len(pairs))
        refuted = refuted | (found == Status.NOT_REPRODUCED)
    assert refuted.mean() <= at_most(0.05, worlds) and len(pairs) > 0.9 * len(asked.named_pairs())


def growing(mean, rng, worlds=20_000):
    """Of one side in many worlds, mean and spread by look."""
    runs = rng.normal(mean, SIGMA, (worlds, LOOKS.seeds[-1]))
    return {n: Summary(n, runs[:, :n].mean(1), runs[:, :n].std(1, ddof=1)) for n in LOOKS.seeds}


def ever(status, judged):
    """How often a verdict is given at any of the looks."""
    return np.any([judged(look) == status for look in LOOKS.upto(LOOKS.seeds[-1])], axis=0).mean()


@pytest.mark.parametrize("off", [0.0, 0.5, 1.0, -1.0])
def test_looking_after_every_seed_errs_no_more(off):
    """Numbers whose true difference to the paper's is ``off`` margins, each side drawn; a look has the seeds of all before it."""
    rng = np.random.default_rng(4)
    ours, paper = growing(75 + off * DELTA, rng), growing(75, rng)[4]

    def judged(look):
        return number_status(welch(ours[look.n], paper, look.level), DELTA)
    assert ever(Status.NOT_REPRODUCED, judged) <= at_most(0.05, 20_000)
    if abs(off) == 1:
        assert ever(Status.REPRODUCED, judged) <= at_most(0.025, 20_000)


@pytest.mark.parametrize(("gain", "printed"), [(0.0, 0.4), (0.4, 0.4), (0.2, 0.4), (-0.4, 0.4), (2.0, 2.0 + sqrt(2) * DELTA),
                                               (2.0, 2.0 - sqrt(2) * DELTA)])
def test_looking_at_a_gain_after_every_seed_errs_no_more(gain, printed):
    rng = np.random.default_rng(5)
    ours, paper = (growing(75 + gain, rng), growing(75, rng)), (growing(75 + printed, rng)[4], growing(75, rng)[4])

    def judged(look):
        return gain_status(tuple(side[look.n] for side in ours), paper, DELTA, look.level)
    if gain <= 0 or abs(printed - gain) > DELTA:
        assert ever(Status.REPRODUCED, judged) <= at_most(0.025, 20_000)
        assert gain or ever(Status.DIRECTION, judged) + ever(Status.REPRODUCED, judged) <= at_most(0.05, 20_000)
    if gain > 0:
        assert ever(Status.NOT_REPRODUCED, judged) <= at_most(0.05, 20_000)


@pytest.mark.parametrize("family", [1, 48])
def test_levels_spend_what_they_may(family):
    """Of normal values that come in one by one, as a hand's breadth of worlds says, and no look spends more than is planned."""
    z = np.random.default_rng(6).normal(0, 1, (400_000, 16)).cumsum(1)[:, [n - 1 for n in LOOKS.seeds]] / np.sqrt(LOOKS.seeds)
    p, levels = 2 * norm.sf(abs(z)), np.array([nominal(LOOKS, n, family) for n in LOOKS.seeds])
    spent = np.maximum.accumulate(p < levels, axis=1).mean(0) * family / 0.05
    assert spent == pytest.approx([LOOKS.spent(n) for n in LOOKS.seeds], abs=0.02 * family**0.5)
    assert LOOKS.spent(16) == 1 and (LOOKS.upto(8)[-1].counted(levels[2], family) == pytest.approx(0.05 / family))
    assert Looks((4,), 4, 1).upto(4)[0].level == pytest.approx(0.95)


def test_no_other_number_of_seeds_is_a_look():
    assert [look.n for look in LOOKS.upto(7)] == [2, 4] and [look.n for look in LOOKS.upto(99)] == [2, 4, 8, 16]
    (early,) = LOOKS.upto(1)
    assert early.level == 1 and early.counted(1e-9) == 1
    first, second, third, last = (f"{(1 + look.level) / 2:.4f}" for look in LOOKS.upto(16))
    page = (paths.ROOT / "book/rerun.md").read_text(encoding="utf-8")
    assert f"({first}, {second}, {third} and {last})" in page
    assert (LOOKS.seeds, LOOKS.planned, LOOKS.share) == ((2, 4, 8, 16), 4, 0.6)     # who changes it later changes verdicts


def test_equivalence_is_the_interval_inside_the_margin():
    rng = np.random.default_rng(2)
    for _ in range(300):
        a, b = summaries((75 + rng.uniform(-0.6, 0.6), 75), int(rng.integers(2, 9)), rng)
        i = welch(a, b)
        assert (equivalence_p(a, b, DELTA) < 0.025) == (i.low > -DELTA and i.high < DELTA)


def test_more_activations_are_rarely_found_where_there_are_none(monkeypatch):
    """Ratios of one in all stages, with a spread over seeds: settled either way in 5 % of worlds at most, by any of its tests."""
    rng, worlds, settled = np.random.default_rng(3), 400, 0
    for _ in range(worlds):
        ratios = np.exp(rng.normal(0, 0.1, (4, 3)))
        found = [SimpleNamespace(values={"raw": {"counts": {"a": [[1]] * 3, "b": [[r] for r in row]}}}) for row in ratios]
        monkeypatch.setattr(sentences, "findings_of", lambda kind, run, found=found: found)
        settled += judge(claim("F4.more_activations"), Ledger()).status != Status.INCONCLUSIVE
    assert settled / worlds <= at_most(0.05, worlds)
