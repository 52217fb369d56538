"""Trained networks: read back, held against their records image by image, published with a card."""

import importlib
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import FM2, small_run
from made_records import example

from featuremining import FMError, UsageError, build, load_pretrained, paths, records, studies
from featuremining.models import weights
from featuremining.showing import weights as shown
from featuremining.training import trained

T = importlib.import_module("featuremining.training.loop")


@pytest.fixture
def published_here(scratch, monkeypatch):
    """What is published lies in the folder of this test."""
    monkeypatch.setattr(paths, "_shipped", lambda name: scratch / name if name == "weights" else paths.ROOT / "data" / name)
    return scratch


@pytest.fixture
def one(few_images, published_here, monkeypatch):
    """A finished run."""
    monkeypatch.setattr(trained, "load", lambda name, **_: few_images)
    run = small_run(FM2, 1)
    T.train(run, "cpu")
    return run


def forged(run, state=None, **changes):
    """The run's record and weights, replaced."""
    path = paths.record(run.tier, run.key, run.seed)
    record = replace(records.read(path), **changes)
    if state is not None:
        weights.write(paths.weights(run.tier, run.key, run.seed), state)
        record = replace(record, weights=weights.digest(state))
    path.unlink()
    records.write(record, path)


def test_a_network_has_the_very_images_right_that_it_was_recorded_with(one):
    found = trained.check(one, "cpu")
    assert found.same and found.elsewhere == "" and 0 < found.recorded < len(found.now) == 45
    assert shown.said(found) == f"{one.title}: {found.recorded} of 45 right, image by image as recorded"


def test_another_network_is_told_by_its_images(one, few_images):
    """One with a changed classifier, whose sum a forged record vouches for: which images differ, counted another way."""
    state = trained.weights_of(one)
    then = records.read(paths.record(one.tier, one.key, 0)).images("last")
    state["head.bias"] = state["head.bias"] + torch.linspace(-2, 2, 9)
    forged(one, state)
    found = trained.check(one, "cpu")
    model = trained.network(one)
    x = next(iter(few_images.tests("cpu")))[0]
    with torch.no_grad():
        now = (model(x).argmax(1) == few_images.test_y).numpy()
    wanted = [i for i in range(45) if now[i] != then[i]]
    assert wanted and found.differing == wanted and not found.same
    assert f"{now.sum()} of 45 right, recorded {then.sum()}; {len(wanted)} images differ: {wanted[0]}" in shown.said(found)


def test_on_another_device_a_difference_is_said_to_be_one(one):
    there = {**records.read(paths.record(one.tier, one.key, 0)).provenance, "device": "Abacus"}
    forged(one, provenance=there)
    found = trained.check(one, "cpu")
    assert found.elsewhere == "Abacus" and found.same
    assert f"(recorded on Abacus, here {found.here})" in shown.said(found._replace(now=~found.now))
    many = found._replace(now=np.arange(1000) < 500, then=np.arange(1000) < 500)
    turned = [many._replace(now=np.roll(many.now, by)) for by in (2, 3)]            # 4 and 6 images of 1,000 differ
    assert [t.close for t in turned] == [True, False] and not found._replace(now=~found.now).close
    assert not turned[0]._replace(here="Abacus").close


def test_of_older_records_the_number_alone_is_compared(one):
    found = trained.check(one, "cpu")
    old = found._replace(then=None)
    assert old.same and old.recorded == found.recorded and "as many as recorded" in shown.said(old)
    fewer = old._replace(now=np.zeros(45, bool))
    assert not fewer.same and f"0 of 45 right, recorded {found.recorded}" == shown.said(fewer).partition(": ")[2]


def test_other_images_are_no_check(one, few_images, monkeypatch):
    monkeypatch.setattr(trained, "load", lambda name, **_: few_images._replace(test_x=few_images.test_x.flip(2)))
    with pytest.raises(FMError, match="are not those that"):
        trained.check(one, "cpu")


def test_published_weights_are_the_same_network(one):
    """Their digest depends on the order of names, which safetensors does not keep by itself."""
    before, kept = trained.weights_of(one), paths.weights(one.tier, one.key, 0)
    path = trained.publish(one, shown.card(one, records.read(paths.record(one.tier, one.key, 0))))
    kept.unlink()
    after = trained.weights_of(one)
    assert list(after) == list(before) and all(torch.equal(after[n], before[n]) for n in before)
    assert trained.check(one, "cpu").same and paths.all_published() == [(one.tier, one.key, 0)]
    assert path == trained.file_of(one) and path.with_suffix(".md").read_text().startswith(f"# {one.id}")


def test_a_published_file_with_one_flipped_bit_is_refused(one):
    path = trained.publish(one, "")
    paths.weights(one.tier, one.key, 0).unlink()
    data = path.read_bytes()
    header = int.from_bytes(data[:8], "little")
    rng = random.Random(0)
    for at in (*range(8), *rng.sample(range(8, 8 + header), 40), *rng.sample(range(8 + header, len(data)), 20)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1:])
        try:
            state = trained.weights_of(one)
        except FMError as error:
            assert "can't be used" in str(error) or "are not the weights" in str(error)
        else:               # of the header: a word that says nothing of the tensors
            assert 8 <= at < 8 + header and weights.digest(state) == records.read(paths.record(one.tier, one.key, 0)).weights


def test_a_cell_gives_its_network_without_data(published_here):
    run = studies.cell("X3.resnet20.fm2").run("full", 1)
    with pytest.raises(FMError, match="There are no weights"):
        load_pretrained("X3.resnet20.fm2", seed=1)
    torch.manual_seed(0)
    net = build("resnet20", 100).eval()
    records.write(example(spec=run.spec(), seed=1, weights=weights.digest(net.state_dict())), paths.record("full", run.key, 1))
    weights.publish(paths.published("full", run.key, 1), net.state_dict(), {})
    x, drawn = torch.randn(2, 3, 32, 32), torch.get_rng_state()
    ours = load_pretrained("X3.resnet20.fm2", seed=1)
    assert torch.equal(ours(x), net(x)) and not ours.training and torch.equal(drawn, torch.get_rng_state())
    assert [shown.run_of(*at) for at in paths.all_published()] == [run]
    assert "X3.resnet20.fm2" in shown.listing() and "1.1 MB" in shown.listing()
    with pytest.raises(UsageError, match="is no classification"):
        load_pretrained("T7.resnet50.baseline")
    with pytest.raises(UsageError, match="Did you mean"):
        load_pretrained("X3.resnet20.fm3")


def test_what_is_published_is_what_is_on_record():
    """Weights and card of each, without its data."""
    assert paths.all_published()
    for at in paths.all_published():
        run, path = shown.run_of(*at), paths.published(*at)
        weights_read = weights.read(path)
        record = records.read(paths.record(*at))
        assert weights.digest(weights_read) == record.weights and record.clean
        assert path.with_suffix(".md").read_text(encoding="utf-8") == shown.card(run, record)
