"""PASCAL VOC (Everingham et al., IJCV 88, 2010), detection of 20 classes: VOC 2007 and 2012 trainval together are the training
images (16,551), VOC 2007 test the test images (4,952), in the folders of `torchvision.datasets.VOCDetection`.

Pixels count from 1 and boxes include their last pixel there; here a box is x0 = xmin - 1, y0 = ymin - 1, x1 = xmax, y1 = ymax.
"""

import tempfile
from pathlib import Path
from typing import Annotated, Literal
from xml.etree import ElementTree

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from .. import files, paths
from ..errors import FMError, said
from ..files import finite, first_fault
from . import fetch

FOLDER = "VOCdevkit"
TERMS = "the photographs are from Flickr, whose terms of use the publisher asks to respect"
TRAIN, TEST = {("2007", "trainval"): 5011, ("2012", "trainval"): 11540}, {("2007", "test"): 4952}      # images
ARCHIVES = {("2007", "trainval"): ("2007", 460_032_000), ("2007", "test"): ("2007-test", 451_020_800),  # name, bytes
            ("2012", "trainval"): ("2012", 1_999_639_040)}
CLASSES = ("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog", "horse",
           "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor")
SIDES = ("xmin", "ymin", "xmax", "ymax")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)    # ImageNet's, which the backbone was pre-trained with
GET = ("run `fm data voc` (2.9 GB), or unpack VOCtrainval_06-Nov-2007.tar, "
       "VOCtest_06-Nov-2007.tar and VOCtrainval_11-May-2012.tar of http://host.robots.ox.ac.uk/pascal/VOC into {root}, or point "
       "FM_DATA_DIR at a folder that holds VOCdevkit/VOC2007 and VOCdevkit/VOC2012")


@finite
class _Box(TypedDict):
    xmin: float
    ymin: float
    xmax: float
    ymax: float


class _Size(TypedDict):
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]


class _Object(TypedDict):
    name: Literal[CLASSES]
    bndbox: _Box
    difficult: Literal["0", "1"]


class _Scene(TypedDict):
    """What is read of an annotation."""

    size: _Size
    object: list[_Object]


_SCENE = TypeAdapter(_Scene)


def where() -> tuple[bool, str]:
    root = paths.raw()
    folder = root / FOLDER
    if (folder / FOLDER).is_dir():
        return False, f"one folder too deep in {folder / FOLDER}: move what is in it to {folder}"
    if not all(_split(root, year, split).is_file() for year, split in (TRAIN | TEST)):
        return False, f"not in {root}: {GET.format(root=root)}"
    try:
        for year, split in TRAIN | TEST:
            if not (listed := _split(root, year, split)).stat().st_size:
                raise FMError(f"not whole in {folder}, where {listed} is empty: move it away and unpack it again")
            fetch.check_picture(folder / f"VOC{year}" / "JPEGImages")
    except FMError as error:
        return False, str(error)
    return True, str(folder)


def get() -> Path:
    """Download the three archives and unpack them into one `VOCdevkit` under `paths.raw`. The archives stay beside it."""
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    from .fetch import download, extract

    root = paths.raw()
    for (year, split), (name, size) in ARCHIVES.items():
        if _split(root, year, split).is_file():
            continue
        source = DATASET_YEAR_DICT[name]
        archive = download(source["url"], root / source["filename"], source["md5"], size)
        with tempfile.TemporaryDirectory(prefix=".voc.", dir=root) as scratch:
            extract(archive, Path(scratch))
            _merge(Path(scratch), root)
    return root / FOLDER


def _merge(source: Path, root: Path) -> None:
    """Move files into the same folders under ``root``. Lists come last: a split whose list is there is whole."""
    files = [path for path in source.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda path: ("ImageSets" in path.parts, path)):
        target = root / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)


