"""A training loop of one's own: what is handed over to a method is checked, and what is meant comes out."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from helpers import batch, settings_for
from torch import nn

from featuremining import METHODS, Batch, FeatureMining, Tapped, UsageError, build, compose, make
from featuremining.methods.segments import KINDS

OWN = [name for name in METHODS if not make(name).prepared]        # those that have to look at the network first


def small(classes=10):
    """A Tapped network of 8 x 8 and 4 x 4 cells from 16 x 16 pixels."""
    torch.manual_seed(0)
    body = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 8, 3, 2, 1)
    return Tapped(nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes)), ["0", "1"], 16)


@pytest.fixture
def mined():
    net = small()
    return net, FeatureMining(layers=2, min_box=1).prepare(net), batch(size=16)


def loss_of(method, *args, **words):
    torch.manual_seed(3)        # the same boxes
    return method.loss(*args, **words)


# ------------------------------------------------------------------------------------------------ labels and criteria


def test_labels_are_numbers_or_rows(mined):
    net, fm, data = mined
    labels = data.y.argmax(1)
    expected = loss_of(fm, net, data.x, labels)
    for same in (data.y, data.y.double(), labels.int(), labels.to(torch.uint8)):
        assert torch.equal(loss_of(fm, net, data.x, same), expected)
    soft = torch.softmax(torch.randn(6, 10), 1)
    total, logits = loss_of(fm, net, data.x, soft, return_logits=True)
    assert torch.equal(logits, net(data.x)) and total.shape == ()
    by_criterion = loss_of(fm, net, data.x, soft, criterion=F.cross_entropy)
    assert torch.allclose(total, by_criterion) and not torch.allclose(total, expected)


@pytest.mark.parametrize("labels", [
    torch.zeros(6, 1, dtype=torch.long), torch.zeros(6), torch.zeros(6, 10, dtype=torch.long), torch.zeros(5, dtype=torch.long),
    torch.zeros(6, 9), torch.zeros((), dtype=torch.long), torch.zeros(6, dtype=torch.bool), torch.full((6,), 10),
    torch.full((6,), -100), torch.zeros(6, dtype=torch.long, device="meta")], ids=lambda t: f"{t.shape} {t.dtype} {t.device}")
def test_other_labels_are_one_sentence(mined, labels):
    net, fm, data = mined
    with pytest.raises(UsageError, match=r"[Ll]abels") as raised:
        fm.loss(net, data.x, labels)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("rows", [
    torch.ones(6, 10), torch.zeros(6, 10), torch.randn(6, 10), torch.full((6, 10), torch.nan), 2 * torch.eye(10)[:6],
    -torch.eye(10)[:6]], ids=["several classes", "zeros", "logits", "nan", "twice", "negative"])
def test_rows_that_are_no_probabilities_are_for_a_criterion(mined, rows):
    net, fm, data = mined
    with pytest.raises(UsageError, match="give criterion="):
        fm.loss(net, data.x, rows)
    assert fm.loss(net, data.x, rows, criterion=nn.BCEWithLogitsLoss()).shape == ()
    assert fm.loss(net, data.x, rows.softmax(1).nan_to_num(0.1).half()).isfinite()


@pytest.mark.parametrize("labels", [torch.zeros(6, dtype=torch.long), torch.ones(6, 1)], ids=str)
def test_one_logit_has_no_cross_entropy(labels):
    """It would be 0 whatever is learnt."""
    net, data = small(classes=1), batch(size=16)
    fm = FeatureMining(layers=2, min_box=1).prepare(net)
    with pytest.raises(UsageError, match="BCEWithLogitsLoss"):
        fm.loss(net, data.x, labels)
    assert fm.loss(net, data.x, torch.ones(6, 1), criterion=nn.BCEWithLogitsLoss()) > 0


@pytest.mark.parametrize(("images", "labels"), [
    (torch.zeros(2, 3, 16, 16), [0, 1]), (torch.zeros(2, 3, 16, 16), np.array([0, 1])),
    (np.zeros((2, 3, 16, 16)), torch.arange(2)), ([torch.zeros(3, 16, 16)], torch.arange(1)),
    (torch.zeros(0, 3, 16, 16), torch.arange(0)), (torch.zeros(2, 3, 16, 16), None)], ids=lambda v: type(v).__name__)
def test_what_is_no_batch_is_one_sentence(mined, images, labels):
    with pytest.raises(UsageError, match=r"tensor|one image or more"):
        mined[1].loss(mined[0], images, labels)


@pytest.mark.parametrize("criterion", [
    nn.CrossEntropyLoss, "cross_entropy", True, lambda *_: 1.0, lambda *_: torch.ones(1)],
    ids=["class", "name", "flag", "float", "(1,)"])
def test_what_is_no_criterion_is_one_sentence(mined, criterion):
    net, fm, data = mined
    with pytest.raises(UsageError, match="criterion"):
        fm.loss(net, data.x, data.y.argmax(1), criterion)


@pytest.mark.parametrize("criterion", [
    nn.CrossEntropyLoss(label_smoothing=0.1), nn.CrossEntropyLoss(weight=torch.rand(10)), nn.CrossEntropyLoss(ignore_index=3),
    nn.MultiMarginLoss(), F.cross_entropy], ids=["smooth", "weights", "ignored", "margin", "plain"])
def test_a_criterion_is_taken_at_every_classifier(mined, criterion):
    """The total is the criterion of the network's logits and of each head's, which a mean with weights shows."""
    net, fm, data = mined
    labels, seen = torch.tensor([3, 3, 1, 0, 9, 2]), []
    total = loss_of(fm, net, data.x, labels, criterion=lambda *given: seen.append(criterion(*given)) or seen[-1])
    assert len(seen) == 5 and torch.allclose(total, sum(seen))
    assert torch.equal(seen[0], criterion(net(data.x), labels))
    total.backward()
    assert all(p.grad is not None for p in [*net.parameters(), *fm.parameters()])


def test_labels_of_any_kind_go_to_the_criterion_as_they_are(mined):
    net, fm, data = mined
    ignored = torch.tensor([1, -100, 2, -100, -100, 0])
    assert loss_of(fm, net, data.x, ignored, criterion=nn.CrossEntropyLoss()).isfinite()
    several = (torch.rand(6, 10) > 0.5).float()
    assert loss_of(fm, net, data.x, several, criterion=nn.BCEWithLogitsLoss()).isfinite()
    with pytest.raises(UsageError, match="one number"):
        fm.loss(net, data.x, ignored, criterion=nn.CrossEntropyLoss(reduction="none"))


@pytest.mark.parametrize("name", ["mixup", "cutmix", "label_smoothing"])
def test_a_method_that_changes_labels_takes_rows_but_no_criterion(name, mined):
    net, _, data = mined
    method = make(name).prepare(net)
    assert method.loss(net, data.x, data.y).isfinite()
    with pytest.raises(UsageError, match="criterion"):
        for _ in range(20):         # CutMix leaves every second batch alone
            method.loss(net, data.x, data.y.argmax(1), criterion=F.cross_entropy)


# ------------------------------------------------------------------------------------------------ precision


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", ["fm", "byot", "dropout"])
def test_a_prepared_method_has_the_network_s_precision_and_the_loss_too(name, dtype):
    net = small().to(dtype)
    method = make(name, **({"min_box": 1} if name == "fm" else {})).prepare(net)
    assert all(p.dtype == dtype for p in method.parameters())
    data = batch(size=16, dtype=dtype)
    loss = method.loss(net, data.x, data.y.argmax(1))
    loss.backward()
    assert loss.dtype == F.cross_entropy(net(data.x), data.y.argmax(1)).dtype == dtype


def test_under_autocast_the_loss_is_as_wide_as_the_cross_entropy(mined):
    net, fm, data = mined
    with torch.autocast("cpu", torch.bfloat16):
        for images in (data.x, data.x.bfloat16()):
            assert fm.loss(net, images, data.y.argmax(1)).dtype == F.cross_entropy(net(images), data.y).dtype == torch.float32


# ------------------------------------------------------------------------------------------------ forgotten steps


@pytest.mark.parametrize("name", OWN)
def test_a_method_that_was_not_prepared_says_so(name, tmp_path_factory):
    method, net, data = make(name, **settings_for(name, tmp_path_factory)), build("resnet20", 10), batch()
    for call in (lambda: method.loss(net, data.x, data.y.argmax(1)), lambda: compose([method])(net, data)):
        with pytest.raises(UsageError, match="not prepared"):
            call()


def test_which_methods_need_a_network():
    assert {"fm", "byot", "dropout", "kd", "fixed_mask"} <= set(OWN) and make("mixup").prepared


@pytest.mark.parametrize("name", [*OWN, "mixup"])
def test_a_network_that_methods_cannot_see_into_says_so(name, tmp_path_factory):
    net, data = torchvision.models.resnet18(num_classes=10), batch()
    method = make(name, **settings_for(name, tmp_path_factory))
    if name in OWN:
        with pytest.raises(UsageError, match=r"Tapped\(net, stages="):
            method.prepare(net)
        method.prepare(build("resnet20", 10))
    for call in (lambda: method.loss(net, data.x, data.y.argmax(1)), lambda: compose([method])(net, data)):
        with pytest.raises(UsageError, match=r"Tapped\(net, stages="):
            call()


@pytest.mark.parametrize("move", [lambda net: net.double(), lambda net: net.to("meta")], ids=["dtype", "device"])
@pytest.mark.parametrize("name", ["fm", "byot"])
def test_heads_that_were_left_behind_say_so(name, move):
    net = build("resnet20", 10)
    method = make(name).prepare(net)
    move(net)
    like, data = net.head.weight, batch()
    images, rows = data.x.to(like), data.y.to(like)
    for call in (lambda: method.loss(net, images, rows), lambda: compose([method])(net, Batch(images, rows))):
        with pytest.raises(UsageError, match=r"\.to\(device, dtype\)"):
            call()


@pytest.mark.parametrize("name", ["fm", "byot"])
@pytest.mark.parametrize("other", [lambda: build("resnet20", 7), lambda: small(), lambda: build("wrn_16_4", 10)],
                         ids=["classes", "stages", "channels"])
def test_a_method_that_was_prepared_for_another_network_says_so(name, other):
    method, net = make(name).prepare(build("resnet20", 10)), other()
    with pytest.raises(UsageError, match="was prepared for a network with stages of 16, 32, 64 channels and 10 classes"):
        method.loss(net, batch().x, torch.zeros(6, dtype=torch.long))
    method.loss(build("resnet20", 10), batch().x, torch.zeros(6, dtype=torch.long))


@pytest.mark.parametrize("name", ["fm", "byot"])
def test_weights_of_heads_are_loaded_after_they_were_made(name):
    net = build("resnet20", 10)
    trained, method = make(name).prepare(net), make(name)
    with pytest.raises(UsageError, match="nothing can be loaded"):
        method.load_state_dict(trained.state_dict())
    method.prepare(net).load_state_dict(trained.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(method.parameters(), trained.parameters(), strict=True))


# ------------------------------------------------------------------------------------------------ settings


@pytest.mark.parametrize(("name", "settings"), [
    ("fm", {"min_box": True}), ("fm", {"min_box": 1.0}), ("fm", {"layers": True}), ("fm", {"area": True}),
    ("fm", {"weights": (True, 1.0, 1.0, 1.0)}), ("fm", {"beta": (True, 1.0)}), ("fm", {"detach_stages": (True,)}),
    ("fm", {"per_sample": 1}), ("fm", {"area": "0.5"}), ("byot", {"temperature": float("inf")}), ("kd", {"ce": float("inf")}),
    ("mixup", {"alpha": True}), ("mixup", {"alpha": "1"}), ("mixup", {"alpha": float("inf")}), ("cutout", {"length": True}),
    ("fixed_mask", {"stage": False}), ("fm", {"beta": 1.0}), ("fm", {"weights": 1.0}), ("fm", {"detach_stages": 1}),
    ("fm", {"layers": (2,)}), ("fm", {"area": (0.5, 0.5)}), ("mixup", {"alpha": [1.0]}), ("dropblock", {"stages": 0}),
    *((name, {"alpha": alpha}) for name in ("mixup", "cutmix") for alpha in (0.0, -1.0, 1e-300, 1e-30, 1e30, 1e300)),
    ("fm", {"beta": (1e-30, 1.0)}), ("fm", {"beta": (1.0, 1e300)}), ("fm", {"beta": (0.0, 1.0)}),
    ("fm", {"beta": (float("nan"), 1.0)}), ("fm", {"weights": (float("nan"),) * 4}),
    *(("fm", {"layers": 0, **idle}) for idle in (
        {"box": "inside"}, {"min_box": 1}, {"share_fc": "main"}, {"head_init": "zero"}, {"reduction": "mean"}, {"area": 0.5}))],
    ids=str)
def test_a_setting_that_is_not_what_it_says_is_refused(name, settings):
    """True for 1 would make another record of the same training, an idle setting a record that names a choice nobody made."""
    with pytest.raises(UsageError):
        make(name, **settings)


def test_numbers_of_numpy_are_numbers():
    assert make("fm", area=np.float64(0.25)).area == 0.25 and make("mixup", alpha=2).alpha == 2


# ------------------------------------------------------------------------------------------------ boxes and small maps


@pytest.mark.parametrize("box", ["inside", "corner_clip", "center_clip"])
def test_an_area_of_whole_cells_is_these_cells(box):
    """k x k of s x s cells for (k / s)^2, whatever rounding makes of its root: the widest box of many is k wide. CutMix's rule
    makes it even."""
    for size in (*range(1, 17), 28, 49, 56):
        for k in range(size + 1):
            fm = FeatureMining(layers=1, box=box, area=k * k / (size * size))
            widths = fm.kind.mask(fm.kind.draw(64, "cpu"), size, size).view(64, size, size).any(1).sum(1)
            widest = 2 * (k // 2) if box == "center_clip" else k
            assert widths.max() <= widest and (box != "inside" or (widths == k).all()), (size, k)


@pytest.mark.parametrize(("settings", "size", "odds"), [
    ({}, 1, 1.0), ({}, 2, 1.0), ({}, 3, 4 / 9), ({}, 4, 1 / 4), ({}, 7, 4 / 49), ({}, 8, 1 / 16), ({"min_box": 1}, 2, 0.0),
    ({"min_box": 1}, 1, 1.0), ({"box": "inside"}, 2, 1 / 4), ({"box": "inside"}, 1, 1.0), ({"area": 0.0}, 8, 1.0),
    ({"segmentation": "noncomplementary"}, 2, 1.0), ({"exact_width": True}, 2, 1 / 4)], ids=str)
def test_how_often_a_box_is_empty(settings, size, odds):
    kind = FeatureMining(layers=1, **settings).kind
    state = torch.get_rng_state()
    assert kind.empty((64, size, size))[0] == pytest.approx(odds, abs=0.01)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("settings", [
    {"segmentation": "dropout", "dropout_shape": "position"}, {"segmentation": "dropout", "keep": 0.3},
    {"segmentation": "channel"}, {"segmentation": "channel", "keep": 0.75}, {"box": "inside", "area": 1.0}, {"min_box": 1}],
    ids=str)
def test_how_often_other_parts_are_empty(settings):
    """Against what many draws come to, both parts; by element, a part is empty where it is so in all channels."""
    kind, shape = FeatureMining(layers=1, **settings).kind, (2, 2, 1)
    torch.manual_seed(0)
    masks = [part.flatten(1).sum(1) == 0 for part in kind.split(20000, shape, "cpu", None)]
    assert [m.double().mean().item() for m in masks] == pytest.approx(kind.empty(shape), abs=0.015)


def test_every_segmentation_says_how_often_its_parts_are_empty():
    for name in KINDS:
        assert len(FeatureMining(layers=1, segmentation=name).kind.empty((4, 8, 8))) == 2


def test_a_part_that_is_always_empty_is_refused_and_one_that_often_is_warned_of_once():
    net = small()
    for pixels, expected in ((8, UsageError), (12, UserWarning), (16, UserWarning), (32, None)):
        fm, data = FeatureMining(layers=1).prepare(net), batch(size=pixels)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if expected is UsageError:
                with pytest.raises(UsageError, match=r"2 x 2 the inside part is empty always, .* min_box=1"):
                    fm.loss(net, data.x, data.y)
            else:
                for _ in range(3):
                    fm.loss(net, data.x, data.y)
        assert len(caught) == (expected is UserWarning)
        assert not caught or {12: "44%", 16: "25%"}[pixels] in str(caught[0].message)       # whole percents of 4/9 and 4/16


# ------------------------------------------------------------------------------------------------ the network's own classifier


@pytest.mark.parametrize("between", [nn.LayerNorm(8), nn.ReLU(), nn.Hardswish(), nn.BatchNorm1d(8)], ids=str)
def test_parts_are_not_handed_to_a_classifier_that_reads_something_else(between):
    """The same width is not enough: a norm or an activation may stand between pooling and classifier."""
    plain = small().net
    other = Tapped(nn.Sequential(*plain[:4], between, plain[4]), ["0", "1"], 16)
    if isinstance(between, nn.BatchNorm1d):
        nn.init.constant_(between.weight, 2.0)
    with pytest.raises(UsageError, match="share_fc"):
        FeatureMining(layers=1, share_fc="main").prepare(other)
    FeatureMining(layers=1, share_fc="main").prepare(Tapped(plain, ["0", "1"], 16))
