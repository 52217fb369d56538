"""Batches out of memory. Order and augmentation of an epoch follow from (seed, epoch) alone, so the state is two numbers
and equal seeds see equal batches whatever the method, the device or an interruption."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from . import augment

Sampler = Callable[[torch.Generator], list[Tensor]]     # one epoch's batches as index tensors


class Shown(NamedTuple):
    """The images of one batch before they are made, on the device: which ones, and what is seen of each."""

    index: Tensor       # (B,) int64, among the training images
    crops: Tensor       # (B, 3) int64, rows of top, left, mirror; of photos (B, H, W, 3) uint8, the pixels


class Epochs:
    """Where a training stands in its data: the epoch and the batch in it that comes next. Loaders say what a batch is."""

    def __init__(self, images: int, batch: int, seed: int, steps: int | None = None):
        self.count, self.batch, self.seed, self.steps = images, batch, seed, steps
        self.epoch, self.position = 0, 0

    def __len__(self) -> int:
        """Batches of an epoch that shows every image once, the last, smaller one included; ``steps`` at most."""
        whole = -(-self.count // self.batch)
        return min(whole, self.steps or whole)

    @property
    def smallest(self) -> int:
        """Images of the smallest batch, the last of an epoch."""
        return self.batch if self.count >= len(self) * self.batch else self.count % self.batch

    def state_dict(self) -> dict:
        return {"seed": self.seed, "epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict) -> None:
        self.seed, self.epoch, self.position = state["seed"], state["epoch"], state["position"]

    @property
    def epoch_seed(self) -> int:
        """What the present epoch's random numbers follow from."""
        return self.seed * 1_000_003 + self.epoch

    def given(self, i: int, batches: int) -> None:
        """Batch i of an epoch's ``batches`` was given."""
        self.epoch, self.position = (self.epoch, i + 1) if i + 1 < batches else (self.epoch + 1, 0)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The rest of the current epoch as batches."""
        return map(self.images, self.batches())


class Loader(Epochs):
    """Augmented, normalised training batches (x (B, 3, H, W), one-hot y (B, K)), resumable at any batch."""

    def __init__(self, images: Tensor, labels: Tensor, classes: int, mean, std, *, batch: int, seed: int, pad: int = 4,
                 flip: bool = True, device="cpu", sampler: Sampler | None = None,
                 steps: int | None = None, share: tuple[int, int] = (0, 1)):
        super().__init__(len(labels), batch, seed, steps)
        self.store, self.labels = augment.padded(images.to(device), pad), labels.to(device)
        self.one_hot = torch.eye(classes, device=device)
        self.size, self.pad, self.flip, self.share = images.shape[1:3], pad, flip, share
        self.mean, self.std = (torch.tensor(v, device=device) for v in (mean, std))
        self.sampler = sampler or (lambda g: list(torch.randperm(len(labels), generator=g).split(batch)))

    def batches(self) -> Iterator[Shown]:
        """The rest of the epoch, on the device from its start. The state is that of the batch after the last one given."""
        generator = torch.Generator().manual_seed(self.epoch_seed)
        batches = self.sampler(generator)[: self.steps]
        sizes = [len(batch) for batch in batches]
        drawn = augment.draw(sum(sizes), self.pad, self.flip, generator)
        index, crops = (t.to(self.store.device).split(sizes) for t in (torch.cat(batches), torch.stack(drawn, dim=1)))
        rank, world = self.share
        for i in range(self.position, len(sizes)):
            self.given(i, len(sizes))
            yield Shown(index[i][rank::world], crops[i][rank::world])

    def images(self, batch: Shown) -> tuple[Tensor, Tensor]:
        """The (x, y) that one of `batches` describes; static shapes, nothing leaves the device."""
        top, left, mirror = batch.crops.unbind(1)
        drawn = augment.Draw(top, left, mirror.bool())
        x = augment.normalise(augment.crop_flip(self.store, batch.index, drawn, *self.size), self.mean, self.std)
        return x, self.one_hot[self.labels[batch.index]]


def evaluation_batches(images: Tensor, labels: Tensor, mean, std, device="cpu", batch: int | None = None):
    """Normalised test images and integer labels, in order, without augmentation."""
    batch = batch or (1000 if torch.device(device).type == "cuda" else 250)     # a GPU waits for launches, a CPU for its cache
    mean, std = (torch.tensor(v, device=device) for v in (mean, std))
    for x, y in zip(images.split(batch), labels.split(batch), strict=True):
        yield augment.normalise(x.to(device), mean, std), y.to(device)
