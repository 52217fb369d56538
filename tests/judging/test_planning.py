"""What runs cost and which to do next: hours by hand, shared trainings paid once, budgets kept, reasons given."""

import json
from dataclasses import replace

import made_benchmarks
import numpy as np
import pytest
from helpers import fm
from made_records import example

from featuremining import UsageError, load, paths, records, studies
from featuremining.datasets import SIZES, cub, imagenet, size, tiny_imagenet
from featuremining.judging import chances, planning
from featuremining.judging.ledger import Ledger
from featuremining.judging.planning import Question, plan, to_decide
from featuremining.judging.verdicts import pooled_spread, printed
from featuremining.recipes import Recipe
from featuremining.records import durations
from featuremining.records.durations import device_of, hours, words
from featuremining.showing import tables
from featuremining.stats import Summary, margin, welch
from featuremining.studies import cell, claims, load_cells

HERE = {"device": "Test CPU", "threads": 2}


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """A device on which a step of ResNet-56 takes a second and one of ResNet-110 two, and tests 100 and 200."""
    rows = [{"what": name, "value": value} for name, value in (
        ("resnet56", 1.0), ("resnet56, evaluation", 100.0), ("resnet110", 2.0), ("resnet110, evaluation", 200.0),
        ("resnet20", 0.5), ("resnet20, evaluation", 40.0))]
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    (folder / "test.json").write_text(json.dumps(made_benchmarks.measured(**HERE, tiers=rows)))
    (folder / "other.json").write_text(json.dumps(made_benchmarks.measured("Other", 8, tiers=rows[:2])))
    monkeypatch.setattr(paths, "benchmarks", lambda: folder)
    return "Test CPU, 2 threads"


def record(id_, tier="full", seed=0, seconds=3600.0, best=75.0, **origin):
    run = cell(id_).run(tier, seed)
    made = example([best], 1000, seed=seed, spec=run.spec())
    return replace(made, provenance={**made.provenance, **HERE, "seconds": seconds, **origin})


@pytest.mark.parametrize("name", ["parts", "parts_tiny_imagenet", "parts_imagenet", "parts_cub"])
def test_sizes_are_those_of_the_data(name):
    data = load(name)
    pixels = data.train_x.shape[1] if name in ("parts", "parts_tiny_imagenet") else data.size
    assert SIZES[name] == (len(data.classes), len(data.train_y), len(data.test_y), pixels)


def test_sizes_are_those_that_the_loaders_insist_on():
    for name, classes in (("tiny_imagenet", 200), ("tiny_imagenet_50", 50)):
        assert SIZES[name] == (classes, classes * tiny_imagenet.TRAIN, classes * tiny_imagenet.TEST, tiny_imagenet.SIZE)
    assert SIZES["imagenet"][1:3] == tuple(imagenet.SPLITS.values())
    assert (SIZES["cub"][1:3], SIZES["cub_50"][1:3]) == (cub.PHOTOS[200], cub.PHOTOS[50])
    assert {c.dataset for c in load_cells().values() if c.task == "classification"} <= SIZES.keys()


def test_the_size_of_cifar_and_of_a_subset(cifar):
    assert SIZES["cifar100"] == (len(cifar.classes), len(cifar.train_y), len(cifar.test_y), cifar.train_x.shape[1])
    some = load("cifar100", per_class=7)
    assert size("cifar100", per_class=7).train == len(some.train_y)


@pytest.mark.parametrize(("id_", "seconds"), [
    ("T1.resnet56.fm2", 300 * (391 + 100)),
    ("T8.resnet110.fm2.pair20", 300 * (391 * 2 + 200)),                 # wrong labels take no longer
    ("F6.resnet56.fm2.50", 300 * 40 + 39 * 100),                        # 5000 images; 39 of 300 epochs are tested
    ("T4.resnet110.fm2", 4 * 300 * (782 * 2 + 200)),                    # 100,000 images of four times the area
    ("T4.resnet110.fm2.stride2", 300 * (782 * 2 + 200)),
    ("T4.resnet110.fm2.resize32", 300 * (782 * 2 + 200)),
    ("T6s.resnet20.fm2", 9 * 300 * (47 * 0.5 / 4 + 0.1389 * 40)),       # batch 32, 96 pixels, 1500 and 1389 photos
    ("T10.resnet56.baseline", 300), ("T10.resnet56.fm2", 600)])         # 300 iterations, and its baseline's
