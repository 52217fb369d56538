"""CS-KD: its batches, equality with the paper's loss written out, the partner's part, a whole training."""

import importlib
import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from helpers import batch, die_after_one_epoch, numpy_kl

from featuremining import Batch, UsageError, build, compose, load, make, plain_step
from featuremining.methods.cs_kd import CSKD, partners
from featuremining.protocol import soft_kl
from featuremining.recipes import recipe
from featuremining.studies import Run

LABELS = torch.tensor([4, 2, 2, 4, 4, 0, 2, 4, 9, 4, 2])       # 0 and 9 have one image each


def epoch(seed=0, batch_size=4, labels=LABELS):
    return CSKD().sampler(labels, batch_size)(torch.Generator().manual_seed(seed))


def halves(data):
    half = len(data.x) // 2
    return Batch(data.x[:half], data.y[:half]), Batch(data.x[half:], data.y[half:])


# ------------------------------------------------------------------------------------------------ batches


def test_anchors_are_every_image_once_and_partners_of_their_class():
    batches = epoch()
    assert [len(b) for b in batches] == [8, 8, 6]           # the last, smaller batch is kept
    anchors, others = (torch.cat([b.chunk(2)[i] for b in batches]) for i in (0, 1))
    assert sorted(anchors.tolist()) == list(range(len(LABELS))) and anchors.tolist() != sorted(anchors.tolist())
    assert torch.equal(LABELS[anchors], LABELS[others])
    alone = (LABELS[anchors] == 0) | (LABELS[anchors] == 9)
    assert torch.equal(anchors[alone], others[alone]) and alone.sum() == 2


def test_partners_are_uniform_in_the_class():
    """Each of five images of class 4 is the partner of any as often as the others, itself included: chi-square of 24 degrees."""
    anchors = torch.tensor([0, 3, 4, 7, 9]).repeat(2000)
    counts = Counter(zip(anchors.tolist(), partners(LABELS, anchors, torch.Generator().manual_seed(0)).tolist(), strict=True))
    assert len(counts) == 25
    assert sum((n - 400) ** 2 / 400 for n in counts.values()) < 51.2        # the 0.999 quantile


def test_epochs_follow_from_the_generator_alone():
    first, again, other = epoch(3), epoch(3), epoch(4)
    assert all(map(torch.equal, first, again)) and not all(map(torch.equal, first, other))


# ------------------------------------------------------------------------------------------------ the loss


def test_soft_kl_equals_numpy_value_and_gradient():
    """The gradient by the student's logits is (q - p) / (T B)."""
    g = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(2, 5, 7, generator=g, dtype=torch.float64) for _ in range(2))
    student.requires_grad_()
    value = soft_kl(student, teacher[0], 2.5)
    for i in range(2):
        assert value[i].item() == pytest.approx(numpy_kl(student[i].detach().numpy(), teacher[0].numpy(), 2.5), abs=1e-12)
    (gradient,) = torch.autograd.grad(value.sum(), student)
    expected = ((student / 2.5).softmax(-1) - (teacher[0] / 2.5).softmax(-1)) / (2.5 * 5)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-12)
    assert soft_kl(teacher, teacher, 4.0).eq(0).all()


