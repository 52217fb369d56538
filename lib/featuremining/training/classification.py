"""Classifiers: a network, the methods that change how it is trained, and its top-1 on the test images."""

import json
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .. import records
from ..datasets import DataSet
from ..errors import UsageError
from ..layers.convmix import ConvMix
from ..methods import make
from ..models import build, options_of
from ..models.staged import map_sizes
from ..protocol import Batch, compose
from ..studies import Run
from . import engine
from .evaluation import Tested, evaluate, memorisation, percent
from .replicas import OwnRows, Replicas

METHODS_STREAM = 0x9E3779B9     # so that methods do not draw the very numbers that shuffle and crop the images


class ClassificationTask:
    """The images of ``data`` are to be told apart by the run's network, trained with the run's methods."""

    origin: dict = {}           # trained from scratch

    def __init__(self, run: Run, data: DataSet, device: torch.device, replicas: Replicas):
        self.run, self.recipe, self.data, self.device, self.replicas = run, run.recipe, data, device, replicas
        network = build(run.network, len(data.classes), **run.options)      # the first to draw: equal seeds, equal weights
        self.model = network.to(device, memory_format=torch.channels_last)
        self.methods = nn.ModuleList(make(**settings).prepare(self.model) for settings in run.methods).to(device)
        whole = replicas.world > 1 and any(method.whole_batch for method in self.methods)
        self.rows = replicas.rows() if whole else slice(None)
        self.composed = compose([*self.methods, OwnRows(self.rows)] if whole else self.methods)
        replicas.share_statistics(self.model, self.methods)
        self.loader = self._loader((0, 1) if whole else replicas.share)
        self.true_y = None if data.true_y is None else data.true_y.to(device)
        self.sizes = map_sizes(self.model, *self.loader.size)
        for method in self.methods if run.tier != "smoke" else ():      # whose images may be too small for their network
            method.suits(self.sizes)

    def _loader(self, share: tuple[int, int]):
        run, world = self.run, self.replicas.world
        sampler = self.methods[0].sampler(self.data.train_y, self.recipe.batch) if len(self.methods) else None
        if sampler and world > 1:
            raise UsageError(f"{run.methods[0]['name']} chooses which images share a batch, and can't be spread over processes.")
        loader = self.data.loader(self.device, run.seed, self.recipe, sampler, share)
        if loader.smallest < world:
            raise UsageError(f"{world} processes are too many: the last batch of an epoch has {loader.smallest} images, and each "
                             "process needs one. Start fewer, or choose another batch.")
        return loader

    def trained(self) -> list[nn.Parameter]:
        return [*self.model.parameters(), *self.methods.parameters()]

    def inputs(self) -> Iterator[engine.Inputs]:
        """What the steps of the rest of this epoch are made of. The methods' random numbers follow from (seed, epoch)."""
        drawn: dict[str, Tensor] = {}
        first, (_, world) = self.loader.position, self.loader.share
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.loader.epoch_seed ^ METHODS_STREAM)            # the CPU's alone
            for method in self.methods:
                drawn |= method.draw(len(self.loader), -(-self.recipe.batch // world), self.sizes)
        drawn = {name: t.to(self.device) for name, t in drawn.items()}
        for i, batch in enumerate(self.loader.batches(), first):
            yield engine.Inputs(batch, {name: t[i] for name, t in drawn.items()}, self.rows)

    def forward(self, x: Tensor, y: Tensor, drawn: dict[str, Tensor], true: Tensor | None = None) -> dict[str, Tensor]:
        """The total loss of a batch, under its terms, what the methods log, and training accuracy in percent; where some
        labels are known to be wrong (``true``), also `memorisation`."""
        with engine.arithmetic(self.device, self.recipe.precision):
            out = self.composed(self.model, Batch(x, y, drawn=drawn))
        predicted = out.trace.logits.argmax(1)
        logs = {**self.watched(), **out.logs, "train_acc": percent(predicted == out.batch.y.argmax(1))}
        if true is not None and len(true) == len(predicted):        # CS-KD classifies only half of its pairs' images
            logs |= memorisation(predicted, y[self.rows].argmax(1), true)
        return {"loss": torch.stack(list(out.losses.values())).sum(), **out.losses, **logs}

    def watched(self) -> dict[str, Tensor]:
        """What a network's own layers tell of themselves: how much each stage counts in a mixture."""
        pool = self.model.pool
        return {f"convmix.stage{i}": s for i, s in enumerate(pool.shares(), 1)} if isinstance(pool, ConvMix) else {}

    def step(self, inputs: engine.Inputs, optimizer: engine.SGD) -> dict[str, Tensor]:
        """One step of the optimiser; the values of `forward`."""
        true = None if self.true_y is None else self.true_y[inputs.shown.index[self.rows]]
        seen = self.forward(*self.loader.images(inputs.shown), inputs.drawn, true)
        optimizer.minimise(seen["loss"], inputs.size)
        return seen

    def test(self) -> Tested:
        """`evaluate` of the network, with what else the methods predict."""
        self.methods.eval()
        return evaluate(self.model, self.data, self.device, self.recipe.precision, self.methods, self.replicas)

    def metrics(self, log: dict[str, list]) -> dict:
        metrics = records.all_metrics(log, len(self.data.test_y))
        if self.data.true_y is not None:
            metrics["wrong_labels"] = round(percent(self.data.train_y != self.data.true_y).item(), 4)
        return metrics

    def resolved(self) -> dict:
        """Network size and every method's settings, defaults included, as plain JSON values."""
        network = options_of(self.run.network, **self.run.options)
        settings = [{"name": declared["name"], "train_only_parameters": parameters(method), **method.settings()}
                    for declared, method in zip(self.run.methods, self.methods, strict=True)]
        return json.loads(json.dumps({"parameters": parameters(self.model), "network": network, "methods": settings}))


def parameters(module: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in module.parameters())