def test_hours_from_steps(measured, id_, seconds):
    assert hours(cell(id_)).hours == pytest.approx(seconds / 3600)
    assert hours(cell(id_), on="Other, 8 threads") is None or "resnet56" in id_
    assert ("area" in hours(cell(id_)).source) == (id_ in ("T4.resnet110.fm2", "T6s.resnet20.fm2"))


@pytest.mark.parametrize("id_", ["T1.wrn_28_10.fm2", "T5.resnet50.baseline", "T7.resnet50.fm2", "T7s.resnet20.fm2",
                                 "X2.resnet20.baseline", "X10.resnet164.fm1"])
def test_what_was_not_measured_has_no_hours(measured, id_):
    assert hours(cell(id_)) is None and "; how long one takes was not measured for " in to_decide(cell(id_))


def test_hours_from_records_come_first(measured):
    """Of the same training as they are; of the same network and data by images; and only of this device with these threads."""
    wanted = cell("T1.resnet56.fm2")
    own = [record("T1.resnet56.fm2", seed=s, seconds=3600 * h) for s, h in enumerate((20, 30, 70))]
    assert hours(wanted, records=own) == (30, "runs of it", False)
    assert hours(wanted, records=[record("T1.resnet56.fm2", seconds=3600 * 80, beside=3)]).hours == 20      # four at once
    short = record("T1.resnet56.baseline", "short", seconds=3600.0)
    assert hours(wanted, records=[short]) == (pytest.approx(10), "runs of resnet56 on cifar100", False)
    deep = [record("T2.resnet110.baseline", seconds=3600.0)]
    assert hours(cell("T2.resnet110.byot"), records=deep).least and not hours(cell("T2.resnet110.fm2"), records=deep).least
    small = record("F6.resnet56.fm2.50", seconds=3600.0)
    images = (300 * (3 * 391 * 128 + 10_000)) / (300 * 3 * 40 * 128 + 39 * 10_000)
    assert hours(wanted, records=[small]).hours == pytest.approx(images)
    for other in (record("T1.resnet56.fm2", threads=1), record("T1.resnet56.fm2", device="Another"),
                  record("X1.resnet20.fm2"), record("T1.resnet56.fm2", "smoke")):
        assert hours(wanted, records=[other]) == hours(wanted)
    assert hours(wanted, records=[record("T1.resnet56.fm2", threads=1)], on="Test CPU, 1 thread").hours == 1
    assert hours(cell("T7s.resnet20.fm2"), records=[record("T7s.resnet20.fm2", seconds=36.0)]).hours == pytest.approx(0.01)


def test_devices(measured):
    known = [record("T1.resnet56.fm2", threads=1)]
    assert durations.devices(known) == [measured, "Other, 8 threads", "Test CPU, 1 thread"]
    assert durations.device("test cpu, 1", known) == device_of(known[0].provenance) and durations.device("", known) == measured
    moved = record("T1.resnet56.fm2", threads=1, resumed_elsewhere=[{**known[0].provenance, "threads": 4}])
    assert durations.devices([moved]) == [measured, "Other, 8 threads"]             # its time is that of no device
    assert hours(cell("T1.resnet56.fm2"), records=[moved], on="Test CPU, 1 thread") is None
    assert tables.costs([moved]).threads[0] == "1, 4" and tables.costs([moved]).device[0] == "Test CPU"
    with pytest.raises(UsageError, match=r"Nothing was measured on H200.*Other, 8 threads"):
        durations.device("H200", known)


def test_what_a_verdict_still_costs(measured):
    each = 300 * 491 / 3600
    first = to_decide(cell("T1.resnet56.fm2"))
    assert first == f"about {words(4 * each)} (4 runs, decides in 100 % of cases; {measured})"
    mine = [record("T1.resnet56.fm2", seed=s, best=75.33 + s / 50, threads=1) for s in range(4)]
    assert to_decide(cell("T1.resnet56.fm2"), Ledger(mine[:1])).startswith(f"about {words(each)} (1 run, decides in ")
    assert to_decide(cell("T1.resnet56.fm2"), Ledger(mine)) == ""       # four runs that hardly differ decide it
    wide = [record("T1.resnet56.fm2", seed=s, best=75.35 + d, threads=1) for s, d in enumerate((-0.5, 0.1, 0.2, 0.3))]
    found, likely = Ledger(wide).verdict(cell("T1.resnet56.fm2")), chances.number("T1.resnet56.fm2", (74.85, 75.45, 75.55, 75.65))
    assert found.seeds_needed == chances.enough(likely) == 16 and likely.keys() == {8, 16}
    assert str(found.standing(cell("T1.resnet56.fm2"))).endswith("16 seeds would decide in 80 % of cases")
    odds = f"decides in {100 * likely[8]:.0f} % of cases, 16 seeds would in 80 %"
    assert odds in to_decide(cell("T1.resnet56.fm2"), Ledger(wide))
    assert "no number of seeds" in to_decide(cell("T1.resnet110.dropout"))      # its printed spread exceeds the margin