def test_soft_kl_times_t_squared_keeps_its_gradient():
    """As T grows, T^2 times the gradient tends to the difference of centred logits over K, B = 1."""
    student = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64, requires_grad=True)
    teacher = torch.tensor([[0.0, 3.0, -1.0]], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(1e8 * soft_kl(student, teacher, 1e4), student)
    difference = student.detach() - teacher
    torch.testing.assert_close(gradient, (difference - difference.mean()) / 3, rtol=0, atol=1e-3)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("settings", [{}, {"weight": 3.0, "temperature": 2.0}], ids=str)
def test_equals_the_loss_written_out(settings, memory):
    """Values (NumPy) and gradients (cross-entropy of softened targets, which differs from KL by a constant), float64."""
    torch.manual_seed(0)
    net, cs_kd = build("resnet20", 10).double().to(memory_format=memory), CSKD(**settings)
    data, t, weight = batch(8, dtype=torch.float64), settings.get("temperature", 4.0), settings.get("weight", 1.0)
    out = cs_kd.step(plain_step, net, data)
    anchors, others = halves(data)
    z, teacher = net(anchors.x), net(others.x).detach()
    value = weight * t * t * numpy_kl(z.detach().numpy(), teacher.numpy(), t)
    assert out.losses["cs_kd"].item() == pytest.approx(value, abs=1e-10)
    ce = -(anchors.y * z.log_softmax(1)).sum(1).mean()
    assert out.losses["ce"].item() == pytest.approx(ce.item(), abs=1e-10)
    soft = -((teacher / t).softmax(1) * (z / t).log_softmax(1)).sum(1).mean()
    ours = torch.autograd.grad(sum(out.losses.values()), list(net.parameters()))
    for a, b in zip(ours, torch.autograd.grad(ce + weight * t * t * soft, list(net.parameters())), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    assert out.batch.x.shape == anchors.x.shape and torch.equal(out.batch.y, anchors.y)


def test_partners_get_no_gradient():
    net, data = build("resnet20", 10), batch(8)
    x = data.x.clone().requires_grad_()
    loss = CSKD().step(plain_step, net, data._replace(x=x)).losses["cs_kd"]
    (gradient,) = torch.autograd.grad(loss, x)
    assert gradient[:4].any() and not gradient[4:].any()


def test_weight_zero_is_plain_training_on_the_anchors():
    torch.manual_seed(0)
    net, data = build("resnet20", 10).double(), batch(8, dtype=torch.float64)
    losses = [sum(step(net, d).losses.values()) for step, d in
              ((compose([CSKD(weight=0.0)]), data), (plain_step, halves(data)[0]))]
    gradients = [torch.autograd.grad(loss, list(net.parameters())) for loss in losses]
    assert losses[0] == losses[1] and all(map(torch.equal, *gradients))


def test_an_image_paired_with_itself_costs_nothing():
    """Without augmentation both passes see equal batches, so the prediction agrees with itself."""
    net, data = build("resnet20", 10).double(), batch(4, dtype=torch.float64)
    twice = Batch(torch.cat([data.x, data.x]), torch.cat([data.y, data.y]))
    assert CSKD().step(plain_step, net, twice).losses["cs_kd"].abs() < 1e-14


def test_running_statistics_see_anchors_then_partners():
    """Each half is normalised by itself, as in the authors' code."""
    torch.manual_seed(0)
    net, other, data = build("resnet20", 10), build("resnet20", 10), batch(8)
    other.load_state_dict(net.state_dict())
    CSKD().step(plain_step, net, data)
    for half in halves(data):
        other(half.x)
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in net.state_dict().items())
    assert net.stem[0][1].num_batches_tracked == 2


def test_fms_heads_see_the_anchors_only():
    """A14: FM inside CS-KD is FM on the anchors; the KL term reads the network's own logits."""
    torch.manual_seed(0)
    net, data = build("resnet20", 10).double(), batch(8, dtype=torch.float64)
    fm, cs_kd, seen = make("fm").prepare(net).double(), CSKD(), []
    for step, d in ((compose([cs_kd, fm]), data), (compose([fm]), halves(data)[0]), (compose([cs_kd]), data)):
        torch.manual_seed(1)
        seen.append(step(net, d).losses)
    both, mined, alone = seen
    assert both.keys() == mined.keys() | {"cs_kd"}
    for name, value in both.items():
        torch.testing.assert_close(value, {**mined, "cs_kd": alone["cs_kd"]}[name], rtol=1e-10, atol=1e-10)


def test_mixup_inside_mixes_anchors_only():
    net, seen = build("resnet20", 10), []
    net.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))        # the partners' pass
    data = batch(8)
    out = compose([CSKD(), make("mixup")])(net, data)
    assert len(out.batch.x) == 4 and not torch.equal(out.batch.x, data.x[:4])
    assert len(seen) == 1 and torch.equal(seen[0], data.x[4:])


def test_half_precision_trains_every_parameter():
    """Autocast remembers cast weights: a pass without gradient must not leave its own behind."""
    net = build("resnet20", 10)
    with torch.autocast("cpu", torch.bfloat16):
        losses = CSKD().step(plain_step, net, batch(8)).losses
    sum(losses.values()).backward()
    assert losses["cs_kd"].dtype == torch.float32 and all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_one_graph():
    net, step = build("resnet20", 10, depth=8), compose([CSKD()])
    total = lambda data: sum(step(net, data).losses.values())  # noqa: E731
    compiled = torch.compile(total, fullgraph=True, dynamic=False, backend="aot_eager")(batch(8))
    torch.testing.assert_close(compiled, total(batch(8)))


def test_a_loop_of_your_own():
    """`loss` takes batches in the sampler's order, and says so of odd ones."""
    net, cs_kd, images = build("resnet20", 10), CSKD(), batch(len(LABELS)).x
    for index in epoch():
        loss = cs_kd.loss(net, images[index], LABELS[index])
        assert math.isfinite(loss.item())
    with pytest.raises(UsageError, match=r"7 images are no pairs.*sampler"):
        cs_kd.loss(net, images[:7], LABELS[:7])


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"weight": -1}], ids=str)
def test_bad_settings_are_one_sentence(settings):
    with pytest.raises(UsageError, match="positive"):
        CSKD(**settings)


def test_a_whole_training(scratch, monkeypatch):
    """As many steps as without pairs, and a killed training goes on bit for bit."""
    T = importlib.import_module("featuremining.training.loop")
    data = load("parts")._replace(name="few")
    few = data._replace(train_x=data.train_x[:72], train_y=data.train_y[:72], test_x=data.test_x[:45], test_y=data.test_y[:45])
    monkeypatch.setattr("featuremining.training.run.load", lambda name, **changes: few)
    small = replace(recipe("resnet20", "smoke"), epochs=2, batch=32)
    run = Run("parts", "resnet20", ({"name": "cs_kd"}, {"name": "fm"}), small, "smoke", 0)
    training = T.Training(run, torch.device("cpu"))
    assert [len(batch.index) for batch in training.loader.batches()] == [64, 64, 16] and len(training.loader) == 3
    record = T.train(run, "cpu")
    assert len(record.curves["cs_kd"]) == 2 and "fm.stage3.inside" in record.curves and "others" not in record.metrics
    T.paths.record("smoke", record.key, 0).unlink()
    die_after_one_epoch(T.train, run, monkeypatch)
    resumed = T.train(run, "cpu")
    assert resumed.provenance["resumed"] == 1 and resumed.weights == record.weights
