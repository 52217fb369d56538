"""Where the box of Feature Mining falls, under each reading of its equation (2), and how often it is empty."""

import torch
from torch import Tensor

from ..methods.segments import OneBox

READINGS = {                # settings of the method -> how pages call them
    "center_clip": ({}, "centre anywhere, even widths, cut at the border (CutMix’s code; the default here)"),
    "exact_width": ({"exact_width": True}, "the same, with widths that may be odd"),
    "corner_clip": ({"box": "corner_clip"}, "corner anywhere, cut at the border (the equation as printed)"),
    "inside": ({"box": "inside"}, "wholly inside the map"),
    "min_box": ({"min_box": 1}, "the default, but one place at least inside and one outside")}
PLAIN = {"box": "center_clip", "exact_width": False, "min_box": 0, "pool": "gap", "beta": (1.0, 1.0), "area": None,
         "share_box": False}


def kind_of(reading: str) -> OneBox:
    return OneBox(**PLAIN | READINGS[reading][0])


def masks(reading: str, size: int, n: int = 2**14) -> Tensor:
    """(n, size, size) booleans, true inside each of n boxes on a map of ``size`` x ``size`` places; the same ones each time."""
    kind = kind_of(reading)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind.mask(kind.draw(n, "cpu"), size, size).unflatten(1, (size, size))


def coverage(reading: str, size: int) -> Tensor:
    """(size, size): percent of boxes that hold a place."""
    return 100 * masks(reading, size).double().mean(0)


def shares(size: int) -> dict[str, dict[str, float]]:
    """Of each reading, how often a box on ``size`` x ``size`` places is empty or the whole map, and its mean share of the map."""
    found = {}
    for name in READINGS:
        empty, whole = kind_of(name).empty((1, size, size))
        found[name] = {"empty": round(empty, 4), "whole": round(whole, 4),
                       "area": round(masks(name, size).double().mean().item(), 3)}
    return found
