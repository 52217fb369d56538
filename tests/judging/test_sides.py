"""What an order compares beside accuracies: gains over a baseline, what was measured of a network; and "the same" as points."""

from dataclasses import replace

import pytest
import scipy.stats
from made_records import example

from featuremining import FMError, stats, studies
from featuremining.judging import listing, orders, planning, sides
from featuremining.judging.ledger import Ledger
from featuremining.judging.sentences import judge
from featuremining.records import findings
from featuremining.studies import cell
from featuremining.studies.claims import claim, load_claims
from featuremining.studies.measures import ALONE
from featuremining.studies.outcomes import Status
from featuremining.studies.printed import Printed


def runs(id_, *last, first=0):
    """Whose last epochs have these accuracies, and whose best ones would turn everything round; from seed ``first`` on."""
    key = cell(id_).run("full", 0).key
    return [example(key=key, id=f"{key}.seed{s}", seed=s, weights=f"{id_}{s}",
                    metrics={"last": v, "best": 99.0 - v, "others": {}}) for s, v in enumerate(last, first)]


def measured(id_, kind, first=0, **values):
    """A finding for each seed of the cell, from ``first`` on: name -> its values by seed."""
    for s, row in enumerate(zip(*values.values(), strict=True), first):
        run = cell(id_).run("full", s)
        findings.write(kind, run, f"seed{s}", dict(zip(values, row, strict=True)), {"weights": {run.id: f"{id_}{s}"}})


LDFR = "LDFR.X1.resnet20.fldfr.60"


def test_a_table_with_a_rule_is_judged_by_its_epoch():
    better = runs(LDFR, 40.0, 40.2, 40.1, 39.9) + runs("LDFR.X1.resnet20.baseline.60", 35.0, 35.2, 35.1, 34.9)
    found = judge(claim("LDFR.P.better"), Ledger(better))
    assert (found.status, found.n) == (Status.REPRODUCED, 4) and found.pairs[0].ours.value == pytest.approx(5)
    assert judge(claim("LDFR.P.better"), Ledger(better[:7])).status == Status.INCONCLUSIVE        # the look is at four seeds
    assert studies.rules()["LDFR.X1"].outcome == "last"


def test_among_cells_of_our_own_there_is_no_margin():
    """Though another paper prints a spread of a ResNet-56 on CIFAR-100, of all its images."""
    assert orders.bounds("CM.X1.resnet56.convmix", "CM.X1.resnet56.baseline") == (0.0, None)


@pytest.mark.parametrize(("after", "status"), [
    ((30.5, 31.1, 30.2, 30.9), Status.REPRODUCED), ((27.0, 26.1, 28.0, 27.5), Status.NOT_REPRODUCED),
    ((30.2, 29.8, 30.1, 29.9), Status.INCONCLUSIVE), ((30.5, 31.1), Status.INCONCLUSIVE), ((), Status.NOT_RUN)])
def test_before_and_after_are_compared_seed_by_seed(scratch, after, status):
    """As Student's test of the differences."""
    before = (29.0, 31.0, 30.0, 29.5)[:len(after)] if status != Status.REPRODUCED else (29.0, 29.9, 28.6, 29.3)
    measured(LDFR, "detail", 3, before=before, after=after)
    found = judge(claim("LDFR.P.detail"), Ledger(runs(LDFR, 1.0, 2.0, 3.0, 4.0, first=3)))
    assert found.status == status
    if len(after) == 4:
        (pair,) = found.pairs
        p = scipy.stats.ttest_rel(after, before).pvalue
        assert pair.p == pytest.approx(p) and pair.ours.value == pytest.approx(sum(after) / 4 - sum(before) / 4)


def test_seeds_beyond_the_look_change_nothing(scratch):
    """Four are judged, the lowest that count; a fifth would turn it round, as would the three below."""
    before, after = (29.0, 29.9, 28.6, 29.3, 90.0), (30.5, 31.1, 30.2, 30.9, 1.0)
    measured(LDFR, "detail", before=(90.0,) * 3 + before, after=(1.0,) * 3 + after)
    found = judge(claim("LDFR.P.detail"), Ledger(runs(LDFR, *range(8))))
    assert (found.status, found.n) == (Status.REPRODUCED, 4) and found.pairs[0].ours.value == pytest.approx(30.675 - 29.2)