@pytest.mark.parametrize(("id_", "n"), [("T1.resnet56.spatial_dropout", 4), ("T2.resnet110.byot", 8)])
def test_the_chance_that_a_number_is_decided(id_, n):
    """By another hand: runs one world at a time, each look judged as the ledger judges records."""
    asked, rng, decided, worlds = cell(id_), np.random.default_rng(5), 0, 400
    paper, within = printed(asked), margin(pooled_spread(asked), 4)
    for _ in range(worlds):
        runs = list(rng.normal(paper.mean, paper.sd, n))
        settled = [abs(i.value) + i.half <= within or abs(i.value) - i.half > within for look in asked.looks.upto(n)
                   for i in [welch(Summary.of(runs[:look.n]), paper, look.level)]]
        decided += any(settled)
    assert chances.number(id_)[n] == pytest.approx(decided / worlds, abs=0.08)


def test_chances_rise_and_start_from_what_is_there():
    """Further looks only add; four runs far from the paper settle what none of the others changes; a sentence without printed
    numbers has no chance that one could state."""
    for likely in (chances.number("T1.resnet110.fm2"), chances.gain(("T1.resnet110.fm2", "T1.resnet110.baseline"))):
        assert list(likely) == [2, 4, 8, 16] and sorted(likely.values()) == list(likely.values())
    far = chances.number("T1.resnet110.fm2", (70.0, 70.3, 71.9, 70.1))
    assert list(far) == [8, 16] and far[8] > 0.95
    assert chances.sentence("F6.all_sizes", ((),) * len(claims.claim("F6.all_sizes").needs)) is None
    once = chances.sentence("T9.complementary", ((), ()))
    assert once == chances.sentence("T9.complementary", ((), ())) and 0.7 < once[4] < once[8]


def asked(*ids, n=4, name=None, chance=1.0):
    return Question(name or ids[-1], tuple(map(cell, ids)), (n,) * len(ids), chance)


def decides(step):
    return [one["claim"] for one in step["may_decide"]]


PAIR = asked("T1.resnet56.baseline", "T1.resnet56.fm2", name="pair")
EACH = 300 * 491 / 3600                 # hours of a run of ResNet-56 on the device `measured`


def test_cells_that_share_a_training_pay_once(measured):
    found = plan(1000, [PAIR, asked("T9.resnet56.fm2"), asked("F6.resnet56.fm2.500")], anywhere=True)
    first, second = found["steps"]
    assert decides(first) == ["T9.resnet56.fm2", "F6.resnet56.fm2.500"] and decides(second) == ["pair"]
    assert first["hours"] == second["hours"] == pytest.approx(4 * EACH) and found["hours"] == pytest.approx(8 * EACH)
    (a,), (b,) = first["runs"], second["runs"]
    assert (a["cell"], b["cell"], a["seeds"]) == ("T1.resnet56.fm2", "T1.resnet56.baseline", [0, 1, 2, 3])
    assert a["command"] == "fm run T1.resnet56.fm2 --tier full --seed 0 --seed 1 --seed 2 --seed 3" and found["open"] == []


def test_runs_on_record_are_done(measured):
    """Their seeds are not asked for again, and what they can't decide is said."""
    done = [record("T1.resnet56.fm2", seed=s, threads=1) for s in (0, 2)] + [
        record("T1.resnet56.fm2", "short", seed=s, threads=1) for s in range(4)]       # of another tier
    found = plan(1000, [asked("T1.resnet56.fm2"), asked("T1.resnet56.fm2", n=2, name="two")], Ledger(done), anywhere=True)
    assert [(r["cell"], r["seeds"]) for s in found["steps"] for r in s["runs"]] == [("T1.resnet56.fm2", [1, 3])]
    assert found["hours"] == pytest.approx(2 * EACH)
    assert [(o["claim"], o["why"]) for o in found["open"]] == [("two", "its runs are on record and do not decide")]


