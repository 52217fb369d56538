"""Label noise: the matrices entry by entry, draws against a loop in plain Python, their counts against the probabilities, and the
file of human labels when it is whole, missing, foreign, damaged or malicious."""

import os
import pickle
from bisect import bisect_right
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from featuremining import FMError, UsageError, load, paths
from featuremining.datasets import corrupt
from featuremining.datasets.corrupt import HUMAN, NOISES, corrupted, flip, human, superclasses, transition

K = 100
LABELS = torch.arange(50_000) % K


class Data(NamedTuple):
    """What label noise asks of a data set."""

    name: str
    train_x: Tensor
    train_y: Tensor
    test_y: Tensor
    classes: tuple
    true_y: Tensor | None = None


def data(name="cifar100", labels=LABELS, classes=K):
    return Data(name, torch.zeros(len(labels), 1, 1, 3), labels, torch.arange(200) % classes, tuple(map(str, range(classes))))


def matrices():
    return {"symmetric": transition("symmetric", 0.5, K), "with the true class": transition("symmetric", 0.5, K, True),
            "pair": transition("pair", 0.2, K), "pair_superclass": transition("pair_superclass", 0.3, K, coarse=superclasses()),
            "few classes": transition("symmetric", 0.2, 7)}


@pytest.mark.parametrize("name", matrices())
def test_rows_are_probabilities(name):
    matrix = matrices()[name]
    assert matrix.dtype == np.float64 and matrix.min() >= 0
    np.testing.assert_allclose(matrix.sum(1), 1, rtol=0, atol=1e-14)


def test_entries_are_those_of_the_definitions():
    """Written out in loops, from the papers' words."""
    rate, symmetric, zhang, pair = 0.4, np.zeros((K, K)), np.zeros((K, K)), np.zeros((K, K))
    for i in range(K):
        for j in range(K):
            symmetric[i, j] = 1 - rate if i == j else rate / (K - 1)
            zhang[i, j] = 1 - rate + rate / K if i == j else rate / K
        pair[i, i], pair[i, i + 1 if i < 99 else 0] = 1 - rate, rate
    np.testing.assert_allclose(transition("symmetric", rate, K), symmetric, rtol=0, atol=1e-15)
    np.testing.assert_allclose(transition("symmetric", rate, K, include_true=True), zhang, rtol=0, atol=1e-15)
    np.testing.assert_allclose(transition("pair", rate, K), pair, rtol=0, atol=1e-15)


def test_superclass_pairs_stay_within_and_go_round():
    """Aquatic mammals: beaver 4, dolphin 30, otter 55, seal 72, whale 95, and back."""
    coarse, matrix = superclasses(), transition("pair_superclass", 0.3, K, coarse=superclasses())
    following = (matrix - 0.7 * np.eye(K)).argmax(1)
    assert [following[k] for k in (4, 30, 55, 72, 95)] == [30, 55, 72, 95, 4]
    assert (coarse[following] == coarse).all() and sorted(following) == list(range(K))
    np.testing.assert_allclose(matrix[range(K), following], 0.3)
    assert np.count_nonzero(matrix) == 2 * K and np.bincount(coarse).tolist() == [5] * 20
    assert (coarse == np.roll(coarse, -1)).sum() == 6       # pairs of the plain order that share a superclass, as the book says
    small = transition("pair_superclass", 0.25, 5, coarse=[1, 0, 1, 0, 1])
    assert small.argsort(1)[:, -2].tolist() == [2, 3, 4, 1, 0]


def test_superclasses_are_those_of_the_published_file(cifar):
    """Every training image's fine and coarse label, read from the file whose md5 torchvision has checked."""
    with open(paths.raw() / "cifar-100-python" / "train", "rb") as f:
        file = pickle.load(f, encoding="latin1")
    assert np.array_equal(superclasses()[file["fine_labels"]], file["coarse_labels"])
    assert cifar.classes[95] == "whale"


@pytest.mark.parametrize("name", matrices())
def test_draws_are_those_of_a_plain_loop(name):
    """The same uniforms, one image after the other, through Python's own bisection."""
    matrix = matrices()[name]
    labels = LABELS[:3000] % len(matrix)
    uniforms = np.random.Generator(np.random.PCG64([5, *b"noise"])).random(3000)
    expected = [bisect_right(list(accumulate(matrix[y])), u) for y, u in zip(labels.tolist(), uniforms, strict=True)]
    assert flip(labels, matrix, seed=5).tolist() == expected


