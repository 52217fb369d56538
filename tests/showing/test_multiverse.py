"""The cells that change one open choice each, and the figure that sets them side by side."""

import re

import pytest
import torch
from helpers import batch
from made_records import example
from scipy.stats import t, ttest_ind

from featuremining import FeatureMining, build, make, paths, records, studies
from featuremining.judging.ledger import Ledger
from featuremining.showing import choices as shown_choices
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


def test_what_choices_change_is_the_difference_of_means(scratch):
    """Of two cells on record, one with a single seed; cells without runs are not drawn."""
    reached = {"fm2": (40.0, 41.0), "mean_loss": (70.0, 73.0), "corner": (30.0,)}
    for n, (method, values) in enumerate(reached.items()):
        for seed, value in enumerate(values):
            run = studies.cell(f"A9s.resnet20.{method}").run("full", seed)
            accuracies = [90.0 - 7 * n, *[value] * 10]             # one lucky epoch, and then ten
            made = example(accuracies, 1000, seed=seed, spec=run.spec(), weights=f"{10 * n + seed:064x}")
            records.write(made, paths.record("full", run.key, seed))
    ledger = Ledger.read()
    rows = shown_choices.effects(ledger)
    assert list(rows.cell) == ["A9s.resnet20.mean_loss", "A9s.resnet20.corner"] and list(rows.choice) == ["A10", "A1"]
    assert list(rows.difference) == pytest.approx([31.0, -10.5]) and list(rows.n) == [2, 1]
    theirs = ttest_ind((70, 73), (40, 41), equal_var=False).confidence_interval(0.95)
    assert (rows.low[0], rows.high[0]) == (pytest.approx(theirs.low), pytest.approx(theirs.high)) and rows.high[1] == float("inf")
    assert rows.another[0] == pytest.approx(t.ppf(0.975, 1) * 0.5**0.5 * 1.5**0.5)          # of 40 and 41
    shown = shown_choices.picture(ledger)
    p = ttest_ind((70, 73), (40, 41), equal_var=False).pvalue
    assert rows.p[0] == pytest.approx(p) and rows.p.isna()[1]          # alone in its family
    assert f"Of the 1 choice tried with several seeds, {1 if p < 0.05 else 'none'} changed" in shown
    assert ("losses averaged (+31.0)." in shown) == (p < 0.05)
    assert f"Of the 1 tried with one seed, {'none' if rows.another[1] > 10.5 else 1} lies" in shown
    assert "by chance 0.1 would" in shown
    assert "+31.0" in shown and "−10.5" not in shown and "-10.5" in shown and "n = 2" in shown
