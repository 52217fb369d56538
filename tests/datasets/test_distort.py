"""Distorted images: the more severe the further from the original, drawn by the seed alone, refused where they are none."""

import pytest
import torch

from featuremining import UsageError
from featuremining.datasets import distort


def smooth(n=6):
    """Images of a few waves, as photographs are mostly smooth."""
    at = torch.linspace(0, 3, 32)
    phase = torch.arange(n * 3).view(n, 1, 1, 3) * 0.7
    waves = torch.sin(2 * at[:, None, None] + phase) + torch.sin(3 * at[:, None] + phase)
    return (255 * (waves / 5 + 0.5).clamp(0, 1)).to(torch.uint8)


@pytest.mark.parametrize("kind", distort.KINDS)
def test_severer_is_further_away(kind):
    images = smooth()
    away = [(distort.distorted(images, kind, s).float() - images.float()).abs().mean() for s in distort.SEVERITIES]
    assert away[0] > 0 and away[-1] > 1.2 * away[0] and away[2] > 0.9 * away[0]


@pytest.mark.parametrize("kind", distort.KINDS)
def test_form_and_draw(kind):
    images = smooth(2)
    once, again = (distort.distorted(images, kind, 3, seed=4) for _ in range(2))
    assert torch.equal(once, again) and once.shape == images.shape and once.dtype == torch.uint8 and once.is_contiguous()
    drawn = kind.endswith("noise") or kind == "motion_blur"
    assert torch.equal(once, distort.distorted(images, kind, 3, seed=5)) != drawn


def test_noise_has_the_authors_spread():
    grey = torch.full((8, 32, 32, 3), 128, dtype=torch.uint8)
    for s in distort.SEVERITIES:
        spread = distort.distorted(grey, "gaussian_noise", s).float().std() / 255
        assert abs(spread - distort.NOISE[s - 1]) < 0.003
        hit = (distort.distorted(grey, "impulse_noise", s) != 128).float().mean()
        assert abs(hit - distort.IMPULSES[s - 1]) < 0.006
        shots = distort.distorted(grey, "shot_noise", s).float().std() / 255
        assert abs(shots - (128 / 255 / distort.SHOTS[s - 1]) ** 0.5) < 0.004


@pytest.mark.parametrize("kind", ["defocus_blur", "motion_blur", "zoom_blur", "contrast", "pixelate"])
def test_an_even_image_stays(kind):
    grey = torch.full((1, 32, 32, 3), 90, dtype=torch.uint8)
    assert (distort.distorted(grey, kind, 5).int() - 90).abs().max() <= 1


def test_what_it_does_to_an_image():
    images = smooth(2)
    middle = [i.float().mean((1, 2)) for i in (images, distort.distorted(images, "contrast", 5))]
    assert (middle[0] - middle[1]).abs().max() < 1
    brighter = distort.distorted(images, "brightness", 2).float().amax(-1) - images.float().amax(-1)
    assert (brighter[images.amax(-1) < 225] - 255 * distort.BRIGHTER[1]).abs().max() < 1.01


@pytest.mark.parametrize(("change", "says"), [
    ({"kind": "snow"}, "distortion"), ({"severity": 6}, "1 to 5"), ({"images": torch.zeros(1, 4, 4, 3)}, "uint8"),
    ({"images": torch.zeros(4, 4, 3, dtype=torch.uint8)}, "uint8")], ids=str)
def test_what_cannot_be_distorted(change, says):
    with pytest.raises(UsageError, match=says):
        distort.distorted(**{"images": smooth(1), "kind": "contrast", "severity": 1, **change})
