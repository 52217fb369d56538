"""Augmentation against torchvision, the loader's state, and data sets that are missing, damaged or whole."""

import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as T

from featuremining import FMError, UsageError, load
from featuremining.datasets import augment, parts, where
from featuremining.datasets.loader import Loader, evaluation_batches

MEAN, STD = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)


def images(n=40, size=32):
    return torch.randint(256, (n, size, size, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def loader(**changes):
    x = images()
    settings = {"batch": 16, "seed": 3, **changes}
    return Loader(x, torch.arange(40) % 10, 10, MEAN, STD, **settings)


def test_augmentation_equals_torchvision_for_the_same_draws():
    x, g = images(), torch.Generator().manual_seed(1)
    drawn, index = augment.draw(40, 4, True, g), torch.randperm(40, generator=g)
    ours = augment.normalise(augment.crop_flip(augment.padded(x, 4), index, drawn, 32, 32), torch.tensor(MEAN), torch.tensor(STD))
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert drawn.mirror.any() and not drawn.mirror.all() and drawn.top.min() == 0 and drawn.left.max() == 8
    for i in range(40):
        picture = T.pad(Image.fromarray(x[index[i]].numpy()), 4)
        picture = T.crop(picture, int(drawn.top[i]), int(drawn.left[i]), 32, 32)
        picture = T.hflip(picture) if drawn.mirror[i] else picture
        assert torch.equal(ours[i], T.normalize(T.to_tensor(picture), MEAN, STD))


def test_evaluation_images_are_only_normalised():
    x, y = images(), torch.arange(40)
    got = [*evaluation_batches(x, y, MEAN, STD, batch=16)]
    assert torch.equal(torch.cat([labels for _, labels in got]), y)
    assert torch.equal(got[-1][0][-1], T.normalize(T.to_tensor(Image.fromarray(x[39].numpy())), MEAN, STD))


def test_an_epoch_sees_every_image_once():
    one = loader(pad=0, flip=False)
    batches = list(one)
    assert [len(x) for x, _ in batches] == [16, 16, 8] and len(one) == 3
    seen = torch.cat([x for x, _ in batches]).flatten(1)
    everything = torch.cat([x for x, _ in evaluation_batches(images(), torch.zeros(40), MEAN, STD)]).flatten(1)
    assert sorted(map(tuple, seen[:, :5].tolist())) == sorted(map(tuple, everything[:, :5].tolist()))


@pytest.mark.parametrize("stop", [0, 1, 3, 4])
def test_the_state_goes_on_in_the_middle_of_an_epoch(stop):
    whole, cut, resumed = loader(), loader(), loader(seed=9)
    expected = [*whole, *whole]
    stream = (pair for _ in range(2) for pair in cut)
    for _ in range(stop):
        next(stream)
    resumed.load_state_dict(cut.state_dict())
    rest = [*resumed] + ([*resumed] if stop < 3 else [])
    assert len(rest) == len(expected) - stop
    for (x, y), (a, b) in zip(expected[stop:], rest, strict=False):
        assert torch.equal(x, a) and torch.equal(y, b)


def test_a_method_may_choose_the_batches():
    """Uneven batches keep their images and their own draws."""
    chosen = [torch.tensor([5, 5, 7]), torch.tensor([1, 2, 3, 4, 39])]
    got = list(loader(sampler=lambda generator: chosen, pad=0, flip=False))
    plain = torch.cat([x for x, _ in evaluation_batches(images(), torch.zeros(40), MEAN, STD)])
    assert all(torch.equal(x, plain[index]) for (x, _), index in zip(got, chosen, strict=True))


def test_seeds_and_epochs_differ_and_repeat():
    first, again, other = loader(), loader(), loader(seed=4)
    a, b, c = next(iter(first))[0], next(iter(again))[0], next(iter(other))[0]
    assert torch.equal(a, b) and not torch.equal(a, c)
    again.load_state_dict({"seed": 3, "epoch": 1, "position": 0})
    assert not torch.equal(a, next(iter(again))[0])


def test_parts_is_a_data_set_that_needs_nothing():
    data = load("parts")
    assert data.train_x.shape == (1800, 32, 32, 3) and data.train_x.dtype == torch.uint8 and where("parts")[0]
    assert torch.bincount(data.train_y).tolist() == [200] * 9 and torch.bincount(data.test_y).tolist() == [50] * 9
    assert data.digest() == load("parts").digest()
    again = parts.draw(1800, seed=0)        # where the boxes of these very images come from
    assert torch.equal(torch.from_numpy(again.images), data.train_x) and again.boxes.shape == (1800, 4)


def test_unknown_data_set():
    with pytest.raises(UsageError, match="cifar100"):
        load("cifar10")


def test_missing_data_say_how_to_get_them(tmp_path, monkeypatch):
    """Without a network the download fails at once; the sentence says where the files belong."""
    from urllib.error import URLError

    from torchvision.datasets import CIFAR100

    def refuse(self):
        raise URLError("no network")

    monkeypatch.setenv("FM_DATA_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setattr(CIFAR100, "download", refuse)
    assert not where("cifar100")[0]
    with pytest.raises(FMError, match=r"no network.*cifar-100-python/train"):
        load("cifar100")


def test_damaged_data_are_named(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for part in ("train", "test", "meta"):
        (folder / part).write_bytes(b"half a file")
    monkeypatch.setenv("FM_DATA_DIR", str(tmp_path))
    with pytest.raises(FMError, match=r"incomplete or damaged.*delete that folder"):
        load("cifar100")


def test_cifar100_is_what_its_publisher_says(cifar):
    assert cifar.train_x.shape == (50000, 32, 32, 3) and cifar.test_x.shape == (10000, 32, 32, 3)
    assert torch.bincount(cifar.train_y).tolist() == [500] * 100 and torch.bincount(cifar.test_y).tolist() == [100] * 100
    scaled = cifar.train_x.view(-1, 3)
    mean = scaled.to(torch.float64).mean(0) / 255
    std = scaled.to(torch.float64).std(0) / 255
    torch.testing.assert_close(mean, torch.tensor(cifar.mean, dtype=torch.float64), rtol=0, atol=1e-4)
    torch.testing.assert_close(std, torch.tensor(cifar.std, dtype=torch.float64), rtol=0, atol=1e-4)
    assert cifar.classes[0] == "apple" and len(cifar.classes) == 100
