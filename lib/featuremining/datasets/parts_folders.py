"""The embedded parts as image files in the official layouts, for the smoke tier: all that reads Tiny ImageNet, ImageNet and
CUB-200-2011 runs without a download. Each set is drawn once, upscaled, under `paths.build`."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from .. import paths
from . import parts

FORMAT = 1                              # of the folders: a new number draws them anew
TRAIN, TEST = 180, 90
WNIDS = tuple(f"n{k:08d}" for k in range(len(parts.CLASSES)))
QUALITY = 95                            # of the JPEG files


def tiny_imagenet() -> Path:
    """As ``tiny-imagenet-200``, at 64 x 64 pixels. One training image is grey, as 2 % of the real ones are."""
    return _drawn_once("tiny-imagenet-200", _tiny_imagenet)


def imagenet() -> Path:
    """As ``imagenet`` with train and val, at 96 x 96 pixels."""
    return _drawn_once("imagenet", _imagenet)


def cub() -> Path:
    """As ``CUB_200_2011``, at 96 x 96 pixels, with the true boxes of the class parts."""
    return _drawn_once("CUB_200_2011", _cub)


def _drawn_once(name: str, write: Callable[[Path], None]) -> Path:
    """The folder, complete: written under a temporary name and renamed, unless another process was faster."""
    target = paths.build() / "generated" / str(FORMAT) / name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=target.parent) as scratch:
            write(Path(scratch, name))
            try:
                Path(scratch, name).rename(target)
            except OSError:
                if not target.exists():
                    raise
    return target


def _tiny_imagenet(root: Path) -> None:
    train, test = parts.draw(TRAIN, seed=0), parts.draw(TEST, seed=1)
    for i, (image, k) in enumerate(zip(train.images, train.labels, strict=True)):
        _save(root / f"train/{WNIDS[k]}/images/{WNIDS[k]}_{i}.JPEG", image, 2, grey=i == 0)
    for i, image in enumerate(test.images):
        _save(root / f"val/images/val_{i}.JPEG", image, 2)
    rows = [(f"val_{i}.JPEG", WNIDS[k], *2 * box) for i, (k, box) in enumerate(zip(test.labels, test.boxes, strict=True))]
    _table(root / "val/val_annotations.txt", rows, "\t")
    _table(root / "wnids.txt", [(wnid,) for wnid in WNIDS])
    _table(root / "words.txt", list(zip(WNIDS, parts.CLASSES, strict=True)), "\t")


def _imagenet(root: Path) -> None:
    for split, n, seed in (("train", TRAIN, 0), ("val", TEST, 1)):
        drawn = parts.draw(n, seed)
        for i, (image, k) in enumerate(zip(drawn.images, drawn.labels, strict=True)):
            _save(root / f"{split}/{WNIDS[k]}/{split}_{i}.JPEG", image, 3)


def _cub(root: Path) -> None:
    """Training images have the ids 1 to `TRAIN`, test images those that follow. Boxes are x y width height."""
    train, test = parts.draw(TRAIN, seed=0), parts.draw(TEST, seed=1)
    images, labels, boxes = (np.concatenate(pair) for pair in zip(train, test, strict=True))
    folders = [f"{k:03d}.{name.replace(', ', '_').replace(' ', '_')}" for k, name in enumerate(parts.CLASSES, 1)]
    names = [f"{folders[k]}/{i:04d}.jpg" for i, k in enumerate(labels, 1)]
    for name, image in zip(names, images, strict=True):
        _save(root / "images" / name, image, 3)
    sides = 3.0 * np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
    _table(root / "images.txt", list(enumerate(names, 1)))
    _table(root / "image_class_labels.txt", list(enumerate(labels + 1, 1)))
    _table(root / "train_test_split.txt", [(i, int(i <= TRAIN)) for i in range(1, len(names) + 1)])
    _table(root / "bounding_boxes.txt", [(i, *side) for i, side in enumerate(sides, 1)])
    _table(root / "classes.txt", list(enumerate(folders, 1)))


def _save(path: Path, image: np.ndarray, scale: int, grey: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(image.repeat(scale, 0).repeat(scale, 1))
    (picture.convert("L") if grey else picture).save(path, "JPEG", quality=QUALITY)


def _table(path: Path, rows: list[tuple], between: str = " ") -> None:
    path.write_text("".join(between.join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
