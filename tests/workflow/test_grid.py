"""The grid: which runs it consists of, and that Snakemake trains each of them once, whatever happens on the way."""

import importlib.util
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from grids import FLOW, PAIR, command, environment, log, snakemake

from featuremining import FMError, UsageError, records, studies


def module(name):
    """A file of the workflow, as it reads the folders of now."""
    spec = importlib.util.spec_from_file_location(name, FLOW / f"{name}.py")
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made                # dataclasses look there
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def grid(scratch):
    return module("grid")


def starts(folder):
    """The runs that were begun since this was last asked."""
    path = folder / "starts"
    lines = sorted(path.read_text(encoding="utf-8").splitlines()) if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


# --- what it consists of --------------------------------------------------------------------------------------------

def test_cells_are_ids_or_their_beginnings(grid):
    assert [c.id for c in grid.cells("F6.resnet56.fm2.50")] == ["F6.resnet56.fm2.50"]          # not F6.resnet56.fm2.500
    assert {c.id for c in grid.cells("F6, X1")} == {id_ for id_ in studies.load_cells() if id_[:3] in ("F6.", "X1.")}
    for words in ("", "F6 nowhere", "T1 ,, nowhere"):
        with pytest.raises(UsageError, match="fits none"):
            grid.cells(words)


def test_seeds_are_numbers_and_ranges(grid):
    assert grid.seeds("0") == [0] and grid.seeds("0-3 7,2") == [0, 1, 2, 3, 7]
    for text in ("", "a", "1-", "-1", "0.5"):
        with pytest.raises(UsageError, match="SEEDS are numbers"):
            grid.seeds(text)


def test_a_training_that_cells_share_is_one_run(grid):
    """Tables 1 and 3 print one baseline; costs are measured alone and are left out, by name."""
    key = studies.cell("T1.resnet56.baseline").run("full", 0).key
    shared = [c for c in studies.load_cells().values() if c.run("full", 0).key == key]
    made = grid.Grid.of({"tier": "full", "cells": " ".join(c.id for c in shared) + " T10", "seeds": "0-1"})
    assert len(shared) > 1 and len(made.wanted) == 2
    assert made.left_out and all(id_.startswith("T10.") for id_ in made.left_out)
    assert made.left_out[0] in made.summary()


def test_a_changed_setting_is_another_record_and_nothing_else_is(grid, studies_copy):
    """A record's path follows from all that is trained, so what is stale is what a change touches."""
    before = set(grid.Grid.of({"cells": "F6", "seeds": "0"}).wanted)
    (path,) = studies_copy.glob("*/cells/small_data.toml")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("smoke = { per_class = 20 }", "smoke = { per_class = 24 }"), encoding="utf-8")
    for kept in (studies.cells.read_studies, studies.cells.load_cells, studies.cells.papers):
        kept.cache_clear()
    after = set(grid.Grid.of({"cells": "F6", "seeds": "0"}).wanted)
    assert len(before - after) == len(after - before) == 2 and len(before & after) == len(before) - 2 > 0


def test_a_detector_waits_for_its_pre_training(grid):
    made = grid.Grid.of({"cells": "T7s.resnet20.fm2", "seeds": "0"})
    key = studies.cell("T7s.resnet20.fm2").run("smoke", 0).key
    (detector,), (source,) = made.wanted, made.first(tier="smoke", key=key, seed="0")
    assert {detector, source} == set(made.runs)
    assert " run F2s.resnet20.fm2 --tier smoke --seed 0 " in made.command(tier="smoke", key=Path(source).parent.name, seed="0")


def test_the_plan_counts_what_is_missing_and_its_hours(grid, scratch):
    config = {"tier": "full", "cells": "X1.resnet20.fm2", "seeds": "0-3", "cores": 4}
    made = grid.Grid.of(config)
    one, words = grid.durations.hours(studies.cell("X1.resnet20.fm2"), "full"), grid.durations.words
    assert f"4 runs of the full tier, 4 of them not on record; about {words(4 * one.hours)} " in made.summary()
    assert f", {words(one.hours)} with 4 at once" in made.summary()
    path = Path(next(iter(made.wanted)))
    path.parent.mkdir(parents=True)
    path.touch()
    made = grid.Grid.of(config)
    assert "4 runs of the full tier, 3 of them not on record" in made.summary()
    assert f"{path} is not a valid record" in made.summary()       # nothing overwrites it, but it is named


def test_how_much_of_a_run_is_done(grid, scratch):
    made = grid.Grid.of({"cells": "F6.resnet56.fm2.50"})
    (path,) = made.wanted
    assert grid.share(path) == 0
    said = log(scratch, "F6.resnet56.fm2.50", 0)
    said.parent.mkdir(parents=True)
    for text, value in (("x: 6 epochs of 3 steps\n", 0), ("x: goes on after epoch 3 of 6\n", 0.5),
                        ("x: goes on after epoch 3 of 6\nepoch 4/6  loss 2.6  test 11.11 %\nepoch 5/6  loss 2\n", 5 / 6)):
        said.write_text(text, encoding="utf-8")
        assert grid.share(path) == value
    Path(path).parent.mkdir(parents=True)
    Path(path).touch()
    assert grid.share(path) == 1


def test_a_run_that_another_process_is_at_is_refused_or_waited_for(scratch, capsys):
    loop = importlib.import_module("featuremining.training.loop")
    one, entered = studies.cell("F6.resnet56.fm2.50").run("smoke", 0), threading.Event()

    def second():
        with loop.alone(one, wait=True):
            entered.set()

    with loop.alone(one):
        with pytest.raises(FMError, match="Another process is training"), loop.alone(one):
            pass
        waiting = threading.Thread(target=second)
        waiting.start()
        assert not entered.wait(1)
    waiting.join(30)
    assert entered.is_set() and "waits for another process" in capsys.readouterr().out


