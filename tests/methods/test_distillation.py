"""KD, FitNet and attention transfer: equality with their losses written out, the frozen teacher, everything it says no to."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import batch, numpy_kl, settings_for
from torch import nn

from featuremining import UsageError, build, compose, load, make, paths, plain_step
from featuremining.methods.distillation import KD, AttentionTransfer, FitNet, attention, same_size
from featuremining.models import weights
from featuremining.models.staged import StagedNet
from featuremining.recipes import recipe
from featuremining.studies import Run

NAMES = ("kd", "fitnet", "attention")


@pytest.fixture
def teacher(tmp_path_factory):
    return settings_for("kd", tmp_path_factory)


def prepared(name, teacher, dtype=torch.float32, **settings):
    torch.manual_seed(0)
    net = build("resnet20", 10).to(dtype)
    return net, make(name, **teacher, **settings).prepare(net).to(dtype)


def frozen(teacher, dtype=torch.float64):
    """The same teacher, made here."""
    net = build(teacher["teacher"], 10)
    net.load_state_dict(torch.load(teacher["weights"], weights_only=True))
    return net.to(dtype).eval()


# ------------------------------------------------------------------------------------------------ the losses


def kd(method, net, theirs, data):
    z, t = net(data.x), theirs(data.x).detach()
    assert numpy_kl(z.detach().numpy(), t.numpy(), 4.0) == pytest.approx(
        F.kl_div(F.log_softmax(z / 4, 1), F.softmax(t / 4, 1), reduction="batchmean").item(), abs=1e-12)
    soft = F.kl_div(F.log_softmax(z / 4, 1), F.softmax(t / 4, 1), reduction="batchmean")
    return 0.1 * F.cross_entropy(z, data.y.argmax(1)) + 0.9 * 16 * soft


def fitnet(method, net, theirs, data):
    maps = net.maps(data.x)
    guess = F.relu(method.regressor[1](method.regressor[0](maps[1])))
    return F.cross_entropy(net.head(maps[2].mean((2, 3))), data.y.argmax(1)) + 100 * (
        (guess - theirs.maps(data.x)[1].detach()) ** 2).mean()


def attention_transfer(method, net, theirs, data):
    maps = net.maps(data.x)
    total = F.cross_entropy(net.head(maps[2].mean((2, 3))), data.y.argmax(1))
    for mine, other in zip(maps, theirs.maps(data.x), strict=True):
        a, b = ((m**2).mean(1).reshape(len(m), -1) for m in (mine, other.detach()))
        a, b = (q / (q**2).sum(1, keepdim=True).sqrt() for q in (a, b))
        total = total + 1000 * ((a - b) ** 2).mean()
    return total


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("name", "written_out"), [("kd", kd), ("fitnet", fitnet), ("attention", attention_transfer)])
def test_equals_the_loss_written_out(name, written_out, memory, teacher):
    """Values and gradients of network and regressor, float64."""
    net, method = prepared(name, teacher, torch.float64)
    net, data = net.to(memory_format=memory), batch(dtype=torch.float64)
    loss = sum(method.step(plain_step, net, data).losses.values())
    expected = written_out(method, net, frozen(teacher), data)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-10)
    parameters = [*net.parameters(), *method.parameters()]
    ours, theirs = (torch.autograd.grad(value, parameters) for value in (loss, expected))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_names_of_losses(teacher):
    found = {}
    for name in NAMES:
        net, method = prepared(name, teacher)
        found[name] = list(method.step(plain_step, net, batch()).losses)
    assert found == {"kd": ["ce", "kd"], "fitnet": ["ce", "fitnet"],
                     "attention": ["ce", "attention.stage1", "attention.stage2", "attention.stage3"]}


@pytest.mark.parametrize("name", ["kd", "attention"])
def test_a_student_that_equals_its_teacher_pays_nothing(name, teacher):
    """Both in evaluation mode: equal logits, equal attention."""
    net, method = prepared(name, teacher, torch.float64)
    net.load_state_dict(torch.load(teacher["weights"], weights_only=True))
    losses = method.step(plain_step, net.eval(), batch(dtype=torch.float64)).losses
    assert all(abs(value.item()) < 1e-12 for key, value in losses.items() if key != "ce")


def test_attention_is_a_direction():
    """A(cF) = A(F); its length is one; NumPy agrees."""
    x = torch.randn(3, 5, 4, 6, dtype=torch.float64)
    a = attention(x)
    torch.testing.assert_close(attention(-7.5 * x), a, rtol=0, atol=1e-12)
    squares = np.mean(x.numpy() ** 2, axis=1).reshape(3, -1)
    np.testing.assert_allclose(a.numpy(), squares / np.linalg.norm(squares, axis=1, keepdims=True), atol=1e-12)
    assert attention(torch.zeros(1, 2, 2, 2)).eq(0).all()


def test_maps_meet_at_the_smaller_size():
    a, b = torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4)
    small, same = same_size(a, b)
    assert torch.equal(small, F.avg_pool2d(a, 2)) and same is b
    swapped = same_size(b, a)
    assert swapped[0] is b and torch.equal(swapped[1], small)
    with pytest.raises(UsageError, match="don't fit"):
        same_size(a, torch.randn(2, 5, 3, 3))


def test_the_teacher_sees_what_the_student_sees(teacher):
    """Mixed images, whichever method is outside."""
    for order in (("kd", "mixup"), ("mixup", "kd")):
        net, method = prepared("kd", teacher)
        seen, taught = [], method.taught
        method.taught = lambda x, seen=seen, taught=taught: seen.append(x) or taught(x)
        out = compose([method if name == "kd" else make(name) for name in order])(net, batch())
        assert torch.equal(seen[0], out.batch.x) and not torch.equal(out.batch.x, batch().x)


# ------------------------------------------------------------------------------------------------ the teacher


@pytest.mark.parametrize("name", NAMES)
def test_the_teacher_is_frozen_and_stays_outside(name, teacher):
    """No parameter, no state, no gradient, no mode and no running statistic of it changes; `to` takes it along."""
    net, method = prepared(name, teacher)
    theirs, before = method.frozen[0], frozen(teacher, torch.float32).state_dict()
    method.train()
    sum(method.step(plain_step, net, batch()).losses.values()).backward()
    assert not any(p.requires_grad or p.grad is not None for p in theirs.parameters()) and not theirs.training
    assert all(torch.equal(v, before[k]) for k, v in theirs.state_dict().items())
    own = {"fitnet": ["regressor.0.weight", "regressor.1.weight", "regressor.1.bias"]}
    assert [key for key, _ in method.named_parameters()] == own.get(name, [])
    assert not any("frozen" in key for key in method.state_dict())
    assert next(method.double().frozen[0].parameters()).dtype == torch.float64


def test_preparing_draws_nothing_and_the_student_is_untouched(teacher):
    net = build("resnet20", 10)
    before, drawn = {k: v.clone() for k, v in net.state_dict().items()}, torch.get_rng_state()
    KD(**teacher).prepare(net)
    assert torch.equal(drawn, torch.get_rng_state()) and all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_settings_name_the_teachers_weights(teacher):
    """The sha256 of the state, which the teacher's record gives as well; it is no default, so nothing goes stale without it."""
    digest = importlib.import_module("featuremining.training.loop").digest
    _, method = prepared("kd", teacher)
    assert method.settings()["teacher_sha256"] == digest(frozen(teacher, torch.float32).state_dict())
    assert "teacher_sha256" not in KD(**teacher).settings()


