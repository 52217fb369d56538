"""Where boxes fall: against boxes that are drawn here by other code, and what follows from how they are drawn."""

import re
from html import unescape

import numpy as np
import pytest
import torch

from featuremining.measuring import boxes
from featuremining.showing.figures import boxes as drawn


def by_hand(rule, size, n=20000):
    """Percent of boxes over each place, in plain Python's arithmetic and NumPy's numbers."""
    rng, count = np.random.default_rng(1), np.zeros((size, size))
    for lam, ux, uy in rng.random((n, 3)):
        cut = int(size * (1 - lam) ** 0.5)
        spans = []
        for u in (uy, ux):
            at = int(u * size)
            if rule == "corner_clip":
                spans.append((at, min(at + cut, size)))
            elif rule == "inside":
                start = int(u * (size - cut + 1))
                spans.append((start, start + cut))
            else:
                end = at - cut // 2 + cut if rule == "exact_width" else at + cut // 2
                spans.append((max(at - cut // 2, 0), min(end, size)))
        (top, bottom), (left, right) = spans
        count[top:bottom, left:right] += 1
    return 100 * count / n


@pytest.mark.parametrize("rule", ["center_clip", "exact_width", "corner_clip", "inside"])
def test_places_are_held_as_often_as_in_boxes_drawn_otherwise(rule):
    assert np.abs(boxes.coverage(rule, 8).numpy() - by_hand(rule, 8)).max() < 2         # percent; both are of draws


def test_the_mean_over_places_is_the_mean_share_and_nothing_random_is_used_up():
    state = torch.get_rng_state()
    for name, share in boxes.shares(8).items():
        assert boxes.coverage(name, 8).mean().item() / 100 == pytest.approx(share["area"], abs=1e-3)
        assert (share["empty"] == 0 and share["whole"] == 0) == (name == "min_box")
    assert torch.equal(state, torch.get_rng_state())


def test_the_figure_has_the_numbers_of_each_place():
    shown = unescape(drawn.coverage(4))
    values = boxes.coverage("inside", 4)
    assert f"inside the map: {values.min():.0f} to {values.max():.0f} percent" in shown
    texts = re.findall(r"<text[^>]*>(\d+)</text>", shown)
    wanted = [f"{v:.0f}" for name in drawn.NAMES for v in boxes.coverage(name, 4).flatten().tolist()]
    assert wanted and sorted(texts) == sorted(2 * wanted)        # once more for narrow screens
