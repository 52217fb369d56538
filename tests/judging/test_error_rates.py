"""How often verdicts err, by simulation: worlds in which the truth is known, drawn with a fixed seed. Rates are of the seeds
drawn, so they are equal from run to run; what is allowed beyond a bound is the error of the simulation."""

from functools import cache
from math import sqrt
from types import SimpleNamespace

import numpy as np
import pytest

from featuremining.judging import sentences
from featuremining.judging.sentences import judge
from featuremining.judging.verdicts import judge_gain
from featuremining.stats import Summary, equivalence_p, margin, welch
from featuremining.studies import cell
from featuremining.studies.claims import claim
from featuremining.studies.outcomes import Status

SIGMA, N = 0.2, 3000                # spread of runs in points; worlds
DELTA = margin([SIGMA], 4)


def summaries(means, n, rng, sigma=SIGMA):
    """One draw of n runs around each mean."""
    return [Summary.of(list(rng.normal(mean, sigma, n))) for mean in means]


def rate(status, gain, printed, n, worlds=N):
    """How often a gain that is truly ``gain`` has this verdict where the paper drew four runs of a gain of ``printed``."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(worlds):
        ours, paper = summaries((75 + gain, 75), n, rng), summaries((75 + printed, 75), 4, rng)
        found += judge_gain(tuple(ours), tuple(paper), DELTA).status == status
    return found / worlds


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


class World:
    """Runs as if each mean were ``share`` of the way from its network's lowest printed one to what is printed."""

    def __init__(self, share, n, rng):
        self.share, self.n, self.rng = share, n, rng
        self.kept = {}

    def deciding(self, of):
        key = of.network, of.published
        if key not in self.kept:
            low = base(of.table, of.network)
            self.kept[key] = summaries([low + self.share * (of.published - low)], self.n, self.rng, of.spread)[0]
        return self.kept[key]


@cache
def base(table, network):
    return cell(f"{table}.{network}.baseline").published


@pytest.mark.parametrize("id_", ["T1.consistently", "T1.one_layer"])
@pytest.mark.parametrize("share", [1.0, 0.5], ids=["as printed", "half the gains"])
def test_an_order_that_is_true_is_rarely_refuted(id_, share, monkeypatch):
    """Four runs each: with every mean as printed, and where all gains over the baseline are half of what is printed."""
    asked = claim(id_)
    pairs = asked.named_pairs()
    true = [pair for pair in pairs if cell(pair[0]).published > cell(pair[1]).published]
    monkeypatch.setattr(type(asked), "named_pairs", lambda self: true)      # the order is true where the paper prints it
    rng, worlds = np.random.default_rng(1), 300
    refuted = sum(judge(asked, World(share, 4, rng)).status == Status.NOT_REPRODUCED for _ in range(worlds))
    assert refuted / worlds <= at_most(0.05, worlds) and len(true) > 0.9 * len(pairs)


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
        settled += judge(claim("F4.more_activations"), None).status != Status.INCONCLUSIVE
    assert settled / worlds <= at_most(0.05, worlds)
