"""Tables in a terminal of any width: nothing that one reads or types again is cut."""

import io
import re
import sys

import pytest

from featuremining.judging import listing
from featuremining.judging.ledger import Ledger
from featuremining.showing import terminal

COLUMNS = ("claim", "verdict", "by its own numbers", "paper", "ours")
ROWS = [("P.second_negligible_cost_of_all", "contradicted by the paper's own text", "", "section 3.2", ""),
        ("T1.resnet56.fm2", "not run", "", "75.35 ± 0.07", "13,000 to 6,148,000 parameters")]


class Screen(io.StringIO):
    def isatty(self):
        return True


def shown(columns, rows, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "stdout", screen := Screen())
    terminal.table(columns, rows)
    monkeypatch.undo()
    return re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())


@pytest.mark.parametrize("width", [0, 3, 20, 40, 60, 80, 81, 90, 100, 110, 111, 112, 113, 120, 200])
def test_no_word_is_broken_or_lost_at_any_width(width, monkeypatch):
    text = shown(COLUMNS, ROWS, width, monkeypatch)
    words = [word for row in ROWS for cell in row for word in cell.split()]
    assert sorted(set(words)) == sorted(set(words) & set(text.split()))
    longest = max(map(len, words)) + 6
    assert all(len(line) <= max(width or 80, longest) for line in text.splitlines())
    assert (text.split()[0] == "claim") == (width >= 110), text       # a table where there is room, else paragraphs


@pytest.mark.parametrize("width", [40, 80, 100, 132])
def test_every_claim_has_its_verdict_whole_at_any_width(width, monkeypatch):
    rows = [(row["claim"], str(row["verdict"]), row["own_numbers"], row["paper"], row["ours"]) for row in listing.rows(Ledger())]
    found = set(shown(COLUMNS, rows, width, monkeypatch).split())
    assert {word for row in rows for cell in row[:2] for word in cell.split()} <= found


def test_a_pipe_gets_a_line_for_each_row(capsys):
    terminal.table(COLUMNS, ROWS)
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[0] == "claim" and [line.split()[0] for line in lines] == [row[0] for row in ROWS]
    assert all(cell in line for row, line in zip(ROWS, lines, strict=True) for cell in row)