def test_most_claims_per_hour_come_first_and_the_budget_is_kept(measured):
    cheap, dear = asked("F6.resnet56.fm2.50", name="cheap"), asked("T1.resnet110.fm2", name="dear")
    questions = [dear, PAIR, asked("T1.resnet56.fm2", name="one"), asked("T9.resnet56.fm2", name="copy"), cheap]
    order = [set(decides(step)) for step in plan(1000, questions, anywhere=True)["steps"]]
    assert order == [{"cheap"}, {"one", "copy"}, {"pair"}, {"dear"}]
    assert order == [set(decides(step)) for step in plan(1000, questions[::-1], anywhere=True)["steps"]]
    three = asked("T1.resnet56.fm1", n=3, name="three")        # takes less, but decides one where the others decide two
    found = plan(7 * EACH, [three, *questions[2:4]], anywhere=True)
    assert [decides(step) for step in found["steps"]] == [["one", "copy"], ["three"]]
    likely, unknown = asked("T1.resnet56.fm1", name="likely", chance=0.9), asked("T1.resnet56.dropout", name="?", chance=None)
    ranked = plan(1000, [unknown, asked("T1.resnet56.fm2", chance=0.3), likely], anywhere=True)
    assert [decides(step) for step in ranked["steps"]] == [["likely"], ["T1.resnet56.fm2"], ["?"]]
    small = plan(5 * EACH, questions, anywhere=True)
    assert [decides(step) for step in small["steps"]] == [["cheap"], ["one", "copy"]] and small["hours"] <= 5 * EACH
    beyond = {o["claim"]: o["hours"] for o in small["open"]}
    assert beyond == {"pair": pytest.approx(4 * EACH), "dear": pytest.approx(8 * EACH)}     # the pair's other half is there
    nothing = plan(0.1, questions, anywhere=True)
    assert nothing["steps"] == [] and nothing["hours"] == 0 and len(nothing["open"]) == 5


def test_a_teacher_is_trained_first_and_counts(measured):
    """Of every cell that learns from another's weights; once for all students, and not where it is on record."""
    students = [c for c in load_cells().values() if any("weights" in m for m in c.methods)]
    assert students and all(len(studies.teachers(c)) == 1 for c in students)
    assert studies.teachers(cell("T1.resnet56.fm2")) == ()
    kd, teacher = cell("GEO.X1.resnet20.kd.all"), cell("GEO.X2.resnet56.baseline")
    assert studies.teachers(kd) == (teacher,)
    one, two = (planning.question(c.id, (c,), None, Ledger()) for c in (kd, cell("GEO.X1.resnet20.geometric.all")))
    assert one.needs == (teacher, kd) and one.seeds == (1, 3)
    found = plan(1e4, [one, two], anywhere=True)
    assert [[(r["cell"], r["seeds"]) for r in s["runs"]] for s in found["steps"]] == [
        [(teacher.id, [0]), (kd.id, [0, 1, 2])], [("GEO.X1.resnet20.geometric.all", [0, 1, 2])]]
    alone = planning.cost(replace(one, needs=(kd,), seeds=(3,)))
    assert "(3 runs" in alone and "(4 runs" in planning.cost(one)
    done = Ledger([record(teacher.id, threads=1)])
    assert [r["cell"] for s in plan(1e4, [one], done, anywhere=True)["steps"] for r in s["runs"]] == [kd.id]
    own = replace(kd, methods=({"name": "kd", "teacher": "resnet56", "weights": "mine.pt"},))
    assert studies.teachers(own) == () and planning.question("own", (own,), None, Ledger()).needs == (own,)


@pytest.mark.parametrize("hours_", [3, 200, 3000])
def test_a_plan_of_all_open_claims_keeps_its_promises(measured, hours_):
    """Within the budget; what is said to be decided has its runs; nothing that is left would still fit; twice the same."""
    questions = planning.questions(Ledger())
    found = plan(hours_, questions, anywhere=True)
    assert found == plan(hours_, questions, anywhere=True)
    runs = {(cell(r["cell"]).run("full", 0).key, seed) for s in found["steps"] for r in s["runs"] for seed in r["seeds"]}
    assert found["hours"] <= hours_ and sum(len(r["seeds"]) for s in found["steps"] for r in s["runs"]) == len(runs)
    by_id = {q.id: q for q in questions}
    for id_ in (id_ for s in found["steps"] for id_ in decides(s)):
        for c, n in zip(by_id[id_].needs, by_id[id_].seeds, strict=True):
            first = by_id[id_].first_seed.get(c.id, 0)
            assert {(c.run("full", 0).key, seed) for seed in range(first, first + n)} <= runs
    assert all(o["hours"] > hours_ - found["hours"] for o in found["open"] if o["why"] == "beyond the budget")
    assert sum(map(len, map(decides, found["steps"]))) + len(found["open"]) == len(questions) == len(by_id)
    assert found["expected"] == pytest.approx(sum(by_id[id_].chance or 0 for s in found["steps"] for id_ in decides(s)))


