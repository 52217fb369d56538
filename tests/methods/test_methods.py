"""What holds for every method, tested from one table."""

from itertools import permutations

import pytest
import torch
from helpers import ALL, batch, conforms, plain_settings

from featuremining import METHODS, UsageError, build, make, plain_step


@pytest.mark.parametrize("names", [(n,) for n in METHODS] + list(permutations(METHODS, 2)) + [tuple(ALL)],
                         ids=lambda names: "+".join(names) if len(names) < 3 else "all")
def test_conformance(names, tmp_path_factory):
    """Every method, every ordered pair and all together: finite losses, gradients to every head, the evaluated network
    unchanged. An order that lets CS-KD choose batches from within is refused."""
    conforms(names, tmp_path_factory)


@pytest.mark.parametrize("name", METHODS)
def test_settings_are_plain_values(name):
    plain_settings(name)


def test_unknown_names_are_one_sentence():
    with pytest.raises(UsageError, match="Did you mean 'mixup'"):
        make("mixpu")
    with pytest.raises(UsageError, match="alpha"):
        make("mixup", alpha=0)


def test_every_head_of_fm_sees_the_mixed_target():
    net = build("resnet20", 10)
    fm, seen = make("fm").prepare(net), []
    spy = lambda model, b: seen.append(b) or plain_step(model, b)  # noqa: E731
    out = fm.step(lambda model, b: make("mixup").step(spy, model, b), net, batch())
    assert torch.equal(out.batch.y, seen[0].y) and ((out.batch.y > 0).sum(1) == 2).any()
