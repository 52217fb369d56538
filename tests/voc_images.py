"""PASCAL VOC as a small generated folder in its layout: parts on a canvas, boxes counted from 1 with their last pixel."""

from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from featuremining.datasets import parts, voc

COUNTS = {("2007", "trainval"): 3, ("2012", "trainval"): 2, ("2007", "test"): 4}
NAMES = ("dog", "person", "tvmonitor")


def draw(seed, n):
    """n canvases of many sizes, two parts images on each: pixels, and (class, difficult, x0, y0, x1, y1) half open."""
    rng, drawn = np.random.default_rng(seed), parts.draw(2 * n, seed)
    for i in range(n):
        canvas = np.full((40 + 8 * int(rng.integers(5)), 90 + 8 * int(rng.integers(5)), 3), 128, np.uint8)
        rows = []
        for j in (0, 1):
            left, top = 45 * j, int(rng.integers(0, 8))
            canvas[top:top + 32, left:left + 32] = drawn.images[2 * i + j]
            x0, y0, x1, y1 = drawn.boxes[2 * i + j] + [left, top, left, top]
            rows.append((NAMES[(i + j) % 3], int(j and i % 2), x0, y0, x1, y1))
        yield canvas, rows


def annotation(rows, height, width):
    root = ET.Element("annotation")
    size = ET.SubElement(root, "size")
    for tag, value in (("width", width), ("height", height), ("depth", 3)):
        ET.SubElement(size, tag).text = str(value)
    for name, difficult, x0, y0, x1, y1 in rows:
        one = ET.SubElement(root, "object")
        for tag, text in (("name", name), ("difficult", difficult)):
            ET.SubElement(one, tag).text = str(text)
        part = ET.SubElement(one, "part")                       # as persons have: its name and box are not an object's
        ET.SubElement(part, "name").text = "head"
        for parent, corners in ((one, (x0 + 1, y0 + 1, x1, y1)), (part, (1, 1, 2, 2))):
            box = ET.SubElement(parent, "bndbox")
            for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
                ET.SubElement(box, tag).text = str(value)
    return ET.tostring(root)


def write(root, year, split, n, seed):
    """One split; gives the true rows of each image."""
    folder = root / "VOCdevkit" / f"VOC{year}"
    for sub in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    names, truth = [f"{year}_{split}_{i}" for i in range(n)], []
    for name, (canvas, rows) in zip(names, draw(seed, n), strict=True):
        Image.fromarray(canvas).save(folder / "JPEGImages" / f"{name}.jpg", quality=95)
        (folder / "Annotations" / f"{name}.xml").write_bytes(annotation(rows, *canvas.shape[:2]))
        truth.append((canvas, rows))
    (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(names) + "\n")
    return truth


@pytest.fixture
def voc_counts(monkeypatch):
    monkeypatch.setattr(voc, "TRAIN", {key: n for key, n in COUNTS.items() if key[1] == "trainval"})
    monkeypatch.setattr(voc, "TEST", {key: n for key, n in COUNTS.items() if key[1] == "test"})


@pytest.fixture
def voc_folder(tmp_path, monkeypatch, voc_counts):
    monkeypatch.setenv("FM_DATA_DIR", str(tmp_path))
    truth = {key: write(tmp_path, *key, n, seed) for seed, (key, n) in enumerate(COUNTS.items())}
    return tmp_path, truth
