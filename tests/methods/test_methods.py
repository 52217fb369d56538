"""What holds for every method, tested from one table; Mixup against its definition."""

from itertools import permutations

import pytest
import torch
import torch.nn.functional as F
from helpers import ALL, batch, conforms, plain_settings

from featuremining import METHODS, Batch, Method, UsageError, build, compose, make, plain_step
from featuremining.methods.mixup import mix


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


def test_only_the_first_method_chooses_batches():
    class Chooser(Method):
        def __init__(self):
            torch.nn.Module.__init__(self)

        def sampler(self, labels, batch_size):
            return lambda generator: [labels]

    compose([Chooser(), make("mixup")])
    with pytest.raises(UsageError, match="first"):
        compose([make("mixup"), Chooser()])


def test_a_method_comes_once():
    with pytest.raises(UsageError, match="used once"):
        compose([make("fm"), make("mixup"), make("fm")])


class Twice(Method):
    """Someone's method whose loss, or what it logs, is named like another's."""

    def __init__(self, **added):
        torch.nn.Module.__init__(self)
        self.added = added

    def step(self, inner, model, batch):
        return inner(model, batch).plus(**self.added)


@pytest.mark.parametrize("added", [
    {"losses": {"fm.stage3.inside": torch.zeros(())}}, {"losses": {"ce": torch.zeros(())}},
    {"logs": {"fm.stage3.area": torch.zeros(())}}, {"losses": {"fm.stage2.empty": torch.zeros(())}}], ids=str)
def test_a_name_that_another_method_gave_a_loss_is_refused(added):
    net = build("resnet20", 10)
    (name,) = next(iter(added.values()))
    with pytest.raises(UsageError, match=rf"^Two methods give {name}; [^.]*\.$"):
        compose([Twice(**added), make("fm").prepare(net)])(net, batch())


def test_the_classifiers_own_loss_can_be_replaced_and_stays_first():
    net = build("resnet20", 10)
    out = plain_step(net, batch())
    more = out.plus({"a": out.losses["ce"]}, {"b": out.losses["ce"]}, ce=out.losses["ce"] / 2).plus(ce=torch.ones(()))
    assert list(more.losses) == ["ce", "a"] and list(more.logs) == ["b"] and list(out.losses) == ["ce"]
    assert more.losses["ce"] == 1 and more.losses["a"] == out.losses["ce"]


def test_mixup_is_identity_at_lambda_one():
    data = batch()
    mixed = mix(data, torch.tensor(1.0), torch.randperm(6))
    assert torch.equal(mixed.x, data.x) and torch.equal(mixed.y, data.y)


def test_mixup_loss_is_the_weighted_sum_of_both_labels():
    net, data = build("resnet20", 10).double().eval(), batch(dtype=torch.float64)
    lam, partner = torch.tensor(0.3, dtype=torch.float64), torch.tensor([5, 0, 1, 2, 3, 4])
    loss = plain_step(net, mix(data, lam, partner)).losses["ce"]
    logits = net(0.3 * data.x + 0.7 * data.x[partner])
    labels = data.y.argmax(1)
    expected = 0.3 * F.cross_entropy(logits, labels) + 0.7 * F.cross_entropy(logits, labels[partner])
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)


def test_every_head_of_fm_sees_the_mixed_target():
    net = build("resnet20", 10)
    fm, seen = make("fm").prepare(net), []
    spy = lambda model, b: seen.append(b) or plain_step(model, b)  # noqa: E731
    out = fm.step(lambda model, b: make("mixup").step(spy, model, b), net, batch())
    assert torch.equal(out.batch.y, seen[0].y) and ((out.batch.y > 0).sum(1) == 2).any()


def test_batches_keep_what_a_method_does_not_know():
    assert Batch(torch.zeros(1), torch.zeros(1), {2: abs})._replace(x=torch.ones(1)).pools == {2: abs}
