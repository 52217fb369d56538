"""What is said of a training where there is no terminal to draw a bar in: a line per epoch, and one a minute in long epochs."""

import re

import pytest

from featuremining.training import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is set."""
    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    found = Clock()
    monkeypatch.setattr(progress, "time", found)
    return found


def lines(clock, capsys, seconds: float, **settings) -> list[str]:
    """Of two epochs of ten steps that take so many seconds each."""
    report = progress.Report("a run", 2, 10, **settings)
    for epoch in range(2):
        for step in range(1, 11):
            clock.now += seconds
            report.step(epoch, step)
        report.epoch(epoch, {"loss": 1.0, "test_acc": 50.0})
    return capsys.readouterr().out.splitlines()[1:]


@pytest.mark.parametrize(("seconds", "between"), [(1, 0), (5, 0), (6, 0), (7, 1), (13, 2), (61, 10), (3600, 10)])
def test_a_line_a_minute(clock, capsys, seconds, between):
    said = lines(clock, capsys, seconds)
    assert len([line for line in said if line.startswith("epoch ")]) == 2
    assert len([line for line in said if line.startswith("after ")]) == 2 * between
    assert not any(re.search(r"epoch \d+(?:/| of )", line) for line in said if line.startswith("after "))     # as the grid reads


def test_the_time_that_is_left_is_in_each_line(clock, capsys):
    said = lines(clock, capsys, 61)
    assert said[0] == "after 0 epochs and 1 of 10 steps  19:19 left" and said[-1].endswith("0:00 left")


def test_of_several_each_line_says_whose_it_is_and_a_silent_one_says_nothing(clock, capsys):
    assert all(line.startswith("a run: ") for line in lines(clock, capsys, 61, alone=False))
    assert lines(clock, capsys, 61, silent=True) == []


@pytest.mark.parametrize(("width", "drawn"), [(0, False), (30, False), (40, False), (41, True), (80, True)])
def test_a_bar_is_drawn_where_all_of_it_has_room(width, drawn, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(progress.sys.stdout, "isatty", lambda: True, raising=False)
    report = progress.Report("a run", 2, 10)
    report.step(0, 5)
    report.epoch(0, {"loss": 1.0, "test_acc": 50.0})
    report.close()
    assert (report.bar is not None) == drawn and "1/2" in capsys.readouterr().out
