"""Data sets too large for memory: photos in files, decoded by other processes while the network trains.

What an image looks like in an epoch follows from (seed, epoch) and its place in that epoch alone: not from the number of
processes, an interruption or the device.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import FMError
from ..recipes import Recipe
from . import augment
from .decode import Views, decoded, path_of, workers
from .loader import Epochs, Shown

EXTENSIONS = (".jpeg", ".jpg", ".png")


class Photos(NamedTuple):
    """File names (N,) as bytes, relative to ``root``, and integer labels (N,) of two splits.

    Training shows RandomResizedCrop(``size``) and flips, testing Resize(``resize``) and CenterCrop(``size``), in pixels.
    """

    name: str
    train_x: np.ndarray
    train_y: Tensor
    test_x: np.ndarray
    test_y: Tensor
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    root: Path
    size: int = 224
    resize: int = 256
    true_y: Tensor | None = None

    def digest(self) -> str:
        """sha256 over split, name, size in bytes and label of every file. Pixels are left out: ImageNet's are 150 GB."""
        lines = [b"%s %s %d %d\n" % (split, x, os.path.getsize(path_of(self.root, x)), y)
                 for split, names, labels in ((b"train", self.train_x, self.train_y), (b"test", self.test_x, self.test_y))
                 for x, y in zip(names, labels.tolist(), strict=True)]
        return sha256(b"".join(sorted(lines))).hexdigest()

    def loader(self, device, seed: int, recipe: Recipe, sampler=None, share: tuple[int, int] = (0, 1)) -> "PhotoLoader":
        """Augmented training batches; process ``share[0]`` of ``share[1]`` sees its part of each."""
        return PhotoLoader(self, device, seed, recipe, sampler, share)

    def tests(self, device, share: tuple[int, int] = (0, 1)) -> Iterator[tuple[Tensor, Tensor]]:
        """Normalised test images (B, 3, H, W) and integer labels (B,), in order; of several processes each gets its part."""
        rank, world = share
        names, labels = self.test_x[rank::world], self.test_y[rank::world]
        batch = 128 if torch.device(device).type == "cuda" else 50
        mean, std = (torch.tensor(v, device=device) for v in (self.mean, self.std))
        views = Views(self.root, self.size, Resize=self.resize, CenterCrop=self.size)
        asks = ([(x, 0) for x in names[i:i + batch].tolist()] for i in range(0, len(names), batch))
        for pixels, y in zip(decoded(views, asks, workers(len(names), world)), labels.split(batch), strict=True):
            yield augment.normalise(_onto(device, pixels), mean, std), y.to(device)


class PhotoLoader(Epochs):
    """Augmented, normalised training batches (x (B, 3, H, W), one-hot y (B, K)), resumable at any batch; like `loader.Loader`.

    ``recipe.pad`` has no meaning here; process ``share[0]`` of ``share[1]`` sees every ``share[1]``-th row of each batch.
    """

    def __init__(self, photos: Photos, device, seed: int, recipe: Recipe, sampler=None, share: tuple[int, int] = (0, 1)):
        super().__init__(len(photos.train_y), recipe.batch, seed, recipe.steps)
        self.names, self.device, self.share = photos.train_x, torch.device(device), share
        self.labels, self.one_hot = photos.train_y.to(device), torch.eye(len(photos.classes), device=device)
        self.mean, self.std = (torch.tensor(v, device=device) for v in (photos.mean, photos.std))
        self.size = photos.size, photos.size
        flip = 0.5 if recipe.flip else 0.0
        self.views = Views(photos.root, photos.size, RandomResizedCrop=photos.size, RandomHorizontalFlip=flip)
        self.sampler = sampler or (lambda g: list(torch.randperm(len(self.names), generator=g).split(recipe.batch)))

    def batches(self) -> Iterator[Shown]:
        """The rest of the epoch, on the device. The state is that of the batch after the last one given."""
        rank, world = self.share
        generator, first = torch.Generator().manual_seed(self.epoch_seed), self.position
        whole = self.sampler(generator)[: self.steps]
        seeds = torch.randint(2**63 - 1, (sum(map(len, whole)),), generator=generator).split([len(index) for index in whole])
        picks = [index[rank::world] for index in whole]
        asks = (list(zip(self.names[pick.numpy()].tolist(), batch_seeds[rank::world].tolist(), strict=True))
                for pick, batch_seeds in zip(picks[first:], seeds[first:], strict=True))
        crops = decoded(self.views, asks, workers(sum(map(len, picks[first:])), world))
        for i, pixels in enumerate(crops, first):
            self.given(i, len(picks))
            yield Shown(_onto(self.device, picks[i]), _onto(self.device, pixels))

    def images(self, batch: Shown) -> tuple[Tensor, Tensor]:
        """The (x, y) that one of `batches` describes; static shapes, nothing leaves the device."""
        return augment.normalise(batch.crops, self.mean, self.std), self.one_hot[self.labels[batch.index]]


def pictures(folder: Path) -> list[str]:
    """Names of the image files that lie in a folder, sorted; empty if there is no such folder."""
    return sorted(entry.name for entry in _pictures(folder))


def first_picture(folder: Path) -> os.DirEntry | None:
    """An image file of the folder, whichever comes first; the others are not listed."""
    with closing(_pictures(folder)) as entries:
        return next(entries, None)


def _pictures(folder: Path) -> Iterator[os.DirEntry]:
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        yield from (e for e in entries if e.name.lower().endswith(EXTENSIONS) and not e.name.startswith("."))


def class_folders(root: Path, folders: Sequence[str]) -> tuple[np.ndarray, Tensor]:
    """Names (N,) relative to ``root`` and labels (N,) of the images in one folder per class; `FMError` where one has none."""
    files = [pictures(root / folder) for folder in folders]
    for folder, names in zip(folders, files, strict=True):
        if not names:
            raise FMError(f"{root / folder} holds no images, as every class must: unpack the data set again.")
    names = np.array([os.fsencode(f"{folder}/{name}") for folder, names in zip(folders, files, strict=True) for name in names])
    return names, torch.arange(len(folders)).repeat_interleave(torch.tensor([len(names) for names in files]))


def _onto(device, tensor: Tensor) -> Tensor:
    """To the device without waiting. Pinned here: DataLoader's own thread would disturb the capture of a CUDA graph."""
    return tensor.pin_memory().to(device, non_blocking=True) if torch.device(device).type == "cuda" else tensor.to(device)
