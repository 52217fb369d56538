"""How a network's loss and gradient behave along its training, by what its classifier reads: mean or covariance, root by root.

After Wang et al., CVPR 2020, arXiv:2003.11241, who follow Santurkar et al., NeurIPS 2018, arXiv:1805.11604. At a training step
with weights w and gradient g, for w' = w - eta g with eta among multiples of the learning rate: the range of the loss (their
Lipschitzness), the largest |g(w') - g(w)| (their predictiveness; small is predictive), and the largest |g(w') - g(w)| / |eta g|,
which does not depend on how large gradients are. On one batch, in float32, the network as in training. The abstract names the
measures; which multiples of the rate they are taken over is our choice.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..datasets import DataSet, load
from ..datasets.distort import KINDS, SEVERITIES, distorted
from ..layers.covariance import covariance
from ..layers.spectral import alive
from ..records import findings
from ..studies import Cell, Run
from ..studies.measures import ALONE
from ..training.evaluation import evaluate
from ..training.run import Training
from .diagnostics import keep
from .roots import iteration_errors

KIND = "landscape"              # of the findings
ETAS = (0.25, 0.5, 1.0, 2.0, 4.0)     # of the learning rate


@dataclass(frozen=True)
class Plan:
    """How long a network is followed: epochs of at most so many steps, a probe each so many, and so many test images, distorted
    by these severities."""

    epochs: int
    steps: int
    probe: int
    images: int
    severities: Sequence[int] = SEVERITIES


PLANS = {"smoke": Plan(2, 6, 3, 45, (1, 3, 5)),
         "short": Plan(2, 25, 25, 150, (1, 3, 5)), "full": Plan(**ALONE[KIND].plan)}


def loss_and_gradient(model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, Tensor]:
    """Cross-entropy of a batch with class probabilities ``y``, and its gradient as one vector."""
    loss = F.cross_entropy(model(x), y)
    grads = torch.autograd.grad(loss, list(model.parameters()))
    return loss.item(), torch.cat([g.flatten() for g in grads])


@torch.no_grad()
def move(model: nn.Module, by: Tensor) -> None:
    """Add a vector to all weights, in their order."""
    at = 0
    for p in model.parameters():
        p.add_(by[at:at + p.numel()].view_as(p))
        at += p.numel()


def probe(model: nn.Module, x: Tensor, y: Tensor, rate: float) -> dict[str, float]:
    """The three measures at the weights of ``model``, which stays as it is."""
    there = deepcopy(model)
    loss, gradient = loss_and_gradient(there, x, y)
    losses, change, slope = [loss], 0.0, 0.0
    for eta, before in zip(ETAS, (0.0, *ETAS), strict=False):
        move(there, -(eta - before) * rate * gradient)
        new, moved = loss_and_gradient(there, x, y)
        difference = (moved - gradient).norm().item()
        losses.append(new)
        change, slope = max(change, difference), max(slope, difference / (eta * rate * gradient.norm().item()))
    return {"loss": loss, "loss_range": max(losses) - min(losses), "gradient_change": change, "slope": slope}


@torch.no_grad()
def covariances(model, x: Tensor) -> Tensor:
    """(B, C, C) float64: of the last maps of images, in evaluation mode."""
    training = model.training
    model.eval()
    maps = model.trace(x).maps[-1]
    model.train(training)
    return covariance(maps.flatten(2).double())


def conditions(matrices: Tensor) -> dict[str, float]:
    """Medians over matrices: the largest eigenvalue over the smallest one that stands out of rounding, how many do, and the error
    of five steps of Newton-Schulz."""
    values = torch.linalg.eigvalsh(matrices)
    some = alive(values)
    least = torch.where(some, values, float("inf")).amin(-1)
    return {"condition": median((values[..., -1] / least).tolist()), "rank": median(some.sum(-1).tolist()),
            "error": iteration_errors(matrices)[5]}


def follow(run: Run, data: DataSet, plan: Plan) -> dict:
    """Train as ``run`` says, but so long as ``plan`` does and in float32, and measure on the way; then under distortions."""
    run = replace(run, recipe=replace(run.recipe, precision="fp32", epochs=plan.epochs, steps=plan.steps))
    training = Training(run, torch.device("cpu"), "eager", data=data)
    small = data._replace(test_x=data.test_x[:plan.images], test_y=data.test_y[:plan.images])
    x, _ = next(iter(small.tests("cpu")))
    probes, epochs, iterations = [], [conditions(covariances(training.model, x[:64]))], {}
    with training.active():
        training.model.train()
        for epoch in range(plan.epochs):
            training.optimizer.lr.fill_(training.recipe.rate(epoch))
            for i, inputs in enumerate(training.inputs()):
                if i % plan.probe == 0:
                    images, y = training.loader.images(inputs.shown)
                    probes.append(probe(training.model, images, y, training.recipe.rate(epoch)))
                training.advance(inputs)
            matrices = covariances(training.model, x[:64])
            epochs.append(conditions(matrices))
            iterations = iteration_errors(matrices)
    accuracy = {kind: [top1(training.model, small._replace(test_x=distorted(small.test_x, kind, s))) for s in plan.severities]
                for kind in KINDS}
    medians = {name: median(probe[name] for probe in probes) for name in ("loss_range", "gradient_change", "slope")}
    return {**medians, "probes": columns(probes), "epochs": columns(epochs), "iterations": iterations,
            "clean": top1(training.model, small), "distorted": accuracy}


def top1(model: nn.Module, data: DataSet) -> float:
    """Percent of the test images."""
    return evaluate(model, data, torch.device("cpu")).values["test_acc"]


def columns(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [float(f"{row[name]:.6g}") for row in rows] for name in rows[0]}


def measure(cells: list[Cell], tier: str, seed: int) -> None:
    """Follow a network of each cell, and keep it as a finding of its training; what is there is left."""
    for cell in cells:
        run, name = cell.run(tier, seed), f"seed{seed}"
        if findings.path(KIND, run, name).exists():
            print(f"{KIND} of {cell.id}, seed {seed}: measured")
            continue
        found = follow(run, load(run.dataset, **run.data), PLANS[tier])
        keep(KIND, run, name, {"plan": vars(PLANS[tier]), "data": run.dataset, "label": cell.labels[1], **found})
