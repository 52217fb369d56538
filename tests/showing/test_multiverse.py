"""The cells that change one open choice each, and the figure that sets them side by side."""

import re

import pytest
import torch
from helpers import batch
from made_records import example

from featuremining import FeatureMining, build, make, studies
from featuremining.showing import figures
from featuremining.studies import choices

CELLS = [c for c in studies.load_cells().values() if c.table == "A9s"]


def test_each_cell_makes_one_choice_otherwise():
    """One setting besides the number of layers, named in the label by its letter in the register, and none of them twice."""
    default = {name: field.default for name, field in FeatureMining.__dataclass_fields__.items()}
    changed = [{k: v for k, v in c.methods[0].items() if k not in ("name", "layers")} for c in CELLS if c.methods]
    assert all(len(change) <= 1 for change in changed) and all(default[k] != v for change in changed for k, v in change.items())
    known = {choice.id: [c.id for c in choices.differing(choice)] for choice in choices.choices()}
    for cell, change in zip([c for c in CELLS if c.methods], changed, strict=True):
        assert not change or cell.id in known[cell.labels[1].split(":")[0]]
    assert len({c.run("full", 0).key for c in CELLS}) == len(CELLS) == 20


@pytest.mark.parametrize("cell", CELLS, ids=lambda c: c.method)
def test_each_choice_trains(cell):
    net, data = build("resnet20", 9), batch(4, 9)
    for settings in cell.methods:
        method = make(**settings).prepare(net)
        loss = method.loss(net, data.x, data.y.argmax(1))
        loss.backward()
        assert torch.isfinite(loss) and all(p.grad is not None for p in method.parameters())


def test_the_figure_shows_every_seed_and_both_reference_lines():
    seeds = {"baseline": (80.0, 81.0), "fm2": (82.0, 82.5), "corner": (81.5,), "inside": ()}
    groups = [(c, [example(key="k", seed=s, metrics={"median10": v, "best": 99.0}) for s, v in enumerate(seeds[c.method])])
              for c in CELLS if c.method in seeds]
    html = figures.multiverse(groups, "full")
    assert "Baseline 80.50 (n = 2)" in html and "A1: box drawn from its corner 81.50 (n = 1)" in html
    assert "inside the map" not in html
    assert "Baseline, mean" in html and "FM (2 layers), mean" in html and "99" not in re.search("<desc>.*?</desc>", html)[0]
    assert "No full-tier record" in figures.multiverse([(c, []) for c in CELLS], "full")
