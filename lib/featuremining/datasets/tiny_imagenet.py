"""Tiny ImageNet (Stanford CS231n, 2015): 200 classes of ImageNet at 64 x 64 pixels, 500 training and 50 validation images of
each. The validation images are the test set here, as everywhere: the labels of the official test images were never published.

``tiny_imagenet_50`` is every fourth class of them, for a CPU; no number on it says anything about the 200.
"""

from hashlib import sha256
from pathlib import Path

from .. import paths
from ..errors import FMError, choose
from . import fetch

FOLDER = "tiny-imagenet-200"
TERMS = "not stated; the images are ImageNet's"
URL, MD5, BYTES = "http://cs231n.stanford.edu/tiny-imagenet-200.zip", "90528d7ca1a48142e341f4ef8d21d0de", 248_100_043
GET = ("run `fm data tiny_imagenet` (248 MB), or unpack "
       f"{URL} so that {{root}}/tiny-imagenet-200/wnids.txt exists, or point FM_DATA_DIR at a folder that holds it")
SIZE, TRAIN, TEST = 64, 500, 50         # pixels; images per class
MEAN, STD = (0.4802, 0.4481, 0.3975), (0.2302, 0.2265, 0.2262)
FIFTY = "c50120d9e41f20c60a6539d1094ea5aa036bd24b5433d433ebe9795755709c21"      # sha256 of every fourth id, with spaces between


def where(classes: int = 200, size: int = SIZE, generated: bool = False) -> tuple[bool, str]:
    choose("number of Tiny ImageNet's classes", classes, (200, 50))
    return fetch.place(FOLDER, "wnids.txt", GET, lambda folder: _check(folder, classes)) if not generated else fetch.GENERATED


def _check(folder: Path, classes: int) -> None:
    """An `FMError` for other classes than the official ones, or a first class without pictures."""
    first, *_ = _wnids(folder, classes)
    fetch.check_picture(folder / _images_of(folder, f"train/{first}"))


def get() -> Path:
    """Download and unpack it under `paths.raw`, unless it is there. The archive stays beside it."""
    return fetch.fetched(FOLDER, URL, MD5, BYTES)


def load(classes: int = 200, size: int = SIZE, generated: bool = False):
    """In memory: 500 training and 50 test images of each of 200 or 50 classes, in the order of their WordNet ids.

    Another ``size`` than 64 scales the images after decoding, bilinear with antialiasing. Grey images become RGB.
    """
    import torch

    from . import DataSet, parts_folders

    at_hand, text = where(classes, size, generated)
    if not at_hand:
        raise FMError(f"Tiny ImageNet: {text}.")
    folder = parts_folders.tiny_imagenet() if generated else paths.raw() / FOLDER
    wnids = _listed(folder) if generated else _wnids(folder, classes)
    (train, train_y), (test, test_y) = splits = [_training(folder, wnids), _validation(folder, wnids)]
    if not generated:
        for (_, labels), split, n in zip(splits, ("train", "val"), (TRAIN, TEST), strict=True):
            _check_counts(folder / split, torch.bincount(labels, minlength=len(wnids)), wnids, n)
    pixels = _decoded(folder, [*train, *test], size)
    name = "parts_tiny_imagenet" if generated else "tiny_imagenet_50" if classes == 50 else "tiny_imagenet"
    return DataSet(name, pixels[:len(train)], train_y, pixels[len(train):], test_y, _words(folder, wnids), MEAN, STD)


def _wnids(folder: Path, classes: int) -> list[str]:
    """The sorted WordNet ids of the classes that are asked for."""
    listed = _listed(folder)
    if classes == len(listed) == 200:
        return listed
    if classes == 200:
        raise FMError(f"a subset of {len(listed)} classes in {folder}, and only cells named T4s run on one: get all 200 for this")
    fourth = listed[::4] if len(listed) == 200 else listed
    if sha256(" ".join(fourth).encode()).hexdigest() != FIFTY:
        raise FMError(f"of other classes in {folder} than the official ones: wnids.txt must list all 200 or every fourth")
    return fourth