def test_weights_are_found_in_the_build_folder(scratch, teacher):
    path = paths.weights("full", "key", 0)
    path.parent.mkdir(parents=True)
    torch.save(frozen(teacher, torch.float32).state_dict(), path)
    KD(teacher="resnet20", weights="weights/full/key/seed0.pt").prepare(build("resnet20", 10))


def test_weights_that_come_with_the_project_serve_where_none_were_trained_here(scratch, teacher, monkeypatch):
    """The same network by its sha256; one that was trained here goes first, and a file that is named whole is that file."""
    monkeypatch.setattr(paths, "_shipped", lambda name: scratch / "shipped" / name)
    net = frozen(teacher, torch.float32)
    weights.publish(paths.published("full", "key", 0), net.state_dict(), {})
    named, student = KD(teacher="resnet20", weights="weights/full/key/seed0.pt"), build("resnet20", 10)
    named.prepare(student)
    assert named.teacher_sha256 == weights.digest(net.state_dict())
    with pytest.raises(UsageError, match="no weights at"):
        KD(teacher="resnet20", weights=str(paths.published("full", "key", 0).with_suffix(".pt"))).prepare(student)
    other = build("resnet20", 10).state_dict()
    weights.write(paths.weights("full", "key", 0), other)
    named.prepare(student)
    assert named.teacher_sha256 == weights.digest(other)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_teacher_is_one_sentence(name, tmp_path):
    net, damaged = build("resnet20", 10), tmp_path / "damaged.pt"
    damaged.write_bytes(b"no weights")
    for settings in ({}, {"teacher": "resnet20"}, {"weights": "x.pt"}):
        with pytest.raises(UsageError, match=r"needs a teacher.*fm run CELL --tier full"):
            make(name, **settings).prepare(net)
    with pytest.raises(UsageError, match=r"no weights at .*x\.pt.*fm run"):
        make(name, teacher="resnet20", weights="x.pt").prepare(net)
    with pytest.raises(UsageError, match=r"damaged\.pt is not the state of a trained network"):
        make(name, teacher="resnet20", weights=str(damaged)).prepare(net)


