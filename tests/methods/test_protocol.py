"""How methods go together: what a composed step refuses, and how an outcome grows."""

import pytest
import torch
from helpers import batch

from featuremining import Batch, Method, Outcome, UsageError, build, compose, make, plain_step


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
    with pytest.raises(UsageError, match=rf"^{name} is given already; [^.]*\.$"):
        compose([Twice(**added), make("fm").prepare(net)])(net, batch())


def test_the_classifiers_own_loss_can_be_replaced_and_stays_first():
    net = build("resnet20", 10)
    out = plain_step(net, batch())
    more = out.plus({"a": out.losses["ce"]}, {"b": out.losses["ce"]}, ce=out.losses["ce"] / 2).plus(ce=torch.ones(()))
    assert list(more.losses) == ["ce", "a"] and list(more.logs) == ["b"] and list(out.losses) == ["ce"]
    assert more.losses["ce"] == 1 and more.losses["a"] == out.losses["ce"]


def test_batches_keep_what_a_method_does_not_know():
    assert Batch(torch.zeros(1), torch.zeros(1), {2: abs})._replace(x=torch.ones(1)).pools == {2: abs}


@pytest.mark.parametrize(("losses", "logs"), [({"loss": 1.0}, {}), ({}, {"train_acc": 1.0}), ({"x": 1.0}, {"x": 1.0})])
def test_names_that_a_training_logs_itself_are_refused(losses, logs):
    """`loss` is what is minimised: under that name a method would replace the sum."""
    out = Outcome(Batch(torch.zeros(1), torch.zeros(1)), None, {"ce": torch.ones(())})
    with pytest.raises(UsageError, match="is given already"):
        out.plus(losses, logs)
