"""As many threads as cores are idle, unless somebody says a number; a training that goes on keeps its own."""

import os

import pytest
import torch
from helpers import die_after_one_epoch, small_run

from featuremining import UsageError, cli, paths, records
from featuremining.training import threads
from featuremining.training.loop import train


def forget():
    threads.chosen.cache_clear()
    threads.own.cache_clear()


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    """Neither by the environment, nor by what was chosen before; afterwards torch has its number again."""
    for name in ("FM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(threads, "LOOK", 0.0)
    forget()
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    forget()


@pytest.mark.parametrize(("idle", "most", "number"), [
    (0.0, 8, 1), (0.7, 8, 1), (0.8, 8, 1), (1.8, 8, 2), (2.5, 8, 2), (7.9, 8, 8), (16.0, 8, 8), (15.9, 1, 1)])
def test_as_many_as_cores_are_idle(idle, most, number, monkeypatch, capsys):
    monkeypatch.setattr(threads, "idle", lambda: idle)
    monkeypatch.setattr(threads, "usable", lambda: most)
    for _ in range(2):
        threads.settle()
        assert torch.get_num_threads() == number
    said = capsys.readouterr().out
    assert said.startswith(f"{number} of {most} threads") and said.count("\n") == 1
    monkeypatch.setattr(threads, "idle", lambda: 0.0)           # by what it does itself, among others
    threads.settle()
    assert torch.get_num_threads() == number


def test_what_was_said_is_done_in_this_order(monkeypatch, capsys):
    torch.set_num_threads(2)
    threads.settle(choose=False)
    assert torch.get_num_threads() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    threads.settle()
    assert torch.get_num_threads() == 2
    monkeypatch.setenv("FM_THREADS", "3")
    threads.settle(choose=False)
    assert torch.get_num_threads() == 3
    threads.settle(1)
    assert torch.get_num_threads() == 1 and os.environ["FM_THREADS"] == "1" and not capsys.readouterr().out


@pytest.mark.parametrize("said", ["0", "-1", "two", "1.5", "²", " ", "1025", "100000", "9" * 30, "9" * 5000])
def test_no_number_is_one_sentence(said, monkeypatch):
    monkeypatch.setenv("FM_THREADS", said)
    with pytest.raises(UsageError, match="FM_THREADS is a number"):
        threads.settle()


def test_idle_is_less_than_all_cores_and_at_most_all():
    assert 0 <= threads.idle() <= os.cpu_count() and 1 <= threads.usable() <= os.cpu_count()


@pytest.mark.parametrize(("quota", "number"), [("max 100000", 8), ("150000 100000", 1), ("350000 100000", 3), ("1000 100000", 1),
                                               ("", 8), ("nonsense", 8)])
def test_a_container_is_asked(quota, number, monkeypatch):
    monkeypatch.setattr(threads.Path, "read_text", lambda self, **_: quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    assert threads.usable() == number


def test_a_cost_after_a_training_is_measured_with_torchs_own_number(monkeypatch, capsys):
    torch.set_num_threads(2)
    monkeypatch.setattr(threads, "idle", lambda: 0.0)
    threads.settle()
    assert torch.get_num_threads() == 1
    threads.settle(choose=False)
    assert torch.get_num_threads() == 2
    threads.settle()
    assert torch.get_num_threads() == 1 and capsys.readouterr().out.count("threads") == 2       # one line, said once


@pytest.fixture
def killed(few_images, monkeypatch):
    """A run of two epochs that one thread began, killed after the first."""
    run = small_run(epochs=2)
    torch.set_num_threads(1)
    die_after_one_epoch(train, run, monkeypatch)
    return run


def test_a_training_keeps_the_number_that_it_began_with(killed):
    torch.set_num_threads(2)
    record = train(killed, "cpu")
    assert record.provenance["threads"] == 1 and not record.provenance["resumed_elsewhere"] and torch.get_num_threads() == 1


def test_another_number_that_was_named_is_on_record(killed):
    threads.settle(2)
    record = train(killed, "cpu")
    assert [place["threads"] for place in record.provenance["resumed_elsewhere"]] == [2]


def test_fm_run_takes_a_number_and_can_be_quiet(few_images, capsys):
    torch.set_num_threads(2)
    cli.run("X1.resnet20.baseline", "smoke", device="cpu", threads=1, quiet=True)
    (path,) = paths.runs().glob("smoke/*/seed0.json")
    said = capsys.readouterr()
    assert said.out == f"{path}\n" and not said.err and records.read(path).provenance["threads"] == 1
