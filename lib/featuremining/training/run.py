"""One run of training as an object: its data, network, methods, optimiser and loader, and a step, an epoch, a test of it. Its
state resumes after any death, and equal runs on equal machines give equal bits."""

import json
import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime

import torch
from torch import Tensor, nn

from .. import paths, records
from ..datasets import DataSet, load
from ..errors import FMError, UsageError
from ..methods import make
from ..models import build, options_of
from ..models.staged import map_sizes
from ..models.weights import digest
from ..protocol import Batch, Method, compose
from ..records import provenance
from ..studies import Run
from . import checkpoint, engine
from .evaluation import evaluate, memorisation, percent
from .progress import Report
from .replicas import join

FORMAT = 3              # of checkpoints
METHODS_STREAM = 0x9E3779B9     # so that methods do not draw the very numbers that shuffle and crop the images


class Training:
    """One run as objects: data, network, methods, optimiser, loader, and the log of finished epochs."""

    def __init__(self, run: Run, device: torch.device, engine_name: str = "auto", beside: int = 0,
                 data: DataSet | None = None):
        self.run, self.device, self.recipe = run, device, run.recipe
        self.replicas = join()
        self.engine = engine.resolve("eager" if self.replicas.world > 1 and engine_name == "auto" else engine_name, device)
        self.here = {**provenance.environment(device), "engine": self.engine, "beside": beside}     # of this process
        self.here |= {"replicas": self.replicas.world} if self.replicas.world > 1 else {}
        self.environments = [{"epoch": 0, **self.here}]
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.data = data or load(run.dataset, **run.data)
        if run.tier != "smoke" and device.type == "cpu" and self.recipe.precision == "bf16" and not engine.bf16_instructions():
            raise UsageError(f"{run.id} is computed in bfloat16, for which this processor has no instructions: its number would "
                             "not be of one kind with the others. Run it on another machine.")
        self.random = checkpoint.random_state(device)   # for what draws within its step; all else follows from (seed, epoch)
        with self.active():
            self._build()
        self.log: dict[str, list[float]] = {}
        self.right: dict[str, dict[str, str]] = {}      # accuracy -> which test images were right, as `records.pack` writes it
        self.seconds, self.resumed = 0.0, 0

    def _build(self) -> None:
        run, r, device = self.run, self.recipe, self.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        torch.manual_seed(run.seed)                     # the network first: equal seeds start from equal weights
        self.model = build(run.network, len(self.data.classes), **run.options).to(device, memory_format=torch.channels_last)
        self.methods = nn.ModuleList(make(**settings).prepare(self.model) for settings in run.methods).to(device)
        self.step = compose(self.methods)
        sampler = self.methods[0].sampler(self.data.train_y, r.batch) if len(self.methods) else None
        if sampler and self.replicas.world > 1:
            raise UsageError(f"{run.methods[0]['name']} chooses which images share a batch, and can't be spread over processes.")
        self.loader = self.data.loader(device, run.seed, r, sampler, self.replicas.share)
        if self.replicas.world > 1 and self.loader.smallest < 2 * self.replicas.world:      # batch statistics need two images
            raise UsageError(f"{self.replicas.world} processes are too many: the last batch of an epoch has "
                             f"{self.loader.smallest} images, and each process needs two. Start fewer, or choose another batch.")
        self.true_y = None if self.data.true_y is None else self.data.true_y.to(device)
        self.sizes = map_sizes(self.model, *self.loader.size)
        parameters = [*self.model.parameters(), *self.methods.parameters()]
        self.optimizer = engine.SGD(parameters, r.lr, r.momentum, r.weight_decay, r.nesterov)
        if self.engine == "compile":
            self.forward = torch.compile(self.forward, fullgraph=True, dynamic=False)
        self.advance = self.update if self.stream is None or self.engine == "eager" else engine.Graphed(self.update, self.stream)

    @contextmanager
    def active(self):
        """Work goes on with this training's own random state and, on a GPU, to its own stream, so that several fill it."""
        checkpoint.set_random_state(self.random, self.device)
        with nullcontext() if self.stream is None else torch.cuda.stream(self.stream):
            yield
        self.random = checkpoint.random_state(self.device)

    @property
    def path(self):
        return paths.checkpoint(self.run.tier, self.run.key, self.run.seed)

    def state(self) -> dict:
        return {"format": FORMAT,
                "model": self.model.state_dict(), "methods": self.methods.state_dict(), "optimizer": self.optimizer.state_dict(),
                "loader": self.loader.state_dict(), "random": self.random, "log": self.log, "right": self.right,
                "seconds": self.seconds,
                "resumed": self.resumed, "resolved": self.resolved(), "environments": self.environments}

    def resume(self) -> None:
        """Go on from this run's checkpoint, if there is one."""
        state = checkpoint.load(self.path)
        if state is None:
            return
        if state.get("format") != FORMAT:
            raise FMError(f"{self.path} was written by another version of the companion: delete it to start this run over.")
        if state["resolved"] != self.resolved():
            raise FMError(f"{self.path} was begun under other settings or defaults: delete it to start this run over.")
        for name in ("model", "methods", "optimizer", "loader"):
            getattr(self, name).load_state_dict(state[name])
        self.random = state["random"]
        self.log, self.right = state["log"], state["right"]
        self.seconds, self.resumed = state["seconds"], state["resumed"] + 1
        self.environments = state["environments"]
        if {**self.environments[-1], "epoch": 0} != {**self.here, "epoch": 0}:      # allowed, but then bits may differ: on record
            print(f"{self.run.id}: goes on under another commit, version, device, engine or number of threads; "
                  "the record says so.")
            self.environments.append({"epoch": self.loader.epoch, **self.here})

    def resolved(self) -> dict:
        """Every setting with its value: what the declared run meant under today's defaults."""
        return resolved(self.run, self.model, self.methods)

    def forward(self, x: Tensor, y: Tensor, drawn: dict[str, Tensor], true: Tensor | None = None) -> dict[str, Tensor]:
        """The total loss of a batch, under its terms, what the methods log, and training accuracy in percent; where some
        labels are known to be wrong (``true``), also `memorisation`."""
        with engine.arithmetic(self.device, self.recipe.precision):
            out = self.step(self.model, Batch(x, y, drawn=drawn))
        found = out.trace.logits.argmax(1)
        logs = {**out.logs, "train_acc": percent(found == out.batch.y.argmax(1))}
        if true is not None and len(true) == len(found):        # CS-KD classifies only half of its pairs' images
            logs |= memorisation(found, y.argmax(1), true)
        return {"loss": torch.stack(list(out.losses.values())).sum(), **out.losses, **logs}

    def update(self, inputs: engine.Inputs) -> Tensor:
        """One step of the optimiser. Gives the values of `forward` as one vector in the order of ``self.names``; no number
        leaves the device."""
        true = None if self.true_y is None else self.true_y[inputs.shown.index]
        seen = self.forward(*self.loader.images(inputs.shown), inputs.drawn, true)
        self.optimizer.zero_grad()
        seen["loss"].backward()
        self.replicas.average(self.optimizer.parameters, inputs.size)
        self.optimizer.step()
        self.names = tuple(seen)
        return torch.stack([value.detach() for value in seen.values()])

    def inputs(self) -> Iterator[engine.Inputs]:
        """What the steps of the rest of this epoch are made of. The methods' random numbers follow from (seed, epoch)."""
        drawn: dict[str, Tensor] = {}
        first = self.loader.position
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.loader.epoch_seed ^ METHODS_STREAM)            # the CPU's alone
            for method in self.methods:
                drawn |= method.draw(len(self.loader), -(-self.recipe.batch // self.replicas.world), self.sizes)
        drawn = {name: t.to(self.device) for name, t in drawn.items()}
        for i, shown in enumerate(self.loader.batches(), first):
            yield engine.Inputs(shown, {name: t[i] for name, t in drawn.items()})

    def one_epoch(self, report: Report) -> Generator[None, None, dict[str, float]]:
        """Pauses after every step. Returns means over the epoch of every loss and log, training and test accuracy."""
        epoch = self.loader.epoch
        self.model.train()
        self.methods.train()
        for method in self.methods:
            method.at(epoch / self.recipe.epochs)
        self.optimizer.lr.fill_(self.recipe.rate(epoch))
        sums, images = 0, 0
        for i, inputs in enumerate(self.inputs(), 1):
            sums, images = sums + self.advance(inputs) * inputs.size, images + inputs.size
            report.step(epoch, i)
            yield
        images = self.replicas.total(torch.tensor(float(images), device=self.device)).item()
        sums = dict(zip(self.names, self.replicas.total(sums).tolist(), strict=True))
        row = {name: float(f"{value / images:.6g}") for name, value in sums.items()}
        tested = self.test() if self.recipe.tests(epoch) else {}
        if not (math.isfinite(row["loss"]) and math.isfinite(tested.get("test_loss", 0.0))):
            raise FMError(f"{self.run.id} diverged in epoch {epoch + 1} (loss {row['loss']}, on the test images "
                          f"{tested.get('test_loss', 'not tested')}). "
                          "Nothing was recorded and the checkpoint before it is kept. Try a lower learning rate or a warm-up.")
        return {"lr": self.recipe.rate(epoch), **row, **tested}

    def test(self) -> dict[str, float]:
        """`evaluate` of this training's network."""
        self.methods.eval()
        self.replicas.spread([*self.model.buffers(), *self.methods.buffers()])
        values, right = evaluate(self.model, self.data, self.device, self.recipe.precision, self.methods, self.replicas)
        for name, images in right.items():
            before = [value for value in self.log.get(name, ()) if value is not None]
            kept, bits = self.right.setdefault(name, {}), records.pack(images.numpy())
            kept["last"] = bits
            if not before or values[name] > max(before):        # the first epoch that reaches the best, as `records.metrics`
                kept["best"] = bits
        return values

    def metrics(self) -> dict:
        found = records.all_metrics(self.log, len(self.data.test_y))
        if self.data.true_y is not None:
            found["wrong_labels"] = round(percent(self.data.train_y != self.data.true_y).item(), 4)
        return found

    def record(self) -> records.Record:
        began = {k: v for k, v in self.environments[0].items() if k != "epoch"}
        where = {**began, "precision": self.recipe.precision, "data_sha256": self.data.digest(),
                 "seconds": round(self.seconds, 1), "peak_memory_mib": provenance.peak_memory_mib(self.device),
                 "resumed": self.resumed, "resumed_elsewhere": self.environments[1:],
                 "finished": datetime.now(UTC).isoformat(timespec="seconds")}
        return records.Record(records.SCHEMA, self.run.id, self.run.key, self.run.seed, self.run.spec(), self.resolved(),
                              self.metrics(), self.log,
                              digest(self.model.state_dict()), where, records.by_evaluation(self.right))


def append(log: dict[str, list], row: dict, epoch: int) -> None:
    """One more epoch in every curve: None where a quantity was not measured, as a test that was left out.

    >>> log = {}
    >>> append(log, {"loss": 2.0}, 0); append(log, {"loss": 1.0, "test_acc": 50.0}, 1); log
    {'loss': [2.0, 1.0], 'test_acc': [None, 50.0]}
    """
    for name in dict.fromkeys((*log, *row)):
        log.setdefault(name, [None] * epoch).append(row.get(name))


def resolved(run: Run, model: nn.Module, methods: list[Method]) -> dict:
    """Network size and every method's settings, defaults included, as plain JSON values."""
    network = options_of(run.network, **run.options)
    settings = [{"name": declared["name"], "train_only_parameters": parameters(method), **method.settings()}
                for declared, method in zip(run.methods, methods, strict=True)]
    return json.loads(json.dumps({"parameters": parameters(model), "network": network, "methods": settings}))


def parameters(module: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in module.parameters())
