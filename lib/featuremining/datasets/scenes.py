"""Images with boxes, for detection: in memory where they are small and alike (`parts`), in their files where not (`voc`)."""

import os
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import FMError
from ..recipes import Recipe
from . import parts
from .decode import decoded, read, workers
from .loader import Epochs
from .mean_precision import Objects

Images = Tensor | list[str]         # (N, H, W, 3) uint8, or the names of N files


class Scenes(NamedTuple):
    """Two splits of images with the objects of every image; ``mean`` and ``std`` per channel, of images in [0, 1]."""

    name: str
    train_x: Images
    train_y: list[Objects]
    test_x: Images
    test_y: list[Objects]
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def digest(self) -> str:
        """sha256 over images and objects, training before test; of images in files over their names and sizes in bytes."""
        h = sha256()
        for images, objects in ((self.train_x, self.train_y), (self.test_x, self.test_y)):
            if isinstance(images, Tensor):
                h.update(memoryview(images.contiguous().numpy()).cast("B"))
            else:
                h.update(b"".join(b"%s %d\n" % (os.path.basename(x).encode(), os.path.getsize(x)) for x in images))
            for image_objects in objects:
                h.update(b"".join(np.ascontiguousarray(array).tobytes() for array in image_objects))
        return h.hexdigest()


def parts_scenes(train: int = 1800, test: int = 450) -> Scenes:
    """The images of `parts.load` with the true boxes of their class parts. Distractors carry no box: they are background."""
    drawn = [parts.draw(n, seed) for seed, n in enumerate((train, test))]
    images = [torch.from_numpy(d.images) for d in drawn]
    objects = [[Objects(box[None].astype(np.float32), label[None], np.zeros(1, bool))
                for box, label in zip(d.boxes, d.labels, strict=True)] for d in drawn]
    return Scenes("parts", images[0], objects[0], images[1], objects[1], parts.CLASSES, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def pictures(images: Images, batches: Sequence[Sequence[int]]) -> Iterator[list[Tensor]]:
    """The images of these batches as lists of uint8 (3, H, W); files are decoded by other processes. `FMError` names a file
    that is missing or damaged."""
    if isinstance(images, Tensor):
        yield from ([images[i].permute(2, 0, 1) for i in batch] for batch in batches)
    else:
        asks = [[images[i] for i in batch] for batch in batches]
        yield from decoded(Files(), asks, workers(sum(map(len, asks))))


class Files(Dataset):
    """What the decoding processes hold. A whole batch is one item; an error is handed over, and `decode.decoded` raises it."""

    def __getitem__(self, names: list[str]) -> list[Tensor] | FMError:
        try:
            return [torch.from_numpy(np.array(read(name))).permute(2, 0, 1) for name in names]
        except FMError as error:
            return error


class Scene(NamedTuple):
    """One training image as the network sees it: (3, H, W) in [0, 1], boxes (n, 4) in px, labels (n,)."""

    image: Tensor
    boxes: Tensor
    labels: Tensor


def scene(pixels: Tensor, objects: Objects, mirror: bool, difficult: bool) -> Scene:
    """uint8 (3, H, W) and its objects, left and right exchanged if ``mirror``; the difficult ones only if ``difficult``."""
    learned = ~objects.difficult | difficult
    boxes, labels = torch.from_numpy(objects.boxes[learned]), torch.from_numpy(objects.labels[learned])
    image = pixels.float() / 255
    if mirror:
        x0, y0, x1, y1 = boxes.unbind(1)
        image, boxes = image.flip(-1), torch.stack([image.shape[-1] - x1, y0, image.shape[-1] - x0, y1], 1)
    return Scene(image, boxes, labels)


class SceneLoader(Epochs):
    """Training batches: whole images, half of them mirrored where the recipe flips. Resumable at any epoch: order and
    mirroring follow from (seed, epoch) alone."""

    def __init__(self, scenes: Scenes, device, seed: int, recipe: Recipe, difficult: bool = False):
        super().__init__(len(scenes.train_y), recipe.batch, seed, recipe.steps)
        self.scenes, self.device, self.recipe, self.difficult = scenes, device, recipe, difficult

    def batches(self) -> Iterator[list[Scene]]:
        """The current epoch's, on the device."""
        generator = torch.Generator().manual_seed(self.epoch_seed)
        n = self.count
        order, mirrors = torch.randperm(n, generator=generator), (torch.rand(n, generator=generator) < 0.5) & self.recipe.flip
        picks = [pick.tolist() for pick in order.split(self.recipe.batch)][:self.recipe.steps]
        mirror = iter(mirrors.tolist())
        for pick, images in zip(picks, pictures(self.scenes.train_x, picks), strict=True):
            yield [Scene(*(t.to(self.device) for t in scene(x, self.scenes.train_y[i], next(mirror), self.difficult)))
                   for i, x in zip(pick, images, strict=True)]
        self.epoch += 1
