"""The data sets, one a file, and what their images and boxes are made into: batches, subsets, wrong labels, overlaps. In comes a
name, out go images with labels as a training asks for them; what is learnt from them does not belong here.

``DATASETS`` maps a name to its module and options, so that names are known without torch.

Small images are held in memory as uint8 (`DataSet`), large ones stay in their files (`photos.Photos`); a training asks both
for the same: ``loader``, ``tests``, ``digest``, labels and class names.
"""

from collections.abc import Iterator
from hashlib import sha256
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from ..errors import FMError, UsageError, choose
from ..recipes import Recipe

if TYPE_CHECKING:
    from torch import Tensor

DATASETS = {
    "cifar100": ("cifar100", {}),
    "cifar100_coarse": ("cifar100", {"coarse": True}), "cifar100_20": ("cifar100", {"classes": 20}),
    "tiny_imagenet": ("tiny_imagenet", {}), "tiny_imagenet_50": ("tiny_imagenet", {"classes": 50}),
    "imagenet": ("imagenet", {}),
    "cub": ("cub", {}), "cub_50": ("cub", {"classes": 50}),
    "voc": ("voc", {}),                                              # of the task of detection
    "parts": ("parts", {}),
    "parts_tiny_imagenet": ("tiny_imagenet", {"generated": True}),      # parts in files laid out like these data sets
    "parts_imagenet": ("imagenet", {"generated": True}),
    "parts_cub": ("cub", {"generated": True}),
}


class Size(NamedTuple):
    """Classes, training and test images, pixels of a side as a network sees them."""

    classes: int
    train: int
    test: int
    pixels: int


SIZES = {                               # what a training costs depends on these, and is known without the data
    "cifar100": Size(100, 50_000, 10_000, 32),
    "cifar100_coarse": Size(20, 50_000, 10_000, 32), "cifar100_20": Size(20, 10_000, 2000, 32),
    "tiny_imagenet": Size(200, 100_000, 10_000, 64), "tiny_imagenet_50": Size(50, 25_000, 2500, 64),
    "imagenet": Size(1000, 1_281_167, 50_000, 224),
    "cub": Size(200, 5994, 5794, 224), "cub_50": Size(50, 1500, 1389, 224),
    "parts": Size(9, 1800, 450, 32),
    "parts_tiny_imagenet": Size(9, 180, 90, 64), "parts_imagenet": Size(9, 180, 90, 224), "parts_cub": Size(9, 180, 90, 224),
}
SUBSET = ("per_class", "subset_seed")
NOISE = ("noise", "rate", "include_true", "noise_seed")
Kind = Literal["symmetric", "pair", "pair_superclass"]      # of label noise: what a transition matrix describes
NOISES = (*get_args(Kind), "human")


class DataSet(NamedTuple):
    """Images (N, H, W, 3) uint8 and integer labels (N,); ``mean`` and ``std`` of the training images per channel, in [0, 1].
    ``true_y`` are the training labels before `corrupt` changed some of them."""

    name: str
    train_x: "Tensor"
    train_y: "Tensor"
    test_x: "Tensor"
    test_y: "Tensor"
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    true_y: "Tensor | None" = None

    def digest(self) -> str:
        """sha256 over images and labels, training before test."""
        h = sha256()
        for tensor in (self.train_x, self.train_y, self.test_x, self.test_y):
            h.update(memoryview(tensor.contiguous().numpy()).cast("B"))
        return h.hexdigest()

    def loader(self, device, seed: int, recipe: Recipe, sampler=None, share: tuple[int, int] = (0, 1)):
        """Augmented training batches; process ``share[0]`` of ``share[1]`` sees its part of each."""
        from .loader import Loader

        return Loader(self.train_x, self.train_y, len(self.classes), self.mean, self.std, device=device, batch=recipe.batch,
                      seed=seed, pad=recipe.pad, flip=recipe.flip, sampler=sampler, steps=recipe.steps, share=share)

    def tests(self, device, share: tuple[int, int] = (0, 1)) -> "Iterator[tuple[Tensor, Tensor]]":
        """Normalised test images and integer labels, in order; of several processes each gets its part."""
        from .loader import evaluation_batches

        rank, world = share
        return evaluation_batches(self.test_x[rank::world], self.test_y[rank::world], self.mean, self.std, device)


def size(name: str, **changes) -> Size:
    """Of the data set as `load` would give it, without reading it.

    >>> size("cifar100", per_class=50), size("parts", train=90).train, size("tiny_imagenet", size=32).pixels
    (Size(classes=100, train=5000, test=10000, pixels=32), 90, 32)
    """
    whole = SIZES[choose("data set of known size", name, SIZES)]
    train = whole.classes * changes["per_class"] if "per_class" in changes else changes.get("train", whole.train)
    return Size(whole.classes, train, changes.get("test", whole.test), changes.get("size", whole.pixels))


def load(name: str, **changes):
    """The data set ``name``; `FMError` says in one sentence how to get it when it is not there.

    ``changes``: ``per_class`` images of each class (`subset.per_class`), label ``noise`` at a ``rate`` (`corrupt.corrupted`),
    and what the data set's own ``load`` takes, such as ``size``.
    """
    module, options = DATASETS[choose("data set", name, DATASETS)]
    make = import_module(f".{module}", __name__).load
    settings = {k: v for k, v in changes.items() if k not in (*SUBSET, *NOISE)}
    for setting in settings:
        choose(f"setting of {name}", setting, sorted(signature(make).parameters.keys() - options | {*SUBSET, *NOISE}))
    data = make(**options, **settings)
    for first, belonging in (("per_class", SUBSET), ("noise", NOISE)):
        if first not in changes and (idle := changes.keys() & set(belonging)):
            raise UsageError(f"{', '.join(sorted(idle))} of {name} has no effect without {first}.")
    if "per_class" in changes:
        from .subset import per_class

        data = per_class(data, changes["per_class"], **{k: changes[k] for k in SUBSET[1:] if k in changes})
    if "noise" in changes:
        from .corrupt import corrupted

        data = corrupted(data, **{k: changes[k] for k in NOISE if k in changes})
    return data


def get(name: str) -> None:
    """Download a data set to where `load` looks for it, going on with what is there; `FMError` says what to do instead where
    its licence, the network or a checksum forbids."""
    module = import_module(f".{DATASETS[choose('data set', name, DATASETS)][0]}", __name__)
    at_hand, text = where(name)
    if not at_hand and text.startswith("not in "):      # else what lies there stands in the way
        if not hasattr(module, "get"):
            raise UsageError(f"{name} can't be fetched: it is {text}.")
        module.get()
        at_hand, text = where(name)
    if not at_hand:
        raise FMError(f"{name}: {text}.")


def where(name: str) -> tuple[bool, str]:
    """Whether a data set is at hand, and where it is or how to get it. Does not read the data."""
    module, options = DATASETS[choose("data set", name, DATASETS)]
    return import_module(f".{module}", __name__).where(**options)


def at_hand() -> "Iterator[tuple[str, bool, str]]":
    """`where` of every data set with its name; one that can't be looked at says why, and the others are listed all the same."""
    for name in DATASETS:
        try:
            yield name, *where(name)
        except (FMError, OSError) as error:
            yield name, False, f"can't be looked at: {error}"
