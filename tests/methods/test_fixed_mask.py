"""A fixed mask on a stage's map, against masks written down cell by cell."""

import pytest
import torch
from helpers import batch

from featuremining import UsageError, build, compose, make, plain_step
from featuremining.methods.fixed_mask import PLACES, fixed_mask

MASKS = {       # of a map of 4 x 6 and of 5 x 3 (rows x columns)
    "full": ("111111 111111 111111 111111", "111 111 111 111 111"),
    "top": ("111111 111111 000000 000000", "111 111 111 000 000"),
    "bottom": ("000000 000000 111111 111111", "000 000 111 111 111"),
    "left": ("111000 111000 111000 111000", "110 110 110 110 110"),
    "right": ("000111 000111 000111 000111", "011 011 011 011 011"),
    "centre": ("000000 011100 011100 000000", "000 010 010 000 000"),
    "border": ("111111 100011 100011 111111", "111 101 101 111 111"),
}


def drawn(text):
    return torch.tensor([[int(c) for c in row] for row in text.split()], dtype=torch.bool)


def test_every_mask_is_written_down():
    assert list(MASKS) == list(PLACES)


@pytest.mark.parametrize("shape", MASKS)
def test_masks_are_those_drawn_by_hand(shape):
    for text, size in zip(MASKS[shape], ((4, 6), (5, 3)), strict=True):
        assert torch.equal(fixed_mask(shape, *size), drawn(text))


@pytest.mark.parametrize("height, width", [(8, 8), (7, 7), (2, 2), (6, 9), (16, 12)])
def test_masks_fit_together(height, width):
    """Ends are mirror images and leave nothing out; border is what centre is not; centre is a quarter of the area."""
    mask = {shape: fixed_mask(shape, height, width) for shape in PLACES}
    assert mask["full"].all()
    assert torch.equal(mask["top"].flip(0), mask["bottom"]) and torch.equal(mask["left"].flip(1), mask["right"])
    assert (mask["top"] | mask["bottom"]).all() and (mask["left"] | mask["right"]).all()
    assert mask["top"].sum() == -(-height // 2) * width and mask["left"].sum() == -(-width // 2) * height
    assert torch.equal(mask["border"], ~mask["centre"])
    assert mask["centre"].sum() == (height // 2) * (width // 2)


@pytest.mark.parametrize("shape", PLACES)
def test_training_pools_the_masked_map_over_all_places(shape):
    """Loss and gradients are those of FC(GAP(X * M)), written out with the network's own parts."""
    net, data = build("resnet20", 10).double(), batch(dtype=torch.float64)
    out = make("fixed_mask", mask=shape).prepare(net).step(plain_step, net, data)
    logits = net.head((net.maps(data.x)[-1] * fixed_mask(shape, 8, 8)).sum((2, 3)) / 64)
    expected = -(data.y * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(out.losses["ce"], expected, rtol=0, atol=1e-12)
    weights = list(net.parameters())
    for found, right in zip(torch.autograd.grad(out.losses["ce"], weights), torch.autograd.grad(expected, weights), strict=True):
        torch.testing.assert_close(found, right, rtol=0, atol=1e-10)


def test_an_earlier_stage_is_masked_before_the_next_reads_it():
    net, data = build("resnet20", 10).double(), batch(dtype=torch.float64)
    maps = make("fixed_mask", mask="left", stage=1).prepare(net).step(plain_step, net, data).trace.maps
    first, second, _ = net.maps(data.x)
    torch.testing.assert_close(maps[0], first, rtol=0, atol=0)
    assert torch.equal(maps[1], torch.where(drawn(" ".join(["1" * 8 + "0" * 8] * 16)), second, 0))
    torch.testing.assert_close(maps[2], net.stages[2](maps[1]), rtol=0, atol=0)


def test_the_mask_is_for_training_alone():
    net, data = build("resnet20", 10), batch()
    method = make("fixed_mask", mask="centre").prepare(net)
    trained, plain = method.step(plain_step, net, data), plain_step(net, data)
    assert (trained.trace.maps[-1] == 0).float().mean() > 0.7 > (plain.trace.maps[-1] == 0).float().mean()
    assert torch.equal(method.eval().step(plain_step, net, data).trace.maps[-1], plain.trace.maps[-1])
    assert not list(method.parameters()) and not method.state_dict()
    assert torch.equal(net.eval()(data.x), plain_step(net, data).trace.logits)


def test_a_full_mask_changes_nothing():
    net, data = build("resnet20", 10).eval(), batch()
    out = make("fixed_mask", mask="full").prepare(net).step(plain_step, net, data)
    assert torch.equal(out.losses["ce"], plain_step(net, data).losses["ce"])


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_memory_format_and_precision_are_kept(memory):
    x = torch.randn(2, 4, 6, 6, dtype=torch.bfloat16).contiguous(memory_format=memory)
    y = make("fixed_mask").edit(x)
    assert y.dtype == x.dtype and y.stride() == x.stride()


def test_outer_edits_come_first():
    net, data = build("resnet20", 10).eval(), batch()
    add = data._replace(edits={0: torch.zeros_like, 2: lambda x: x + 1})
    out = make("fixed_mask", mask="top").prepare(net).step(plain_step, net, add)
    assert not out.trace.maps[0].any()
    assert (out.trace.maps[2][:, :, :4] >= 1).all() and not out.trace.maps[2][:, :, 4:].any()


def test_feature_mining_cuts_what_the_mask_leaves():
    net, data = build("resnet20", 10), batch()
    methods = [make("fm", layers=1).prepare(net), make("fixed_mask", mask="right").prepare(net)]
    out = compose(methods)(net, data)
    assert not out.trace.maps[-1][..., :4].any() and len(out.losses) == 3


def test_it_fits_networks_of_libraries():
    net = build("resnet50", 10)
    out = make("fixed_mask", mask="border").prepare(net).step(plain_step, net, batch(2, size=128))
    assert not out.trace.maps[-1][:, :, 1:3, 1:3].any() and out.trace.maps[-1][:, :, 0].any()
    torch.testing.assert_close(out.trace.pooled, out.trace.maps[-1].mean((2, 3)))


def test_what_does_not_fit_is_one_sentence():
    net = build("resnet20", 10)
    with pytest.raises(UsageError, match="Did you mean 'centre'"):
        make("fixed_mask", mask="center")
    with pytest.raises(UsageError, match="stage 3 was asked for, but this network has 3"):
        make("fixed_mask", stage=3).prepare(net)
    method = make("fixed_mask", mask="border").prepare(net)
    assert method.draw(1, 8, [(32, 32), (16, 16), (8, 8)]) == {} == method.draw(1, 8, ())
    with pytest.raises(UsageError, match=r"a map of 1 x 1 has no border"):
        method.draw(1, 8, [(4, 4), (2, 2), (1, 1)])
