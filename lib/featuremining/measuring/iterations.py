"""What a training iteration costs, as in Table 10 of the paper (section 4.5 B): trainings side by side, their seconds, and what
needs no clock, memory and operations.

The trainings of a network take turns, an iteration each and every round in another order, so that what else a machine does meets
all alike; ratios are those of rounds. An iteration's cost follows from shapes, not from what images show: where a run names
CIFAR-100, random images stand in, as many and as large, and no data set is needed. The smoke tier takes three iterations of 8
embedded images.
"""

import gc
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from math import exp, log
from statistics import fmean, median, quantiles

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from .. import stats
from ..datasets import DataSet, load
from ..errors import UsageError
from ..recipes import ITERATIONS
from ..records import findings
from ..records.findings import COST, Finding
from ..records.provenance import device_name, environment
from ..studies import Run
from ..training import engine
from ..training.engine import Graphed, Inputs, deterministic, keep_freed_memory
from ..training.progress import clock
from ..training.replicas import join
from ..training.run import Training
from . import cost

SMOKE_BATCH = 8
MIB = 2**20


LAYERS = ("head", "insert")         # options of a network that change what it is made of, as a method would


def baseline(run: Run) -> Run:
    """The plain network: without methods, and without other layers than its own."""
    return replace(run, methods=(), options={name: value for name, value in run.options.items() if name not in LAYERS})


def measure(runs: list[Run], device: str = "auto", engine_name: str = "auto") -> list[Finding]:
    """The costs of ``runs`` on a device, one finding each; runs that differ in their seed alone share one.

    The baseline of a network is measured along, asked for or not: a ratio needs both in the same rounds. A finding that is there
    is kept. Nothing is written before a network's last round; a killed measurement starts that network over. `UsageError` for a
    device or an engine that is not there, `FMError` where a finding can't be read or written.

    Values: ``iterations``, ``batch``, ``images``; ``seconds``, the paper's mean of all iterations, ``median``, ``q1``, ``q3`` and
    the ``first`` alone; what `counted` has; beside the baseline ``time_ratio`` with its 95 % interval from ``low`` to
    ``high`` over ``rounds``, ``memory_ratio``, ``operations_ratio``; ``each``, the seconds of every iteration.
    """
    if join().world > 1:
        raise UsageError("A cost is measured by one process: start it without torchrun.")
    target = engine.pick_device(device)
    name = finding_name(target, engine.resolve(engine_name, target))
    runs = list({run.key: run for run in reversed(runs)}.values())[::-1]
    missing: dict[str, list[Run]] = {}
    for run in runs:
        if (path := findings.path(COST, run, name)).exists():
            print(f"{run.key}: its cost on this device is on record; move {path} away to measure it again.")
        else:
            missing.setdefault(baseline(run).key, []).append(run)
    for group in missing.values():
        with engine.enough_memory():
            values, where = network_costs(group, target, engine_name)
        for run in group:
            findings.write(COST, run, name, values[run.key], where)
    return [findings.check(findings.path(COST, run, name)) for run in runs]


def finding_name(device, engine_name: str) -> str:
    """What a cost depends on besides the training: device, threads, and the engine where it is not the device's own."""
    slug = re.sub(r"[^a-z0-9]+", "-", device_name(device).lower()).strip("-")
    return f"{slug}.{torch.get_num_threads()}t" + (f".{engine_name}" if engine_name != engine.resolve("auto", device) else "")


