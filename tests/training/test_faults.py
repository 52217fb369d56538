"""What a training survives: damaged, foreign and impossible checkpoints and weights, folders that can't be written, a second
process. It goes on bit for bit, or says in one sentence why not; it never goes on from what it can't trust."""

import importlib
import io
import random
from hashlib import sha256

import pytest
import torch
from bad_files import checkpoints, nan_of
from filelock import FileLock
from helpers import FM2, small_run

from featuremining import FMError, UsageError, paths, records
from featuremining.methods.distillation import load_teacher
from featuremining.models import weights
from featuremining.training import checkpoint
from featuremining.training.trained import weights_of

T = importlib.import_module("featuremining.training.loop")
pytestmark = pytest.mark.usefixtures("few_images")


def run(seed=0, epochs=4, **changes):
    return small_run(FM2, epochs, seed, **changes)


def path(seed=0):
    return paths.checkpoint("smoke", run().key, seed)


def die_after(epochs, monkeypatch, one):
    """The process is gone right after its checkpoint of so many epochs."""
    save, saves = checkpoint.save, []

    def last(*words):
        save(*words)
        saves.append(1)
        if len(saves) == epochs:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint, "save", last)
        T.train(one, "cpu")


@pytest.fixture
def killed(monkeypatch):
    """A run of four epochs that was killed after two: its last checkpoint and the one before lie there."""
    die_after(2, monkeypatch, run())


