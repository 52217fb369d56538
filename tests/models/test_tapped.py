"""Networks of others as methods see them: what `Tapped` promises is checked, whatever the network is called."""

import copy
import pickle

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.utils.checkpoint import checkpoint
from torchvision.models.swin_transformer import SwinTransformer

from featuremining import FeatureMining, Tapped, UsageError
from featuremining.models import probing


class Small(nn.Module):
    """Two stages, pooling and a linear classifier; ``change`` is made to what the network does."""

    def __init__(self, channels=3, behind=None, image=None):
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(channels, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU())
        self.two = nn.Sequential(nn.Conv2d(6, 8, 3, 2, 1), nn.BatchNorm2d(8))
        self.behind = behind or nn.Identity()
        self.fc, self.image = nn.Linear(8, 5), image

    def forward(self, x):
        if self.image and x.shape[2:] != (self.image, self.image):
            raise AssertionError(f"images are {self.image} x {self.image}")
        return self.fc(self.behind(self.two(self.one(x))).mean((2, 3)))


class Outwards(nn.Module):
    """(B, C, H, W) -> (B, H, W, C)."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1)


class Last(nn.Module):
    """A network whose maps have their channels last."""

    def __init__(self, fixed):
        super().__init__()
        self.conv, self.turn = nn.Conv2d(3, 6, 3, 4, 1), Outwards()
        self.norm, self.fc, self.fixed = nn.LayerNorm(6), nn.Linear(6, 5), fixed

    def forward(self, x):
        assert not self.fixed or x.shape[2] == 32
        return self.fc(self.norm(self.turn(self.conv(x))).mean((1, 2)))


class Again(Small):
    def forward(self, x):
        return super().forward(self.one[2](x))


class Idle(Small):
    def __init__(self):
        super().__init__()
        self.spare = nn.ReLU()


class Beside(Small):
    def forward(self, x):
        return super().forward(x), x


class Squashed(Small):
    def forward(self, x):
        return super().forward(x).log_softmax(1)


class Pair(nn.Module):
    def forward(self, x):
        return x, x


class Tupled(Small):
    """A stage that gives two things."""

    def __init__(self):
        super().__init__()
        self.pair = Pair()

    def forward(self, x):
        return self.fc(self.two(self.pair(self.one(x))[0]).mean((2, 3)))


def swin():
    return SwinTransformer([4, 4], 24, [1, 1], [1, 2], [7, 7], num_classes=5)


def resnet():
    return torchvision.models.resnet18(num_classes=5)


class Tokens(nn.Module):
    """A transformer without its attention: patches, layers for each place, their mean."""

    def __init__(self):
        super().__init__()
        self.patches, self.mix, self.fc = nn.Conv2d(3, 8, 4, 4), nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8)), nn.Linear(8, 5)

    def forward(self, x):
        return self.fc(self.mix(self.patches(x).flatten(2).mT).mean(1))


def vit():
    return torchvision.models.VisionTransformer(32, 8, 1, 2, 16, 32, num_classes=5)


REFUSED = {
    "channels last": (swin, ["features.1", "features.3"], "second place"),
    "channels last, own": (lambda: Last(False), ["norm"], "second place"),
    "channels last, one size": (lambda: Last(True), ["turn"], "second place"),
    "no maps": (Small, ["one", "fc"], r"\(B, C, H, W\)"),
    "a string": (Small, "two", r"stages=\['two'\]"),
    "no stage": (Small, [], "At the top: one, two"),
    "unknown": (Small, ["three"], "At the top: one, two"),
    "the network itself": (Small, [""], "At the top"),
    "another order": (Small, ["two", "one"], "from shallow to deep"),
    "twice": (Small, ["two", "two"], "a module twice"),
    "inside one another": (Small, ["two.1", "two"], "same map"),
    "runs twice": (Again, ["one.2", "two"], "2 times"),
    "does not run": (Idle, ["one", "spare", "two"], "spare runs not at all"),
    "not the last": (resnet, ["layer2", "layer3"], "behind it the network still convolves"),
    "patches of tokens": (Tokens, ["patches"], r"still works on tokens \(mix.1\)"),
    "patches of a ViT": (vit, ["conv_proj"], "still works on tokens"),
    "patches of a Swin": (swin, ["features.0.0"], "still works on tokens"),
    "patches of timm's": (lambda: timm.create_model("vit_tiny_patch16_224", img_size=32), ["patch_embed.proj"], "on tokens"),
    "not made yet": (lambda: Small, ["two"], "made already"),
    "a function": (lambda: torchvision.models.resnet18, ["layer4"], "made already"),
    "no parameters": (lambda: nn.Sequential(nn.ReLU(), nn.Flatten()), ["0"], "no parameters"),
    "no names": (Small, [3, 4], "stages is a list of names"),
    "a number": (Small, 2, "stages is a list of names"),
    "nothing": (Small, None, "stages is a list of names"),
    "modules": (Small, list(Small().children()), "stages is a list of names"),
    "a misspelt name": (resnet, ["layr4"], "Did you mean 'layer4'"),
    "scripted": (lambda: torch.jit.trace(Small().eval(), torch.zeros(1, 3, 32, 32)), ["two"], r"torch\.jit"),
    "of torch.fx": (lambda: torch.fx.symbolic_trace(Small()), ["two"], r"torch\.fx"),
    "two outputs": (Beside, ["two"], "a tuple"),
    "a tuple as map": (Tupled, ["pair", "two"], "pair gives a tuple"),
    "no linear layer": (lambda: nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), ["0"], "nn.Linear"),
    "not the layer that gives the logits": (Squashed, ["two"], "head="),
    "copies": (lambda: nn.DataParallel(Small()), ["module.two"], "DataParallel"),
    "compiled": (lambda: torch.compile(Small(), backend="eager"), ["_orig_mod.two"], "torch.compile"),
    "checkpointed by timm": (lambda: timm.create_model("resnet10t"), ["layer3", "layer4"], "gradient checkpointing"),
    "other images": (lambda: Small(image=48), ["two"], "image_size="),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("case", REFUSED)
def test_what_methods_could_not_see_rightly_is_refused(case):
    create, stages, says = REFUSED[case]
    net = create()
    if "checkpointed" in case:
        net.set_grad_checkpointing()
    modules = [*net.modules()] if isinstance(net, nn.Module) else []
    modes = [m.training for m in modules]
    with pytest.raises(UsageError, match=says) as raised:
        Tapped(net, stages, 32)
    assert "\n" not in str(raised.value)
    assert [m.training for m in modules] == modes and not any(m._forward_hooks for m in modules)


@pytest.mark.parametrize("words", [
    {"image_size": "32"}, {"image_size": 32.0}, {"image_size": 0}, {"image_size": -1}, {"image_size": None},
    {"image_size": (32,)}, {"image_size": (3, 32, 32)}, {"image_size": (32, 0)},
    {"in_channels": 0}, {"in_channels": -3}, {"in_channels": "3"},
    {"in_channels": 3.0}], ids=str)
def test_an_image_that_cannot_be_is_one_sentence(words):
    with pytest.raises(UsageError, match=next(iter(words))) as raised:
        Tapped(Small(), ["two"], **{"image_size": 32, **words})
    assert "\n" not in str(raised.value)


def test_names_and_numbers_of_other_libraries_are_names_and_numbers():
    for stages in (("one", "two"), np.array(["one", "two"]), {"one": 1, "two": 2}, (name for name in ("one", "two"))):
        assert Tapped(Small(), stages, np.int64(32), in_channels=np.int64(3)).names == ("one", "two")
    assert Tapped(Small(), ["two"], torch.tensor(32)).image_size == (32, 32) == Tapped(Small(), ["two"], [32, 32]).image_size


def test_a_module_that_was_replaced_is_noticed():
    tapped = Tapped(Small(), ["one", "two"], 32)
    tapped.net.fc = nn.Linear(8, 7)
    with pytest.raises(UsageError, match="make a new Tapped"):
        tapped.trace(torch.randn(2, 3, 32, 32))


@pytest.mark.parametrize("move", [
    copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net)), lambda net: net.to(memory_format=torch.channels_last),
    lambda net: torch.optim.swa_utils.AveragedModel(net).module, lambda net: torch.compile(net, backend="eager")],
    ids=["deepcopy", "pickle", "channels last", "averaged", "compiled afterwards"])
def test_a_copy_of_it_sees_what_it_sees(move):
    tapped, x, y = Tapped(Small().eval(), ["one", "two"], 32), torch.randn(4, 3, 32, 32), torch.arange(4)
    fm, losses = FeatureMining(layers=2).prepare(tapped), []
    for net in (tapped, move(tapped)):
        torch.manual_seed(1)
        losses.append(fm.loss(net, x, y).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_images_of_any_number_of_channels(channels):
    tapped = Tapped(Small(channels), ["one", "two"], 32)
    assert tapped.in_channels == channels and tapped.channels == (6, 8)
    fm = FeatureMining(layers=2).prepare(tapped)
    fm.loss(tapped, torch.randn(2, channels, 32, 32), torch.tensor([0, 4])).backward()
    with pytest.raises(UsageError, match="in_channels="):
        Tapped(Small(channels), ["two"], 32, in_channels=channels + 1)


def test_images_need_not_be_square_and_may_have_one_size():
    assert Tapped(Small(image=32), ["one", "two"], 32).channels == (6, 8)
    wide = Tapped(Small(), ["one", "two"], (16, 48))
    assert [m.shape[2:] for m in wide.trace(torch.zeros(2, 3, 16, 48)).maps] == [(8, 24), (4, 12)]


@pytest.mark.parametrize("head", [None, "fc"])
def test_a_linear_layer_that_is_defined_later_is_not_the_classifier(head):
    net = Small()
    net.projection = nn.Linear(8, 5)
    assert Tapped(net, ["two"], 32, head=head).head is net.fc
    with pytest.raises(UsageError, match="no linear layer that runs once"):
        Tapped(net, ["two"], 32, head="projection")
    squashed = Squashed()
    assert Tapped(squashed, ["two"], 32, head="fc").head is squashed.fc


@pytest.mark.parametrize("stages", [["one", "two"], ["two.1"]], ids=str)
@pytest.mark.parametrize("behind", [nn.ReLU(inplace=True), nn.Hardtanh(-1, 1, inplace=True), nn.SiLU(inplace=True)], ids=str)
def test_a_map_is_kept_as_the_stage_gave_it(behind, stages):
    """Also where the next layer writes over it; the logits and the gradients are those of the network alone."""
    net, x = Small(behind=behind).double(), torch.randn(4, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        expected = net.two(net.one(x))
    trace = Tapped(net, stages, 32).trace(x)
    assert torch.equal(trace.maps[-1], expected) and (trace.maps[-1] < 0).any()
    assert torch.equal(trace.logits, net(x))
    ours, theirs = (torch.autograd.grad(logits.square().sum(), list(net.parameters()), retain_graph=True)
                    for logits in (trace.logits, net(x)))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    ours, theirs = (torch.autograd.grad((m**3).sum(), [net.one[0].weight])[0] for m in (trace.maps[-1], net.two(net.one(x))))
    assert torch.equal(ours, theirs) and ours.any()


def test_a_layer_that_writes_in_training_alone_is_refused_there():
    tapped = Tapped(Small(behind=nn.Dropout(0.5, inplace=True)), ["two"], 32)
    with pytest.raises(UsageError, match="writes over the map of two"):
        tapped.trace(torch.randn(2, 3, 32, 32))


def test_auxiliary_outputs_of_training_are_refused_there():
    class Both(Small):
        def forward(self, x):
            return (super().forward(x), x) if self.training else super().forward(x)

    tapped = Tapped(Both(), ["two"], 32)
    with pytest.raises(UsageError, match="auxiliary"):
        tapped.trace(torch.randn(2, 3, 32, 32))


def test_a_network_that_is_compiled_later_is_noticed():
    net = Small().eval()
    tapped = Tapped(net, ["one", "two"], 32)
    net.compile(backend="eager")
    net(torch.randn(2, 3, 32, 32))
    with pytest.raises(UsageError, match=r"torch\.compile"):
        tapped.trace(torch.randn(2, 3, 32, 32))


class Recomputed(Small):
    """Its second stage's map lies within a region that is computed again in the backward pass."""

    reentrant = False

    def forward(self, x):
        inner = checkpoint(lambda x: self.two(x).relu(), self.one(x), use_reentrant=self.reentrant)
        return self.fc(inner.mean((2, 3)))


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_recomputing_is_allowed_only_where_it_changes_nothing():
    """Of the second, reentrant kind no gradient would reach the stage; an edit would be missing the second time."""
    torch.manual_seed(0)
    net, x, y = Recomputed().double(), torch.randn(4, 3, 32, 32, dtype=torch.float64), torch.arange(4)
    plain = Small(behind=nn.ReLU()).double()
    plain.load_state_dict(net.state_dict())
    found = []
    for each in (net, plain):
        tapped = Tapped(each, ["one", "two"], 32)
        torch.manual_seed(1)
        fm = FeatureMining(layers=2).prepare(tapped)
        found.append(torch.autograd.grad(fm.loss(tapped, x, y), list(each.parameters())))
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(*found, strict=True))
    with pytest.raises(UsageError, match="gradient checkpointing"):
        Tapped(net, ["one", "two"], 32).trace(x, edits={1: lambda m: 2 * m})
    net.reentrant = True
    with pytest.raises(UsageError, match="gradient checkpointing"):
        Tapped(net, ["one", "two"], 32).trace(x)


