"""Claims: Holm and Welch against scipy and by hand, every kind of verdict from records made for it, what fm verdict says."""

import json
from dataclasses import replace

import pytest
import scipy.stats
from made_records import example

from featuremining import FMError, UsageError, cli, stats
from featuremining.judging import listing, verdicts
from featuremining.judging.ledger import Ledger
from featuremining.judging.sentences import judge
from featuremining.records import findings
from featuremining.stats import holm
from featuremining.studies import cell, claims, load_cells
from featuremining.studies.claims import claim, load_claims
from featuremining.studies.outcomes import TOLD, Status
from featuremining.studies.printed import Printed

UP, DOWN = (75.3, 75.4, 75.2, 75.4), (73.7, 73.6, 73.8, 73.7)


def runs(id_, *values, tier="full"):
    key = cell(id_).run(tier, 0).key
    return [example(key=key, seed=s, metrics={"best": v, "others": {cell(id_).reported: {"best": v}}})
            for s, v in enumerate(values)]


def records(values):
    return [r for id_, found in values.items() for r in runs(id_, *found)]


def test_holm_by_hand_and_in_any_order():
    """0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, never falling: Holm (1979)."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0] and holm([]) == []


def test_welch_p_is_scipys():
    a, b = stats.Summary(4, 75.35, 0.07), stats.Summary(3, 74.55, 0.31)
    expected = scipy.stats.ttest_ind_from_stats(a.mean, a.sd, a.n, b.mean, b.sd, b.n, equal_var=False).pvalue
    assert stats.welch_p(a, b) == pytest.approx(expected) and stats.welch_p(b, a) == pytest.approx(expected)
    one = stats.Summary(1, 75.0, float("nan"))
    assert stats.welch_p(one, b) == 1 and stats.welch_p(stats.Summary(2, 1, 0), stats.Summary(2, 0, 0)) == 0


def test_the_papers_own_numbers():
    """Means alone order all pairs of T1.consistently as claimed; their spreads do so for some, as scipy says too."""
    found = judge(claim("T1.consistently"), Ledger())
    assert (found.status, found.own_numbers, len(found.pairs)) == (Status.NOT_RUN, Status.NOT_ESTABLISHED, 48)
    close = {(p.higher, p.lower): p for p in found.pairs}["T1.resnet56.fm1", "T1.resnet56.spatial_dropout"]
    raw = scipy.stats.ttest_ind_from_stats(74.55, 0.11, 4, 74.38, 0.17, 4, equal_var=False).pvalue
    assert close.printed.value == pytest.approx(0.17) and close.printed_p >= raw > 0.05
    assert judge(claim("T4.best"), Ledger()).own_numbers == Status.SUPPORTED


def test_a_training_counts_once_and_only_printed_cells_belong():
    pairs = claim("P.above_others").named_pairs()
    assert len(pairs) == len({tuple(cell(i).run("full", 0).key for i in pair) for pair in pairs}) == 27
    assert len(claim("P.stable").named_pairs()) == 9         # Tiny ImageNet's other stems are ours, and no word of the paper
    assert len(claim("F6.all_sizes").named_pairs()) == 6     # a figure: no number is printed


@pytest.mark.parametrize(("high", "low", "status"), [
    (UP, DOWN, Status.REPRODUCED), (DOWN, UP, Status.NOT_REPRODUCED), (UP[:1], DOWN[:1], Status.INCONCLUSIVE),
    (DOWN, (73.7, 73.65, 73.75, 73.7), Status.NOT_REPRODUCED),                # no difference, and narrow enough to say so
    ((74.2, 74.21, 74.19, 74.2), (74.0, 74.01, 73.99, 74.0), Status.REPRODUCED),      # small, and yet settled as claimed
    ((74.2, 73.1, 74.6, 73.9), (73.5, 74.0, 73.2, 73.8), Status.INCONCLUSIVE), ((), DOWN, Status.NOT_RUN)])
def test_an_order_of_one_pair(high, low, status):
    found = judge(claim("T9.complementary"), Ledger(records({"T9.resnet56.fm1": high, "T9.resnet56.noncomplementary_fm": low})))
    assert found.status == status
    assert found.tier == ("full" if high and low else "") and found.n == (min(len(high), len(low)) if high and low else None)


@pytest.mark.parametrize("id_", [id_ for id_, c in load_claims().items() if c.kind in ("order", "gain")])
def test_the_papers_numbers_as_ours_never_speak_against_it(id_):
    """Four runs with the printed mean and spread of each cell: what it prints as small is no refutation when it comes again."""
    again = {c.id: [c.published + sign * verdicts.printed(c).sd * 0.75**0.5 for sign in (-1, -1, 1, 1)]
             for c in claim(id_).needs if c.published}
    found = judge(claim(id_), Ledger(records(again)))
    assert found.status in (Status.REPRODUCED, Status.INCONCLUSIVE, *[Status.NOT_RUN] * (not again))


def test_an_order_wants_all_its_pairs():
    some = {"T9.resnet56.fm2": UP, "T9.resnet56.fm1": DOWN}
    found = judge(claim("T9.two_layers"), Ledger(records(some)))
    assert (found.status, found.ours) == (Status.INCONCLUSIVE, "1 of 2 pairs run: 1 in this order, 1 significant")
    assert judge(claim("T9.two_layers"), Ledger(records(some | {"T9.resnet56.fm3": DOWN}))).status == Status.REPRODUCED
    assert judge(claim("T9.two_layers"), Ledger(runs("T9.resnet56.fm2", *UP, tier="short"))).status == Status.NOT_RUN


def test_families_are_corrected():
    """A pair that alone would be settled is not settled among two; the look of four seeds leaves 2.9 % of p for one."""
    edge = {"T9.resnet56.fm2": (75.4, 75.2, 75.3, 75.1), **{f"T9.resnet56.fm{i}": (75.1, 74.9, 75.0, 74.8) for i in (1, 3)}}
    found = judge(claim("T9.two_layers"), Ledger(records(edge)))
    alone = stats.welch_p(*(stats.Summary.of(list(edge[f"T9.resnet56.fm{i}"])) for i in (2, 1)))
    look = cell("T9.resnet56.fm2").looks.upto(4)[-1]
    assert look.counted(alone) < 0.05 < found.pairs[0].p == pytest.approx(2 * look.counted(alone, 2)) and found.look == look
    assert found.status == Status.INCONCLUSIVE and not found.pairs[0].zero


def test_between_two_looks_the_last_one_stands():
    """A fifth run, however far off, changes nothing before there are eight; one pair's eighth run is none of the other's."""
    more = {"T9.resnet56.fm1": (*UP, 10.0), "T9.resnet56.noncomplementary_fm": DOWN * 2}
    found = judge(claim("T9.complementary"), Ledger(records(more)))
    assert (found.status, found.n, found.look.n) == (Status.REPRODUCED, 4, 4)
    one = judge(claim("T9.complementary"), Ledger(records({"T9.resnet56.fm1": UP, "T9.resnet56.noncomplementary_fm": DOWN[:1]})))
    assert (one.status, one.n, str(one.look)) == (Status.INCONCLUSIVE, 1, "1 on record, first look at 2 seeds")


def changed(monkeypatch, id_, **values):
    one = replace(load_claims()[id_], **values)
    monkeypatch.setattr(claims, "load_claims", lambda: {id_: one})
    return one


def test_printed_numbers_can_contradict(monkeypatch):
    assert judge(claim("T8.pair20_gain"), Ledger()).own_numbers == Status.SUPPORTED
    assert judge(changed(monkeypatch, "T8.pair20_gain", difference=Printed("7.41")), Ledger()).status == Status.CONTRADICTED
    assert judge(changed(monkeypatch, "T1.resnet164_gain", values=(78.31, 74.88)), Ledger()).status == Status.CONTRADICTED
    swapped = changed(monkeypatch, "T9.complementary", higher=("noncomplementary_fm",), lower=("fm2",))
    assert judge(swapped, Ledger()).status == Status.CONTRADICTED


def test_every_printed_difference_agrees_with_its_table():
    gains = [c for c in load_claims().values() if c.kind == "gain"]
    assert len(gains) == 11 and all(judge(c, Ledger()).own_numbers == Status.SUPPORTED for c in gains)


def test_borrowed_spreads_are_named():
    noted = {c.id for c in load_claims().values() if "No spreads are printed" in judge(c, Ledger()).note}
    gains = {f"T8.{noise}_gain" for noise in ("symmetric50", "symmetric20", "pair50", "pair20")}
    assert noted == {"F6.all_sizes", "P.scenarios", "T8.huge", *gains}


def test_a_gain_is_judged_like_a_tables():
    runs_ = records({"T1.resnet164.fm2": (78.3, 78.4, 78.2, 78.35), "T1.resnet164.baseline": (75.0, 74.9, 75.1, 74.95)})
    found = judge(claim("T1.resnet164_gain"), Ledger(runs_))
    assert (found.status, found.ours, found.n) == (Status.REPRODUCED, "+3.33", 4)


def cost(id_, ratio, low, high, memory, device="a CPU", **more):
    values = {"time_ratio": ratio, "low": low, "high": high, "memory_ratio": memory, "seconds": 1.0, "iterations": 300, **more}
    name = device.replace(" ", "-")
    findings.write("cost", cell(id_).run("full", 0), name, values, {"device": device, "threads": 2, "engine": "eager"})


CPU, GPU = {}, {"device": "a GPU", "allocated_mib": 9.0}


@pytest.mark.parametrize(("where", "statuses"), [
    (CPU, (Status.CHEAPER, Status.INCONCLUSIVE, Status.DEARER)),
    (GPU, (Status.REPRODUCED, Status.INCONCLUSIVE, Status.NOT_REPRODUCED))])
def test_cost(scratch, where, statuses):
    """A CPU's ratios are no repetition of a GPU's number, however small they are."""
    little = claim("P.little_cost")
    assert (judge(little, Ledger()).status, judge(little, Ledger()).own_numbers) == (Status.NOT_RUN, Status.SUPPORTED)
    cost("T10.resnet56.fm1", 1.004, 0.999, 1.009, 1.0004, **where)
    assert judge(little, Ledger()).status == Status.NOT_RUN         # one of two
    for (ratio, low, high), status in zip(((1.01, 1.0, 1.02), (1.24, 1.2, 1.28), (1.4, 1.3, 1.5)), statuses, strict=True):
        cost("T10.resnet56.fm2", ratio, low, high, 1.01, **where)
        found = judge(little, Ledger())
        assert found.status == status
        said = ("another GPU, ratios only", "") if where else ("CPU, ratios only", "memory undecided")
        assert (found.scope, found.detail) == said


def test_a_gpu_decides_where_there_is_one(scratch):
    """Of every cell: one that a GPU lacks leaves all to the CPU."""
    for method in ("fm1", "fm2"):
        cost(f"T10.resnet56.{method}", 1.0, 0.99, 1.01, 1.0)
    cost("T10.resnet56.fm1", 1.4, 1.3, 1.5, 1.0, **GPU)
    assert judge(claim("P.little_cost"), Ledger()).status == Status.DEARER
    cost("T10.resnet56.fm2", 1.1, 1.05, 1.15, 1.0, **GPU)
    assert judge(claim("P.little_cost"), Ledger()).status == Status.NOT_REPRODUCED
    cost("T10.resnet56.fm1", 1.1, 1.05, 1.15, 1.0, **GPU)
    found = judge(claim("P.little_cost"), Ledger())
    assert found.status == Status.REPRODUCED and "a CPU, 2 threads; a GPU, 2 threads" in found.device


def test_printed_costs_can_contradict(scratch):
    paper = judge(claim("T10.negligible"), Ledger())
    assert (paper.status, paper.own_numbers) == (Status.CONTRADICTED,) * 2        # 1.20 and 1.13 times are not negligible
    assert "at most × 1.05, which is our limit" in paper.limit
    assert "below 1.190 contradicted by the paper's own numbers, from 1.190 on not run" in paper.limit


def test_memory_counts_where_an_allocator_counted_it(scratch):
    """What autograd saves is less than a training's memory: it is shown under its name and decides nothing."""
    cost("T10.resnet56.fm1", 1.0, 0.99, 1.01, 1.0)
    cost("T10.resnet56.fm2", 1.0, 0.99, 1.01, 1.4)
    found = judge(claim("P.little_cost"), Ledger())
    assert found.status == Status.CHEAPER and "saved for backward × 1.400" in found.ours and found.detail == "memory undecided"
    cost("T10.resnet56.fm1", 1.0, 0.99, 1.01, 1.0, **GPU)
    cost("T10.resnet56.fm2", 1.0, 0.99, 1.01, 1.4, **GPU)
    found = judge(claim("P.little_cost"), Ledger())
    assert found.status == Status.NOT_REPRODUCED and " memory × 1.400" in found.ours and not found.detail


