"""CIFAR-100 (Krizhevsky, 2009): 50,000 training and 10,000 test images of 32 x 32 pixels in 100 classes, through torchvision,
which checks the official md5 of every file.

``cifar100_coarse`` has the labels of its 20 superclasses, ``cifar100_20`` every fifth of its classes.
"""

import pickle
from pathlib import Path

from .. import paths
from ..errors import FMError
from . import fetch

FOLDER = "cifar-100-python"
TERMS = "not stated; the publisher asks to cite the report that describes it"
GET = ("run `fm data cifar100` (169 MB), or download cifar-100-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html "
       "and unpack it so that {root}/cifar-100-python/train exists, or point FM_DATA_DIR at a folder that holds it")


def where(**_options) -> tuple[bool, str]:
    return fetch.place(FOLDER, "train", GET, _check)


def _check(folder: Path) -> None:
    """An `FMError` for half a download."""
    for part in ("train", "test", "meta"):
        if not (folder / part).is_file() or not (folder / part).stat().st_size:
            raise FMError(f"not whole in {folder}, where {part} is {'empty' if (folder / part).exists() else 'missing'}: move it "
                          f"away; then {GET.format(root=folder.parent)}")


def get() -> None:
    """Download and unpack it under `paths.raw`."""
    _download(paths.raw())


def load(coarse: bool = False, classes: int = 100):
    """In memory, downloaded first where it is missing. ``classes``: so many of the 100, evenly spaced."""
    import torch
    from torchvision.datasets import CIFAR100

    from . import DataSet

    root = paths.raw()
    if not (root / FOLDER).exists():
        _download(root)
    try:
        train, test = CIFAR100(root, train=True), CIFAR100(root, train=False)
    except Exception as error:          # torchvision: RuntimeError for a bad md5, pickle and OS errors for damaged files
        raise FMError(f"CIFAR-100 in {root / FOLDER} is incomplete or damaged ({type(error).__name__}): delete that folder and "
                      f"{GET.format(root=root)}.") from None
    arrays = [torch.from_numpy(d.data).contiguous() for d in (train, test)]
    labels = [torch.tensor(d.targets) for d in (train, test)]
    names, name = tuple(train.classes), "cifar100"
    if coarse:
        labels = [torch.tensor(_file(root, part)["coarse_labels"]) for part in ("train", "test")]
        names, name = tuple(_file(root, "meta")["coarse_label_names"]), "cifar100_coarse"
    if classes < 100:
        step = 100 // classes
        kept = [(y % step == 0) & (y < classes * step) for y in labels]
        arrays, labels = ([t[k] for t, k in zip(both, kept, strict=True)] for both in (arrays, labels))
        labels, names, name = [y // step for y in labels], names[:classes * step:step], f"cifar100_{classes}"
    return DataSet(name, arrays[0], labels[0], arrays[1], labels[1], names, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))


def superclasses() -> list[int]:
    """The superclass of each of the 100 classes."""
    labels = _file(paths.raw(), "test")
    of = dict(zip(labels["fine_labels"], labels["coarse_labels"], strict=True))
    return [of[fine] for fine in range(100)]


def _file(root, part: str) -> dict:
    """One of the files as published; torchvision has checked it and leaves the superclasses out."""
    return pickle.loads((root / FOLDER / part).read_bytes(), encoding="latin1")


def _download(root):
    from urllib.error import URLError

    from torchvision.datasets import CIFAR100

    print(f"CIFAR-100 is not in {root}; downloading it there (169 MB).")
    try:
        root.mkdir(parents=True, exist_ok=True)
        CIFAR100(root, download=True)
    except (URLError, OSError, RuntimeError) as error:
        raise FMError(f"CIFAR-100 is not in {root} and could not be downloaded ({error}): {GET.format(root=root)}.") from None
