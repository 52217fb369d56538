"""Tiny ImageNet, ImageNet and CUB-200-2011 as folders: generated ones, every wrong layout, and the real ones where they lie."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as T

from featuremining import FMError, UsageError
from featuremining.datasets import cub, imagenet, parts, parts_folders, tiny_imagenet
from featuremining.datasets.parts_folders import TEST, TRAIN, WNIDS

SETS = {"tiny_imagenet": tiny_imagenet, "imagenet": imagenet, "cub": cub}


def load(name, **changes):
    return SETS[name].load(generated=True, **changes)


def official(name, folders, monkeypatch, tmp_path):
    """The generated set where the real one belongs, which it can't stand for."""
    monkeypatch.setenv("FM_DATA_DIR", str(tmp_path / "raw"))
    return shutil.copytree(folders(name), tmp_path / "raw" / SETS[name].FOLDER)


@pytest.mark.parametrize("name", SETS)
def test_generated_sets_are_parts_in_files(folders, name):
    data, train, test = load(name), parts.draw(TRAIN, 0), parts.draw(TEST, 1)
    root, size = folders(name), {"tiny_imagenet": 64}.get(name, 96)
    assert data.name == f"parts_{name}" and len(data.classes) == 9 and SETS[name].where(generated=True)[0]
    assert [len(x) for x in (data.train_x, data.train_y, data.test_x, data.test_y)] == [TRAIN, TRAIN, TEST, TEST]
    assert torch.bincount(data.train_y).tolist() == [20] * 9 and torch.bincount(data.test_y).tolist() == [10] * 9
    assert data.digest() == load(name).digest() and root.parent.parent.name == "generated"
    for x, y, own in ((data.train_x, data.train_y, train), (data.test_x, data.test_y, test)):
        for image, label in zip(x[::17], y[::17], strict=True):
            image = np.asarray(image if name == "tiny_imagenet" else Image.open(root / image.decode()))
            assert image.shape == (size, size, 3)
            scale = size // 32
            small = image.reshape(32, scale, 32, scale, 3).mean((1, 3))
            far = np.abs(small - own.images[own.labels == int(label)]).mean((1, 2, 3))
            nearest, other = np.partition(far, 1)[:2]
            assert (nearest < 16 and other > 30) or np.ptp(image, 2).max() == 0     # JPEG's error and strangers'; the grey one


def test_generated_sets_are_drawn_once_and_whole(folders, monkeypatch):
    first = folders("cub")
    before = (first / "images.txt").stat().st_mtime_ns
    assert folders("cub") == first and (first / "images.txt").stat().st_mtime_ns == before
    shutil.rmtree(first)

    def dies(root):
        (root / "images").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(parts_folders, "_cub", dies)
    with pytest.raises(KeyboardInterrupt):
        folders("cub")
    assert not first.exists() and {p.name for p in first.parent.iterdir()} == {"tiny-imagenet-200", "imagenet"}


def test_one_image_of_tiny_imagenet_is_grey(folders):
    modes = [Image.open(path).mode for path in folders("tiny_imagenet").glob("train/*/images/*")]
    assert modes.count("L") == 1 and modes.count("RGB") == TRAIN - 1
    x = load("tiny_imagenet").train_x
    assert ((x[..., 0] == x[..., 1]) & (x[..., 1] == x[..., 2])).all((1, 2)).sum() == 1


def test_images_are_scaled_after_decoding(folders):
    small, folder = load("tiny_imagenet", size=32), folders("tiny_imagenet")
    path = sorted((folder / "val/images").glob("*.JPEG"))[4]
    expected = T.resize(Image.open(path).convert("RGB"), [32, 32], T.InterpolationMode.BILINEAR, antialias=True)
    assert small.train_x.shape == (TRAIN, 32, 32, 3) and np.array_equal(small.test_x[4], np.asarray(expected))


def test_labels_of_the_validation_images_come_from_the_table(folders):
    data, folder = load("tiny_imagenet"), folders("tiny_imagenet")
    said = dict(line.split("\t")[:2] for line in (folder / "val/val_annotations.txt").read_text().splitlines())
    names = sorted(path.name for path in (folder / "val/images").iterdir())
    assert data.test_y.tolist() == [WNIDS.index(said[name]) for name in names]
    assert data.classes == parts.CLASSES
    (folder / "words.txt").unlink()
    assert load("tiny_imagenet").classes == WNIDS


@pytest.mark.parametrize("inner", ["", "images"])
def test_a_validation_folder_per_class_is_the_same_data_set(folders, inner):
    before, folder = load("tiny_imagenet").digest(), folders("tiny_imagenet")
    table = folder / "val/val_annotations.txt"
    for line in table.read_text().splitlines():
        name, wnid = line.split("\t")[:2]
        target = folder / "val" / wnid / inner / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (folder / "val/images" / name).rename(target)
    table.unlink()
    assert load("tiny_imagenet").digest() == before
    (folder / "val/images").rmdir()
    assert load("tiny_imagenet").digest() == before


