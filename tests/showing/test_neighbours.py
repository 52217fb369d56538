"""The page of the neighbours: gains beside what they cost, what is not run and its hours, figures of what was measured."""

from dataclasses import replace

import numpy as np
import pytest
from made_records import example, recorded

from featuremining import studies
from featuremining.judging import comparisons
from featuremining.judging.ledger import Ledger
from featuremining.records.findings import Finding
from featuremining.showing import neighbours
from featuremining.showing.figures import neighbours as figures
from featuremining.studies import cell

RULE = studies.rules()["X5"]


def of(id_, values, seconds, parameters, more=0, device="cpu"):
    """Runs of a cell that took so long, of a network and a method of so many parameters."""
    methods = [{"name": "fm", "train_only_parameters": more}] if more else []
    like = example(resolved={"parameters": parameters, "methods": methods})
    made = recorded(id_, *values, like=like)
    return [replace(r, weights=f"{id_}{r.seed}", provenance={**r.provenance, "seconds": s, "device": device})
            for r, s in zip(made, seconds, strict=True)]


BASE = of("X5.resnet20.baseline", (60, 61, 60), (3600, 3600, 7200), 1000)
MINED = of("X5.resnet20.fm2", (61, 62, 61), (3960, 4000, 3800), 1000, 500)
MIXED = of("X5.resnet20.convmix", (62, 63, 62), (3960, 3600, 7200), 1700)


def compared(ledger):
    return {c.label: c for c in comparisons.compare(RULE, ledger)}


def test_costs_are_those_above_the_other_side_on_the_same_device():
    """Median, lowest and highest of time over the other's median; parameters of network and method, and of the network alone."""
    ledger = Ledger(BASE + MINED + MIXED)
    mixed, mined = compared(ledger)["ResNet-20 · ConvMix"], "X5.resnet20.fm2_convmix"
    assert neighbours.cost(mixed, ledger) == figures.Cost((pytest.approx(10), pytest.approx(0), pytest.approx(100)), 700, 700)
    both = Ledger([*ledger, *of(mined, (63, 64, 63), (4356, 4356, 4356), 1700, 500)])
    found = neighbours.cost(next(c for c in comparisons.compare(RULE, both) if c.cell.id == mined), both)
    assert found.time == pytest.approx((10, 10, 10)) and (found.training, found.testing) == (700, 700)
    elsewhere = Ledger([*BASE, *of("X5.resnet20.convmix", (62, 63, 62), (1, 1, 1), 1700, device="another")])
    assert neighbours.cost(compared(elsewhere)["ResNet-20 · ConvMix"], elsewhere) == figures.Cost(None, 700, 700)
    assert neighbours.cost(compared(Ledger())["ResNet-20 · ConvMix"], Ledger()) == figures.Cost(None, None, None)


def test_gains_are_drawn_over_costs_and_the_rest_is_not_run():
    html = neighbours.gains_and_costs(RULE, Ledger(BASE + MIXED))
    assert "<svg" in html and "ResNet-20 · ConvMix +2.00" in html and "Not run: " in html
    rest = html.partition("Not run: ")[2]
    assert "FLDFR (at least 60 minutes a run)" in rest and "KD (at least 60 minutes a run)" in rest
    assert "20 · ConvMix" not in rest
    empty = neighbours.gains_and_costs(RULE, Ledger())
    assert "nothing to draw" in empty and empty.partition("Not run: ")[2].count(" · ") == 9


def found(id_, **values):
    return cell(id_), Finding(1, "confusion", "seed0", "key", "full", values, {})


def test_confusion_is_drawn_by_tenths():
    angles = np.linspace(40, 130, 120)
    texts = {"angles": " ".join(map(str, angles)), "confused": " ".join(map(str, 200 - angles)), "rho": -1.0}
    html = figures.confusion([found("ICAL.X1.resnet20.ical", **texts), found("ICAL.X1.resnet20.ical", **texts),
                              found("ICAL.X1.resnet20.unit", **{**texts, "rho": None})], "full")
    assert "ICAL (n = 2, Spearman's ρ −1.00)" in html.replace("&#x27;", "'") and "Unit class vectors (n = 1)" in html
    means = figures.by_angle(angles, 200 - angles)
    assert len(means) == 10 and np.allclose(means.sum(1), 200) and means[0, 0] == pytest.approx(angles[:12].mean())
    assert "nothing to draw" in figures.confusion([], "full")


def test_what_has_no_number_has_a_dash():
    row = neighbours.view([found("CM.X1.resnet20.convmix", area=None, last=12.345, silent=3, n=3)]).iloc[0]
    assert (row["area (%)"], row["of the last stage's map (%)"]) == ("–", "12.35")
