"""What the book begins with, and the pages that go with it: every number from data, whatever is on record."""

import re
from dataclasses import replace

import pytest
from bad_files import FINDINGS, LOOK
from jinja2 import UndefinedError
from made_records import ID, decided, recorded

from featuremining import stats, studies
from featuremining.judging import audit, listing, planning
from featuremining.judging.ledger import Ledger
from featuremining.records import durations, findings
from featuremining.showing import markup, scoreboard, settings, start, why
from featuremining.showing.forest import Line, forest
from featuremining.stats import Interval
from featuremining.studies.outcomes import State

BASE = "T1.resnet56.baseline"


def test_a_template_escapes_and_misses_nothing():
    shown = markup.html([{"a": "<b>1</b>", "b": markup.tag("b", 1)}], "x < y & z")
    assert "x &lt; y &amp; z" in shown and "<td>&lt;b&gt;1&lt;/b&gt;</td>" in shown and "<b>1</b></td>" in shown
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
    assert [(one["cell"].id, one["seeds"], one["gain"]) for one in ours["full"]] == [(ID, 4, "+1.67")]     # 75.35 less 73.675
    assert "1 experiment of the paper has runs of ours in full: ResNet-56, FM (2 layers), +1.67 points" in start.answers(ledger)
    assert rest["waiting"] == sum(row["verdict"].status.state == State.WAITING for row in rows)
    shown = start.answers(ledger)
    for number in (f"{own['alone']} of {own['compared']}", f"{ours['decided']} of {ours['accuracies']}",
                   f"{rest['waiting']} of {rest['claims']}"):
        assert f">{number}</p>" in shown


def test_an_experiment_that_tables_share_is_told_once():
    """ResNet-110 stands in three tables; with one seed a side there is no interval, and more than three are counted."""
    made = [r for id_ in ("T1.resnet110.fm2", "T1.resnet110.fm1", "T1.resnet110.baseline", ID, BASE, "T1.resnet56.fm1")
            for r in recorded(id_, 70.0 + len(id_))]
    shown = start.answers(Ledger(made))
    assert "4 experiments of the paper have runs of ours in full" in shown and "; and 1 more." in shown
    assert "needs 2 seeds each; 1 seed a side" in shown


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


def test_the_picture_beside_an_address(tmp_path):
    """Of the size that previews show, and another once something is run."""
    from PIL import Image

    for name, ledger in (("none", Ledger()), ("some", Ledger(decided()))):
        start.picture(ledger, tmp_path / f"{name}.png")
    none, some = (Image.open(tmp_path / f"{name}.png").convert("L") for name in ("none", "some"))
    assert none.size == some.size == (1200, 630) and none.tobytes() != some.tobytes()
    assert none.getextrema()[0] < 60 and none.histogram()[255] < 0.97 * 1200 * 630


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


def curved(id_, tier, value, **curves):
    """A record of the cell whose curves end with these values."""
    (one,) = recorded(id_, value, tier=tier)
    epochs = len(one.curves["ce"])
    return replace(one, curves={**one.curves, **{name: [v] * epochs for name, v in curves.items()}})


def test_why_says_what_the_curves_say(tmp_path):
    """One setting that overfits, one that does not yet, one whose labels are wrong; boxes of 8 x 8 places alone."""
    made = [curved("X1.resnet20.fm2", "short", 60.0, train_acc=61.0, **{"fm.stage3.empty": 0.25}),
            curved("X1.resnet20.baseline", "short", 62.0, train_acc=65.0),
            curved("F6.resnet56.fm2.50", "full", 40.0, train_acc=99.0, **{"fm.stage3.empty": 0.25}),
            curved("F6.resnet56.baseline.50", "full", 41.0, train_acc=99.5),
            curved("T8s.resnet20.fm2.symmetric50", "short", 41.0, train_acc=22.0, memorised=0.5),
            curved("T8s.resnet20.baseline.symmetric50", "short", 45.0, train_acc=25.0, memorised=0.5),
            curved("T4s.resnet20.fm2", "short", 52.0, **{"fm.stage3.empty": 0.75}),
            curved("T4s.resnet20.baseline", "short", 55.0), curved("T4s.resnet20.mean_loss", "short", 48.0)]
    shown = why.underfit(Ledger(made))
    assert "In 2 of 3 settings" in shown and "all of these were trained for 60 epochs or fewer" in shown and "(T8s)" not in shown
    assert "training 65.0, test 61.5, n = 1" in shown
    said = why.averaged(Ledger(made))
    length = len(made[-1].curves["ce"])
    assert f"by −4.00 points on Tiny ImageNet, 50 classes (25,000 images) after {length} epochs (n = 1)" in said
    file = tmp_path / "d.json"
    file.write_text('{"boxes": {"8": {"center_clip": {"empty": 0.0625}}}}')
    boxes = why.empty(Ledger(made), file)
    epochs = sum(len(r.curves["fm.stage3.empty"]) for r in made if "fm.stage3.empty" in r.curves and "tiny" not in r.key)
    assert f"Over {epochs} epochs" in boxes and "25.0 % of the boxes" in boxes and "6.2 % are expected" in boxes


def test_where_networks_look_is_told_by_data_set(tmp_path, monkeypatch):
    """Two seeds a side of each of two settings, one of which lies below; with a seed each nothing is said."""
    monkeypatch.setenv("FM_RUNS_DIR", str(tmp_path))
    for id_, energy in (("F2s.resnet20.baseline", 43.0), ("F2s.resnet20.fm2", 21.0), ("T6s.resnet20.baseline", 30.0),
                        ("T6s.resnet20.fm2", 30.0)):
        for seed in (0, 1):
            look = {**LOOK, "energy": energy + seed / 5}
            findings.write("localise", studies.cell(id_).run("full", 0), f"seed{seed}", {
                **FINDINGS["localise"][0], "cam": look, "grad_cam": look}, {"weights": {}})
    shown = why.looks(Ledger())
    assert "With FM (2 layers) on the built-in images (1,800 images), less of the map" in shown and shown.count("fm-dot") == 2
    assert "plain 43.1 %, n = 2" in shown and "plain 30.1 %, n = 2" in shown