def test_the_smallest_and_the_largest_draw_stay_possible(monkeypatch):
    """A uniform of 0 must not fall on a class before the first that may occur; nor, as ten times 0.1 is less than 1 in floating
    point, the largest uniform behind the last."""
    matrix = np.zeros((11, 11))
    matrix[:, :10] = 0.1
    assert matrix[0].cumsum()[-1] < 1
    monkeypatch.setattr(corrupt, "uniforms", lambda n, seed, what: np.full(n, 1 - 2.0**-53))
    assert flip(torch.tensor([0, 10]), matrix).tolist() == [9, 9]
    monkeypatch.setattr(corrupt, "uniforms", lambda n, seed, what: np.zeros(n))
    assert flip(torch.tensor([0, 1, 2]), transition("pair", 0.5, 3)).tolist() == [0, 1, 0]


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_symmetric_counts_fit_the_probabilities(rate):
    """All 10,000 entries at once by chi-square, the rate by its binomial, the wrong classes by their offset from the true one."""
    matrix = transition("symmetric", rate, K)
    noisy = flip(LABELS, matrix)
    counts, expected = np.zeros((K, K)), 500 * matrix
    np.add.at(counts, (LABELS.numpy(), noisy.numpy()), 1)
    chi = ((counts - expected) ** 2 / expected).sum()
    freedom = K * (K - 1)
    assert abs(chi - freedom) < 3 * (2 * freedom) ** 0.5
    wrong = int((noisy != LABELS).sum())
    assert abs(wrong - 50_000 * rate) < 3 * (50_000 * rate * (1 - rate)) ** 0.5
    offsets = np.bincount((noisy - LABELS) % K, minlength=K)[1:]
    assert stats.chisquare(offsets).pvalue > 0.01
    assert stats.chisquare(counts.sum(0)).pvalue > 0.01       # no label is preferred


def test_noise_of_one_image_says_nothing_of_the_next():
    wrong = (flip(LABELS, transition("symmetric", 0.5, K)) != LABELS).double()
    for lag in (1, K):
        r = torch.corrcoef(torch.stack([wrong[:-lag], wrong[lag:]]))[0, 1]
        assert abs(r) < 3 / len(wrong) ** 0.5


@pytest.mark.parametrize(("rate", "expected"), [(0.2, 0.198), (0.5, 0.495)])
def test_including_the_true_class_makes_fewer_labels_wrong(rate, expected):
    noisy = corrupted(data(), "symmetric", rate, include_true=True).train_y
    wrong = float((noisy != LABELS).double().mean())
    sigma = (expected * (1 - expected) / 50_000) ** 0.5
    assert rate * (1 - 1 / K) == pytest.approx(expected) and abs(wrong - expected) < 3 * sigma


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_pairs_flip_to_the_next_class_alone(rate):
    noisy = flip(LABELS, transition("pair", rate, K))
    wrong = noisy != LABELS
    assert torch.equal(noisy[wrong], (LABELS[wrong] + 1) % K)
    assert set(noisy[wrong & (LABELS == 99)].tolist()) == {0}
    assert abs(int(wrong.sum()) - 50_000 * rate) < 3 * (50_000 * rate * (1 - rate)) ** 0.5


def test_superclass_noise_stays_within_the_superclass():
    noisy = corrupted(data(), "pair_superclass", 0.4).train_y.numpy()
    wrong = noisy != LABELS.numpy()
    assert (superclasses()[noisy] == superclasses()[LABELS.numpy()]).all() and abs(wrong.mean() - 0.4) < 0.01


def test_the_noise_is_one_for_all_machines():
    """The digest was computed once; numpy promises PCG64's bits, and nothing else enters."""
    noisy = flip(LABELS, transition("symmetric", 0.5, K))
    assert noisy[:12].tolist() == [0, 28, 89, 3, 46, 5, 92, 7, 8, 9, 10, 5]
    assert sha256(noisy.numpy().astype("<i8").tobytes()).hexdigest().startswith("9950902a1e19d759")


