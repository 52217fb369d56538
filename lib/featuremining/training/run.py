"""One run of training as an object: its task, optimiser and log, and a step, an epoch, a test of it. Its state resumes after any
death, and equal runs on equal machines give equal bits."""

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .. import paths, records
from ..datasets import DataSet, load
from ..datasets.loader import Epochs
from ..errors import FMError, UsageError
from ..layers.low_rank import LowRankRecovery
from ..layers.pooling import Hybrid
from ..models import weights
from ..models.weights import digest
from ..records import provenance
from ..studies import Run
from . import checkpoint, engine, threads
from .classification import ClassificationTask
from .evaluation import Tested
from .progress import Report
from .replicas import join

FORMAT = 5              # of checkpoints


class Task(Protocol):
    """What a training learns: made of run, data, device and replicas, its weights drawn from the global random state."""

    model: nn.Module                # what is kept and tested
    methods: nn.ModuleList          # with what is trained beside it and then gone
    loader: Epochs
    origin: dict                    # what it started from, for provenance
    forward: Callable               # of a step; may be compiled

    def trained(self) -> list[nn.Parameter]: ...

    def inputs(self) -> Iterator:
        """What the steps of the rest of this epoch are made of; each has its number of images as ``size``."""

    def step(self, inputs, optimizer: engine.SGD) -> dict[str, Tensor]:
        """One step of the optimiser; ``loss`` and what else is seen of it, scalars that stay on the device."""

    def test(self) -> Tested: ...

    def metrics(self, log: dict[str, list]) -> dict: ...

    def resolved(self) -> dict:
        """Every setting with its value, plain JSON: what the declared run meant under today's defaults."""