@pytest.mark.parametrize("name", SETS)
def test_missing_data_say_how_to_get_them(tmp_path, monkeypatch, name):
    monkeypatch.setenv("FM_DATA_DIR", str(tmp_path))
    found, text = SETS[name].where()
    assert not found and text.startswith(f"not in {tmp_path}: ") and SETS[name].FOLDER in text
    with pytest.raises(FMError, match=r": not in .*FM_DATA_DIR"):
        SETS[name].load()


@pytest.mark.parametrize("name", SETS)
def test_an_incomplete_set_is_not_taken_for_the_whole(folders, monkeypatch, tmp_path, name):
    official(name, folders, monkeypatch, tmp_path)
    with pytest.raises(FMError, match={"imagenet": "9 classes that are not the 1000 of ILSVRC 2012"}.get(
            name, r": a subset of 9 classes in .*only cells named T\ds run on one")):
        SETS[name].load()


def test_the_number_of_images_is_checked(folders, monkeypatch, tmp_path):
    official("imagenet", folders, monkeypatch, tmp_path)
    monkeypatch.setattr(imagenet, "_words", lambda folder, wnids: tuple(wnids))
    with pytest.raises(FMError, match=r"train holds 180 photos instead of 1281167"):
        imagenet.load()
    official("tiny_imagenet", folders, monkeypatch, tmp_path)
    monkeypatch.setattr(tiny_imagenet, "_wnids", lambda folder, classes: list(WNIDS))
    with pytest.raises(FMError, match=r"train holds 20 images of class n00000000 instead of 500"):
        tiny_imagenet.load()
    official("cub", folders, monkeypatch, tmp_path)
    monkeypatch.setattr(cub, "_species", lambda folder, classes: {1: "001.a", 2: "002.b"})
    with pytest.raises(FMError, match=r"holds 40 training and 20 test photos of 50 classes instead of 1500 and 1389"):
        cub.load(classes=50)


def test_other_numbers_of_classes_are_refused(folders, monkeypatch, tmp_path):
    for name in ("tiny_imagenet", "cub"):
        official(name, folders, monkeypatch, tmp_path)
        with pytest.raises(UsageError, match=r"There is no number of .* classes 100\..* Known: 200, 50"):
            SETS[name].load(classes=100)
    with pytest.raises(FMError, match=r"of other classes in .* than the official ones"):
        tiny_imagenet.load(classes=50)


def test_generated_boxes_hold_the_class_parts(folders):
    """Boxes follow the test images through the tables, and the view of a test."""
    data = load("cub", size=84)
    boxes, found = cub.test_boxes(generated=True), cub.sizes(data.root, data.test_x)
    expected = parts.draw(TEST, 1).boxes
    assert np.array_equal(boxes, 3.0 * expected) and found.tolist() == [[96, 96]] * TEST and data.resize == 96
    assert np.array_equal(cub.in_view(boxes, found, data.resize, data.size), (3.0 * expected - 6).clip(0, 84))


def test_imagenet_scales_the_centre_with_the_size(folders):
    for size, resize in ((224, 256), (64, 73), (448, 512)):
        data = load("imagenet", size=size)
        assert (data.size, data.resize) == (size, resize)
    (x, _), *_ = data._replace(size=56, resize=64).tests("cpu")
    assert x.shape[2:] == (56, 56)


def real(module):
    found, text = module.where(classes=50)
    if not found:
        pytest.skip(f"{module.__name__.rpartition('.')[2]} is {text}")
    return module


def test_cub_is_what_its_publisher_says():
    data = real(cub).load(classes=50)
    boxes, found = cub.test_boxes(classes=50), cub.sizes(data.root, data.test_x)
    assert (len(data.train_x), len(data.test_x), len(boxes), len(data.classes)) == (1500, 1389, 1389, 50)
    assert data.classes[0] == "Black footed Albatross" and torch.bincount(data.train_y, minlength=50).min() > 0
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] > boxes[:, :2]).all()
    assert (boxes[:, 2:] > found + 1.5).any(1).mean() < 0.005                   # as published: a few reach out of their photo
    assert not set(data.train_x.tolist()) & set(data.test_x.tolist())
    shown = cub.in_view(boxes, found, data.resize, data.size)
    assert ((shown[:, 2:] - shown[:, :2]).prod(1) > 0).all()                    # the birds are in the middle


@pytest.mark.slow
def test_tiny_imagenet_is_what_its_publisher_says():
    data = real(tiny_imagenet).load(classes=50)
    assert data.train_x.shape == (25000, 64, 64, 3) and data.test_x.shape == (2500, 64, 64, 3)
    assert torch.bincount(data.train_y).tolist() == [500] * 50 and torch.bincount(data.test_y).tolist() == [50] * 50
    assert data.classes[0] == "goldfish, Carassius auratus" and data.name == "tiny_imagenet_50"
    grey = ((data.train_x[..., 0] == data.train_x[..., 1]) & (data.train_x[..., 1] == data.train_x[..., 2])).all(2).all(1)
    assert 0.01 < grey.double().mean() < 0.03                                   # nearly 2 %
    mean = data.train_x.view(-1, 3).to(torch.float64).mean(0) / 255
    torch.testing.assert_close(mean, torch.tensor(data.mean, dtype=torch.float64), rtol=0, atol=5e-3)       # of all 200 classes