def test_an_unfit_teacher_is_one_sentence(teacher):
    with pytest.raises(UsageError, match="knows 10 classes, the student 9"):
        KD(**teacher).prepare(build("resnet20", 9))
    with pytest.raises(UsageError, match="not those of a resnet32"):
        KD(**{**teacher, "teacher": "resnet32"}).prepare(build("resnet20", 10))
    with pytest.raises(UsageError, match="no network 'resnet2'"):
        KD(**{**teacher, "teacher": "resnet2"}).prepare(build("resnet20", 10))
    two = StagedNet(nn.Identity(), [nn.Conv2d(3, 4, 3), nn.Conv2d(4, 8, 3)], (4, 8), 10)
    for name in ("fitnet", "attention"):
        with pytest.raises(UsageError, match="have 2 and 3"):
            make(name, **teacher).prepare(two)
    KD(**teacher).prepare(two)
    with pytest.raises(UsageError, match="stages 0 to 2"):
        FitNet(**teacher, stage=3).prepare(build("resnet20", 10))


@pytest.mark.parametrize("make_bad", [lambda: KD(temperature=0), lambda: KD(ce=-1), lambda: FitNet(beta=-1),
                                      lambda: AttentionTransfer(beta=-1)])
def test_bad_settings_are_one_sentence(make_bad):
    with pytest.raises(UsageError, match="0 or more"):
        make_bad()


# ------------------------------------------------------------------------------------------------ as part of the whole


@pytest.mark.parametrize("name", NAMES)
def test_one_graph_and_half_precision(name, teacher):
    torch.manual_seed(0)
    net = build("resnet20", 10, depth=8)
    method = make(name, **teacher).prepare(net)
    total = lambda data: sum(method.step(plain_step, net, data).losses.values())  # noqa: E731
    compiled = torch.compile(total, fullgraph=True, dynamic=False, backend="eager")(batch())
    torch.testing.assert_close(compiled, total(batch()))
    with torch.autocast("cpu", torch.bfloat16):
        losses = method.step(plain_step, net, batch()).losses
    assert all(value.dtype == torch.float32 and torch.isfinite(value) for value in losses.values())


def test_a_student_learns_from_a_recorded_network(scratch, monkeypatch):
    """Train a teacher, then a student of it: its record names the teacher's weights as the teacher's own record does."""
    T = importlib.import_module("featuremining.training.loop")
    data = load("parts")._replace(name="few")
    few = data._replace(train_x=data.train_x[:64], train_y=data.train_y[:64], test_x=data.test_x[:45], test_y=data.test_y[:45])
    monkeypatch.setattr("featuremining.training.run.load", lambda name, **changes: few)
    small = replace(recipe("resnet20", "smoke"), epochs=1, batch=32)
    first = T.train(Run("parts", "resnet20", (), small, "smoke", 0), "cpu")
    weights = str(paths.weights("smoke", first.key, 0).relative_to(paths.build()))
    settings = {"teacher": "resnet20", "weights": weights}
    run = Run("parts", "resnet20", tuple({"name": name, **settings} for name in NAMES), small, "smoke", 0)
    record = T.train(run, "cpu")
    assert [m["teacher_sha256"] for m in record.resolved["methods"]] == [first.weights] * 3
    assert [m["train_only_parameters"] for m in record.resolved["methods"]] == [0, 32 * 32 + 64, 0]
    assert {"ce", "kd", "fitnet", "attention.stage3"} < record.curves.keys()
    paths.weights("smoke", first.key, 0).unlink()
    assert T.recorded(run).weights == record.weights        # a record stays readable without the teacher's file