def test_why_a_claim_stays_open(measured, scratch, tmp_path, monkeypatch):
    monkeypatch.setenv("FM_DATA_DIR", str(tmp_path))
    wide = asked("T1.wrn_28_10.fm2", "T1.densenet_bc_100_12.fm2", "T1.resnet56.fm2", name="wide")
    never = Question("never", (cell("T1.resnet110.dropout"),), (None,), 0.0)
    assert {o["claim"]: o["why"] for o in plan(1000, [wide, never, PAIR], anywhere=True)["open"]} == {
        "wide": "cost not measured: wrn_28_10, densenet_bc_100_12",
        "never": "no number of seeds up to 16 is likely to decide"}
    assert plan(1000, [PAIR])["open"] == [{"claim": "pair", "why": "data not at hand (`fm data`): cifar100", "hours": None}]
    assert plan(1000, [asked("T10.resnet56.fm1", n=1)])["expected"] == 1         # needs no data


def test_open_claims_are_numbers_gains_and_sentences(measured, scratch):
    found = {q.id: q for q in planning.questions(Ledger())}
    assert found["T1.resnet56.fm2"].seeds == (4,) and found["T1.resnet110.dropout"].seeds == (None,)
    assert [c.id for c in found["T1.resnet56.fm2 over its baseline"].needs] == ["T1.resnet56.fm2", "T1.resnet56.baseline"]
    assert "T1.resnet56.baseline over its baseline" not in found and found["T10.resnet56.fm1"].seeds == (1,)
    assert all(len(q.needs) == len(q.seeds) for q in found.values())
    nameless = {q.id for q in found.values() if not q.needs}
    without = {id_ for id_ in nameless if not claims.load_claims()[id_].alone}
    assert without and {claims.load_claims()[id_].kind for id_ in without} == {"to_run", "construction"}
    assert nameless - without == {"GCP.landscape", "GCP.predictive"}        # no run of their cells brings what they compare
    assert {q["why"] for q in plan(1000, [found[id_] for id_ in nameless])["open"]} == {planning.NAMELESS}
    sentences = found.keys() - {f"{c.id}{more}" for c in load_cells().values() for more in ("", " over its baseline")}
    assert "T9.two_layers" in sentences and found["F6.all_sizes"].chance is None
    assert found["T1.resnet56.fm2"].chance == chances.number("T1.resnet56.fm2")[4]
    pair = ("T1.resnet56.fm2", "T1.resnet56.baseline")
    equal = [record(id_, seed=s, best=cell(id_).published + (s - 1.5) / 50) for id_ in pair for s in range(4)]
    assert {"T1.resnet56.fm2", "T1.resnet56.fm2 over its baseline"}.isdisjoint(q.id for q in planning.questions(Ledger(equal)))


@pytest.mark.parametrize("text", ["40", "h", "-3h", "0h", "nan h", "inf", "3 weeks", ""])
def test_a_budget_that_means_nothing(text):
    with pytest.raises(UsageError, match="90m, 40h or 2d"):
        planning.budget(text)


def test_the_command(scratch):
    made = record("X3.resnet20.baseline", threads=3)       # a device that no open claim was measured on
    records.write(made, paths.record("full", made.key, 0))
    result = fm("plan", "--budget", "2d", "--any-data", folder=scratch)
    assert result.returncode == 0 and "T10.resnet56.baseline" in result.stdout and "open: beyond the budget" in result.stdout
    found = json.loads(fm("plan", "--budget", "2d", "--any-data", "--device", "Test CPU", "--json", folder=scratch).stdout)
    assert found["device"] == "Test CPU, 3 threads" and found["steps"] == [] and found["budget_hours"] == 48
    for words_, says in ((("--budget", "soon"), "90m, 40h or 2d"), (("--budget", "2h", "--device", "M40"), "Measured: ")):
        result = fm("plan", *words_, folder=scratch)
        assert result.returncode == 2 and says in result.stderr and "Traceback" not in result.stderr


def test_recipes_of_records_are_read_back():
    run = cell("F6.resnet56.fm2.50").run("full", 0)
    again = Recipe(**run.spec()["recipe"])
    assert [again.tests(e) for e in range(300)] == [run.recipe.tests(e) for e in range(300)]
