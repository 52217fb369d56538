"""Several processes at one training: the step of the whole batch, one record, the same weights everywhere."""

import importlib
import json
import sys
from subprocess import run

import pytest
import torch

from featuremining import UsageError, paths
from featuremining.recipes import recipe
from featuremining.studies import Run
from featuremining.training.replicas import Replicas

T = importlib.import_module("featuremining.training.loop")


def test_two_processes_are_one_training(scratch):
    """Over gloo on the CPU: gradients are the whole batch's, weights agree, one record is written, one process speaks."""
    worker = paths.ROOT / "tests/replica_worker.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29587",
               str(worker), str(scratch / "out")]
    done = run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    a, b = (json.loads((scratch / f"out{rank}.json").read_text()) for rank in range(2))
    assert a["error"] < 1e-9 and b["error"] < 1e-9          # weighted as if shares were equal, it would be a tenth
    assert a["weights"] == b["weights"] == a["recorded"] and a["replicas"] == 2
    assert len(list((scratch / "runs").rglob("seed0.json"))) == 1 and not list((scratch / "build").rglob("checkpoints/**/*.pt"))
    assert done.stdout.count("epoch 2/2") == 1


def test_alone_nothing_is_exchanged():
    alone, p = Replicas(), torch.nn.Parameter(torch.ones(2))
    p.grad = torch.full((2,), 3.0)
    alone.average([p], 5)
    alone.spread([p.data])
    alone.wait()
    assert p.grad.tolist() == [3.0, 3.0] and alone.total(p.grad) is p.grad and alone.first


def test_a_method_that_chooses_batches_is_refused(scratch, monkeypatch):
    monkeypatch.setattr("featuremining.training.run.join", lambda: Replicas(0, 2))
    with pytest.raises(UsageError, match="cs_kd chooses"):
        T.Training(Run("parts", "resnet20", ({"name": "cs_kd"},), recipe("resnet20", "smoke"), "smoke", 0), torch.device("cpu"))


def test_too_many_processes_are_refused(scratch, monkeypatch):
    """An epoch of the parts ends with 8 images of its 1800: with five processes some would get a single one."""
    run = Run("parts", "resnet20", (), recipe("resnet20", "smoke"), "smoke", 0)
    monkeypatch.setattr("featuremining.training.run.join", lambda: Replicas(0, 4))
    assert T.Training(run, torch.device("cpu")).loader.smallest == 8
    monkeypatch.setattr("featuremining.training.run.join", lambda: Replicas(0, 5))
    with pytest.raises(UsageError, match="5 processes are too many: the last batch of an epoch has 8 images"):
        T.Training(run, torch.device("cpu"))
