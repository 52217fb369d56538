"""The only training loop. It resumes after any death, and equal runs on equal machines give equal bits."""

import json
import math
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime
from itertools import islice

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from . import checkpoint, engine, paths, provenance, records
from .checkpoint import digest
from .datasets import DataSet, load
from .errors import FMError, UsageError
from .evaluation import evaluate, memorisation, percent
from .methods import make
from .models import build, options_of
from .models.staged import map_sizes
from .progress import Report
from .protocol import Batch, Method, compose
from .recipes import recipe
from .replicas import join
from .studies import Run

FORMAT = 2              # of checkpoints
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
        self.random = checkpoint.random_state()         # for what draws within its step; all else follows from (seed, epoch)
        with self.active():
            self._build()
        self.log: dict[str, list[float]] = {}
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
        checkpoint.set_random_state(self.random)
        with nullcontext() if self.stream is None else torch.cuda.stream(self.stream):
            yield
        self.random = checkpoint.random_state()

    @property
    def path(self):
        return paths.checkpoint(self.run.tier, self.run.key, self.run.seed)

    def state(self) -> dict:
        return {"format": FORMAT,
                "model": self.model.state_dict(), "methods": self.methods.state_dict(), "optimizer": self.optimizer.state_dict(),
                "loader": self.loader.state_dict(), "random": self.random, "log": self.log, "seconds": self.seconds,
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
        self.log, self.seconds, self.resumed = state["log"], state["seconds"], state["resumed"] + 1
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
        """One step of the optimiser: ``inputs`` are what the loader's batch is made of and what the methods drew. Gives the
        values of `forward` as one vector in the order of ``self.names``; no number leaves the device."""
        true = None if self.true_y is None else self.true_y[inputs["pick"][:, 0]]
        seen = self.forward(*self.loader.images(inputs), inputs, true)
        self.optimizer.zero_grad()
        seen["loss"].backward()
        self.replicas.average(self.optimizer.parameters, len(inputs["pick"]))
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
        for i, batch in enumerate(self.loader.batches(), first):
            yield {**batch, **{name: t[i] for name, t in drawn.items()}}

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
            n = len(inputs["pick"])
            sums, images = sums + self.advance(inputs) * n, images + n
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
        self.replicas.spread(self.model.buffers())
        return evaluate(self.model, self.data, self.device, self.recipe.precision, self.methods, self.replicas)

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
                              digest(self.model.state_dict()), where)


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


def outdated(record: records.Record) -> str:
    """The first default of network or methods that has changed since the record was made; empty if none. A setting that
    came later does not count: its default keeps the old behaviour."""
    spec, then = record.spec, record.resolved
    pairs = [(spec["network"], options_of(spec["network"], **spec["options"]), then.get("network", {}))]
    pairs += [(m["name"], make(**m).settings(), old) for m, old in zip(spec["methods"], then["methods"], strict=True)]
    for owner, now, old in pairs:
        now = json.loads(json.dumps(now))
        for name in now.keys() & old.keys():
            if now[name] != old[name]:
                return f"{owner} {name} was {old[name]!r} and is {now[name]!r} now"
    return ""


def repeats(device: torch.device) -> bool:
    """Whether two equal trainings (ResNet-20 with Feature Mining, a few steps on embedded data) give equal bits here."""
    engine.deterministic()
    run = Run("parts", "resnet20", ({"name": "fm"},), recipe("resnet20", "smoke"), "smoke", 0)
    return len({digest(_few_steps(Training(run, device), 5)) for _ in range(2)}) == 1


def _few_steps(training: "Training", n: int) -> dict[str, Tensor]:
    with training.active():
        for inputs, _ in zip(training.inputs(), range(n), strict=False):
            training.advance(inputs)
    return training.model.state_dict()


def recorded(run: Run) -> records.Record | None:
    """The run's record, if there is one; an `FMError` if it was made under defaults that have changed since."""
    path = paths.record(run.tier, run.key, run.seed)
    if not path.exists():
        return None
    record = records.read(path)
    if changed := outdated(record):
        raise FMError(f"{path} was made under another default: {changed}. Name the old value in the study, or move the "
                      "record away and run the cell again.")
    paths.checkpoint(run.tier, run.key, run.seed).unlink(missing_ok=True)       # left by a kill right after the record
    return record


def train(run: Run, device: str = "auto", engine_name: str = "auto") -> records.Record:
    """Train ``run`` unless its record exists; resume where a killed process left off. Returns the record.

    Writes the record under `paths.runs` and the trained network's state under `paths.weights`. Raises `FMError` when the
    loss is no longer finite, the data or the disk fails, or another process is at the same run.
    """
    return train_all([run], device, engine_name)[0]


def train_all(runs: Sequence[Run], device: str = "auto", engine_name: str = "auto", at_once: bool | None = None
              ) -> list[records.Record]:
    """`train` for several runs. ``at_once`` takes a step of each in turn, as a GPU does that one small network can't fill
    (default there); else one run after another. Each run's arithmetic is what it is alone."""
    target = engine.pick_device(device)
    missing = [run for run in runs if not recorded(run)]
    replicas = join()
    at_once = target.type == "cuda" if at_once is None else at_once
    for group in [missing] if at_once and missing and replicas.world == 1 else [[run] for run in missing]:
        with ExitStack() as held:
            for run in group if replicas.first else ():
                held.enter_context(alone(run))
            replicas.wait()
            _train([run for run in group if not recorded(run)], target, engine_name)
        replicas.wait()                 # until the first process has written the record
    return [recorded(run) for run in runs]


@contextmanager
def alone(run: Run):
    """Keeps other processes from the same run."""
    lock = paths.checkpoint(run.tier, run.key, run.seed).with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            yield
    except Timeout:
        raise FMError(f"Another process is training {run.id}; wait for it or stop it.") from None


def _train(runs: Sequence[Run], device: torch.device, engine_name: str) -> None:
    engine.deterministic()
    engine.keep_freed_memory()
    trainings = [Training(run, device, engine_name, len(runs) - 1) for run in runs]
    going = {training: carry_out(training, alone=len(runs) == 1) for training in trainings}
    while going:
        turn = 1 if len(going) > 1 else None            # in steps; the last one left trains to its end
        for training, steps in list(going.items()):
            with training.active():
                if not turn or not sum(1 for _ in islice(steps, turn)):
                    deque(steps, maxlen=0)
                    del going[training]


def carry_out(training: Training, alone: bool) -> Iterator[None]:
    """The whole training; pauses after every step."""
    run = training.run
    training.resume()
    checkpoint.set_random_state(training.random)
    first = training.replicas.first
    report = Report(run.id, run.recipe.epochs, len(training.loader), training.loader.epoch, alone, silent=not first)
    try:
        while training.loader.epoch < run.recipe.epochs:
            epoch, began = training.loader.epoch, time.monotonic()
            row = yield from training.one_epoch(report)
            append(training.log, row, epoch)
            training.seconds += time.monotonic() - began
            training.random = checkpoint.random_state()
            if first:
                checkpoint.save(training.path, training.state())
            report.epoch(epoch, row)
    finally:
        report.close()
    if not first:
        return
    record = training.record()
    checkpoint.save(paths.weights(run.tier, run.key, run.seed), training.model.state_dict())
    records.write(record, paths.record(run.tier, run.key, run.seed))
    training.path.unlink()