def test_a_cost_of_a_network_whose_time_is_not_printed(scratch):
    claimed = claim("T2.negligible_time")
    found = judge(claimed, Ledger())
    assert (found.status, found.own_numbers, found.paper) == (Status.NOT_RUN, None, "") and "ResNet-110" in found.note
    cost("X10.resnet110.fm2", 1.02, 1.01, 1.03, 1.0)
    assert judge(claimed, Ledger()).status == Status.CHEAPER


def test_a_cost_measured_without_its_baseline_decides_nothing(scratch):
    run = cell("CM.X3.resnet56.convmix").run("full", 0)
    cost("CM.X3.resnet56.convmix", 1.0, 0.99, 1.01, 1.0)
    (whole,) = findings.read("cost", run)
    assert judge(claim("CM.P.cost"), Ledger()).status == Status.CHEAPER
    ratios = {"time_ratio", "low", "high", "rounds", "memory_ratio", "operations_ratio"}
    findings.write("cost", run, whole.name, {k: v for k, v in whole.values.items() if k not in ratios}, whole.provenance)
    assert judge(claim("CM.P.cost"), Ledger()).status == Status.NOT_RUN


@pytest.mark.parametrize(("bounds", "on_cpu", "on_gpu"), [
    ((1.2, 1.4), Status.DEARER, Status.REPRODUCED), ((0.9, 0.99), Status.CHEAPER, Status.NOT_REPRODUCED),
    ((0.9, 1.1), Status.INCONCLUSIVE, Status.INCONCLUSIVE)])
