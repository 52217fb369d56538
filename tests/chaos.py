"""``make chaos``: trainings of every method are killed at random moments, again and again, until each has its record; then all
are compared, bit for bit, with trainings that nothing disturbed.

``python tests/chaos.py [MINUTES [SEED]]``. The seed is printed and makes the same plan of methods and moments again; which
instruction a moment meets is the machine's. Each run is a process of its own, `loop.train` on a few embedded images; its kill is
SIGKILL. After each kill one of its files may be cut short or get a flipped bit, as a broken disk would.
"""

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
from functools import cache
from pathlib import Path

import torch

import featuremining
from featuremining import METHODS, FMError, build, load
from featuremining.models import weights
from featuremining.recipes import recipe
from featuremining.studies import Run
from featuremining.training import engine, loop
from featuremining.training import run as training

TEACHER = "teacher.pt"


@cache
def few(name, **changes):
    """48 of the embedded images and 45 to test on: a training of four epochs takes a moment."""
    data = load("parts")._replace(name="few")
    return data._replace(train_x=data.train_x[:48], train_y=data.train_y[:48], test_x=data.test_x[:45], test_y=data.test_y[:45])


def run_of(method: str, seed: int):
    """A training of four epochs with the method, as a run of the smoke tier."""
    names = set() if method == "baseline" else {f.name for f in fields(getattr(featuremining, METHODS[method][1]))}
    taught = {"teacher", "weights"} <= names
    settings = {"teacher": "resnet20", "weights": TEACHER} if taught else {}
    methods = () if method == "baseline" else ({"name": method, **settings},)
    return Run("parts", "resnet20", methods, replace(recipe("resnet20", "smoke"), epochs=4, batch=24, lr=0.01), "smoke", seed)


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
    place.end(place.start(method, seed))


def chaos(minutes: float, number: int, say=print) -> Counter:
    """Until the time is over, run after run, the methods in turn; an `FMError` at the first that is not what it was."""
    draw, done, ends = random.Random(number), Counter(), time.monotonic() + 60 * minutes
    say(f"chaos: seed {number}, {minutes:g} minutes", flush=True)
    training.load = few
    few("parts")
    engine.deterministic()
    with tempfile.TemporaryDirectory() as name:
        calm, wild = Place(Path(name) / "calm"), Place(Path(name) / "wild")
        torch.manual_seed(0)
        teacher = build("resnet20", 9).state_dict()
        for place in (calm, wild):
            weights.write(place.folder / "build" / TEACHER, teacher)
        order = ["baseline", *METHODS]
        draw.shuffle(order)
        for i in range(10**6):
            method, seed = order[i % len(order)], i // len(order)
            began = time.monotonic()
            calm.end(calm.start(method, seed))
            until_recorded(draw, wild, method, seed, time.monotonic() - began, done)
            key = run_of(method, seed).key
            if content(calm.record(key, seed)) != content(wild.record(key, seed)):
                raise FMError(f"{method}, seed {seed}: killed and resumed, the record is another one")
            left = [p for p in Path(name).rglob("*") if p.suffix == ".tmp" or ("checkpoints" in p.parts and p.suffix == ".pt")]
            if left:
                raise FMError(f"{method}, seed {seed}: left behind: {left}")
            done["runs"] += 1
            if time.monotonic() > ends:
                break
    say(f"chaos: {done['runs']} runs of {min(done['runs'], len(order))} of {len(order)} methods, {done['kills']} kills, "
        f"{done['cut']} checkpoints cut and {done['flipped bit']} with a flipped bit; every record bit for bit what it was")
    return done


if __name__ == "__main__":
    torch.set_num_threads(1)        # a process with more threads can't be forked
    words = sys.argv[1:]
    chaos(float(words[0]) if words else 20, int(words[1]) if len(words) > 1 else random.SystemRandom().randrange(10**6))