def test_seeds_repeat_and_differ():
    matrix = transition("symmetric", 0.5, K)
    a, b, c = (flip(LABELS, matrix, seed) for seed in (0, 0, 1))
    assert torch.equal(a, b) and float((a == c).double().mean()) == pytest.approx(0.25 + 0.25 / 99, abs=0.01)
    assert torch.equal(flip(LABELS[:777], matrix), a[:777])


def test_the_global_random_numbers_neither_enter_nor_move():
    matrix, before = transition("pair", 0.5, K), flip(LABELS, transition("pair", 0.5, K))
    with torch.random.fork_rng():
        torch.manual_seed(9)
        state, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
        assert torch.equal(flip(LABELS, matrix), before)
        assert torch.equal(torch.get_rng_state(), state) and np.array_equal(np.random.get_state()[1], numpys)


@pytest.mark.parametrize("noise", ["symmetric", "pair", "pair_superclass"])
def test_only_training_labels_change(noise):
    clean = data()
    copies = [t.clone() for t in (clean.train_x, clean.train_y, clean.test_y)]
    noisy = corrupted(clean, noise, 0.5)
    assert noisy.train_x is clean.train_x and noisy.test_y is clean.test_y and noisy.true_y is clean.train_y
    assert all(torch.equal(a, b) for a, b in zip((clean.train_x, clean.train_y, clean.test_y), copies, strict=True))
    assert noisy.train_y.dtype == torch.int64 and noisy.train_y.shape == LABELS.shape and noisy.name == clean.name
    assert not torch.equal(noisy.train_y, LABELS)
    other = corrupted(clean, noise, 0.5, noise_seed=1)
    assert not torch.equal(other.train_y, noisy.train_y)


def test_the_embedded_data_take_noise_by_name():
    noisy, clean = load("parts", noise="pair", rate=0.5), load("parts")
    assert torch.equal(noisy.true_y, clean.train_y) and torch.equal(noisy.train_x, clean.train_x)
    assert {*((noisy.train_y - clean.train_y) % 9).tolist()} == {0, 1} and torch.equal(noisy.test_y, clean.test_y)


@pytest.mark.parametrize(("arguments", "said"), [
    ({"noise": "symetric", "rate": 0.5}, "Did you mean 'symmetric'"),
    ({"noise": "symmetric"}, "between 0 and 1"),
    ({"noise": "pair", "rate": 0}, "between 0 and 1"),
    ({"noise": "pair", "rate": 1.0}, "between 0 and 1"),
    ({"noise": "pair", "rate": float("nan")}, "between 0 and 1"),
    ({"noise": "pair", "rate": "0.5"}, "between 0 and 1"),
    ({"noise": "pair", "rate": 0.5, "include_true": True}, "setting of symmetric"),
    ({"noise": "pair", "rate": 0.5, "noise_seed": -1}, "0 or more"),
    ({"noise": "pair", "rate": 0.5, "noise_seed": 0.5}, "whole number"),
    ({"noise": "human", "rate": 0.4}, "leave out rate"),
    ({"noise": "human", "include_true": True}, "leave out rate"),
    ({"noise": "human", "noise_seed": 1}, "noise_seed"),
])
def test_what_does_not_fit_is_refused(arguments, said):
    with pytest.raises(UsageError, match=said) as error:
        corrupted(data(), **arguments)
    assert str(error.value).count("\n") == 0


def test_noise_that_a_data_set_does_not_have_is_refused():
    parts = data("parts", torch.arange(90) % 9, 9)
    for noise, rate in (("pair_superclass", 0.5), ("human", None)):
        with pytest.raises(UsageError, match="cifar100 alone, not for parts"):
            corrupted(parts, noise, rate)
    with pytest.raises(UsageError, match="not for 1,000 of"):
        corrupted(data(labels=LABELS[:1000]), "human")
    with pytest.raises(UsageError, match="noisy already"):
        corrupted(corrupted(data(), "pair", 0.2), "pair", 0.2)
    for coarse in (None, [0, 0, 1], [0, 0, 1, 2]):
        with pytest.raises(UsageError, match="superclass of each of the 4"):
            transition("pair_superclass", 0.5, 4, coarse=coarse)
    with pytest.raises(UsageError, match="There is no noise 'human'"):
        transition("human", 0.5, 4)
    with pytest.raises(UsageError, match="two classes"):
        transition("symmetric", 0.5, 1)
    with pytest.raises(UsageError, match="sum to 1"):
        flip(LABELS, 0.5 * np.eye(K))