def test_an_overhead_that_is_claimed(scratch, bounds, on_cpu, on_gpu):
    claimed = claim("T2.byot_overhead")
    assert judge(claimed, Ledger()).status == Status.NOT_RUN
    cost("X10.resnet110.byot", 1.0, *bounds, 0.95)
    assert judge(claimed, Ledger()).status == on_cpu
    cost("X10.resnet110.byot", 1.0, *bounds, 0.95, **GPU)
    assert judge(claimed, Ledger()).status == on_gpu and "more than × 1.00" in judge(claimed, Ledger()).limit


def constructed(cells, **values):
    for c in cells:
        findings.write("construction", c.run("full", 0), "cpu", {
            "same_state": True, "same_outputs": True, "same_cost": True, "train_only_parameters": 13, **values}, {})


def test_a_construction_wants_every_form_of_the_paper(scratch):
    """And one that differs is enough against it. It is counted once, whatever sentence says it again."""
    unchanged, inference, free = map(claim, ("P.test_unchanged", "T10.inference", "P.parameter_free"))
    forms = unchanged.built
    assert len(forms) == len({c.run("full", 0).key for c in forms}) == 16
    printed = [c for c in load_cells().values() if c.published is not None and c.method in ("fm1", "fm2", "fm3")
               and c.task == "classification" and not c.data]
    assert {(c.network, c.dataset) for c in forms} == {(c.network, c.dataset) for c in printed}
    assert judge(unchanged, Ledger()).status == Status.NOT_RUN and judge(free, Ledger()).ours == ""
    constructed(forms[:-1])
    assert judge(unchanged, Ledger()).status == Status.INCONCLUSIVE
    constructed(forms[-1:], train_only_parameters=200)
    assert judge(unchanged, Ledger()).status == judge(inference, Ledger()).status == Status.CONSTRUCTION
    rows = listing.rows(Ledger())
    assert "1 holds by construction" in listing.tally(rows) and sum(bool(r["same_as"]) for r in rows) > 10
    found = judge(free, Ledger())
    assert found.status == Status.OWN_TEXT and "13 to 200 parameters more" in found.ours and "fully connection" in found.paper
    for what in ("state", "outputs", "cost"):
        constructed(forms[:1], **{f"same_{what}": False})
        assert judge(unchanged, Ledger()).status == Status.NOT_REPRODUCED


