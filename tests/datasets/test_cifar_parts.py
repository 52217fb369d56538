"""CIFAR-100's superclasses and every fifth of its classes, from files laid out as published."""

import pickle

import numpy as np
import pytest
import torch

from featuremining import datasets
from featuremining.datasets import SIZES, cifar100, load, size

FINE = np.arange(200) % 100
COARSE = [int(y) // 5 for y in FINE]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two hundred images, each painted with its class; torchvision's reader, without its checksums."""
    import torchvision.datasets

    folder = tmp_path / cifar100.FOLDER
    folder.mkdir()
    for part in ("train", "test"):
        (folder / part).write_bytes(pickle.dumps({"coarse_labels": COARSE, "fine_labels": FINE.tolist()}))
    (folder / "meta").write_bytes(pickle.dumps({"coarse_label_names": [f"kind {i}" for i in range(20)]}))

    class Reader:
        def __init__(self, root, train):
            self.data = np.broadcast_to(FINE[:, None, None, None], (200, 32, 32, 3)).astype(np.uint8)
            self.targets, self.classes = FINE.tolist(), [f"class {i}" for i in range(100)]

    monkeypatch.setattr(torchvision.datasets, "CIFAR100", Reader)
    monkeypatch.setenv("FM_DATA_DIR", str(tmp_path))


def test_superclasses_keep_every_image(files):
    data = load("cifar100_coarse")
    assert data.name == "cifar100_coarse" and len(data.classes) == 20 and data.classes[3] == "kind 3" and len(data.train_x) == 200
    assert torch.equal(data.train_y, data.train_x[:, 0, 0, 0].long() // 5) and torch.equal(data.test_y, data.train_y)
    assert cifar100.superclasses() == [fine // 5 for fine in range(100)]
    assert load("cifar100_coarse", per_class=5).train_y.bincount().tolist() == [5] * 20


def test_every_fifth_class_is_renumbered(files):
    data = load("cifar100_20")
    assert data.name == "cifar100_20" and data.classes == tuple(f"class {i}" for i in range(0, 100, 5)) and len(data.test_x) == 40
    assert torch.equal(data.train_x[:, 0, 0, 0].long(), 5 * data.train_y)
    assert load("cifar100").train_y.max() == 99 and load("cifar100").name == "cifar100"


def test_sizes_are_known_and_files_are_shared(files):
    assert SIZES["cifar100_coarse"].classes == SIZES["cifar100_20"].classes == 20
    assert size("cifar100_20", per_class=250).train == size("cifar100_coarse", per_class=250).train == 5000
    assert datasets.where("cifar100_20") == datasets.where("cifar100_coarse") == datasets.where("cifar100")