def test_it_is_a_module_with_the_network_s_names():
    tapped = Tapped(resnet(), ["layer3", "layer4"], 64)
    net = tapped.net
    assert list(tapped.state_dict()) == list(net.state_dict())
    assert [name for name, _ in tapped.named_parameters()] == [name for name, _ in net.named_parameters()]
    assert {id(p) for p in tapped.parameters()} == {id(p) for p in net.parameters()}
    assert not tapped.eval().net.training and tapped.train().net.training and tapped.double().head.weight.dtype == torch.float64
    tapped.float().load_state_dict(resnet().state_dict(), strict=True)
    whole = nn.ModuleDict({"net": tapped, "fm": FeatureMining(layers=1).prepare(tapped)})
    assert "net.conv1.weight" in whole.state_dict()
    other = copy.deepcopy(whole)
    nn.init.zeros_(other["net"].head.weight)
    other.load_state_dict(whole.state_dict(), strict=True)
    assert torch.equal(other["net"].head.weight, net.fc.weight) and other["net"].head is not net.fc


def test_probing_leaves_the_random_state_and_a_failing_network_as_they_were():
    net, before = Small(image=48), torch.get_rng_state()
    net.one.eval()
    with pytest.raises(UsageError):
        Tapped(net, ["two"], 32)
    Tapped(net, ["two"], 48)
    assert torch.equal(torch.get_rng_state(), before) and net.training and not net.one[1].training
    assert probing.look(Tapped(net, ["two"], 48), 48, 48).averaged
