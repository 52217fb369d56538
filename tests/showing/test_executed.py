"""What papermill leaves of a notebook whose kernel was killed has no name of a result."""

import json
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from featuremining.showing.executed import unfinished

KILLS = "import os, signal, time\nprint('half of it', flush=True)\ntime.sleep(0.5)\nos.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize(("last", "whole"), [("print(2)", True), (KILLS, False)], ids=["whole", "killed"])
def test_a_killed_kernel_leaves_no_result(tmp_path, last, whole):
    """papermill calls every cell of it completed, the last one included; the file keeps its other name."""
    nbformat.write(new_notebook(cells=[new_code_cell("1"), new_code_cell(last)]), tmp_path / "in.ipynb")
    half, target = tmp_path / "half.ipynb", tmp_path / "out.ipynb"
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "-k", "python3", str(tmp_path / "in.ipynb"), str(half)]
    subprocess.run(command, capture_output=True, timeout=120)
    left = json.loads(half.read_text())
    assert {cell["metadata"]["papermill"]["status"] for cell in left["cells"]} == {"completed"}
    assert bool(unfinished(left)) != whole
    command = [sys.executable, "-m", "featuremining.showing.executed", str(half), str(target)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode == 0) == whole == target.exists() != half.exists()
    assert whole or "code cell 1 did not come to its end: the kernel was killed" in result.stderr
