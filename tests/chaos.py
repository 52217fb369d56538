"""``make chaos``: trainings of every method, head and layer are killed at random moments, again and again, until each
has its record; then all are compared, bit for bit, with trainings that nothing disturbed.

``python tests/chaos.py [--minutes 20] [--seed 0] [--keep FILE.json]``. They take turns, in an order that the seed gives, for
so many minutes and until each had its turn. The seed is printed and makes the same plan of turns and moments again; which
instruction a moment meets is the machine's. Each run is a process of its own, `loop.train` on a few embedded images; its kill is
SIGKILL. After each kill one of its files may be cut short or get a flipped bit, as a broken disk would.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import torch

import featuremining
from featuremining import METHODS, FMError, build, load
from featuremining.files import put
from featuremining.layers import LAYERS
from featuremining.models import weights
from featuremining.models.heads import HEADS
from featuremining.recipes import recipe
from featuremining.records import provenance
from featuremining.studies import Run
from featuremining.training import engine, loop
from featuremining.training import run as training

TEACHER = "teacher.pt"
PARTS = {**{f"head {name}": {"head": name} for name in HEADS},
         **{f"layer {name}": {"insert": [{"layer": name, "after": "stage2"}]} for name in LAYERS}}
ALL = ("baseline", *METHODS, *PARTS)


@cache
def few(name, **changes):
    """32 of the embedded images and 27 to test on: a training of four epochs takes a moment."""
    data = load("parts")._replace(name="few")
    return data._replace(train_x=data.train_x[:32], train_y=data.train_y[:32], test_x=data.test_x[:27], test_y=data.test_y[:27])


def run_of(method: str, seed: int):
    """A training of four epochs with the method, or with the part of a network, as a run of the smoke tier."""
    plain = method == "baseline" or method in PARTS
    names = set() if plain else {f.name for f in fields(getattr(featuremining, METHODS[method][1]))}
    taught = {"teacher", "weights"} <= names
    settings = {"teacher": "resnet20", "weights": TEACHER} if taught else {}
    methods = () if plain else ({"name": method, **settings},)
    return Run("parts", "resnet20", methods, replace(recipe("resnet20", "smoke"), epochs=4, batch=16, lr=0.01), "smoke", seed,
               options=PARTS.get(method, {}))


class Place:
    """Folders of records and of builds, and what is started in them."""

    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "build").mkdir(parents=True)

    def start(self, method: str, seed: int) -> int:
        """The id of a process of its own that trains; it is forked, so that no time goes into imports."""
        if child := os.fork():
            return child
        code = 1
        try:
            os.environ |= {"FM_RUNS_DIR": str(self.folder / "runs"), "FM_BUILD_DIR": str(self.folder / "build")}
            log = os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1), os.dup2(log, 2)
            loop.train(run_of(method, seed), "cpu")
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def end(self, child: int, seconds: float = 300) -> bool:
        """Whether the process came to its end in time; it is killed otherwise. An `FMError` where it failed."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                if os.waitstatus_to_exitcode(status):
                    raise FMError((self.folder / "log").read_text()[-2000:])
                return True
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return False

    def record(self, key: str, seed: int) -> Path:
        return self.folder / "runs" / "smoke" / key / f"seed{seed}.json"


def damage(draw: random.Random, place: Place, key: str, seed: int) -> str:
    """Cut or flip the newest checkpoint, if there is one before it to go on from. What was done."""
    path = place.folder / "build" / "checkpoints" / "smoke" / key / f"seed{seed}.pt"
    if not (path.exists() and path.with_suffix(".before.pt").exists()) or place.record(key, seed).exists():
        return "no damage"
    data = bytearray(path.read_bytes())
    if draw.random() < 0.5:
        path.write_bytes(data[:draw.randrange(len(data))])
        return "cut"
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)
    return "flipped bit"


def content(path: Path) -> dict:
    """What two equal trainings have in common: all but where and how long."""
    record = json.loads(path.read_text())
    return {name: value for name, value in record.items() if name != "provenance"}


