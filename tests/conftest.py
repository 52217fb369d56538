"""One thread per process: two busy processes of two threads on two cores collapse. Records of tests never reach the project's."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from featuremining.datasets import where

torch.set_num_threads(1)


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Records and checkpoints of this test alone."""
    monkeypatch.setenv("FM_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("FM_BUILD_DIR", str(tmp_path / "build"))
    return tmp_path


@pytest.fixture
def cifar():
    """CIFAR-100 as it lies on disk; the test is skipped, visibly, where it does not."""
    found, text = where("cifar100")
    if not found:
        pytest.skip(f"CIFAR-100 is {text}")
    from featuremining import load

    return load("cifar100")