def network_costs(group: list[Run], device: torch.device, engine_name: str = "auto") -> tuple[dict[str, dict], dict]:
    """A ``group`` of runs of one network and their baseline, side by side: the values of the group's runs by key, plain JSON, and
    where they were measured. `measure` says what the values are."""
    deterministic()
    keep_freed_memory()
    base, busy = baseline(group[0]), os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    runs = {run.key: run for run in (base, *group)}
    if busy and busy > os.cpu_count() / 2:
        print(f"This machine is busy (load {busy:.1f}): seconds will say little, and intervals of ratios get wide.")
    data = images(base)
    counts = {key: counted(run, device, data, engine_name) for key, run in runs.items()}
    going = {key: prepared(run, device, data, engine_name) for key, run in runs.items()}
    how = going[base.key][0].engine
    settled = 1 if how == "eager" else Graphed.WARM + 1          # a graph is captured in the round after the warm ones
    rounds = max(ITERATIONS[base.tier], settled + 2)
    print(f"{base.network}: {len(runs)} trainings take turns for {rounds} rounds.", flush=True)
    works = {key: lambda pair=pair: timed(*pair) for key, pair in going.items()}
    took = interleaved(works, rounds, progress(base.network, rounds))
    where = {**environment(device), "engine": how, "load_before": busy, "beside": len(runs) - 1,
             "measured": datetime.now(UTC).isoformat(timespec="seconds")}
    values = {}
    for key in (run.key for run in group):
        more = {**ratio(took[key], took[base.key], settled), **over(counts[key], counts[base.key])} if key != base.key else {}
        values[key] = {"iterations": rounds, "batch": going[key][0].recipe.batch, "images": data.name,
                       **summary(took[key]), **counts[key], **more, "each": " ".join(f"{t:.5g}" for t in took[key])}
    return values, where