def test_what_is_on_record_of_constructions_is_whole():
    assert judge(claim("P.test_unchanged"), Ledger()).status == Status.CONSTRUCTION


@pytest.mark.parametrize(("ratios", "status"), [
    ([], Status.NOT_RUN), ([(1.5, 1.2, 1.1)], Status.INCONCLUSIVE), ([(1.5, 1.2, 1.1)] * 2, Status.REPRODUCED),
    ([(1.1, 1.2, 1.1)] * 2, Status.NOT_REPRODUCED), ([(0.9, 0.8, 0.9)] * 2, Status.NOT_REPRODUCED),
    ([(0.5, 1.2, 1.1)] * 2, Status.NOT_REPRODUCED),
    ([(1.5, 1.2, 1.1), (0.9, 1.1, 1.2)], Status.INCONCLUSIVE),
    ([(1.5, 1.2, 1.1), (1.6, 1.4, 1.1)], Status.INCONCLUSIVE),          # so in both, and two seeds do not settle it
    ([(1.5, 1.2, 1.1), (1.52, 1.21, 1.1), (1.49, 1.19, 1.11), (1.5, 1.2, 1.1)], Status.REPRODUCED),
    ([(0.8, 0.9, 0.9), (0.82, 0.91, 0.9), (0.79, 0.92, 0.91), (0.8, 0.9, 0.9)], Status.NOT_REPRODUCED)])