# --- a lock for each GPU --------------------------------------------------------------------------------------------

def test_each_place_on_a_gpu_is_taken_once(tmp_path):
    """Two GPUs with two places: four commands run at once, two on each; the fifth waits; a killed one leaves its place."""
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    env.pop("CUDA_VISIBLE_DEVICES", None)
    say = "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES'], os.environ['FM_BESIDE'], flush=True); time.sleep(600)"
    start = [sys.executable, str(FLOW / "gpu.py"), "2", "2", sys.executable, "-c", say]
    running = []
    try:
        for _ in range(4):
            running.append(subprocess.Popen(start, env=env, stdout=subprocess.PIPE, text=True))
            running[-1].said = running[-1].stdout.readline()
        assert [p.said for p in running] == ["0 1\n", "1 1\n", "0 1\n", "1 1\n"]
        running.append(subprocess.Popen(start, env=env, stdout=subprocess.PIPE, text=True))
        assert not select.select([running[-1].stdout], [], [], 1.5)[0]
        running[1].kill()
        running[1].wait()
        assert running[-1].stdout.readline() == "1 1\n"
    finally:
        for process in running:
            process.kill()
            process.wait()
            process.stdout.close()


def gpu_of(tmp_path, **variables):
    """The GPU that a command is given, and whether one place on it is locked meanwhile."""
    env = {name: value for name, value in os.environ.items() if name != "SLURM_JOB_ID"}
    say = [sys.executable, "-c", "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"]
    done = subprocess.run([sys.executable, str(FLOW / "gpu.py"), "2", "1", *say],
                          env={**env, "TMPDIR": str(tmp_path), **variables}, capture_output=True, text=True)
    return done.stdout.strip(), [path.name.rpartition("-gpu")[2] for path in tmp_path.glob("*.lock")]


def test_a_gpu_that_is_named_is_the_one_and_is_locked(tmp_path):
    assert gpu_of(tmp_path, CUDA_VISIBLE_DEVICES="3") == ("3", ["3-0.lock"])
    assert gpu_of(tmp_path, CUDA_VISIBLE_DEVICES="5,6")[0] == "5"


def test_a_gpu_that_slurm_gave_is_not_locked(tmp_path):
    """Two jobs may both call theirs 0."""
    assert gpu_of(tmp_path, CUDA_VISIBLE_DEVICES="0", SLURM_JOB_ID="7") == ("0", [])


# --- Snakemake ------------------------------------------------------------------------------------------------------

def test_only_what_is_missing_is_begun(tmp_path):
    """Each run once; a further seed begins that alone; neither times of files nor an edit of the code make a run stale."""
    first = snakemake(tmp_path)
    assert first.returncode == 0 and starts(tmp_path) == [f"{cell} 0" for cell in PAIR.split()], first.stderr
    assert "2 runs of the smoke tier, 2 of them not on record" in first.stderr
    for path in tmp_path.rglob("seed0.json"):
        os.utime(path, (1, 1))
    again = snakemake(tmp_path, seeds="0-1", cells="F6.resnet56.fm2.50", threads=2)
    assert again.returncode == 0 and starts(tmp_path) == ["F6.resnet56.fm2.50 1"], again.stderr
    edited = shutil.copytree(FLOW, tmp_path / "workflow") / "Snakefile"
    edited.write_text(edited.read_text(encoding="utf-8").replace("OMP_NUM", "ANOTHER=1 OMP_NUM"), encoding="utf-8")
    words = [str(edited) if word == str(FLOW / "Snakefile") else word for word in command(tmp_path)]
    assert words != command(tmp_path)
    assert subprocess.run(words, env=environment(tmp_path), capture_output=True).returncode == 0 and starts(tmp_path) == []


def test_one_that_fails_stops_no_other_and_keeps_its_traceback(tmp_path):
    cell = "F6.resnet56.fm2.50"
    broken = snakemake(tmp_path, seeds="0-1", env={"FAILS": f"{cell} 0"})
    assert broken.returncode != 0 and len(starts(tmp_path)) == 4 and len(list(tmp_path.rglob("seed*.json"))) == 3
    assert "Traceback" in log(tmp_path, cell, 0).read_text() and "RuntimeError: on purpose" in broken.stderr + broken.stdout
    assert snakemake(tmp_path, seeds="0-1").returncode == 0 and starts(tmp_path) == [f"{cell} 0"]


def test_a_wrong_word_is_one_sentence(tmp_path):
    for config in ({"cells": "nowhere"}, {"seeds": "x"}, {"tier": "tiny"}):
        done = snakemake(tmp_path, "--dry-run", **config)
        assert done.returncode and "grid: " in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_a_killed_controller_goes_on_with_the_same_command(tmp_path):
    """Its trainings live on; those that the second controller begins wait for them, and every record is made once."""
    out = (tmp_path / "out").open("w")
    went = subprocess.Popen(command(tmp_path), env=environment(tmp_path, REAL="1"), stdout=out, stderr=out)
    until = time.monotonic() + 300
    while not list(tmp_path.rglob("checkpoints/**/*.pt")) and time.monotonic() < until:
        time.sleep(0.2)
    os.kill(went.pid, signal.SIGKILL)
    went.wait()
    assert not list((tmp_path / "runs").rglob("seed*.json"))
    done = snakemake(tmp_path, env={"REAL": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    found = [records.read(path) for path in (tmp_path / "runs").rglob("*.json")]
    assert len(found) == 2 == len({r.id for r in found}) == len({r.weights for r in found})
    assert [r.provenance["resumed"] for r in found] == [0] * 2           # none was trained twice, none was interrupted
    out.close()
