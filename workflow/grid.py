"""A grid of trainings: which there are, what they cost, how far they are. The Snakefile beside it has them carried out."""

import os
import re
import shlex
import sys
import threading
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from featuremining import paths, studies
from featuremining.errors import FMError, UsageError, choose
from featuremining.recipes import TIERS
from featuremining.records import Record, durations, read
from featuremining.studies import Cell, Run
from featuremining.training.progress import clock

__all__ = ["FMError", "Grid", "follow"]

NAME = "{tier}/{key}/seed{seed}"
RECORD, LOG = f"{paths.runs().resolve()}/{NAME}.json", f"{paths.build().resolve()}/grid/logs/{NAME}.log"
EPOCH = re.compile(r"epoch (\d+)(?:/| of )(\d+)")       # as a training says it: ended, or to go on after
Runs = dict[str, tuple[Cell, Run]]                      # by the path of its record


def cells(words: str) -> list[Cell]:
    """Those with these ids, or whose ids begin with these parts (``T1``: not ``T10``); `UsageError` where a word fits none."""
    every = studies.load_cells()
    chosen: dict[str, None] = {}
    for word in re.split(r"[,\s]+", words.strip()):
        fitting = [id_ for id_ in every if f"{id_}.".startswith(f"{word.rstrip('.')}.")]
        if not fitting:
            raise UsageError(f"CELLS are ids, or whole parts that they begin with, as in CELLS=\"T1.resnet56 T8s\"; {word!r} "
                             "fits none. `fm status` lists all.")
        chosen |= dict.fromkeys(fitting)
    return [every[id_] for id_ in chosen]


def seeds(text: str) -> list[int]:
    """
    >>> seeds("0-2,7")
    [0, 1, 2, 7]
    """
    numbers: dict[int, None] = {}
    for word in re.split(r"[,\s]+", text.strip()):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", word)
        if not match:
            raise UsageError(f"SEEDS are numbers and ranges, as in SEEDS=\"0-3 7\", got {text!r}.")
        numbers |= dict.fromkeys(range(int(match[1]), int(match[2] or match[1]) + 1))
    return list(numbers)


def record(run: Run) -> str:
    return RECORD.format(tier=run.tier, key=run.key, seed=run.seed)


def share(path: str) -> float:
    """How much of a training is done: all of it where its record exists, else by the last epoch that its log tells of."""
    log = Path(LOG.removesuffix(f"{NAME}.log") + str(Path(path).relative_to(paths.runs().resolve()).with_suffix(".log")))
    if Path(path).exists():
        return 1.0
    told = EPOCH.findall(log.read_text(encoding="utf-8", errors="replace")) if log.exists() else []
    return int(told[-1][0]) / int(told[-1][1]) if told else 0.0


