"""Data folders as people have them: what is no class is passed over, and a wrong layout is called what it is."""

import os

import pytest

from featuremining import FMError
from featuremining.datasets import cifar100, cub, fetch, get, imagenet, tiny_imagenet, voc, where

PICTURE = b"\xff\xd8some"
A, B = "n01440764", "n01443537"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An imagenet/ of two classes, one picture each."""
    monkeypatch.setenv("FM_DATA_DIR", str(tmp_path))
    for split in ("train", "val"):
        for wnid in (A, B):
            put(tmp_path / "imagenet" / split / wnid / "x.JPEG")
    return tmp_path / "imagenet"


def put(path, content=PICTURE):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("other", [".ipynb_checkpoints", "@eaDir", "__MACOSX", "lost+found", "n014407640", "N01440764"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_what_is_no_class_is_passed_over(folder, split, other):
    put(folder / split / other / "x.JPEG")
    assert imagenet._wnids(folder) == [A, B] and where("imagenet") == (True, str(folder))


def empty(folder, split):
    for path in (folder / split).rglob("*.JPEG"):
        path.rename(folder / f"{split}.{path.parent.name}.JPEG")
    for path in (folder / split).iterdir():
        path.rmdir()


@pytest.mark.parametrize(("names", "says"), [
    (["0/x.JPEG", "1/x.JPEG", "999/x.JPEG"], "numbers its classes"),
    (["ILSVRC2012_img_val/ILSVRC2012_val_00000001.JPEG"], r"one folder too deep.*mv .*ILSVRC2012_img_val/\*"),
    ([f"val/{A}/x.JPEG", f"val/{B}/x.JPEG"], r"one folder too deep.*mv .*val/val/\*"),
    (["ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000002.JPEG"], "without labels.*prepare_val_folder"),
    ([], "holds no folder that is named by a WordNet id"), (["goldfish/x.JPEG"], "named by a WordNet id")], ids=str)
def test_a_layout_is_named_with_what_mends_it(folder, names, says):
    empty(folder, "val")
    for name in names:
        put(folder / "val" / name)
    assert not where("imagenet")[0]
    for raised in (lambda: imagenet.load(), lambda: imagenet._wnids(folder)):
        with pytest.raises(FMError, match=says):
            raised()


@pytest.mark.parametrize("break_", [
    lambda folder: [path.unlink() for path in folder.rglob("*.JPEG")], lambda folder: put(folder / "val" / B / "x.JPEG", b"")],
    ids=["empty folders", "an empty file"])
def test_half_a_download_is_not_found(folder, break_):
    break_(folder)
    at_hand, text = where("imagenet")
    assert not at_hand and "not whole" in text


def test_whether_it_is_there_is_seen_without_listing_it(folder, monkeypatch):
    """Of each class one picture is looked at, not all 1,300."""
    for i in range(200):
        put(folder / "train" / A / f"{i}.JPEG")
    scan, seen = os.scandir, []

    class Counted:
        def __init__(self, path):
            self.entries = scan(path)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.entries.close()

        def __iter__(self):
            return self

        def __next__(self):
            entry = next(self.entries)
            seen.append(entry.path)
            return entry

    with monkeypatch.context() as patch:
        patch.setattr("featuremining.datasets.photos.os.scandir", Counted)
        assert where("imagenet")[0]
    assert len([path for path in seen if path.endswith("JPEG")]) == 4


@pytest.mark.parametrize(("module", "name", "mark"), [(cub, "cub", "images.txt"), (tiny_imagenet, "tiny_imagenet", "wnids.txt")])
def test_a_folder_that_is_there_but_not_whole_is_no_success(module, name, mark, tmp_path, monkeypatch):
    """Nested, or begun: the command fails and says what to move."""
    monkeypatch.setenv("FM_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(fetch, "download", lambda *_: pytest.fail("a download began"))
    put(tmp_path / module.FOLDER / "readme", b"x")
    with pytest.raises(FMError, match=f"{mark} is missing: move it away"):
        get(name)
    put(tmp_path / module.FOLDER / module.FOLDER / mark, b"x")
    with pytest.raises(FMError, match="one folder too deep"):
        get(name)
    assert "too deep" in where(name)[1]


def cifar(root, empty=(), without=()):
    for part in {"train", "test", "meta"} - {*without}:
        put(root / part, b"" if part in empty else b"x")


def voc_lists(root, empty=()):
    for year, split in voc.TRAIN | voc.TEST:
        put(voc._split(root, year, split), b"" if year in empty else b"000001")


@pytest.mark.parametrize(("name", "make", "says"), [
    *(("cifar100", lambda root, part=part: cifar(root / cifar100.FOLDER, empty=[part]), f"{part} is empty")
      for part in ("train", "test", "meta")),
    *(("cifar100_20", lambda root, part=part: cifar(root / cifar100.FOLDER, without=[part]), f"{part} is missing")
      for part in ("train", "test", "meta")),
    ("cifar100", lambda root: cifar(root / cifar100.FOLDER / cifar100.FOLDER), "one folder too deep"),
    ("voc", lambda root: voc_lists(root), "JPEGImages, which holds no pictures"),
    ("voc", lambda root: [voc_lists(root, empty=["2012"]),
                          *(put(root / f"VOCdevkit/VOC{year}/JPEGImages/1.jpg") for year in (2007, 2012))],
     "trainval.txt is empty"),
    ("voc", lambda root: voc_lists(root / "VOCdevkit"), "one folder too deep"),
    ("cub", lambda root: put(root / "CUB_200_2011/images.txt", b"1 a/b.jpg"), "classes.txt is missing"),
    ("imagenet", lambda root: [put(root / f"imagenet/train/{A}/x.JPEG"), put(root / "imagenet/val/ILSVRC2012_val_00000001.JPEG")],
     "prepare_val_folder")])
def test_what_lies_there_and_is_not_whole_is_named_by_the_list_and_by_the_command(name, make, says, tmp_path, monkeypatch):
    """Nothing is downloaded beside it, and neither says that it is found."""
    monkeypatch.setenv("FM_DATA_DIR", str(tmp_path))
    for module in (cifar100, voc, imagenet, cub):
        monkeypatch.setattr(module, "get", lambda: pytest.fail("a download began"))
    make(tmp_path)
    assert says in where(name)[1] and not where(name)[0]
    with pytest.raises(FMError, match=says) as raised:
        get(name)
    assert str(raised.value).startswith(f"{name}: ") and "\n" not in str(raised.value) and ".." not in str(raised.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_text_of_another_encoding_is_one_sentence(encoding, tmp_path, monkeypatch):
    monkeypatch.setenv("FM_DATA_DIR", str(tmp_path))
    put(tmp_path / "tiny-imagenet-200" / "wnids.txt", f"{A}\n{B}\n".encode(encoding))
    at_hand, text = where("tiny_imagenet")
    assert not at_hand and "UTF-8" in text