def images(run: Run, n: int = 50_000) -> DataSet:
    """``n`` random images in the place of CIFAR-100's; another data set as it is."""
    if run.dataset != "cifar100":
        return load(run.dataset, **run.data)
    g = torch.Generator().manual_seed(0)
    x, y = torch.randint(256, (n, 32, 32, 3), generator=g, dtype=torch.uint8), torch.randint(100, (n,), generator=g)
    return DataSet("random", x, y, x[:1], y[:1], tuple(map(str, range(100))), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def prepared(run: Run, device: torch.device, data: DataSet, engine_name: str = "auto") -> tuple[Training, Iterator[Inputs]]:
    """A training before its first step, and what its steps are made of, without end."""
    recipe = replace(run.recipe, batch=SMOKE_BATCH) if run.tier == "smoke" else run.recipe
    training = Training(replace(run, recipe=recipe), device, engine_name, data=data)
    training.model.train()
    training.methods.train()
    for method in training.methods:
        method.at(0.0)
    return training, endless(training)


def endless(training: Training) -> Iterator[Inputs]:
    """Epoch after epoch; the last, smaller batch of an epoch is left out."""
    while True:
        yield from (inputs for inputs in training.inputs() if inputs.size == training.recipe.batch)


def timed(training: Training, steps: Iterator[Inputs]) -> float:
    """Seconds of one step, from the batch's indices to the new weights; random state and stream are set outside the clock."""
    with training.active():
        return cost.seconds(lambda: training.advance(next(steps)), training.device, time.perf_counter)


def interleaved(works: Mapping[str, Callable[[], float]], rounds: int, report: Callable[[int], None]) -> dict[str, list[float]]:
    """What every work returns in every round. Each round begins with the work after the one that began the last.
    ``report`` is told how many rounds are done."""
    names = list(works)
    took: dict[str, list[float]] = {name: [] for name in names}
    for i in range(rounds):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            took[name].append(works[name]())
        report(i + 1)
    return took


def progress(what: str, rounds: int) -> Callable[[int], None]:
    """Prints the first and every tenth part of the rounds, with the time that is left."""
    began = time.monotonic()

    def report(done: int) -> None:
        if done in (1, rounds) or done % max(rounds // 10, 1) == 0:
            left = (time.monotonic() - began) / done * (rounds - done)
            print(f"{what}: {done}/{rounds} rounds  {clock(left)} left", flush=True)

    return report


def summary(took: list[float]) -> dict[str, float]:
    """``seconds``, the mean of all iterations as in the paper, their ``median`` and quartiles, and the ``first`` alone."""
    low, _, high = quantiles(took, n=4, method="inclusive")
    values = {"seconds": fmean(took), "median": median(took), "q1": low, "q3": high, "first": took[0]}
    return {name: _digits(value) for name, value in values.items()}


def ratio(took: list[float], base: list[float], settled: int = 1) -> dict[str, float]:
    """Geometric mean of the rounds' ratios with its 95 % interval, Student's t of their logarithms; the first ``settled`` rounds,
    which also warm up caches and libraries, are left out.

    >>> ratio([9.0, 2.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0])
    {'time_ratio': 2.0, 'low': 2.0, 'high': 2.0, 'rounds': 3}
    """
    logs = [log(a / b) for a, b in zip(took[settled:], base[settled:], strict=True)]
    i = stats.mean_interval(stats.Summary.of(logs))
    return {"time_ratio": _digits(exp(i.value)), "low": _digits(exp(i.low)), "high": _digits(exp(i.high)), "rounds": len(logs)}


def over(counts: dict, base: dict) -> dict[str, float]:
    """Ratios of what is counted: of memory, the allocator's peak on a GPU and saved tensors elsewhere."""
    memory = "allocated_mib" if "allocated_mib" in base else "saved_mib"
    return {f"{name}_ratio": _digits(counts[key] / base[key]) for name, key in (("memory", memory), ("operations", "operations"))}


def _digits(value: float) -> float:
    return float(f"{value:.6g}")


def counted(run: Run, device: torch.device, data: DataSet, engine_name: str = "auto") -> dict:
    """``saved_mib`` by a step (`saved_bytes`), and on a GPU `gpu_peaks`; ``train_only_mib``, the weights of the methods' heads;
    ``operations`` of a step, views left out. Saved tensors and operations are those of the engine eager."""
    peaks = gpu_peaks(run, device, data, engine_name) if device.type == "cuda" else {}
    training, steps = prepared(run, device, data, "eager")
    with training.active():
        training.update(next(steps))                # momenta are made in the first step
        inputs, heads = next(steps), list(training.methods.parameters())
        held = [*training.model.parameters(), *training.model.buffers(), *heads, *inputs.tensors()]
        saved = saved_bytes(lambda: training.update(inputs), held)
        operations = cost.operations(lambda: training.update(inputs)).total()
    return {"saved_mib": _digits(saved / MIB), **peaks, "train_only_mib": _digits(sum(p.nbytes for p in heads) / MIB),
            "operations": operations}


def saved_bytes(work: Callable[[], object], held: Iterable[Tensor]) -> int:
    """Bytes that autograd keeps for the backward pass of ``work``, each storage once. Those of the tensors ``held``, such
    as weights and what was drawn ahead for an epoch, lie there anyway and do not count."""
    pointers, saved = {t.untyped_storage().data_ptr() for t in held}, {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in pointers:
            saved[storage.data_ptr()] = storage     # kept, so that its address is not given out again meanwhile
        return tensor.detach()                      # the tensor itself would make a cycle

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        work()
    return sum(storage.nbytes() for storage in saved.values())


def gpu_peaks(run: Run, device: torch.device, data: DataSet, engine_name: str = "auto") -> dict[str, float]:
    """MiB that a training alone adds at its peak, weights included, the images that it keeps on the GPU not:
    ``allocated_mib`` to tensors, ``reserved_mib`` by the allocator."""
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)
    training, steps = prepared(run, device, data, engine_name)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)      # padding the images took more for a moment
    with training.active():
        for _ in range(Graphed.WARM + 2):           # up to the first replay of a graph
            training.advance(next(steps))
    torch.cuda.synchronize(device)
    peaks = torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
    added = (peak - b - training.loader.store.nbytes for peak, b in zip(peaks, before, strict=True))
    return {name: _digits(value / MIB) for name, value in zip(("allocated_mib", "reserved_mib"), added, strict=True)}