def test_what_was_measured_of_another_network_does_not_count(scratch):
    """Of uncommitted code, of weights that no record has, of a seed without a record; a value that is none."""
    measured(LDFR, "detail", before=(1.0, 2.0, 3.0, None), after=(2.0, 4.0, 5.0, 7.0))
    one, two, three, four = runs(LDFR, 1.0, 2.0, 3.0, 4.0)
    dirty = replace(one, provenance={**one.provenance, "dirty": True})
    assert sides.by_seed(cell(LDFR), "detail.after", Ledger([one, two, four])) == {0: 2.0, 1: 4.0, 3: 7.0}
    assert sides.by_seed(cell(LDFR), "detail.before", Ledger([one, two, four])) == {0: 1.0, 1: 2.0}
    assert sides.by_seed(cell(LDFR), "detail.after", Ledger([dirty, two, replace(three, weights="others")])) == {1: 4.0}
    assert sides.by_seed(cell(LDFR), "detail.after", Ledger()) == {}
    assert sides.by_seed(cell(LDFR), "detail.finer", Ledger([one])) == {}          # of an older form, without this value
    any_seed = replace(claim("LDFR.P.detail"), first_seed={})
    assert sides.seeds(any_seed, (LDFR, LDFR), Ledger([one, two, four])) == 2
    assert sides.seeds(claim("LDFR.P.detail"), (LDFR, LDFR), Ledger([one, two, four])) == 0
    finding = findings.read("detail", cell(LDFR).run("full", 0))[0]
    findings.write("detail", cell(LDFR).run("full", 0), "seed0", finding.values, {**finding.provenance, "dirty": True})
    assert sides.by_seed(cell(LDFR), "detail.after", Ledger([one, two, four])) == {1: 4.0, 3: 7.0}


def test_what_was_measured_along_short_trainings_counts_by_itself(scratch):
    """Without any run of the cell; not of seed 0, which was seen before the rule, nor of uncommitted code, nor of other steps."""
    plan = ALONE["landscape"].plan
    mean, root = (cell(f"X4.resnet20.{name}") for name in ("mean", "newton_schulz"))
    for one, values in ((mean, (9.0, 0.4, 0.42, 0.41, 9.0)), (root, (0.0, 0.2, 0.23, 0.21, 9.0))):
        for seed, value in enumerate(values):
            findings.write("landscape", one.run("full", 0), f"seed{seed}", {"plan": plan, "loss_range": value},
                           {"dirty": False})
    found = judge(claim("GCP.landscape"), Ledger())
    assert (found.status, found.n, found.scope) == (Status.REPRODUCED, 3, "short trainings only")
    (pair,) = found.pairs
    assert pair.p == pytest.approx(scipy.stats.ttest_ind((0.4, 0.42, 0.41), (0.2, 0.23, 0.21), equal_var=False).pvalue)
    assert judge(claim("GCP.predictive"), Ledger()).status == Status.NOT_RUN            # another value, not measured
    findings.write("landscape", mean.run("full", 0), "seed2", {"plan": plan, "loss_range": 0.42}, {"dirty": True})
    findings.write("landscape", mean.run("full", 0), "seed3", {"plan": {**plan, "steps": 41}, "loss_range": 0.41},
                   {"dirty": False})
    assert sides.by_seed(mean, "landscape.loss_range", Ledger()) == {1: 0.4, 4: 9.0}
    assert sides.by_seed(mean, "landscape.slope", Ledger()) == {}


def test_gains_are_those_over_the_baseline_of_the_same_seed():
    """A larger gain in the larger network, and with more classes; a run without its baseline's is left out."""
    accuracies = {"CM.X1.resnet20": ((40.0, 41.0, 40.5), (42.0, 43.1, 42.4)), "CM.X1.resnet56": ((50.0, 50.4, 50.2),
                  (55.0, 55.5, 55.1)), "CM.X2.resnet20": ((60.0, 60.1, 60.3), (60.0, 60.2, 60.3)),
                  "CM.X2.resnet56": ((65.0, 65.2, 65.1), (66.0, 66.25, 66.05))}
    made = [r for at, sides_ in accuracies.items() for name, of in zip(("baseline", "convmix"), sides_, strict=True)
            for r in runs(f"{at}.{name}", *of)]
    found = judge(claim("CM.P.scales"), Ledger(made))
    assert found.status == Status.REPRODUCED and [round(p.ours.value, 2) for p in found.pairs] == [3.0, 0.97, 1.97, 4.0]
    gains = [[b - a for a, b in zip(*accuracies[at], strict=True)] for at in ("CM.X1.resnet56", "CM.X1.resnet20")]
    assert stats.welch_p(*map(stats.Summary.of, gains)) == pytest.approx(
        scipy.stats.ttest_ind(*gains, equal_var=False).pvalue)
    some = [r for r in made if (r.key, r.seed) != (cell("CM.X1.resnet56.baseline").run("full", 0).key, 1)]
    assert judge(claim("CM.P.scales"), Ledger(some)).ours.startswith("2 of 4 pairs run")
    assert judge(claim("CM.P.scales"), Ledger(some)).status == Status.INCONCLUSIVE
    turned = [replace(r, metrics={**r.metrics, "last": 100 - r.metrics["last"]}) for r in made]
    assert judge(claim("CM.P.scales"), Ledger(turned)).status == Status.NOT_REPRODUCED


@pytest.mark.parametrize(("half", "status"), [
    ((59.5, 59.6, 59.4), Status.REPRODUCED), ((58.0, 58.2, 58.1), Status.NOT_REPRODUCED),
    ((59.0, 59.6, 58.4), Status.INCONCLUSIVE), ((62.0, 62.1, 61.9), Status.REPRODUCED)])