class Training:
    """A run under way: where it is carried out, its task with optimiser and loader, and the log of finished epochs."""

    def __init__(self, run: Run, device: torch.device, engine_name: str = "auto", beside: int = 0, data: DataSet | None = None,
                 task: Callable[..., Task] = ClassificationTask):
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
            self._build(task)
        self.log: dict[str, list[float]] = {}
        self.right: dict[str, dict[str, str]] = {}      # accuracy -> which test images were right, as `records.pack` writes it
        self.seconds, self.resumed = 0.0, 0

    def _build(self, task: Callable[..., Task]) -> None:
        r = self.recipe
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        torch.manual_seed(self.run.seed)
        self.task = task(self.run, self.data, self.device, self.replicas)
        self.model, self.methods, self.loader = self.task.model, self.task.methods, self.task.loader
        self.optimizer = engine.SGD(self.task.trained(), r.lr, r.momentum, r.weight_decay, r.nesterov, self.replicas)
        if self.engine == "compile":
            self.task.forward = torch.compile(self.task.forward, fullgraph=True, dynamic=False)
        self.advance = self.update if self.stream is None or self.engine == "eager" else engine.Graphed(self.update, self.stream)

    def _switch(self, late: bool) -> None:
        """Tell parts of the network that change with the last decay of the rate; captured graphs hold what was before."""
        changed = [module.switch(late) for module in self.model.modules() if isinstance(module, Hybrid)]
        if any(changed) and isinstance(self.advance, engine.Graphed):
            self.advance.forget()

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
        return {"format": FORMAT, "run": {"id": self.run.id, "spec": self.run.spec()},
                "model": self.model.state_dict(), "methods": self.methods.state_dict(), "optimizer": self.optimizer.state_dict(),
                "loader": self.loader.state_dict(), "random": self.random, "log": self.log, "right": self.right,
                "seconds": self.seconds,
                "resumed": self.resumed, "resolved": self.resolved(), "environments": self.environments}

    def resume(self) -> None:
        """Go on from this run's checkpoint, if there is one."""
        state = checkpoint.load(self.path, self._check)
        if state is None:
            return
        if state["resolved"] != self.resolved():
            raise FMError(f"{self.path} was begun under other settings or defaults: delete it to start this run over.")
        for name in ("model", "methods", "optimizer", "loader"):
            getattr(self, name).load_state_dict(state[name])
        self.random = state["random"]
        self.log, self.right = state["log"], state["right"]
        self.seconds, self.resumed = state["seconds"], state["resumed"] + 1
        self.environments = state["environments"]
        if self.device.type == "cpu":
            threads.keep(self.environments[-1]["threads"])
            self.here["threads"] = torch.get_num_threads()
        if {**self.environments[-1], "epoch": 0} != {**self.here, "epoch": 0}:      # allowed, but then bits may differ: on record
            print(f"{self.run.id}: goes on under another commit, version, device, engine or number of threads; "
                  "the record says so.")
            self.environments.append({"epoch": self.loader.epoch, **self.here})

    def _check(self, state: dict) -> None:
        """A `ValueError` unless this is a state that this run can have been in."""
        if state.get("format") != FORMAT:
            raise ValueError("another version of the companion wrote it")
        mine = self.state()
        if missing := mine.keys() - state.keys():
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
        if state["run"] != mine["run"]:
            raise ValueError(f"it is of {dict(state['run']).get('id')}, not of {self.run.id}")
        for part in ("model", "methods", "loader"):
            _fits(part, mine[part], state[part])
        _fits("random.cpu", mine["random"]["cpu"], state["random"]["cpu"])
        for parameter, momentum in zip(self.optimizer.parameters, state["optimizer"]["momenta"], strict=True):
            if momentum is not None:            # of a recipe without momentum
                _fits("momentum", parameter, momentum)
        epoch, total = state["loader"]["epoch"], self.recipe.epochs
        if state["loader"]["seed"] != self.run.seed or not 0 < epoch <= total:
            raise ValueError(f"it is of epoch {epoch} of {total} and of seed {state['loader']['seed']}")
        for name, values in state["log"].items():
            if len(values) != epoch or not all(v is None or math.isfinite(v) for v in values):
                raise ValueError(f"its curve {name} is not that of {epoch} epochs")

    def resolved(self) -> dict:
        return self.task.resolved()

    def inputs(self) -> Iterator:
        return self.task.inputs()

    def update(self, inputs) -> Tensor:
        """One step of the optimiser. Gives what is seen of it as one vector in the order of ``self.names``; no number leaves
        the device."""
        seen = self.task.step(inputs, self.optimizer)
        self.names = tuple(seen)
        return torch.stack([value.detach() for value in seen.values()])

    def one_epoch(self, report: Report) -> Generator[None, None, dict[str, float]]:
        """Pauses after every step. Returns means over the epoch of all that steps give, and what the test gives."""
        epoch = self.loader.epoch
        self.replicas.own_noise(self.loader.epoch_seed)
        self.model.train()
        self.methods.train()
        for method in self.methods:
            method.at(epoch / self.recipe.epochs)
        self._switch(self.recipe.late(epoch))
        for module in self.model.modules():
            if isinstance(module, LowRankRecovery):
                module.begin_epoch()
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
        whole = not weights.not_finite({**self.model.state_dict(), **self.methods.state_dict()})
        if not (whole and math.isfinite(row["loss"]) and math.isfinite(tested.get("test_loss", 0.0))):
            raise FMError(f"{self.run.id} diverged in epoch {epoch + 1} (loss {row['loss']}, on the test images "
                          f"{tested.get('test_loss', 'not tested')}). "
                          "Nothing was recorded and the checkpoint before it is kept. Try a lower learning rate or a warm-up.")
        return {"lr": self.recipe.rate(epoch), **row, **tested}

    def test(self) -> dict[str, float]:
        """The task's; which images were right is kept of the last test and of the best."""
        values, right = self.task.test()
        for name, images in right.items():
            before = [value for value in self.log.get(name, ()) if value is not None]
            packed, bits = self.right.setdefault(name, {}), records.pack(images.numpy())
            packed["last"] = bits
            if not before or values[name] > max(before):        # the first epoch that reaches the best, as `records.metrics`
                packed["best"] = bits
        return values

    def record(self) -> records.Record:
        began = {k: v for k, v in self.environments[0].items() if k != "epoch"}
        where = {**began, "precision": self.recipe.precision, "data_sha256": self.data.digest(),
                 "seconds": round(self.seconds, 1), "peak_memory_mib": provenance.peak_memory_mib(self.device),
                 "resumed": self.resumed, "resumed_elsewhere": self.environments[1:],
                 "finished": datetime.now(UTC).isoformat(timespec="seconds"), **self.task.origin}
        return records.Record(records.SCHEMA, self.run.id, self.run.key, self.run.seed, self.run.spec(), self.resolved(),
                              self.task.metrics(self.log), self.log, digest(self.model.state_dict()), where,
                              records.by_evaluation(self.right))


def _fits(name: str, mine: Any, theirs: Any) -> None:
    """A `ValueError` unless two states, or parts of them, have the same names, shapes and types, and finite values. What is empty
    before the first step takes its shape from the images (`layers.low_rank`); it has to have as many dimensions."""
    if isinstance(mine, Tensor) and isinstance(theirs, Tensor):
        grows = mine.dim() and not mine.numel() and mine.dim() == theirs.dim()
        if mine.dtype != theirs.dtype or (mine.shape != theirs.shape and not grows):
            raise ValueError(f"{name} is {tuple(theirs.shape)} of {theirs.dtype}, not {tuple(mine.shape)} of {mine.dtype}")
        if weights.not_finite({name: theirs}):
            raise ValueError(f"{name} has values that are not finite")
    elif isinstance(mine, Mapping) and isinstance(theirs, Mapping) and mine.keys() == theirs.keys():
        for key in mine:
            _fits(f"{name}.{key}", mine[key], theirs[key])
    elif type(mine) is not type(theirs):
        raise ValueError(f"{name} is {type(theirs).__name__}, not {type(mine).__name__}")
