"""Whether the network of test time is the plain one: what the paper promises by construction, and that a change is found."""

import pytest
import torch
from torch import nn

from featuremining.measuring import construction
from featuremining.records.findings import read
from featuremining.studies import cell
from featuremining.studies.claims import claim

FORMS = {c.id: c for c in claim("P.test_unchanged").built}
KEPT = ("entries", "multiply_adds", "train_only_parameters")       # of operations another torch may need others


@pytest.mark.parametrize("id_", [pytest.param(id_, marks=() if "resnet56" in id_ else pytest.mark.slow) for id_ in FORMS])
def test_what_is_on_record_comes_again(id_):
    """Every form of the paper; the small ones in every run of the tests."""
    found, (kept,) = construction.compared(FORMS[id_].run("full", 0)), read("construction", FORMS[id_].run("full", 0))
    assert all(found[what] == kept.values[what] for what in KEPT)
    assert found["same_state"] and found["same_outputs"] and found["same_cost"]
    assert kept.provenance["commit"] and kept.provenance["dirty"] is False


def test_nothing_else_is_touched():
    before = torch.get_rng_state()
    first, again = (construction.compared(cell("X1.resnet20.fm1").run("full", 0)) for _ in range(2))
    assert first == again and torch.equal(before, torch.get_rng_state())
    assert (first["train_only_parameters"], first["multiply_adds"]) == (2 * 65 * 100, 40_818_944)


class Scale(nn.Module):
    """A layer that a method might leave behind."""

    def __init__(self, inner, kept):
        super().__init__()
        self.inner = inner
        if kept:
            self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.inner(x) * 1.5


@pytest.mark.parametrize(("leave", "differs"), [
    (lambda net: setattr(net, "stem", Scale(net.stem, True)), ("state", "outputs", "cost")),
    (lambda net: net.stem.register_forward_hook(lambda m, x, out: out * 1.5), ("outputs", "cost")),
    (lambda net: net.stem.register_forward_hook(lambda m, x, out: out + 0), ("cost",))])
def test_what_a_method_leaves_behind_is_found(monkeypatch, leave, differs):
    from featuremining.methods.feature_mining import FeatureMining

    prepare = FeatureMining.prepare
    monkeypatch.setattr(FeatureMining, "prepare", lambda self, net: (prepare(self, net), leave(net))[0])
    found = construction.compared(cell("X1.resnet20.fm1").run("full", 0))
    assert {what for what in ("state", "outputs", "cost") if not found[f"same_{what}"]} == set(differs)
