"""What the book begins with, and the pages that go with it: every number from data, whatever is on record."""

import re

import pandas as pd
import pytest
from jinja2 import UndefinedError
from made_records import ID, decided, recorded

from featuremining import stats, studies
from featuremining.judging import audit, listing, planning
from featuremining.judging.ledger import Ledger
from featuremining.records import durations
from featuremining.showing import markup, scoreboard, settings, start, why
from featuremining.showing.forest import Line, forest
from featuremining.stats import Interval
from featuremining.studies.outcomes import State

BASE = "T1.resnet56.baseline"


def test_a_template_escapes_and_misses_nothing():
    shown = markup.html(pd.DataFrame([{"a": "<b>1</b>"}]), "x < y & z")
    assert "x &lt; y &amp; z" in shown and "<td><b>1</b></td>" in shown        # entries are HTML, captions are not
    with pytest.raises(UndefinedError):
        markup.render("answers")


def test_a_forest_draws_to_scale():
    wide = Interval(-1.0, float("-inf"), float("inf"))
    lines = [Line("first", Interval(2.0, 1.0, 3.0), "T1.a"), Line("<second>", wide, hollow=True)]
    shown = forest({"group": lines}, "caption", "board.html")
    at = [float(v) for v in re.findall(r'fm-dot[^"]*" style="left:([\d.]+)%', shown)]
    (low, rest), zero = re.findall(r'fm-line" style="left:([\d.]+)%;right:([\d.]+)%', shown)[0], re.findall(
        r'fm-zero" style="left:([\d.]+)%', shown)[0]
    per_point = (at[0] - at[1]) / 3
    assert float(zero) == pytest.approx(at[0] - 2 * per_point, abs=0.02)
    assert float(low) == pytest.approx(at[0] - per_point, abs=0.02)
    assert 100 - float(rest) == pytest.approx(at[0] + per_point, abs=0.02)
    assert 'href="board.html#T1.a"' in shown and "&lt;second&gt;" in shown and shown.count("fm-line") == 1
    assert shown.count("fm-hollow") == 1 and "+2.00 (+1.00 to +3.00)" in shown
    assert "nothing to draw" in forest({}, "caption")


def test_the_answers_are_those_of_the_data():
    ledger = Ledger(decided())
    rows = [row for row in listing.of_first(ledger) if not row["same_as"]]
    once = audit.distinct(audit.pairs())
    own, ours, rest = start.own_numbers(), start.our_runs(ledger, rows), start.not_known(ledger, rows)
    assert own["compared"] == len(once) >= own["alone"] >= own["corrected"] >= own["as_error"]
    assert ours["decided"] == sum(row["kind"] == "number" and row["verdict"].status.state == State.DECIDED
                                  and studies.cell(row["claim"]).published is not None for row in rows) > 0
    assert [one["cell"].id for one in ours["full"]] == [
        c.id for c in studies.load_cells().values() if not c.own and ledger.difference(c)]
    assert rest["waiting"] == sum(row["verdict"].status.state == State.WAITING for row in rows)
    shown = start.answers(ledger)
    for number in (f"{own['alone']} of {own['compared']}", f"{ours['decided']} of {ours['accuracies']}",
                   f"{rest['waiting']} of {rest['claims']}"):
        assert f">{number}</p>" in shown


def test_the_outlook_counts_each_run_once():
    """Hours of what open questions lack on the device, as `plan` has them with a budget that ends nowhere."""
    ledger = Ledger()
    found = planning.outlook(ledger)
    asked = [q for q in planning.questions(ledger) if not any(c.missing for c in q.needs)]
    plan = planning.plan(1e9, asked, ledger, anywhere=True)
    assert found.hours == pytest.approx(plan["hours"])
    assert found.planned == sum(len(step["may_decide"]) for step in plan["steps"])
    (first,) = [q for q in asked if q.id == found.first]
    assert first.chance >= stats.POWER and all(c.task != "cost" for c in first.needs)
    assert found.device in durations.devices()


def test_gains_are_hollow_until_they_are_run():
    hollow, filled = start.gains(Ledger()), start.gains(Ledger(decided()))
    count = hollow.count("fm-dot")
    assert hollow.count("fm-hollow") == count > 20 and filled.count("fm-hollow") < count
    assert f"Hollow: not run by us ({count} of {count})" in hollow


def test_the_map_has_a_tile_for_each_claim():
    ledger = Ledger(decided())
    once = [row for row in listing.rows(ledger) if not row["same_as"]]
    shown = scoreboard.scoreboard(ledger)
    assert shown.count('class="fm-tile ') == len(once) and f"{len(once)} claims by verdict" in shown
    (tile,) = re.findall(rf'<a class="fm-tile ([\w-]+)" id="{re.escape(ID)}"', shown)
    assert tile == ledger.verdict(studies.cell(ID)).status.css


def test_switches_begin_at_our_own_setting():
    shown = settings.settings(Ledger(decided()))
    assert re.findall(r'value="([^"]+)" checked', shown) == ["0.95", "1", "best"]
    assert f'data-row="Claims of the paper, by our runs: {ID}"' in shown


def test_why_says_nothing_without_runs():
    """And shows a pair once it is on record."""
    for part in (why.underfit, why.averaged):
        assert "nothing to draw" in part(Ledger())
    made = recorded(ID, 70.0, tier="short") + recorded(BASE, 69.0, tier="short")
    pair = why.pairs(Ledger(made))
    assert [(tier, cell.run("short", 0).key) for tier, cell, _ in pair] == [("short", made[0].key)]