def until_recorded(draw: random.Random, place: Place, method: str, seed: int, took: float, done: Counter) -> None:
    """Start the run and kill it at random moments; the last start is left alone."""
    for _ in range(draw.randrange(1, 5)):
        if place.end(place.start(method, seed), draw.uniform(0.02, 0.8) * took):
            break
        done["kills"] += 1
        if draw.random() < 0.3:
            done[damage(draw, place, run_of(method, seed).key, seed)] += 1
    if not place.end(place.start(method, seed)):
        raise FMError(f"{method}, seed {seed}: after a kill it does not come to its end")


def compare(calm: Place, wild: Place, method: str, seed: int, done: Counter) -> None:
    """An `FMError` unless both left one record, the same one, and nothing else."""
    key = run_of(method, seed).key
    one, other = calm.record(key, seed), wild.record(key, seed)
    if lost := [str(path) for path in (one, other) if not path.exists()]:
        raise FMError(f"{method}, seed {seed}: there is no {' and no '.join(lost)}")
    if content(one) != content(other):
        raise FMError(f"{method}, seed {seed}: killed and resumed, the record is another one")
    if left := [p for place in (calm, wild) for p in place.folder.rglob("*")
                if p.suffix == ".tmp" or ("checkpoints" in p.parts and p.suffix == ".pt")]:
        raise FMError(f"{method}, seed {seed}: left behind: {left}")
    done["equal"] += 1
    done["resumed"] += json.loads(other.read_text())["provenance"]["resumed"]


def chaos(minutes: float, seed: int, methods=ALL) -> dict:
    """Until the time is over and each of the methods had its turn; an `FMError` at the first run that is not what it was."""
    draw, done, ends = random.Random(seed), Counter(), time.monotonic() + 60 * minutes
    order, counts = draw.sample(list(methods), len(methods)), Counter()
    print(f"chaos: seed {seed}, {minutes:g} minutes, {len(order)} kinds: {', '.join(order)}", flush=True)
    training.load = few
    few("parts")
    engine.deterministic()
    with tempfile.TemporaryDirectory() as name:
        calm, wild = Place(Path(name) / "calm"), Place(Path(name) / "wild")
        torch.manual_seed(0)
        teacher = build("resnet20", 9).state_dict()
        for place in (calm, wild):
            weights.write(place.folder / "build" / TEACHER, teacher)
        while time.monotonic() < ends or counts.total() < len(order):
            turn, i = divmod(counts.total(), len(order))
            began = time.monotonic()
            calm.end(calm.start(order[i], turn))
            until_recorded(draw, wild, order[i], turn, time.monotonic() - began, done)
            compare(calm, wild, order[i], turn, done)
            counts[order[i]] += 1
        records = len(list(wild.folder.glob("runs/*/*/seed*.json")))
    if records != counts.total():
        raise FMError(f"{counts.total()} runs left {records} records")
    return {"seed": seed, "minutes": minutes, "runs": counts.total(), "methods": dict(sorted(counts.items())),
            "kills": done["kills"], "resumed": done["resumed"], "cut": done["cut"], "flipped": done["flipped bit"],
            "equal": done["equal"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--keep", type=Path, help="write what came out to this file, if every record was what it was")
    asked = parser.parse_args()
    torch.set_num_threads(1)        # a process with more threads can't be forked
    found = chaos(asked.minutes, asked.seed)
    print(f"chaos: {found['runs']} runs of {len(found['methods'])} methods, heads and layers, {found['kills']} kills, "
          f"{found['resumed']} times gone on from a checkpoint, {found['cut']} checkpoints cut and "
          f"{found['flipped']} with a flipped bit; every record "
          "bit for bit what it was")
    if asked.keep:
        here = {**provenance.environment(torch.device("cpu")), "measured": datetime.now(UTC).isoformat(timespec="seconds")}
        put(asked.keep, f"{json.dumps({**found, 'provenance': here}, indent=1)}\n".encode())


if __name__ == "__main__":
    main()
