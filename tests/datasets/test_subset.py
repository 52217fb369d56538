"""Smaller training sets: exact counts, one inside the other, against a plain sort, and what is refused."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from featuremining import UsageError, load
from featuremining.datasets.corrupt import corrupted
from featuremining.datasets.subset import chosen, per_class

CLASSES, EACH = 7, 60


class Data(NamedTuple):
    """What a subset asks of a data set."""

    name: str
    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    classes: tuple
    true_y: Tensor | None = None


def data(labels=None):
    """Shuffled labels; every image holds its own number."""
    if labels is None:
        order = torch.randperm(CLASSES * EACH, generator=torch.Generator().manual_seed(1))
        labels = order % CLASSES
    images = torch.arange(len(labels)).view(-1, 1, 1, 1)
    return Data("numbers", images, labels, images[:9], labels[:9], tuple("abcdefg"))


def images(subset) -> list[int]:
    return subset.train_x.flatten().tolist()


@pytest.mark.parametrize("m", [1, 2, 31, EACH])
def test_every_class_has_exactly_m(m):
    whole = data()
    small = per_class(whole, m)
    assert torch.bincount(small.train_y).tolist() == [m] * CLASSES
    assert len(set(images(small))) == m * CLASSES and images(small) == sorted(images(small))
    assert torch.equal(small.train_y, whole.train_y[images(small)])         # each label is still that of its image
    assert small.test_x is whole.test_x and small.test_y is whole.test_y and small.true_y is None and small.name == whole.name
    assert images(whole) == list(range(CLASSES * EACH))


def test_the_chosen_are_those_of_a_plain_sort():
    """Of each class the m images with the smallest uniforms, class by class in Python."""
    labels = data().train_y.numpy()
    uniforms = np.random.Generator(np.random.PCG64([4, *b"subset"])).random(len(labels))
    expected = [i for k in range(CLASSES)
                for i in sorted((i for i in range(len(labels)) if labels[i] == k), key=lambda i: uniforms[i])[:11]]
    assert chosen(labels, 11, seed=4).tolist() == sorted(expected)


def test_smaller_sets_lie_inside_larger_ones():
    sets = [set(images(per_class(data(), m, subset_seed=3))) for m in (1, 5, 20, 40, 59, EACH)]
    assert all(a < b for a, b in pairwise(sets)) and len(sets[-1]) == CLASSES * EACH


@pytest.mark.parametrize("m", [1, 3])
def test_photos_are_chosen_by_their_file_names(m):
    """Large images stay in files; what is chosen are names, also where it is a single one."""
    names = np.array([b"%d.jpg" % i for i in range(5)])
    photos = data(torch.zeros(5, dtype=torch.int64))._replace(train_x=names, classes=("a",))
    small = per_class(photos, m)
    assert small.train_x.tolist() == [b"%d.jpg" % i for i in chosen(np.zeros(5, np.int64), m)] and len(small.train_y) == m


def test_all_images_are_the_data_set_itself():
    whole = data()
    same = per_class(whole, EACH)
    assert torch.equal(same.train_x, whole.train_x) and torch.equal(same.train_y, whole.train_y)


def test_seeds_repeat_and_differ():
    a, b, c = (images(per_class(data(), 20, seed)) for seed in (0, 0, 1))
    assert a == b and a != c
    assert abs(len(set(a) & set(c)) / len(a) - 1 / 3) < 0.12        # as many in common as chance has it: 20 of 60
    assert a == images(per_class(data(), 20))


def test_every_image_is_as_likely():
    """Over 300 seeds an image is among the 20 of its 60 in a third of the cases; 4.5 sigma, as there are 420 images."""
    times = np.zeros(CLASSES * EACH)
    labels = data().train_y.numpy()
    for seed in range(300):
        times[chosen(labels, 20, seed)] += 1
    assert abs(times - 100).max() < 4.5 * (300 * 2 / 9) ** 0.5


def test_the_choice_is_one_for_all_machines():
    assert chosen(np.arange(1000) % 10, 2).tolist() == [41, 103, 110, 234, 248, 265, 299, 305, 337, 351, 434, 498, 506,
                                                           513, 602, 696, 712, 720, 809, 857]


def test_the_global_random_numbers_neither_enter_nor_move():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        state, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
        first = images(per_class(data(), 3))
        assert torch.equal(torch.get_rng_state(), state) and np.array_equal(np.random.get_state()[1], numpys)
        torch.manual_seed(6)
        assert images(per_class(data(), 3)) == first


def test_uneven_classes_count_the_smallest():
    labels = torch.tensor([0] * 5 + [1] * 3 + [2, 3, 4, 5, 6] * 9)
    assert torch.bincount(per_class(data(labels), 3).train_y).tolist() == [3] * CLASSES
    with pytest.raises(UsageError, match=r"numbers has 3 training images.*at most 3, got 4"):
        per_class(data(labels), 4)
    with pytest.raises(UsageError, match="has 0 training images"):
        per_class(data(torch.arange(60) % 6), 1)        # a class without any


@pytest.mark.parametrize("m", [0, -1, 2.0, "2", None])
def test_a_number_that_is_none_is_refused(m):
    with pytest.raises(UsageError, match="whole number of images, 1 or more"):
        per_class(data(), m)


def test_a_seed_that_is_none_is_refused():
    for seed in (-1, 0.5):
        with pytest.raises(UsageError, match="seed of a subset is a whole number"):
            per_class(data(), 1, seed)


def test_noise_comes_after_the_subset():
    small = per_class(data(), 40)
    noisy = corrupted(small, "symmetric", 0.5)
    assert noisy.true_y is small.train_y and images(noisy) == images(small)
    assert torch.bincount(noisy.true_y).tolist() == [40] * CLASSES
    assert abs(float((noisy.train_y != noisy.true_y).double().mean()) - 0.5) < 3 * (0.25 / 280) ** 0.5
    with pytest.raises(UsageError, match="before the label noise"):
        per_class(corrupted(data(), "symmetric", 0.5), 40)


def test_equal_seeds_of_noise_and_subset_have_nothing_in_common():
    """The chosen have small numbers; were these the noise's numbers too, pair noise would leave the chosen of class 0 clean."""
    labels = torch.arange(20_000) % 2
    wrong = corrupted(data(labels)._replace(classes=("a", "b")), "pair", 0.5).train_y != labels
    first = chosen(labels.numpy(), 2000)[labels[chosen(labels.numpy(), 2000)] == 0]
    assert len(first) == 2000 and abs(float(wrong[first].double().mean()) - 0.5) < 3 * 0.5 / 2000**0.5


def test_the_embedded_data_take_both_by_name():
    small = load("parts", per_class=20, subset_seed=2, noise="pair", rate=0.5)
    assert torch.equal(small.train_x, per_class(load("parts"), 20, 2).train_x)
    assert torch.bincount(small.true_y).tolist() == [20] * 9 and len(small.test_y) == 450


def test_cifar100_in_a_tenth(cifar):
    small, smaller = per_class(cifar, 50), per_class(cifar, 10)
    assert torch.bincount(small.train_y).tolist() == [50] * 100 and small.train_x.shape == (5000, 32, 32, 3)
    own = {image.numpy().tobytes() for image in small.train_x}
    assert all(image.numpy().tobytes() in own for image in smaller.train_x)
    with pytest.raises(UsageError, match="cifar100 has 500 training images"):
        per_class(cifar, 501)