def written(folder, **changes) -> Path:
    """A file of human labels like the published one, every tenth label wrong."""
    noisy = np.where(np.arange(50_000) % 10, LABELS.numpy(), (LABELS.numpy() + 7) % K)
    content = {"clean_label": LABELS.numpy(), "noisy_label": noisy, "clean_coarse_label": [1, 2], "noisy_coarse_label": [1, 2]}
    torch.save({k: v for k, v in {**content, **changes}.items() if v is not None}, folder / HUMAN)
    return folder / HUMAN


def refused(folder, clean=LABELS) -> str:
    with pytest.raises(FMError) as error:
        human(folder, clean)
    text = str(error.value)
    assert HUMAN in text and "https://github.com/UCSC-REAL/cifar-10-100n" in text and str(folder) in text and "\n" not in text
    assert not isinstance(error.value, UsageError)
    return text


def test_human_labels_come_from_their_file(tmp_path, monkeypatch):
    written(tmp_path)
    monkeypatch.setenv("FM_DATA_DIR", str(tmp_path))
    noisy = corrupted(data(), "human")
    assert torch.equal(noisy.train_y[1:10], LABELS[1:10]) and noisy.train_y[::10].tolist() == ((LABELS[::10] + 7) % K).tolist()
    assert noisy.true_y is LABELS and "human" in NOISES


def test_missing_human_labels_say_how_to_get_them(tmp_path):
    assert "CIFAR-100N is not in" in refused(tmp_path)


def test_human_labels_of_other_images_are_refused(tmp_path):
    written(tmp_path)
    assert "not the training labels of this CIFAR-100" in refused(tmp_path, LABELS.flip(0))
    assert "not the training labels of this CIFAR-100" in refused(tmp_path, LABELS[:100])


@pytest.mark.parametrize("changes", [
    {"noisy_label": None}, {"noisy_label": [1, 2]}, {"noisy_label": np.arange(7)}, {"noisy_label": LABELS.numpy() + 1},
    {"noisy_label": LABELS.numpy() - 1}, {"noisy_label": LABELS.numpy().astype(np.float64)},
    {"clean_label": LABELS.numpy().astype(np.int32)},
])
def test_a_foreign_file_is_one_sentence(tmp_path, changes):
    written(tmp_path, **changes)
    assert "damaged or not the published file" in refused(tmp_path)


def another_label(whole: bytes) -> bytes:
    """One bit of one wrong label: still a label."""
    at = next(i for i in range(len(whole) * 3 // 4, len(whole)) if whole[i])
    return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:]


@pytest.mark.parametrize("damage", [
    lambda whole: b"", lambda whole: b"half a file", lambda whole: whole[: len(whole) // 2], another_label,
])
def test_a_damaged_file_is_one_sentence(tmp_path, damage):
    path = written(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert "damaged or not the published file" in refused(tmp_path)


class Malicious:
    """Unpickling this makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("bare", [False, True])
def test_a_malicious_pickle_is_refused_not_run(tmp_path, bare):
    trap = tmp_path / "trap"
    if bare:
        (tmp_path / HUMAN).write_bytes(pickle.dumps(Malicious(trap)))
    else:
        written(tmp_path, clean_coarse_label=Malicious(trap))
    assert "damaged or not the published file" in refused(tmp_path)
    assert not trap.exists()
    pickle.loads(pickle.dumps(Malicious(trap)))     # that it would have
    assert trap.exists()


def test_no_type_stays_allowed(tmp_path):
    written(tmp_path)
    human(tmp_path, LABELS)
    assert np.ndarray not in torch.serialization.get_safe_globals()


def test_the_published_human_labels(cifar):
    if not (paths.raw() / HUMAN).is_file():
        pytest.skip(f"{HUMAN} is not in {paths.raw()}")
    clean = Data("cifar100", cifar.train_x, cifar.train_y, cifar.test_y, cifar.classes)
    noisy = corrupted(clean, "human")
    wrong = noisy.train_y != noisy.true_y
    assert int(wrong.sum()) == 20_100           # 40.2 %
    assert torch.bincount(noisy.train_y, minlength=K).min() > 0
    # people err within a superclass: far more often than one class in 25, as chance would have it
    same = superclasses()[noisy.train_y[wrong]] == superclasses()[noisy.true_y[wrong]]
    assert same.mean() > 0.2
