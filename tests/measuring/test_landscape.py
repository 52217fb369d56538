"""Landscape: what is measured on a loss whose answer is known, and a followed network in small."""

import pytest
import torch
from torch import nn

from featuremining import studies
from featuremining.measuring import landscape
from featuremining.records import findings


class Quadratic(nn.Module):
    """logits (B, 2) = (w x, 0): its loss is log(1 + exp(-w x)) for class 0."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.5, -1.0], dtype=torch.float64))

    def forward(self, x):
        first = x @ self.w
        return torch.stack([first, torch.zeros_like(first)], 1)


def test_a_probe_is_what_its_words_say():
    """Against the closed form of logistic regression."""
    x = torch.tensor([[1.0, 2.0], [-0.5, 1.0], [0.3, 0.1]], dtype=torch.float64)
    y = torch.tensor([[1.0, 0.0]] * 3, dtype=torch.float64)

    def loss(w):
        return torch.log1p((-x @ w).exp()).mean()

    def gradient(w):
        return (-torch.sigmoid(-x @ w)[:, None] * x).mean(0)

    model, rate = Quadratic(), 0.3
    before = model.w.detach().clone()
    found = landscape.probe(model, x, y, rate)
    g = gradient(before)
    there = [before - eta * rate * g for eta in landscape.ETAS]
    losses = [loss(w).item() for w in (before, *there)]
    changes = [(gradient(w) - g).norm().item() for w in there]
    assert found["loss"] == pytest.approx(losses[0]) and found["loss_range"] == pytest.approx(max(losses) - min(losses))
    assert found["gradient_change"] == pytest.approx(max(changes))
    slopes = [c / (eta * rate * g.norm().item()) for c, eta in zip(changes, landscape.ETAS, strict=True)]
    assert found["slope"] == pytest.approx(max(slopes))
    assert torch.equal(model.w.detach(), before)


def test_conditions_leave_null_directions_out():
    values = torch.tensor([1.0, 0.1, 0.01, 0.0], dtype=torch.float64)
    found = landscape.conditions(torch.diag(values)[None].expand(3, 4, 4))
    assert found["condition"] == pytest.approx(100) and found["rank"] == 3 and 0 < found["error"] < 1


def test_a_network_is_followed_and_what_is_found_stays(scratch, monkeypatch):
    """Twice the same; the finding is made once."""
    plan = landscape.Plan(1, 2, 1, 9, (5,))
    monkeypatch.setitem(landscape.PLANS, "smoke", plan)
    monkeypatch.setattr(landscape, "load", lambda name, **_: __import__("featuremining").load(name, train=128, test=18))
    cell = studies.cell("X4.resnet20.newton_schulz")
    landscape.measure([cell], "smoke", 0)
    (finding,) = findings.read(landscape.KIND, cell.run("smoke", 0))
    head = finding.values
    assert all(head[name] == pytest.approx(sum(head["probes"][name]) / 2, rel=1e-5) for name in (
        "loss_range", "gradient_change", "slope"))
    assert len(head["probes"]["loss"]) == 2 and len(head["epochs"]["condition"]) == 2 and set(head["iterations"]) == {
        str(n) for n in landscape.iteration_errors(torch.eye(2)[None])}
    assert head["distorted"].keys() == landscape.KINDS.keys() and all(len(v) == 1 for v in head["distorted"].values())
    data = landscape.load("parts")
    again = landscape.follow(cell.run("smoke", 0), data, plan)
    assert again["probes"] == head["probes"] and again["clean"] == head["clean"]
    monkeypatch.setattr(landscape, "follow", None)
    landscape.measure([cell], "smoke", 0)