@dataclass(frozen=True)
class Grid:
    tier: str
    wanted: Runs
    before: dict[str, tuple[Cell, Run]]     # of a detector's record: the pre-training, which comes first
    left_out: tuple[str, ...]               # cells of costs, and those that can't be trained yet
    gpus: int = 0                           # to share among the runs; 0: all on the CPU
    pack: int = 1                           # trainings at once on each GPU
    cores: int = 1
    threads: int = 1                        # of each training
    device: str = ""
    on: str = ""                            # the device that hours are told for, as `fm plan --device`
    program: str = f"{shlex.quote(sys.executable)} -m featuremining"

    @classmethod
    def of(cls, config: dict) -> "Grid":
        """As Snakemake's ``--config`` says it; `UsageError` where that fits nothing."""
        tier, chosen = choose("tier", config.get("tier", "smoke"), TIERS), cells(str(config.get("cells", "")))
        able = [c.id for c in chosen if c.task != "cost" and not c.missing]
        planned = studies.plan(able, tier, seeds(str(config.get("seeds", 0))))
        before = {record(run): _pretraining(run) for _, run in planned if run.task == "detection"}
        settings = {name: type(getattr(cls, name))(config[name]) for name in cls.__dataclass_fields__
                    if name in config and hasattr(cls, name)}
        return cls(tier, {record(run): (cell, run) for cell, run in planned}, before,
                   tuple(c.id for c in chosen if c.id not in able), **settings)

    @cached_property
    def runs(self) -> Runs:
        """All that are trained: those that are wanted, and what comes first."""
        return {record(run): (cell, run) for cell, run in self.before.values()} | self.wanted

    def first(self, **run: str) -> list[str]:
        """The record that a run's training starts from, if it starts from one."""
        before = self.before.get(RECORD.format(**run))
        return [record(before[1])] if before else []

    def command(self, **run: str) -> str:
        cell, _ = self.runs[RECORD.format(**run)]
        device = self.device or ("cuda" if self.gpus else "cpu")
        place = [sys.executable, str(Path(__file__).with_name("gpu.py")), str(self.gpus), str(self.pack)]
        gpu = f"{shlex.join(place)} " if self.gpus else ""
        return f"{gpu}{self.program} run {cell.id} --tier {run['tier']} --seed {run['seed']} --device {device} --wait"

    @cached_property
    def known(self) -> tuple[list[Record], list[str]]:
        """The runs' records, and what is wrong with those that can't be read."""
        good, bad = [], []
        for path in filter(os.path.exists, self.runs):
            try:
                good.append(read(Path(path)))
            except FMError as error:
                bad.append(str(error))
        return good, bad

    @cached_property
    def measured_on(self) -> str:
        known, _ = self.known
        return durations.device(self.on, known) if self.on else next(iter(durations.devices(known)), "")

    @cached_property
    def hours(self) -> dict[str, durations.Cost | None]:
        """Of each run, None where that was not measured."""
        return {path: durations.hours(cell, self.tier, self.known[0], self.measured_on) for path, (cell, _) in self.runs.items()}

    def summary(self, here: bool = True) -> str:
        """How many runs are on record, how many are to be trained, and how long that takes; ``here``: on this machine alone."""
        missing = [path for path in self.runs if not os.path.exists(path)]
        at_once = min(self.gpus * self.pack or max(self.cores // self.threads, 1), max(len(missing), 1))
        costs = [cost for path in missing if (cost := self.hours[path])]
        text = f"grid: {len(self.runs)} run{'s' * (len(self.runs) > 1)} of the {self.tier} tier, "
        text += f"{len(missing)} of them not on record"
        if costs:
            text += f"; {durations.about(costs)} of training as measured on {self.measured_on}"
            text += f", {durations.words(sum(cost.hours for cost in costs) / at_once)} with {at_once} at once" if here else ""
        if unknown := len(missing) - len(costs):
            text += f"; of {unknown} the duration was not measured"
        if self.left_out:
            text += f". Left out, since `fm run` measures costs alone or something is still missing: {', '.join(self.left_out)}"
        return "\n".join([f"{text}.", *(f"grid: {sentence}" for sentence in self.known[1])])


def _pretraining(run: Run) -> tuple[Cell, Run]:
    from featuremining.training import pretraining  # imports torch

    source = pretraining.source(run)
    return source, source.run(run.tier, run.seed)


def follow(grid: Grid, every: float = 300) -> None:
    """Say how far the grid is whenever a record has come, and every so many seconds; in a thread that ends with the process."""
    weight = {path: cost.hours if (cost := grid.hours[path]) else None for path in grid.runs}
    known = [hours for hours in weight.values() if hours]
    usual = sum(known) / len(known) if known else 1.0

    def state() -> tuple[int, float]:
        shares = {path: share(path) for path in grid.runs}
        return sum(value == 1 for value in shares.values()), sum((weight[path] or usual) * s for path, s in shares.items())

    def watch() -> None:
        whole, began, (done, at_first) = sum(hours or usual for hours in weight.values()), time.monotonic(), state()
        said = began
        while done < len(weight):
            time.sleep(min(every, 2))
            before, (done, work) = done, state()
            if done > before or time.monotonic() - said > every:
                said = time.monotonic()
                left = (whole - work) * (said - began) / (work - at_first) if work > at_first else None
                print(f"grid: {done} of {len(weight)} runs on record" + (f", about {clock(left)} left" if left else ""),
                      file=sys.stderr, flush=True)

    threading.Thread(target=watch, daemon=True).start()
