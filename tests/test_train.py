"""The training loop on a handful of images: resuming, evaluation, and everything that can go wrong."""

import importlib
from dataclasses import replace

import pytest
import torch

from featuremining import FMError, UsageError, build, load, paths, records
from featuremining.recipes import recipe
from featuremining.studies import Run

T = importlib.import_module("featuremining.train")
FM2 = ({"name": "fm", "layers": 2},)


@pytest.fixture(autouse=True)
def few_images(scratch, monkeypatch):
    data = load("parts")._replace(name="few")
    few = data._replace(train_x=data.train_x[:96], train_y=data.train_y[:96], test_x=data.test_x[:45], test_y=data.test_y[:45])
    monkeypatch.setattr(T, "load", lambda name: few)
    return few


def run(methods=FM2, epochs=3, seed=0, **changes):
    small = replace(recipe("resnet20", "smoke"), epochs=epochs, batch=32, **changes)
    return Run("parts", "resnet20", methods, small, "smoke", seed)


def die_after_one_epoch(training, monkeypatch):
    """The process is gone right after its first checkpoint."""
    save = T.checkpoint.save

    def last(path, content):
        save(path, content)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(T.checkpoint, "save", last)
        with pytest.raises(KeyboardInterrupt):
            T.train(training, "cpu")


@pytest.mark.parametrize("methods", [(), FM2, (*FM2, {"name": "mixup"})], ids=["baseline", "fm", "fm+mixup"])
def test_a_resumed_training_equals_an_uninterrupted_one(methods, monkeypatch):
    whole = T.train(run(methods), "cpu")
    paths.record("smoke", whole.key, 0).unlink()
    die_after_one_epoch(run(methods), monkeypatch)
    assert not paths.record("smoke", whole.key, 0).exists()
    resumed = T.train(run(methods), "cpu")
    assert resumed.provenance["resumed"] == 1 and whole.provenance["resumed"] == 0
    assert resumed.curves == whole.curves and resumed.weights == whole.weights and resumed.metrics == whole.metrics
    assert not paths.checkpoint("smoke", whole.key, 0).exists()


def test_seeds_differ_and_repeat():
    first, other = T.train(run(epochs=1), "cpu"), T.train(run(epochs=1, seed=1), "cpu")
    paths.record("smoke", first.key, 0).unlink()
    assert T.train(run(epochs=1), "cpu").weights == first.weights != other.weights
    assert [r.seed for r in records.read_records("smoke")] == [0, 1]


def test_methods_start_from_the_same_network():
    """Equal seeds share weights and batches, so methods can be compared in pairs."""
    trainings = [T.Training(run(methods), torch.device("cpu")) for methods in ((), FM2)]
    assert len({T.digest(t.model.state_dict()) for t in trainings}) == 1
    (x, _), (other, _) = (next(iter(t.loader)) for t in trainings)
    assert torch.equal(x, other)


def test_the_saved_network_is_the_plain_network(few_images):
    """Weights of an FM training load into the plain network, which evaluates to the recorded accuracy bit for bit."""
    record = T.train(run(), "cpu")
    state = torch.load(paths.weights("smoke", record.key, 0), weights_only=True)
    plain = build("resnet20", 9).to(memory_format=torch.channels_last)
    plain.load_state_dict(state, strict=True)
    assert T.digest(plain.state_dict()) == record.weights
    accuracy, loss = T.evaluate(plain, few_images, torch.device("cpu"))
    assert accuracy == record.curves["test_acc"][-1] and float(f"{loss:.6g}") == record.curves["test_loss"][-1]


def test_divergence_is_said_and_nothing_is_recorded():
    bad = run(lr=1e30)
    with pytest.raises(FMError, match=r"diverged in epoch 1.*lower learning rate"):
        T.train(bad, "cpu")
    assert not paths.record("smoke", bad.key, 0).exists()


