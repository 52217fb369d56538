"""What holds of a method by how it is made: that the network of test time is the plain one. Networks are built and compared, on
random images; nothing is learnt, and no data set is needed.

A network that was trained for a few steps with the methods is put beside a plain one that is given its weights. Equal are to be
what they keep (names and shapes of the state dict), what they answer (bit for bit) and what that costs: operations and
multiply-adds of one image.
"""

from datetime import UTC, datetime

import torch
from torch import nn

from ..datasets import size
from ..methods import make
from ..models import build
from ..protocol import Batch, compose
from ..records import findings, provenance
from ..records.findings import CONSTRUCTION, Finding
from ..studies import Run
from . import cost

STEPS, IMAGES = 2, 2        # of the training, and images of each step and of the comparison
NAME = "cpu"                # of the finding: it depends on no device


def verify(run: Run) -> Finding:
    """`compared` for a run's network and methods, kept as a finding; one that is there is replaced."""
    where = {**provenance.environment(torch.device("cpu")), "finished": datetime.now(UTC).isoformat(timespec="seconds")}
    return findings.write(CONSTRUCTION, run, NAME, compared(run), where)


def compared(run: Run) -> dict:
    """``same_state``, ``same_outputs``, ``same_cost``: whether they are equal; ``entries`` of the state dict, ``operations`` and
    ``multiply_adds`` of one image; ``train_only_parameters`` of the methods. Plain JSON."""
    sizes = size(run.dataset, **run.data)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        model, plain = (build(run.network, sizes.classes, **run.options) for _ in range(2))
        methods = nn.ModuleList(make(**settings).prepare(model) for settings in run.methods)
        x = torch.randn(STEPS + 1, IMAGES, 3, sizes.pixels, sizes.pixels)
        y = torch.randint(sizes.classes, (STEPS, IMAGES))
        _train(model, methods, x[:-1], y)
    model.eval(), plain.eval()
    same = _shapes(model) == _shapes(plain)
    if same:
        plain.load_state_dict(model.state_dict())
    with torch.no_grad():
        answers = [net(x[-1]) for net in (model, plain)]
        done = [cost.operations(lambda net=net: net(x[-1, :1])) for net in (model, plain)]
        adds = [cost.multiply_adds(lambda net=net: net(x[-1, :1])) for net in (model, plain)]
    return {"same_state": same, "same_outputs": same and torch.equal(*answers),
            "same_cost": (done[0], adds[0]) == (done[1], adds[1]),
            "entries": len(model.state_dict()), "operations": done[0].total(), "multiply_adds": adds[0],
            "train_only_parameters": sum(p.numel() for p in methods.parameters())}


def _shapes(net: nn.Module) -> dict:
    return {name: tuple(t.shape) for name, t in net.state_dict().items()}


def _train(model: nn.Module, methods: nn.ModuleList, x: torch.Tensor, y: torch.Tensor) -> None:
    """One step of the composed methods for each (x, y)."""
    step = compose(methods)
    optimizer = torch.optim.SGD([*model.parameters(), *methods.parameters()], lr=0.01)
    model.train(), methods.train()
    for images, labels in zip(x, y, strict=True):
        targets = nn.functional.one_hot(labels, model.classes).float()
        sum(step(model, Batch(images, targets)).losses.values()).backward()
        optimizer.step()
        optimizer.zero_grad()
