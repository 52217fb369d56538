"""ImageNet-1K (Russakovsky et al., 2015, arXiv:1409.0575; ILSVRC 2012): 1,281,167 training and 50,000 validation photos of 1000
classes, in one folder per class. The validation photos are the test set here, as everywhere."""

import re
from pathlib import Path

from .. import paths
from ..errors import FMError
from . import fetch

FOLDER = "imagenet"
TERMS = "after registration, for non-commercial research and education only"
WNID = re.compile(r"n\d{8}")        # of a class's folder
SPLITS = {"train": 1_281_167, "val": 50_000}       # photos
GET = ("ask for it at https://image-net.org (free for research, after registration), put ILSVRC2012_img_train.tar, "
       "ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz into {folder}, let torchvision sort them by class into train/ "
       "and val/ (`python -c \"from torchvision.datasets import ImageNet as I; [I('{folder}', s) for s in ('train', 'val')]\"`), "
       "or point FM_DATA_DIR at a folder that holds imagenet/train and imagenet/val")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def where(size: int = 224, generated: bool = False) -> tuple[bool, str]:
    folder = paths.raw() / FOLDER
    if generated:
        return fetch.GENERATED
    if not all((folder / split).is_dir() for split in SPLITS):
        return False, f"not in {paths.raw()}: {GET.format(folder=folder)}"
    try:
        for wnid in _wnids(folder):
            for split in SPLITS:
                fetch.check_picture(folder / split / wnid)
    except FMError as error:
        return False, str(error).rstrip(".")
    return True, str(folder)


def get() -> None:
    """There is nothing that a program may download: `FMError` says how to come by it."""
    raise FMError(f"ImageNet's licence asks everybody to register: {GET.format(folder=paths.raw() / FOLDER)}.")


def load(size: int = 224, generated: bool = False):
    """`Photos` in the order of the classes' WordNet ids: RandomResizedCrop(``size``) and flips, tested at the centre of
    photos scaled to 8/7 of it."""
    from . import parts_folders
    from .photos import Photos, class_folders

    at_hand, text = where(size, generated)
    if not at_hand:
        raise FMError(f"ImageNet: {text}.")
    folder = parts_folders.imagenet() if generated else paths.raw() / FOLDER
    wnids = _wnids(folder)
    words = parts_folders.parts.CLASSES if generated else _words(folder, wnids)
    (train_x, train_y), (test_x, test_y) = (class_folders(folder, [f"{split}/{wnid}" for wnid in wnids]) for split in SPLITS)
    for (split, published), n in zip(SPLITS.items(), (len(train_x), len(test_x)), strict=True):
        if n != published and not generated:
            raise FMError(f"{folder / split} holds {n} photos instead of {published}: unpack that part of ImageNet again.")
    return Photos("parts_imagenet" if generated else "imagenet", train_x, train_y, test_x, test_y, words, MEAN, STD, folder,
                  size, round(size * 256 / 224))


def _wnids(folder: Path) -> list[str]:
    """The classes, sorted; the same in both splits. Whatever is named otherwise than by a WordNet id is no class: notebooks'
    checkpoints, what a file server or an archive leaves behind."""
    train, val = ({path.name for path in (folder / split).iterdir() if WNID.fullmatch(path.name) and path.is_dir()}
                  for split in SPLITS)
    for split, found in (("train", train), ("val", val)):
        if not found:
            raise FMError(_layout(folder, split))
    if train != val:
        odd = min(train ^ val)
        raise FMError(f"{folder / 'train'} and val must hold the same classes, but {odd} is only in "
                      f"{'train' if odd in train else 'val'}: unpack the other part of ImageNet again.")
    return sorted(train)


def _layout(folder: Path, split: str) -> str:
    """What lies in a split without one folder per class, and what mends it."""
    here = folder / split
    inner = next((path for path in sorted(here.iterdir()) if path.is_dir() and (
        any(path.glob("ILSVRC2012_*.JPEG")) or any(WNID.fullmatch(p.name) for p in path.iterdir()))), None)
    if inner is not None:
        return f"{here} holds everything one folder too deep, in {inner.name}/: mv {inner}/* {here}/"
    if any(here.glob("ILSVRC2012_*.JPEG")):
        return (f"{here} holds the photos without folders, so without labels: move each into the folder of its class "
                "(its WordNet id), as torchvision.datasets.ImageNet does; with ILSVRC2012_devkit_t12.tar.gz in that folder one "
                "command does it, `python -c \"from torchvision.datasets import imagenet as i; "
                f"i.parse_devkit_archive('{folder}'); i.prepare_val_folder('{here}', i.load_meta_file('{folder}')[1])\"`.")
    if any(path.name.isdecimal() for path in here.iterdir()):
        return (f"{here} numbers its classes, and numbers do not say which they are: rename each folder to its WordNet id "
                "(n01440764, ...), in the order that the copy's maker used.")
    return f"{here} holds no folder that is named by a WordNet id (n01440764, ...): unpack that part of ImageNet again."


def _words(folder: Path, wnids: list[str]) -> tuple[str, ...]:
    """What the classes are called. Only the official 1000 are ImageNet-1K."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    if set(wnids) != set(info.label_names()):
        raise FMError(f"{folder} holds {len(wnids)} classes that are not the 1000 of ILSVRC 2012: unpack ImageNet again.")
    return tuple(info.label_name_to_description(wnid) for wnid in wnids)
