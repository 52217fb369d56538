"""PASCAL VOC from a small generated folder in its layout: parts on a canvas, boxes counted from 1 with their last pixel."""

import hashlib
import tarfile

import numpy as np
import pytest
import torch
from torchvision.datasets import VOCDetection
from voc_images import COUNTS, write

from featuremining import FMError, load
from featuremining.datasets import fetch, scenes, voc, where
from featuremining.recipes import Recipe


def test_both_years_and_their_boxes(voc_folder):
    root, truth = voc_folder
    data = load("voc")
    assert where("voc") == (True, str(root / "VOCdevkit")) and len(data.classes) == 20
    for images, found, keys in ((data.train_x, data.train_y, list(COUNTS)[:2]), (data.test_x, data.test_y, list(COUNTS)[2:])):
        expected = [rows for key in keys for _, rows in truth[key]]
        assert len(images) == len(found) == len(expected)
        for objects, rows in zip(found, expected, strict=True):
            assert [data.classes[k] for k in objects.labels] == [row[0] for row in rows]
            assert objects.difficult.tolist() == [bool(row[1]) for row in rows]
            assert objects.boxes.tolist() == [[float(v) for v in row[2:]] for row in rows]


def test_equals_torchvisions_reader(voc_folder):
    """Files in the same order, and numbers that differ from the annotation's by the one pixel."""
    root, _ = voc_folder
    data = load("voc")
    theirs = [VOCDetection(root, "2007", "trainval"), VOCDetection(root, "2012", "trainval")]
    assert data.train_x == [name for one in theirs for name in one.images]
    said = [target["annotation"]["object"] for one in theirs for _, target in one]
    for objects, boxes in zip(data.train_y, said, strict=True):
        corners = [[int(box["bndbox"][side]) for side in ("xmin", "ymin", "xmax", "ymax")] for box in boxes]
        assert (objects.boxes + np.array([1, 1, 0, 0])).tolist() == corners


def test_images_come_whole_and_in_order(voc_folder):
    _, truth = voc_folder
    data = load("voc")
    batches = list(scenes.pictures(data.test_x, [[2, 0], [3]]))
    assert [len(batch) for batch in batches] == [2, 1]
    for image, i in zip([x for batch in batches for x in batch], (2, 0, 3), strict=True):
        canvas = truth["2007", "test"][i][0]
        assert image.dtype == torch.uint8 and image.shape == (3, *canvas.shape[:2])
        assert (image.permute(1, 2, 0).float() - torch.from_numpy(canvas).float()).abs().mean() < 12      # JPEG


def test_difficult_objects_are_left_out_of_training_alone(voc_folder):
    data = load("voc")
    for learned in (False, True):
        loader = scenes.SceneLoader(data, "cpu", 0, Recipe(batch=2), learned)
        shown = sum(len(scene.labels) for batch in loader.batches() for scene in batch)
        assert shown == sum((~y.difficult | learned).sum() for y in data.train_y)


def test_the_digest_follows_files_and_boxes(voc_folder):
    root, _ = voc_folder
    first = load("voc").digest()
    assert load("voc").digest() == first
    path = root / "VOCdevkit/VOC2007/Annotations/2007_test_0.xml"
    path.write_text(path.read_text().replace("<difficult>0", "<difficult>1"))
    second = load("voc").digest()
    with open(root / "VOCdevkit/VOC2007/JPEGImages/2007_test_0.jpg", "ab") as file:
        file.write(b"x")
    assert len({first, second, load("voc").digest()}) == 3


def spoil(root, name):
    kit = root / "VOCdevkit"
    xml, jpg = kit / "VOC2012/Annotations/2012_trainval_1.xml", kit / "VOC2007/JPEGImages/2007_test_1.jpg"
    if name == "list":
        (kit / "VOC2007/ImageSets/Main/test.txt").unlink()
    elif name == "short list":
        (kit / "VOC2007/ImageSets/Main/test.txt").write_text("2007_test_0\n")
    elif name == "annotation":
        xml.unlink()
    elif name == "class":
        xml.write_text(xml.read_text().replace("<name>person", "<name>unicorn"))
    elif name == "image":
        jpg.unlink()


