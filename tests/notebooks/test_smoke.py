"""The real thing once, as users run it: papermill, nbval on its result, and a training that is killed and goes on."""

import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from featuremining import paths

CELL = "X1.resnet20.fm2"


def environment(folder):
    return {**os.environ, "FM_RUNS_DIR": str(folder / "runs"), "FM_BUILD_DIR": str(folder / "build"), "OMP_NUM_THREADS": "1"}


def the_record(folder):
    (path,) = (folder / "runs").glob("smoke/*/seed0.json")
    return json.loads(path.read_text())


def same(a, b):
    return all(a[k] == b[k] for k in ("id", "spec", "resolved", "metrics", "curves", "weights", "right"))


def papermill(folder, *parameters):
    out = folder / "cifar.ipynb"
    notebook = paths.ROOT / "notebooks/cifar.ipynb"
    command = [sys.executable, "-m", "papermill", "-k", "python3", str(notebook), str(out), *parameters]
    return out, subprocess.run(command, env=environment(folder), capture_output=True, text=True)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("papermill")
    out, result = papermill(folder, "-p", "tier", "smoke", "-p", "cells", f'["{CELL}"]', "-p", "seeds", "[0]",
                            "-p", "device", "cpu")
    assert result.returncode == 0, result.stderr[-2000:]
    return folder, out


def test_papermill_trains_what_is_missing_and_shows_it(executed):
    folder, out = executed
    book = nbformat.read(out, 4)
    code = [c for c in book.cells if c.cell_type == "code"]
    assert all(c.execution_count and not any(o.output_type == "error" for o in c.outputs) for c in code)
    shown = "".join(o.get("text", "") + o.get("data", {}).get("text/html", "") for c in code for o in c.outputs)
    record = the_record(folder)
    assert f"{record['metrics']['best']:.2f}" in shown and "<svg" in shown and "epoch 6/6" in shown
    assert "75.35 ± 0.07" in shown and shown.count("verdict-not-run") > 40       # smoke never fills a printed cell
    assert record["metrics"]["best"] > 3 * 100 / 9                               # far above chance


def test_nbval_finds_a_second_run_equal(executed, tmp_path):
    """nbval executes the notebook again, on empty folders: every table and figure comes out the same, and the bits too."""
    folder, out = executed
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "--nbval-cell-timeout=900", "-c", os.devnull,
               "-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"--rootdir={folder}", str(out)]
    result = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:]
    assert same(the_record(folder), the_record(tmp_path))


def test_killed_in_the_middle_it_goes_on_bit_for_bit(executed, tmp_path):
    command = [sys.executable, "-m", "featuremining", "run", CELL, "--tier", "smoke", "--seed", "0", "--device", "cpu"]
    first = subprocess.Popen(command, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for line in first.stdout:
            if line.startswith("epoch 2/"):
                break
        second = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True)
        assert second.returncode == 1 and "Another process is training" in second.stderr
        time.sleep(1)       # into the third epoch
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert not list((tmp_path / "runs").glob("**/*.json"))
    again = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True)
    assert again.returncode == 0 and "goes on after epoch" in again.stdout and "is recorded" in again.stdout
    assert the_record(tmp_path)["provenance"]["resumed"] == 1
    assert same(the_record(tmp_path), the_record(executed[0]))
    done = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True)
    assert done.returncode == 0 and "already recorded" in done.stdout


@pytest.mark.parametrize(("parameters", "says"), [
    (("-p", "teir", "short"), "There is no parameter 'teir'. Did you mean 'tier'?"),
    (("-p", "cells", '["T1.resnet56.fm"]'), "There is no cell 'T1.resnet56.fm'. Did you mean T1.resnet56.fm2")], ids=str)
def test_mistyped_parameters_end_papermill_with_one_sentence(tmp_path, parameters, says):
    _, result = papermill(tmp_path, *parameters)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("UsageError: ") and says in last
