"""Studies of our own: the rule written down before the first run decides, and nothing else does."""

from dataclasses import replace
from html import unescape

import pytest
from made_records import example
from scipy import stats

from featuremining import records, studies
from featuremining.judging import comparisons
from featuremining.judging.ledger import Ledger
from featuremining.judging.negative import against_baseline
from featuremining.recipes import Recipe
from featuremining.showing import negative, pages, show
from featuremining.showing.tables import comparisons as table
from featuremining.showing.tables import mixed_devices
from featuremining.stats import paired_by_seed
from featuremining.studies.outcomes import Status

RULE = studies.rules()["X3"]


def made(id_, values, first=0):
    """Records of these last-epoch accuracies, seed by seed; the best epoch is one point higher."""
    run = studies.cell(id_).run("full", 0)
    return [example(key=run.key, spec=run.spec(), seed=seed, right={}, schema=1,
                    metrics=records.metrics([value + 1, value], 10_000)) for seed, value in enumerate(values, first)]


BASE = made("X3.resnet20.baseline", (70.0, 70.2, 70.1, 69.9))


def test_what_was_fixed_before_the_first_run():
    """Literals: whoever changes the study after its first run has to change them here too."""
    assert RULE.family == ("X3.resnet20.fm2", "X3.resnet20.mean_loss", "X3.resnet20.fm1", "X3.resnet56.fm2")
    assert (RULE.outcome, RULE.beside, RULE.level, RULE.seeds) == ("last", "best", 0.95, (0, 1, 2, 3))
    keys = {id_: studies.cell(id_).run("full", 0).key for id_ in
            ("X3.resnet20.baseline", *RULE.family, "X3.resnet56.baseline")}
    assert len(set(keys.values())) == 6 and comparisons.progress(RULE, Ledger()) == (0, 24)
    recipe = studies.cell("X3.resnet56.fm2").run("full", 0).recipe
    assert recipe == Recipe(epochs=60, batch=128, lr=0.1, milestones=(0.5, 0.75), weight_decay=5e-4, precision="bf16")
    assert studies.cell("X3.resnet20.mean_loss").methods == studies.cell("A9s.resnet20.mean_loss").methods


def test_nothing_is_said_before_the_fourth_seed_of_both():
    three = made("X3.resnet20.fm2", (75.0, 75.1, 75.2))
    first, *others = comparisons.compare(RULE, Ledger(BASE + three))
    assert first.status == Status.UNFINISHED and first.p is None and first.outcome.value == pytest.approx(5.05)
    assert first.paired.interval.value == pytest.approx(5.0) and {c.status for c in others} == {Status.UNFINISHED, Status.NOT_RUN}
    late = made("X3.resnet20.fm2", (75.0, 75.1, 75.2, 75.3), first=1)       # seeds 1 to 4: 4 is none of the study's
    assert comparisons.compare(RULE, Ledger(BASE + late))[0].seeds == ((1, 2, 3), (0, 1, 2, 3))


def test_negative_results_go_by_the_rule():
    """With the best epoch, which the rule shows beside, the method would lie above."""
    base, fm2 = (replace(r, metrics=records.metrics([best, last], 10_000)) for r, best, last in (
        (BASE[0], 66, 65), (made("X3.resnet20.fm2", (0.0,))[0], 67, 64)))
    ((tier, cell, difference, n, epoch),) = against_baseline(Ledger([base, fm2]))
    assert (tier, cell.id, difference.value, n, epoch) == ("full", "X3.resnet20.fm2", -1, (1, 1), "last")
    assert cell.id in negative.markdown(Ledger([base, fm2])).replace("<wbr>", "")


def test_the_rule_by_another_hand():
    """Welch by SciPy and Holm by its definition, of two comparisons that are finished and two that are not."""
    up, nil = (71.0, 71.3, 70.9, 71.2), (70.1, 69.9, 70.2, 70.3)
    found = comparisons.compare(RULE, Ledger(BASE + made("X3.resnet20.fm2", up) + made("X3.resnet20.fm1", nil)))
    tests = [stats.ttest_ind(values, (70.0, 70.2, 70.1, 69.9), equal_var=False) for values in (up, nil)]
    assert found[0].p == pytest.approx(4 * tests[0].pvalue) and found[2].p == pytest.approx(min(1, 3 * tests[1].pvalue))
    assert (found[0].status, found[2].status) == (Status.ABOVE, Status.NO_CLEAR_DIFFERENCE)
    for c, test in zip((found[0], found[2]), tests, strict=True):
        assert (c.outcome.low, c.outcome.high) == pytest.approx(tuple(test.confidence_interval(0.95)))
        assert c.beside.value == pytest.approx(c.outcome.value)
    assert found[0].paired.r == pytest.approx(stats.pearsonr(up, (70.0, 70.2, 70.1, 69.9)).statistic)
    pair = stats.ttest_rel(up, (70.0, 70.2, 70.1, 69.9)).confidence_interval(0.95)
    assert (found[0].paired.interval.low, found[0].paired.interval.high) == pytest.approx(tuple(pair))
    assert comparisons.compare(RULE, Ledger(BASE + made("X3.resnet20.fm2", [v - 2 for v in up])))[0].status == Status.BELOW


