"""One thread per process: two busy processes of two threads on two cores collapse. Records of tests never reach the project's."""

import os
import shutil
import subprocess
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from another_paper import another, forget  # noqa: F401
from filelock import FileLock
from hypothesis import settings
from voc_images import voc_counts, voc_folder  # noqa: F401

from featuremining import paths
from featuremining.datasets import parts_folders, where

torch.set_num_threads(1)
settings.register_profile("gate", max_examples=20, derandomize=True, database=None)      # the same few each time
settings.register_profile("slow", max_examples=2000, database=None)
settings.load_profile(os.environ.get("FM_HYPOTHESIS", "gate"))


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Records and checkpoints of this test alone."""
    monkeypatch.setenv("FM_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("FM_BUILD_DIR", str(tmp_path / "build"))
    return tmp_path


def few_of():
    from featuremining import load

    data = load("parts")._replace(name="few")
    return data._replace(train_x=data.train_x[:96], train_y=data.train_y[:96], test_x=data.test_x[:45], test_y=data.test_y[:45])


@pytest.fixture
def few_images(scratch, monkeypatch):
    """Trainings see 96 of the embedded images and are tested on 45: an epoch takes a moment."""
    few = few_of()
    monkeypatch.setattr("featuremining.training.run.load", lambda name, **changes: few)
    return few


@pytest.fixture
def studies_copy(tmp_path, monkeypatch):
    """A copy of the studies that a test may change; what was read of them before is forgotten, and again afterwards."""
    shutil.copytree(paths.studies(), tmp_path / "studies")
    monkeypatch.setattr(paths, "studies", lambda: tmp_path / "studies")
    forget()
    yield tmp_path / "studies"
    forget()


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """The three generated data sets in files, drawn once."""
    build = tmp_path_factory.mktemp("build")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FM_BUILD_DIR", str(build))
        for name in ("tiny_imagenet", "imagenet", "cub"):
            getattr(parts_folders, name)()
    return build


@pytest.fixture
def folders(drawn, tmp_path, monkeypatch):
    """A function from a set's name to its own copy, which a test may break, and which ``load(generated=True)`` reads."""
    monkeypatch.setenv("FM_BUILD_DIR", str(shutil.copytree(drawn, tmp_path / "build")))
    return lambda name: getattr(parts_folders, name)()


@pytest.fixture
def cifar():
    """CIFAR-100 as it lies on disk; the test is skipped, visibly, where it does not."""
    found, text = where("cifar100")
    if not found:
        pytest.skip(f"CIFAR-100 is {text}")
    from featuremining import load

    return load("cifar100")


@pytest.fixture(scope="session")
def html(tmp_path_factory):
    """The folder of the built book. Whichever test process asks first builds it, once for all; the others wait."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    log = base / "book.log"
    with FileLock(base / "book.lock"):
        if not log.exists():
            result = subprocess.run([sys.executable, str(paths.ROOT / "book/build.py"), str(base / "book")],
                                    capture_output=True, text=True)
            log.write_text(f"{result.returncode}\n{result.stdout[-2000:]}{result.stderr[-4000:]}")
    assert log.read_text().startswith("0\n"), log.read_text()
    return base / "book" / "_build" / "html"