def test_activations(scratch, ratios, status):
    for seed, row in enumerate(ratios):
        counts = {"baseline": [[50, 50]] * 3, "fm2": [[60 * r, 40 * r] for r in row]}
        findings.write("activations", cell("F4.resnet110.fm2").run("full", 0), f"seed{seed}", {"raw": {"counts": counts}}, {})
    assert judge(claim("F4.more_activations"), Ledger()).status == status


def test_what_is_decided_here_has_a_reading():
    """By the records of the project, sentences on cost and on parameters: one paragraph for the very verdict that each has."""
    found = [row for row in listing.rows(Ledger.read()) if row["kind"] in ("cost", "construction", "text")]
    decided = [row for row in found if row["verdict"].status in TOLD]
    assert len(decided) > 3 and all(row["reading"] for row in decided)


def test_a_reading_has_our_numbers_in_it(scratch):
    found = listing.detail(claim("P.little_cost"), Ledger())
    assert (found["verdict"].status, found["reading"]) == (Status.NOT_RUN, "")
    for method, ratio in (("fm1", 1.01), ("fm2", 1.17)):
        cost(f"T10.resnet56.{method}", ratio, ratio - 0.01, ratio + 0.01, 1.0)
    found = listing.detail(claim("P.little_cost"), Ledger())
    assert found["verdict"].status == Status.CHEAPER and "Measured on a CPU, 2 threads" in found["reading"]
    assert "1.170 (1.160 to 1.180)" in found["reading"]


def test_words_say_why():
    found = judge(claim("T7.capture"), Ledger())
    assert found.status == Status.UNTESTABLE and "mAP" in found.note
    assert all(c.why for c in load_claims().values() if c.kind == "words")


def test_what_is_said_again_has_the_verdict_of_what_says_it():
    said = [c for c in load_claims().values() if c.kind == "same"]
    for one in said:
        other = judge(claim(one.same_as), Ledger())
        found = judge(one, Ledger())
        assert (found.status, found.own_numbers) == (other.status, other.own_numbers) and one.same_as in found.note
    everything, again = listing.tally(listing.rows(Ledger())), len(said)
    assert everything.startswith(f"{len(load_claims()) - again + 83} claims: ") and f"{again} more are said again" in everything


def test_needs_are_the_cells_that_would_decide():
    assert {c.id for c in claim("T10.negligible").needs} == {f"T10.resnet56.{m}" for m in ("baseline", "fm1", "fm2")}
    assert {c.id for c in claim("T9.two_layers").needs} == {f"T9.resnet56.fm{i}" for i in (1, 2, 3)}


def test_every_claim_and_number_has_a_row():
    rows = listing.rows(Ledger())
    assert len(rows) == len(load_claims()) + 80 + 3 and len({r["claim"] for r in rows}) == len(rows)
    assert all(r["verdict"] and r["says"] and r["section"] for r in rows)
    json.loads(listing.as_json(rows), parse_constant=pytest.fail)
    one = listing.rows(Ledger(records({"T1.resnet164.fm2": UP[:1], "T1.resnet164.baseline": DOWN[:1]})))
    json.loads(listing.as_json(one), parse_constant=pytest.fail)


@pytest.mark.parametrize("other", ["T1.good", "T1.bad"])
def test_what_is_said_again_must_be_said(studies_copy, other):
    (studies_copy / "feature_mining/sentences.toml").write_text(
        f'["T1.bad"]\nsection = "1"\nquote = "x"\nkind = "same"\nsame_as = "{other}"\n')
    with pytest.raises(FMError, match=r"T1\.bad must be the same as a sentence that is judged by itself"):
        load_claims()


def test_fm_verdict(capsys):
    cli.verdict("")
    out = capsys.readouterr().out
    assert "T1.consistently" in out and "T10.resnet56.fm2" in out and "claims: " in out
    cli.verdict("T9.two_layers")
    out = capsys.readouterr().out
    assert "+0.06 (−0.12 to +0.24)" in out and "not established" in out and "last two layers" in out
    cli.verdict("T1.resnet56.fm2", True)
    assert json.loads(capsys.readouterr().out)["paper"] == "75.35 ± 0.07"
    with pytest.raises(UsageError, match=r"no claim 'T9.two'.*T9\.two_layers.*fm verdict"):
        cli.verdict("T9.two")