def undisturbed(seed, scratch, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("FM_RUNS_DIR", str(scratch / "whole"))
        patch.setenv("FM_BUILD_DIR", str(scratch / "whole_build"))
        record = T.train(run(seed), "cpu")
    return record.weights, dict(record.curves)


def forged(**changes):
    """A sealed checkpoint, as this run's last, with parts that are other than they were."""
    state = {**checkpoint._read(path()), **changes}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getvalue()
    path().write_bytes(checkpoint.SEAL + sha256(data).digest() + data)
    return state


def test_one_flipped_bit_of_a_checkpoint_is_noticed_and_the_one_before_goes_on(killed, scratch, monkeypatch, capsys):
    """At forty places drawn at random, the first and the last byte among them; in the end the run is bit for bit what it was."""
    data, good, draw = path().read_bytes(), checkpoint.before(path()).read_bytes(), random.Random(0)
    for at in (0, len(data) - 1, *draw.sample(range(len(data)), 38)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << draw.randrange(8)
        path().write_bytes(flipped)
        checkpoint.before(path()).write_bytes(good)
        training = T.Training(run(), torch.device("cpu"))
        training.resume()
        assert training.loader.epoch == 1 and "goes on from the checkpoint before it" in capsys.readouterr().out, at
    record = T.train(run(), "cpu")
    assert (record.weights, dict(record.curves)) == undisturbed(0, scratch, monkeypatch)
    assert not path().exists() and not checkpoint.before(path()).exists()


def test_two_checkpoints_are_damaged_one_after_the_other(killed, scratch, monkeypatch):
    """The good one before is not lost to the bad one that follows it: damage, an epoch, damage again."""
    def damage():
        data = bytearray(path().read_bytes())
        data[-1] ^= 1
        path().write_bytes(data)

    damage()
    die_after(1, monkeypatch, run())
    damage()
    record = T.train(run(), "cpu")
    assert (record.weights, dict(record.curves)) == undisturbed(0, scratch, monkeypatch)


@pytest.mark.parametrize("cut", [0, 1, 30, 100, -1])
def test_a_checkpoint_that_was_cut_off_is_not_used(killed, cut):
    path().write_bytes(path().read_bytes()[:cut])
    training = T.Training(run(), torch.device("cpu"))
    training.resume()
    assert training.loader.epoch == 1


def test_a_kill_between_the_two_renames_leaves_the_one_before(killed):
    path().rename(checkpoint.before(path()))
    training = T.Training(run(), torch.device("cpu"))
    training.resume()
    assert training.loader.epoch == 2


LIES = checkpoints(run(3), run(epochs=5))


@pytest.mark.parametrize("lie", ["another seed", "NaN weights", "another shape", "a short curve"])
def test_a_checkpoint_that_cannot_be_of_this_run_is_not_used(killed, lie, capsys):
    """Even where its sum is right. With the one before it the training goes on; without, one sentence says what to delete."""
    forged(**LIES[lie](checkpoint._read(path())))
    lies = path().read_bytes()
    training = T.Training(run(), torch.device("cpu"))
    training.resume()
    assert training.loader.epoch == 1 and "goes on from the checkpoint before it" in capsys.readouterr().out
    path().write_bytes(lies)
    assert not checkpoint.before(path()).exists()
    with pytest.raises(FMError, match=r"seed0\.pt can't be used \(.+\): delete it to start this run over\.$"):
        T.train(run(), "cpu")
    assert not paths.record("smoke", run().key, 0).exists()


def test_the_checkpoint_of_another_seed_is_not_this_ones(killed):
    """A record "seed 3" with seed 0's weights was possible once."""
    path().rename(path(3))
    checkpoint.before(path()).rename(checkpoint.before(path(3)))
    with pytest.raises(FMError, match=r"it is of .*seed0, not of .*seed3.*delete both"):
        T.train(run(3), "cpu")


def test_a_checkpoint_of_other_defaults_is_refused(killed):
    state = checkpoint._read(path())
    state["resolved"]["methods"][0]["box"] = "inside"
    forged(resolved=state["resolved"])
    with pytest.raises(FMError, match="other settings or defaults"):
        T.train(run(), "cpu")


def test_weights_are_used_only_as_they_were_recorded(scratch):
    """One flipped bit, NaN, another network's, or none: measuring, detection and distillation read them through the same door."""
    record = T.train(run(epochs=1), "cpu")
    one, file = run(epochs=1), paths.weights("smoke", record.key, 0)
    state, data = weights_of(one), file.read_bytes()
    assert weights.digest(state) == record.weights
    for at in random.Random(0).sample(range(len(data)), 20):
        flipped = bytearray(data)
        flipped[at] ^= 4
        file.write_bytes(flipped)
        with pytest.raises(FMError, match=r"seed0\.pt can't be used \(it is not the file whose sum lies in seed0\.pt\.sha256\)"):
            weights_of(one)
        with pytest.raises(UsageError, match="is not the state of a trained network"):
            load_teacher("resnet20", str(file), 9)
    weights.write(file, {name: t + 1 for name, t in state.items()})
    with pytest.raises(FMError, match="are not the weights that"):
        weights_of(one)
    weights.write(file, nan_of(state))
    with pytest.raises(FMError, match="has values that are not finite"):
        weights_of(one)
    file.unlink()
    with pytest.raises(FMError, match="There are no weights"):
        weights_of(one)


def test_another_cells_or_seeds_record_is_not_this_runs(scratch):
    record = T.train(run(epochs=1), "cpu")
    of_other = paths.record("smoke", record.key, 1)
    of_other.write_bytes(paths.record("smoke", record.key, 0).read_bytes())
    with pytest.raises(FMError, match=r"it is the record smoke/.*/seed0\.json, but lies at .*seed1\.json"):
        T.train(run(1, epochs=1), "cpu")


@pytest.mark.parametrize("variable", ["FM_RUNS_DIR", "FM_BUILD_DIR"])
def test_a_folder_that_cannot_be_written_is_found_before_the_first_epoch(scratch, monkeypatch, variable):
    monkeypatch.setenv(variable, str(scratch / "file" / "below"))
    (scratch / "file").write_text("a file where a folder should be")
    monkeypatch.setattr(T, "Training", None)
    with pytest.raises(FMError, match=f"Nothing can be written to .*Not a directory.*set {variable} to"):
        T.train(run(), "cpu")


@pytest.mark.parametrize("beside", [paths.record, paths.checkpoint])
def test_two_processes_never_train_one_run(scratch, monkeypatch, beside):
    """The lock lies beside the record, so that two build folders do not matter, and beside the checkpoint, so that two folders of
    records do not."""
    lock = beside("smoke", run().key, 0).with_suffix(".lock")
    lock.parent.mkdir(parents=True)
    monkeypatch.setattr(T, "Training", None)
    with FileLock(lock), pytest.raises(FMError, match="Another process is training"):
        T.train(run(), "cpu")


def test_what_a_kill_left_half_written_is_removed(killed):
    left = [file.with_suffix(".4711.tmp") for file in (
        paths.record("smoke", run().key, 0), path(), paths.weights("smoke", run().key, 0))]
    others = left[0].with_name("seed1.4711.tmp")
    for file in (*left, others):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("half")
    T.train(run(), "cpu")
    assert not any(file.exists() for file in left) and others.exists()


def test_a_kill_after_the_record_leaves_nothing_to_go_on_from(killed, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        def gone(_):
            raise KeyboardInterrupt

        patch.setattr(checkpoint, "remove", gone)
        T.train(run(), "cpu")
    assert path().exists() and paths.record("smoke", run().key, 0).exists()
    monkeypatch.setattr(T, "Training", None)
    assert T.train(run(), "cpu").seed == 0
    assert len(records.read_records()) == 1
    assert not path().exists() and not checkpoint.before(path()).exists()


def test_weights_that_are_not_finite_are_no_checkpoint(monkeypatch):
    """A head is trained and gone: it can be NaN after the last step while every loss and test is finite."""
    step = T.Training.update

    def spoils(self, inputs):
        seen = step(self, inputs)
        with torch.no_grad():
            next(self.methods.parameters()).fill_(float("nan"))
        return seen

    monkeypatch.setattr(T.Training, "update", spoils)
    with pytest.raises(FMError, match=r"diverged in epoch 1"):
        T.train(run(steps=1), "cpu")
    assert not paths.checkpoint("smoke", run(steps=1).key, 0).exists()