def load():
    """`Scenes` of both years. `FMError` names the list, annotation or image that is missing, or the annotation that is wrong."""
    from .scenes import Scenes

    root = paths.raw()
    if not (root / FOLDER).is_dir():
        raise FMError(f"PASCAL VOC: {where()[1]}.")
    (train_x, train_y), (test_x, test_y) = ([*zip(*(row for (year, split), n in splits.items()
                                                    for row in _rows(root, year, split, n)), strict=True)]
                                            for splits in (TRAIN, TEST))
    return Scenes("voc", list(train_x), list(train_y), list(test_x), list(test_y), CLASSES, MEAN, STD)


def first_tests(n: int) -> tuple[list, list]:
    """The first n test images, uint8 (H, W, 3), and their `Objects`."""
    import numpy as np

    from .decode import read

    rows = _rows(paths.raw(), "2007", "test", TEST["2007", "test"])[:n]
    return [np.array(read(name)) for name, _ in rows], [objects for _, objects in rows]


def _split(root: Path, year: str, split: str) -> Path:
    return root / FOLDER / f"VOC{year}" / "ImageSets" / "Main" / f"{split}.txt"


def _rows(root: Path, year: str, split: str, published: int) -> list[tuple]:
    """(file, `Objects`) of every image of a split."""
    listed, folder = _split(root, year, split), root / FOLDER / f"VOC{year}"
    if not listed.is_file():
        raise FMError(f"{listed} is missing: {GET.format(root=root)}.")
    names = fetch.text_of(listed).split()
    if len(names) != published:
        raise FMError(f"{listed} lists {len(names)} images instead of {published}: unpack that part of PASCAL VOC again.")
    rows = []
    for name in names:
        image, annotation = folder / "JPEGImages" / f"{name}.jpg", folder / "Annotations" / f"{name}.xml"
        for path in (image, annotation):
            if not path.is_file():
                raise FMError(f"{path} is missing, though {split}.txt lists it: unpack that part of PASCAL VOC again.")
        rows.append((str(image), objects(annotation)))
    return rows


def objects(annotation: Path):
    """The `Objects` of one annotation; parts of persons (heads, hands, feet) are not among them. A box may reach past the border
    of its image, but its centre lies inside, and it is not larger."""
    import numpy as np

    from .mean_precision import Objects

    try:
        root = ElementTree.fromstring(files.read(annotation))
        found = _SCENE.validate_python({"size": _texts(root.find("size")), "object": [
            {"name": (node.findtext("name") or "").strip(), "bndbox": _texts(node.find("bndbox")),
             "difficult": node.findtext("difficult", "0").strip()} for node in root.findall("object")]})
        for one in found["object"]:
            _check_box(one["bndbox"], found["size"])
    except (ElementTree.ParseError, ValueError, LookupError, OSError) as error:       # LookupError: an unknown encoding
        raise FMError(f"{annotation} can't be read as an annotation ({_said(error)}): unpack PASCAL VOC again.") from None
    boxes = np.array([[one["bndbox"][side] for side in SIDES] for one in found["object"]], np.float32).reshape(-1, 4)
    return Objects((boxes - np.float32([1, 1, 0, 0])).clip(0), np.array([CLASSES.index(one["name"]) for one in found["object"]],
                                                                       np.int64),
                   np.array([one["difficult"] == "1" for one in found["object"]], bool))


def _texts(node: ElementTree.Element | None) -> dict[str, str]:
    """What stands below a node, by name; of a node that is missing nothing."""
    return {below.tag: (below.text or "").strip() for below in node} if node is not None else {}


def _check_box(box: dict[str, float], size: dict[str, int]) -> None:
    """A `ValueError` for a box that is none, or of no pixel of its image."""
    for low, high, pixels in (("xmin", "xmax", size["width"]), ("ymin", "ymax", size["height"])):
        if not (box[low] <= box[high] and 0.5 <= (box[low] + box[high]) / 2 <= pixels + 0.5 and box[high] - box[low] < pixels):
            raise ValueError(f"{low} {box[low]:g} and {high} {box[high]:g} are no box in {pixels} pixels")


def _said(error: Exception) -> str:
    """Of a validation, the first field and what is wrong with it."""
    return first_fault(error) if isinstance(error, ValidationError) else said(error)