def test_the_same_is_no_more_than_a_point_below(half, status):
    made = runs("GEO.X1.resnet20.geometric_kd.half", *half) + runs("GEO.X1.resnet20.baseline.all", 60.0, 60.1, 59.9)
    found = judge(claim("GEO.P.half"), Ledger(made))
    assert found.status == status and found.limit == "read as no more than 1 point below, which is our limit"
    assert found.pairs[0].ours.value == pytest.approx(sum(half) / 3 - 60)          # shown as it is


def test_confusion_by_angle_and_of_similar_classes(scratch):
    base, unit, ical = (f"ICAL.X1.resnet20.{name}" for name in ("baseline", "unit", "ical"))
    measured(base, "confusion", 4, near=(0.9, 1.0, 0.8, 0.9), far=(0.2, 0.3, 0.25, 0.2), similar=(20.0, 20.5, 20.2, 19.9),
             similar_angle=(70.0, 71.0, 70.5, 70.2))
    measured(unit, "confusion", near=(0.9,) * 4, far=(0.2,) * 4, similar=(20.4, 20.1, 19.8, 20.3),
             similar_angle=(72.0, 71.5, 71.8, 72.2))
    measured(ical, "confusion", near=(0.9,) * 4, far=(0.2,) * 4, similar=(15.0, 15.3, 15.1, 14.8),
             similar_angle=(80.0, 80.5, 79.8, 80.1))
    made = Ledger([r for id_ in (base, unit, ical) for r in runs(id_, *range(8))])
    for id_ in ("ICAL.P.angle", "ICAL.P.similar", "ICAL.P.enlarged"):
        assert judge(claim(id_), made).status == Status.REPRODUCED, id_
    detail = listing.detail(claim("ICAL.P.similar"), made)
    assert "superclass" in detail["compared"] and detail["unit"] == "percent of the test images"
    assert {pair["lower"] for pair in detail["pairs"]} == {f"{ical}, confusion.similar"}
    assert " minus " in listing.detail(claim("ICAL.P.angle"), made)["compared"]
    assert listing.detail(claim("ICAL.P.better"), made)["compared"] == ""


@pytest.mark.parametrize(("entry", "says"), [
    ('measures = ["detail.later"]', "detail.later"), ('measures = ["gain", "gain", "gain"]', "at most 2 items"),
    ("within = -1.0", "greater than or equal to 0"),
    ('measures = ["view.area"]\nfirst_seed."T1.resnet20.fm1" = 1', "first_seed names"),
    ('first_seed."T1.resnet56.fm1" = 1', "first_seed names"), ("first_seed.x = 0", "greater than or equal to 1"),
    ('measures = ["top1"]\npairs = [["A", "A"]]', "with itself by two measures")])
def test_a_bad_measure_is_named(studies_copy, entry, says):
    pairs = "" if "pairs" in entry else 'pairs = [["A", "B"]]'
    text = f'["T1.bad"]\nsection = "1"\nquote = "x"\nkind = "order"\n{entry}\n{pairs}\n'
    text = text.replace('"A"', '"T1.resnet56.fm1"').replace('"B"', '"T1.resnet56.fm2"')
    (studies_copy / "feature_mining/sentences.toml").write_text(text)
    with pytest.raises(FMError, match=rf"T1\.bad.*{says}"):
        load_claims()


def test_measures_belong_to_orders(studies_copy):
    (studies_copy / "feature_mining/sentences.toml").write_text(
        '["T1.bad"]\nsection = "1"\nquote = "x"\nkind = "words"\nmeasures = ["gain"]\n')
    with pytest.raises(FMError, match="belong to the kind order"):
        load_claims()


def test_printed_numbers_are_of_accuracies():
    """So no order by another measure names a cell that has one."""
    for one in load_claims().values():
        assert not (one.measures and any(isinstance(c.published, Printed) for c in one.needs)), one.id


def test_the_plan_says_where_only_a_measurement_is_missing():
    made = Ledger(runs(LDFR, *range(7)))
    asked = [q for q in planning.questions(made) if q.id in ("LDFR.P.detail", "LDFR.P.better")]
    assert [q.measured for q in asked] == [True, False]
    found = planning.plan(1000, asked, made, anywhere=True)["open"]
    (why,) = [one["why"] for one in found if one["claim"] == "LDFR.P.detail"]
    assert why == "its runs are on record and do not decide, or what it asks of their networks was not measured"


def test_the_plan_asks_for_the_seeds_that_count():
    """Though others are on record."""
    made = Ledger(runs("ICAL.X1.resnet20.baseline", *range(6)))
    (asked,) = [q for q in planning.questions(made) if q.id == "ICAL.P.angle"]
    (step,) = planning.plan(1000, [asked], made, anywhere=True)["steps"]
    assert [(run["cell"], run["seeds"]) for run in step["runs"]] == [("ICAL.X1.resnet20.baseline", [6, 7])]
    assert "2 runs" in planning.cost(asked, made)