@pytest.mark.parametrize(("name", "says"), [
    ("list", r"test\.txt is missing: run"), ("short list", r"test\.txt lists 1 images instead of 4"),
    ("annotation", r"2012_trainval_1\.xml is missing, though trainval\.txt"),
    ("class", r"1\.xml can't be read as an annotation \(object\.\d\.name: .*unicorn"), ("image", r"2007_test_1\.jpg is missing")])
def test_what_is_wrong_is_named(voc_folder, name, says):
    spoil(voc_folder[0], name)
    with pytest.raises(FMError, match=says) as caught:
        load("voc")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_truncated_image_is_named(voc_folder, monkeypatch, workers):
    monkeypatch.setenv("FM_WORKERS", workers)
    data = load("voc")
    path = voc_folder[0] / "VOCdevkit/VOC2007/JPEGImages/2007_test_1.jpg"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(FMError, match=r"2007_test_1\.jpg can't be read as an image"):
        list(scenes.pictures(data.test_x, [[0], [1]]))


def test_not_there_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("FM_DATA_DIR", str(tmp_path))
    found, text = where("voc")
    assert not found and "VOCtrainval_11-May-2012.tar" in text
    with pytest.raises(FMError, match="PASCAL VOC: not in"):
        load("voc")


def test_the_published_split():
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    assert sum(voc.TRAIN.values()) == 16_551 and sum(voc.TEST.values()) == 4_952
    assert {name: DATASET_YEAR_DICT[name]["md5"] for name, _ in voc.ARCHIVES.values()} == {
        "2007": "c52e279531787c972589f7e41ab4ae64", "2007-test": "b6e924de25625d8de591ea690078ad9f",
        "2012": "6cd6e144f989b92b3379bac3b3de84fd"}
    assert voc.ARCHIVES.keys() == {**voc.TRAIN, **voc.TEST}.keys()


@pytest.fixture
def publisher(tmp_path, monkeypatch, voc_counts):
    """Three archives, as `fetch.download` would bring them; gives the list of what was asked for."""
    asked = []

    def download(url, target, md5, size):
        asked.append(url.rpartition("/")[2])
        (key,) = [key for key, (name, _) in voc.ARCHIVES.items()
                  if url.endswith({"2007": "06-Nov-2007.tar", "2007-test": "VOCtest_06-Nov-2007.tar", "2012": "2012.tar"}[name])
                  and ("test" in url) == (name == "2007-test")]
        source = tmp_path / "source" / target.name
        write(source, *key, COUNTS[key], list(COUNTS).index(key))
        with tarfile.open(target, "w") as archive:
            archive.add(source / "VOCdevkit", "VOCdevkit")
        return target

    monkeypatch.setattr(fetch, "download", download)
    root = tmp_path / "raw"
    root.mkdir()
    monkeypatch.setenv("FM_DATA_DIR", str(root))
    return root, asked


def contents(root):
    return {str(path.relative_to(root)): hashlib.md5(path.read_bytes()).hexdigest()
            for path in sorted(root.rglob("*")) if path.is_file() and path.suffix != ".tar"}


def test_three_archives_become_one_folder(publisher):
    root, asked = publisher
    assert voc.get() == root / "VOCdevkit"
    assert len(load("voc").train_x) == 5 and len(load("voc").test_x) == 4
    voc.get()
    assert len(asked) == 3 and not list(root.glob(".voc*"))


def test_an_interrupted_unpacking_is_made_good(publisher, monkeypatch):
    """A list appears last, so a split that is there is whole; the same command brings the rest."""
    root, _ = publisher
    replace, left = type(root).replace, [5]

    def dies(path, target):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(type(root), "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            voc.get()
    assert not where("voc")[0] and not list(root.glob("VOCdevkit/*/ImageSets/Main/*"))
    voc.get()
    whole = contents(root)
    assert len(whole) == 2 * sum(COUNTS.values()) + 3 and len(load("voc").train_x) == 5