def test_what_comes_later_can_only_firm_up_a_verdict():
    up = made("X3.resnet20.fm2", (70.5, 70.7, 70.6, 70.3))
    before = comparisons.compare(RULE, Ledger(BASE + up))[0]
    after = comparisons.compare(RULE, Ledger(BASE + up + made("X3.resnet20.fm1", (72.0, 72.1, 72.2, 72.3))))[0]
    assert after.p < before.p and after.outcome == before.outcome


def test_other_tiers_do_not_count():
    short = [replace(r, key=studies.cell("X3.resnet20.fm2").run("short", 0).key) for r in made("X3.resnet20.fm2", (1, 2, 3, 4))]
    assert comparisons.compare(RULE, Ledger(BASE + short))[0].status == Status.UNFINISHED


def test_the_page_says_question_rule_and_progress():
    said = pages.rule(RULE, Ledger())
    assert RULE.question in unescape(said) and "Holm" in said and "Runs so far: 0 of 24." in said
    assert "Runs so far: 1 of 24." in pages.rule(RULE, Ledger(BASE[:1]))
    short, _, whole = said.partition("<details")
    assert "last epoch decides" in short and "over 4 comparisons, once 4 seeds" in short and "intervals are of 95 %" in short
    assert unescape(whole).count(RULE.words.strip()) == 1 and RULE.words.strip() not in unescape(short)
    frame = table(comparisons.compare(RULE, Ledger(BASE + made("X3.resnet20.fm2", (71.0, 71.3, 70.9, 71.2)))))
    assert [v.status for v in frame["verdict"]] == [Status.ABOVE, Status.UNFINISHED, Status.UNFINISHED, Status.NOT_RUN]
    assert frame["last epoch (decides)"][0].startswith("+1.05 (+0.") and frame["n"][0] == "4 and 4"


def test_sides_of_other_devices_are_named():
    """By every device that a run was on, those that it went on with included; where all were on one, nothing is said."""
    up = (71.0, 71.3, 70.9, 71.2)
    two, one = made("X3.resnet20.fm2", up), made("X3.resnet20.fm1", up)
    assert mixed_devices(comparisons.compare(RULE, Ledger(BASE + two))) == ""

    def on(device, runs, later=()):
        went_on = [{**runs[0].provenance, "device": other} for other in later]
        return [replace(r, provenance={**r.provenance, "device": device, "resumed_elsewhere": went_on}) for r in runs]

    base, two, one = on("A", BASE), on("B", two), on("A", one[:3]) + on("A", one[3:], ["C"])
    ledger = Ledger(base + two + one)
    said = mixed_devices(comparisons.compare(RULE, ledger))
    assert said.endswith("differently: ResNet-20 · FM (2 layers): B against A; ResNet-20 · FM (1 layer): A and C against A.")
    assert said in unescape(show.comparisons("X3", ledger)) and "kind of device" not in show.comparisons("X3", Ledger(base))


def test_a_gain_of_the_same_recipe_has_its_paired_interval_beside():
    """Over the seeds that both have, and not where anything but the methods differs; it changes no verdict."""
    up = made("X3.resnet20.fm2", (71.0, 71.3, 70.9, 71.2, 99.0))
    ledger, cell = Ledger(BASE + up), studies.cell("X3.resnet20.fm2")
    found = ledger.paired(cell, rule="last")
    pair = stats.ttest_rel((71.0, 71.3, 70.9, 71.2), (70.0, 70.2, 70.1, 69.9)).confidence_interval(0.95)
    assert found.n == 4 and (found.interval.low, found.interval.high) == pytest.approx(tuple(pair))
    assert Ledger(BASE).paired(cell) is None and ledger.paired(studies.cell("X3.resnet20.baseline")) is None
    other = replace(cell, changes={**cell.changes, "epochs": 61})
    assert Ledger(BASE + made("X3.resnet20.fm2", (1.0,))).paired(other) is None
    assert paired_by_seed({0: 1.0, 1: 2.0, 2: 3.0}, {0: 1.0, 1: 1.0, 2: 1.0}).r is None        # one side never changes
    assert paired_by_seed({0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0}).r is None and paired_by_seed({0: 1.0}, {1: 1.0}) is None