def test_a_network_that_no_longer_evaluates_is_not_recorded(monkeypatch):
    """Running statistics can overflow while the training loss is still finite; NaN must not reach a record."""
    monkeypatch.setattr(T, "evaluate", lambda *_: (11.1, float("nan")))
    with pytest.raises(FMError, match=r"diverged in epoch 1.*test images nan"):
        T.train(run(), "cpu")
    assert not paths.record("smoke", run().key, 0).exists()


def test_a_full_disk_keeps_the_last_checkpoint(monkeypatch):
    die_after_one_epoch(run(), monkeypatch)
    path = paths.checkpoint("smoke", run().key, 0)
    before = path.read_bytes()

    def full(content, file):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(FMError, match="free some disk space"):
        T.checkpoint.save(path, {})
    assert path.read_bytes() == before and not list(path.parent.glob("*.tmp"))


def test_a_damaged_checkpoint_is_named():
    path = paths.checkpoint("smoke", run().key, 0)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(FMError, match=r"seed0\.pt can't be read.*delete it"):
        T.train(run(), "cpu")


def test_a_checkpoint_of_other_defaults_is_refused(monkeypatch):
    die_after_one_epoch(run(), monkeypatch)
    path = paths.checkpoint("smoke", run().key, 0)
    state = torch.load(path, weights_only=True)
    state["resolved"]["methods"][0]["box"] = "inside"
    torch.save(state, path)
    training = T.Training(run(), torch.device("cpu"))
    with pytest.raises(FMError, match="other settings or defaults"):
        training.resume()


def test_a_record_of_other_defaults_is_refused():
    record = T.train(run(epochs=1), "cpu")
    path = paths.record("smoke", record.key, 0)
    path.write_text(path.read_text().replace('"center_clip"', '"inside"'))
    with pytest.raises(FMError, match="box was 'inside' and is 'center_clip' now"):
        T.train(run(epochs=1), "cpu")


def test_a_training_that_goes_on_elsewhere_says_so(monkeypatch):
    """Another commit, thread count or device may change bits: the record names the first and every later one."""
    monkeypatch.setattr(T.provenance, "commit", lambda: {"commit": "a" * 40, "dirty": False})
    die_after_one_epoch(run(), monkeypatch)
    monkeypatch.setattr(T.provenance, "commit", lambda: {"commit": "b" * 40, "dirty": False})
    origin = T.train(run(), "cpu").provenance
    assert origin["commit"] == "a" * 40
    assert [(e["epoch"], e["commit"]) for e in origin["resumed_elsewhere"]] == [(1, "b" * 40)]


def test_a_precision_that_is_not_computed_is_refused():
    with pytest.raises(UsageError, match="fp32 only"):
        T.train(run(precision="bf16"), "cpu")


def test_a_device_that_is_not_there():
    with pytest.raises(UsageError, match="no device 'cuda:9'"):
        T.pick_device("cuda:9")
    with pytest.raises(UsageError, match="no device 'gpu'"):
        T.pick_device("gpu")


def test_a_finished_run_is_not_trained_again(monkeypatch):
    record = T.train(run(epochs=1), "cpu")
    monkeypatch.setattr(T, "Training", None)
    assert T.train(run(epochs=1), "cpu") == record


def test_equal_trainings_repeat_on_this_machine(monkeypatch):
    assert T.repeats(torch.device("cpu"))


def test_real_images_train(cifar, monkeypatch):
    """Two epochs on a thousand real images: the loss falls and the record names the data."""
    some = cifar._replace(train_x=cifar.train_x[:960], train_y=cifar.train_y[:960], test_x=cifar.test_x[:500],
                          test_y=cifar.test_y[:500])
    monkeypatch.setattr(T, "load", lambda name: some)
    real = Run("cifar100", "resnet20", FM2, replace(recipe("resnet20", "short"), epochs=2, lr=0.05), "short", 0)
    record = T.train(real, "cpu")
    assert record.curves["ce"][1] < record.curves["ce"][0]
    assert record.provenance["data_sha256"] == some.digest() and record.resolved["parameters"] == 278_324
    assert record.resolved["network"] == {"depth": 20, "block": "basic", "shortcut": "B"}
