"""CUB-200-2011 (Wah et al., 2011): photos of 200 bird species with a box around each bird; the official split.

``cub_50`` is its first 50 classes, for a CPU; no number on it says anything about the 200.
"""

from collections.abc import Callable, Iterable
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from .. import paths
from ..errors import FMError, choose
from . import fetch

FOLDER = "CUB_200_2011"
TERMS = "not stated in the archive; the photographs were collected from Flickr"
URL = "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz"
MD5, BYTES = "97eceeb196236b17998738112f37df78", 1_150_585_339
GET = (f"run `fm data cub` (1.2 GB), or unpack {URL} so that "
       "{root}/CUB_200_2011/images.txt exists, or point FM_DATA_DIR at a folder that holds it")
PHOTOS = {200: (5994, 5794), 50: (1500, 1389)}      # classes -> training and test photos
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class _Table(NamedTuple):
    """The photos of the classes that are asked for, in the order of their ids."""

    folder: Path
    classes: tuple[str, ...]
    names: np.ndarray       # (N,) bytes, relative to the folder
    labels: np.ndarray      # (N,) int64
    train: np.ndarray       # (N,) bool
    boxes: np.ndarray       # (N, 4) x0, y0, x1, y1 in pixels


def where(classes: int = 200, size: int = 224, generated: bool = False) -> tuple[bool, str]:
    choose("number of CUB-200-2011's classes", classes, tuple(PHOTOS))
    return fetch.place(FOLDER, "images.txt", GET, lambda folder: _species(folder, classes)) if not generated else fetch.GENERATED


def get() -> Path:
    """Download and unpack it under `paths.raw`, unless it is there. The archive stays beside it."""
    return fetch.fetched(FOLDER, URL, MD5, BYTES)


def load(classes: int = 200, size: int = 224, generated: bool = False):
    """`Photos` of the first ``classes`` species: RandomResizedCrop(``size``) and flips, tested at the centre of photos scaled
    to 8/7 of it."""
    import torch

    from .photos import Photos

    table = _read(classes, generated)
    (train_x, train_y), (test_x, test_y) = ((table.names[split], torch.from_numpy(table.labels[split]))
                                            for split in (table.train, ~table.train))
    name = "parts_cub" if generated else "cub_50" if classes == 50 else "cub"
    return Photos(name, train_x, train_y, test_x, test_y, table.classes, MEAN, STD, table.folder, size, round(size * 256 / 224))


def test_boxes(classes: int = 200, generated: bool = False) -> np.ndarray:
    """float64 (N, 4): x0, y0, x1, y1 of the bird in the N test photos of `load`, in pixels of the photos as they lie on disk.
    As published: a few reach past the border."""
    table = _read(classes, generated)
    return table.boxes[~table.train]


def sizes(root: Path, names: Iterable[bytes]) -> np.ndarray:
    """int64 (N, 2): width and height in pixels of the photos ``names`` of a `Photos`, from the heads of the files."""
    def size_of(name: bytes) -> tuple[int, int]:
        with Image.open(root / name.decode()) as picture:
            return picture.size
    return np.array([size_of(name) for name in names], np.int64).reshape(-1, 2)


def in_view(boxes: np.ndarray, sizes: np.ndarray, resize: int, size: int) -> np.ndarray:
    """Boxes (N, 4) in pixels of photos of ``sizes`` (N, 2) as a test shows them, after Resize(resize) and CenterCrop(size):
    float64 (N, 4) in [0, size]. A box that the crop leaves out has no area."""
    short, long = sizes.min(1, keepdims=True), sizes.max(1, keepdims=True)
    scaled = np.where(sizes == short, resize, resize * long // short)        # torchvision rounds the longer side down
    offset = np.round((scaled - size) / 2)
    return (boxes * np.tile(scaled / sizes, 2) - np.tile(offset, 2)).clip(0, size)


def _read(classes: int, generated: bool) -> _Table:
    from . import parts_folders

    at_hand, text = where(classes, generated=generated)
    if not at_hand:
        raise FMError(f"CUB-200-2011: {text}.")
    folder = parts_folders.cub() if generated else paths.raw() / FOLDER
    species = _column(folder, "classes", _name) if generated else _species(folder, classes)
    columns = [_column(folder, name, of) for name, of in TABLES.items()]
    if any(column.keys() != columns[0].keys() for column in columns):
        raise FMError(f"The tables in {folder} do not speak of the same photos: unpack CUB-200-2011 again.")
    names, labels, train, boxes = columns
    ids = [i for i in sorted(names) if labels[i] in species]
    sides = np.array([boxes[i] for i in ids], np.float64).reshape(len(ids), 4)      # x, y, width, height
    for i in ids:
        if not (folder / "images" / names[i]).is_file():
            raise FMError(f"{folder / 'images' / names[i]} is missing: unpack CUB-200-2011 again.")
    table = _Table(folder, tuple(name.partition(".")[2].replace("_", " ") for _, name in sorted(species.items())),
                   np.array([f"images/{names[i]}".encode() for i in ids]), np.array([labels[i] - 1 for i in ids]),
                   np.array([train[i] == 1 for i in ids], bool), np.concatenate([sides[:, :2], sides[:, :2] + sides[:, 2:]], 1))
    counts = int(table.train.sum()), int((~table.train).sum())
    if not generated and counts != PHOTOS[classes]:
        raise FMError(f"{folder} holds {counts[0]} training and {counts[1]} test photos of {classes} classes instead of "
                      f"{PHOTOS[classes][0]} and {PHOTOS[classes][1]}: unpack CUB-200-2011 again.")
    return table


def _species(folder: Path, classes: int) -> dict[int, str]:
    """Class id, from 1, to name, of the first ``classes`` classes."""
    listed = _column(folder, "classes", _name)
    if len(listed) < classes:
        raise FMError(f"a subset of {len(listed)} classes in {folder}, and only cells named T6s run on one: get all "
                      f"{classes} for this")
    return {k: listed[k] for k in range(1, classes + 1)}


def _column(folder: Path, name: str, of: Callable[[str], Any]) -> dict[int, Any]:
    """One of the official tables: id -> what ``of`` makes of the rest of its line, or a `ValueError` of it."""
    path, column = folder / f"{name}.txt", {}
    for number, line in enumerate(fetch.text_of(path).splitlines(), 1):
        key, _, rest = line.partition(" ")
        try:
            if not key.isdecimal() or int(key) in column:
                raise ValueError(f"{key!r} is no id" if not key.isdecimal() else f"the id {key} is there twice")
            column[int(key)] = of(rest.strip())
        except ValueError as error:
            raise FMError(f"{path} is damaged, line {number} ({error}): unpack CUB-200-2011 again.") from None
    return column


def _name(text: str) -> str:
    """Of a file in the folder of the photos, or of a class."""
    if not text or "\0" in text or Path(text).is_absolute() or ".." in Path(text).parts:
        raise ValueError(f"{text!r} is no name")
    return text


def _whole(low: int, high: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"{text!r} is no number from {low} to {high}")
        return int(text)
    return number


def _box(text: str) -> list[float]:
    """x, y, width, height."""
    sides = [float(side) for side in text.split()]
    if len(sides) != 4 or not all(map(isfinite, sides)) or min(sides) < 0 or min(sides[2:]) == 0:
        raise ValueError(f"{text!r} is no box")
    return sides


TABLES = {"images": _name, "image_class_labels": _whole(1, 200), "train_test_split": _whole(0, 1), "bounding_boxes": _box}
