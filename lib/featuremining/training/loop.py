"""The only training loop: runs that have no record are trained, from where a killed process left off."""

import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from .. import paths, records
from ..errors import FMError, UsageError
from ..methods import make
from ..models import options_of, weights
from ..models.weights import digest
from ..recipes import recipe
from ..studies import Run
from . import checkpoint, engine
from .progress import Report
from .replicas import join, together
from .run import Training


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
    return len({_few_steps(Training(run, device), 5) for _ in range(2)}) == 1


def _few_steps(training: "Training", n: int) -> str:
    """The digest of the weights after ``n`` steps, taken on the training's own stream, where they are complete."""
    with training.active():
        for inputs, _ in zip(training.inputs(), range(n), strict=False):
            training.advance(inputs)
        return digest(training.model.state_dict())


def recorded(run: Run) -> records.Record | None:
    """The run's record, if there is one; an `FMError` if it was made under defaults that have changed since."""
    path = paths.record(run.tier, run.key, run.seed)
    if not path.exists():
        return None
    record = records.read(path)
    if changed := outdated(record):
        raise FMError(f"{path} was made under another default: {changed}. Name the old value in the study, or move the "
                      "record away and run the cell again.")
    return record


def train(run: Run, device: str = "auto", engine_name: str = "auto") -> records.Record:
    """Train ``run`` unless its record exists; resume where a killed process left off. Returns the record.

    Writes the record under `paths.runs` and the trained network's state under `paths.weights`. Raises `FMError` when the
    loss is no longer finite, the data or the disk fails, or another process is at the same run.
    """
    return train_all([run], device, engine_name)[0]


def train_all(runs: Sequence[Run], device: str = "auto", engine_name: str = "auto", at_once: bool | None = None,
              wait: bool = False) -> list[records.Record]:
    """`train` for several runs. ``at_once`` takes a step of each in turn, as a GPU does that one small network can't fill
    (default there); else one run after another. Each run's arithmetic is what it is alone. ``wait``: for a process that is
    at one of them, and then go on if it has left no record."""
    target = engine.pick_device(device)
    missing = [run for run in runs if not recorded(run)]
    replicas = join()
    at_once = target.type == "cuda" if at_once is None else at_once
    groups = [[run] for run in missing]
    if at_once and missing and replicas.world == 1:
        groups = [missing]
    for group in groups:
        with ExitStack() as held:
            if replicas.first:
                for run in sorted(group, key=lambda run: run.id):       # in one order: nobody waits in a circle
                    held.enter_context(alone(run, wait))
            replicas.wait()
            with engine.enough_memory(), together():
                _train([run for run in group if not recorded(run)], target, engine_name)
        replicas.wait()                 # until the first process has written the record
    if replicas.first:
        tidy(runs)
    return [recorded(run) for run in runs]


def tidy(runs: Sequence[Run]) -> None:
    """Remove what a kill right after the record has left of trainings that are on record."""
    for run in runs:
        checkpoint.remove(paths.checkpoint(run.tier, run.key, run.seed))


@contextmanager
def alone(run: Run, wait: bool = False):
    """Keeps other processes from the same record and from the same checkpoints, ``wait``: for one that is at it, else that is an
    `FMError`, as is a folder that can't be written. Nothing of a killed process lies there then."""
    record, state = paths.record(run.tier, run.key, run.seed), paths.checkpoint(run.tier, run.key, run.seed)
    with ExitStack() as held:
        for path, variable in ((record, "FM_RUNS_DIR"), (state, "FM_BUILD_DIR")):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=path.parent):
                    held.enter_context(_locked(path.with_suffix(".lock"), run, wait))
            except OSError as error:
                raise FMError(f"Nothing can be written to {path.parent} ({error.strerror}), so {run.id} is not begun: set "
                              f"{variable} to a folder of yours.") from None
        for path in (record, state, paths.weights(run.tier, run.key, run.seed)):
            for left in path.parent.glob(f"{path.stem}.*.tmp"):
                left.unlink(missing_ok=True)
        yield


@contextmanager
def _locked(path: Path, run: Run, wait: bool):
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            raise FMError(f"Another process is training {run.id}; wait for it or stop it.") from None
        print(f"{run.id}: waits for another process that is training it", flush=True)
        lock.acquire(poll_interval=1)
    try:
        yield
    finally:
        lock.release()


def _train(runs: Sequence[Run], device: torch.device, engine_name: str) -> None:
    engine.deterministic()
    engine.keep_freed_memory()
    beside = len(runs) - 1 + _places()
    trainings = [Training(run, device, engine_name, beside) for run in runs]
    going = {training: carry_out(training, alone=len(runs) == 1) for training in trainings}
    while len(going) > 1:
        for training, steps in list(going.items()):
            with training.active():
                ended = next(steps, True)       # a step gives None
            if ended:
                del going[training]
    for training, steps in going.items():
        with training.active():
            for _ in steps:
                pass


def _places() -> int:
    """For other processes on this GPU, which may be taken or free (``workflow/gpu.py``): ``FM_BESIDE``, else none."""
    told = os.environ.get("FM_BESIDE") or "0"
    if not told.isdecimal():
        raise UsageError(f"FM_BESIDE is a number of trainings, 0 or more, got {told!r}.")
    return int(told)


def carry_out(training: Training, alone: bool) -> Iterator[None]:
    """The whole training; pauses after every step."""
    run = training.run
    training.resume()
    checkpoint.set_random_state(training.random, training.device)
    first = training.replicas.first
    report = Report(run.title, run.recipe.epochs, len(training.loader), training.loader.epoch, alone, silent=not first)
    try:
        while training.loader.epoch < run.recipe.epochs:
            epoch, began = training.loader.epoch, time.monotonic()
            row = yield from training.one_epoch(report)
            append(training.log, row, epoch)
            training.seconds += time.monotonic() - began
            training.random = checkpoint.random_state(training.device)
            if first:
                checkpoint.save(training.path, training.state())
            report.epoch(epoch, row)
    finally:
        report.close()
    if not first:
        return
    record = training.record()
    weights.write(paths.weights(run.tier, run.key, run.seed), training.model.state_dict())
    records.write(record, paths.record(run.tier, run.key, run.seed))
    checkpoint.remove(training.path)


def append(log: dict[str, list], row: dict, epoch: int) -> None:
    """One more epoch in every curve: None where a quantity was not measured, as a test that was left out.

    >>> log = {}
    >>> append(log, {"loss": 2.0}, 0); append(log, {"loss": 1.0, "test_acc": 50.0}, 1); log
    {'loss': [2.0, 1.0], 'test_acc': [None, 50.0]}
    """
    for name in dict.fromkeys((*log, *row)):
        log.setdefault(name, [None] * epoch).append(row.get(name))
