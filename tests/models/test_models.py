"""Networks: exact sizes, and a trace that is the forward pass."""

import pytest
import torch
from helpers import batch
from torch import nn

from featuremining import UsageError, build

SIZES = {       # trainable parameters at 100 classes, multiply-adds of one 32 x 32 image
    ("resnet20", ()): (278_324, 40_818_944),
    ("resnet32", ()): (472_756, 69_130_496),
    ("resnet44", ()): (667_188, 97_442_048),
    ("resnet56", ()): (861_620, 125_753_600),
    ("resnet110", ()): (1_736_564, 253_155_584),
    ("resnet164", ()): (1_727_284, 247_669_760),
    ("resnet56", (("block", "bottleneck"),)): (614_452, 87_237_632),
    ("resnet110", (("block", "bottleneck"),)): (1_170_868, 167_453_696),
    ("resnet20", (("shortcut", "A"),)): (275_572, None),
    ("resnet110", (("shortcut", "A"),)): (1_733_812, None),
}


def multiply_adds(net):
    """Of convolutions and linear layers, by hooks."""
    total = 0

    def count(module, _inputs, out):
        nonlocal total
        per_output = module.weight[0].numel()
        total += per_output * out[0].numel()

    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    with torch.no_grad():
        net(torch.zeros(1, 3, 32, 32))
    return total


@pytest.mark.parametrize(("name", "options"), SIZES, ids=str)
def test_sizes(name, options):
    net = build(name, 100, **dict(options))
    parameters, macs = SIZES[name, options]
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert macs is None or multiply_adds(net.eval()) == macs


@pytest.mark.parametrize("size", [32, 64])
def test_trace_is_the_forward_pass(size):
    net = build("resnet20", 10).eval()
    x = batch(size=size).x
    trace = net.trace(x)
    assert torch.equal(trace.logits, net(x))
    assert [m.shape[1:] for m in trace.maps] == [(16, size, size), (32, size // 2, size // 2), (64, size // 4, size // 4)]
    assert net.channels == (16, 32, 64) and net.classes == 10


def test_wrong_shapes_are_one_sentence():
    with pytest.raises(UsageError, match="9n"):
        build("resnet20", 10, depth=21, block="bottleneck")
    with pytest.raises(UsageError, match="Did you mean 'resnet56'"):
        build("resnet65", 10)
    with pytest.raises(UsageError, match="basic, bottleneck"):
        build("resnet20", 10, block="bottle")