def _listed(folder: Path) -> list[str]:
    return sorted(fetch.text_of(folder / "wnids.txt").split())


def _words(folder: Path, wnids: list[str]) -> tuple[str, ...]:
    """What the classes are called, as far as words.txt says it."""
    path = folder / "words.txt"
    words = dict(row[:2] for row in _rows(path) if len(row) > 1) if path.is_file() else {}
    return tuple(words.get(wnid, wnid) for wnid in wnids)


def _rows(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in fetch.text_of(path).splitlines()]


def _training(folder: Path, wnids: list[str]):
    from .photos import class_folders

    return class_folders(folder, [_images_of(folder, f"train/{wnid}") for wnid in wnids])


def _images_of(folder: Path, name: str) -> str:
    """Some move a class's images out of its folder ``images``."""
    return f"{name}/images" if (folder / name / "images").is_dir() else name


def _validation(folder: Path, wnids: list[str]):
    """Names and labels in the order of the names, in the official layout (one folder and a table of labels) as in the common
    other one (a folder per class), which so give the same data set."""
    import numpy as np
    import torch

    from .photos import class_folders, pictures

    names = set(pictures(folder / "val/images"))
    if not names and any((folder / "val" / wnid).is_dir() for wnid in wnids):
        names, labels = class_folders(folder, [_images_of(folder, f"val/{wnid}") for wnid in wnids])
        order = sorted(range(len(names)), key=lambda i: names[i].rpartition(b"/")[2])
        return names[order], labels[order]
    if not names:
        raise FMError(f"{folder / 'val'} holds neither images/ nor a folder per class: unpack Tiny ImageNet again.")
    table = folder / "val/val_annotations.txt"
    if not table.is_file():
        raise FMError(f"{table} is missing, the labels of the validation images: unpack Tiny ImageNet again.")
    rows, listed = sorted(row[:2] for row in _rows(table) if any(row)), set(_listed(folder))
    if any(len(row) < 2 for row in rows):
        raise FMError(f"{table} is damaged, a line has no class: unpack Tiny ImageNet again.")
    for name, wnid in rows:
        if wnid not in listed:
            raise FMError(f"{table} says that {name} is of class {wnid}, which is not in wnids.txt: unpack Tiny ImageNet again.")
        if name not in names:
            raise FMError(f"{table} names {name}, which is not in {folder / 'val/images'}: unpack Tiny ImageNet again.")
    label = {wnid: k for k, wnid in enumerate(wnids)}
    rows = [(name, label[wnid]) for name, wnid in rows if wnid in label]
    return np.array([f"val/images/{name}".encode() for name, _ in rows]), torch.tensor([k for _, k in rows])


def _check_counts(folder: Path, counts, wnids: list[str], n: int) -> None:
    for wnid, count in zip(wnids, counts.tolist(), strict=True):
        if count != n:
            raise FMError(f"{folder} holds {count} images of class {wnid} instead of {n}: unpack Tiny ImageNet again.")


def _decoded(folder: Path, names: list[bytes], size: int):
    """uint8 (N, size, size, 3). Threads: Pillow lets others run while it decodes."""
    from multiprocessing.pool import ThreadPool

    import numpy as np
    import torch
    from PIL import Image

    from .decode import cores, path_of, read
    
    pixels = np.empty((len(names), size, size, 3), np.uint8)

    def decode(i: int) -> None:
        picture = read(path_of(folder, names[i]))
        if picture.size != (SIZE, SIZE):
            raise FMError(f"{path_of(folder, names[i])} is {picture.width} x {picture.height} pixels instead of 64 x 64: "
                          "unpack Tiny ImageNet again.")
        pixels[i] = picture if size == SIZE else picture.resize((size, size), Image.Resampling.BILINEAR)

    with ThreadPool(min(cores(), 16)) as pool, fetch.bar() as progress:
        todo = pool.imap_unordered(decode, range(len(names)), chunksize=64)
        for _ in progress.track(todo, total=len(names), description="Decoding Tiny ImageNet"):
            pass
    return torch.from_numpy(pixels)
