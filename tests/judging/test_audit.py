"""The audit: its statistics against scipy and simulation, its counts against printed numbers, its words against its tables."""

import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import scipy.stats
from made_records import example

from featuremining import FMError, UsageError, stats, studies
from featuremining.judging import audit, selection
from featuremining.judging.ledger import Ledger
from featuremining.records import read_records
from featuremining.showing import audit as shown
from featuremining.showing.figures import audit as drawn
from featuremining.studies import cell, claims, papers
from featuremining.studies.outcomes import Status

PAIRS = audit.pairs()
ONCE = audit.distinct(PAIRS)


def test_every_pair_is_tested_as_scipy_does():
    """Both readings of ±: a standard deviation, and the standard error of four runs, half of it."""
    for row in PAIRS[~PAIRS.borrowed].itertuples():
        a, b = cell(row.higher), cell(row.lower)
        assert row.difference == pytest.approx(a.published - b.published)
        expected = scipy.stats.ttest_ind_from_stats(a.published, a.spread, 4, b.published, b.spread, 4, False).pvalue
        assert row.p == pytest.approx(expected)
    whole = PAIRS[~PAIRS.groupby("claim").borrowed.transform("any")]
    for _, own in whole.groupby("claim"):
        wide = [scipy.stats.ttest_ind_from_stats(a.published, 2 * a.spread, 4, b.published, 2 * b.spread, 4, False).pvalue
                for a, b in ((cell(row.higher), cell(row.lower)) for row in own.itertuples())]
        assert list(own.holm_as_error) == pytest.approx(stats.holm(wide))
        assert (own.holm >= own.p).all() and (own.holm_as_error >= own.holm).all()


def test_the_orders_count_what_the_verdicts_say():
    """Of Table 1's 48 comparisons scipy settles the same number, alone and by the strictest correction."""
    table = {(n, m): cell(f"T1.{n}.{m}") for n in ("resnet56", "resnet110", "resnet164", "densenet_bc_100_12", "wrn_28_10",
                                                   "pyramidnet_110_270") for m in ("fm1", "fm2", "baseline", "dropout",
                                                                                   "spatial_dropout", "dropblock")}
    p = [scipy.stats.ttest_ind_from_stats(a.published, a.spread, 4, b.published, b.spread, 4, False).pvalue
         for (n, high), (m, low) in product(table, table) if n == m and high[:2] == "fm" and low[:2] != "fm"
         for a, b in [(table[n, high], table[n, low])]]
    row = audit.orders(PAIRS).set_index("claim").loc["T1.consistently"]
    assert (row.pairs, row.above, row.settled) == (len(p), 48, sum(v < 0.05 for v in p))
    settled = sum(v <= 0.05 / (len(p) - rank) for rank, v in enumerate(sorted(p)))        # none follows a failure here
    assert (row.holm, row.status) == (settled, "not established")


def test_each_comparison_counts_once_under_its_strictest_correction():
    assert not ONCE.duplicated(["higher", "lower"]).any() and set(PAIRS.columns) == set(ONCE.columns)
    strict = PAIRS.groupby(["higher", "lower"]).holm.max()
    assert all(row.holm >= strict[row.higher, row.lower] for row in ONCE.itertuples())
    shared = ONCE[ONCE.higher.str.endswith("resnet56.fm2") & ONCE.lower.str.endswith("resnet56.fm1")]
    assert len(shared) == 1                                     # stands in Tables 1 and 9


def test_power_is_the_share_of_simulated_experiments_that_find_it():
    """Of a pair of Table 2, at the pooled spread of that table."""
    row = PAIRS[(PAIRS.higher == "T2.resnet110.fm2") & (PAIRS.lower == "T2.resnet110.byot")].iloc[0]
    spread = np.sqrt(np.mean([c.spread**2 for c in studies.load_cells().values() if c.table == "T2"]))
    rng = np.random.default_rng(0)
    runs = (rng.normal(mean, spread, (40_000, 4)) for mean in (0.22, 0))
    found = scipy.stats.ttest_ind(*runs, axis=1, equal_var=False).pvalue < 0.05
    assert row.power == pytest.approx(found.mean(), abs=0.01) and PAIRS.power.between(0.05, 1).all()


def test_what_a_table_can_find():
    found = audit.detectable(ONCE).set_index("table")
    for table, row in found.iterrows():
        able = stats.power(*[stats.Summary(row.n, 0, row.spread)] * 2, row.least)
        assert able == pytest.approx(0.753, abs=0.002)          # Welch's; 0.8 is Student's
        own = ONCE[ONCE.table == table]
        assert row.below == sum(d < row.least for d in own.difference) and row.pairs == len(own)
    assert found.loc["T2"].below == 1 and found.loc["T9"].below == 2 and found.loc["T8"].borrowed and not found.loc["T1"].borrowed


@pytest.mark.parametrize("errors", [[0.01, 0.02], [0.02, 0.01, 0.015], [0.005, 0.05]], ids=str)
def test_the_chance_of_equal_rounded_means_is_simulated(errors):
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 0.01, (300_000, 1))                   # anywhere within a step
    rounded = np.round(rng.normal(true, errors) / 0.01)
    assert audit.agreement(errors) == pytest.approx((rounded == rounded[:, :1]).all(1).mean(), rel=0.05)


def test_repeated_numbers():
    found = {tuple(sorted(row.cells)): row for row in audit.repeated().itertuples()}
    three = found["T1.resnet110.fm2", "T2.resnet110.fm2", "T3.resnet110.fm2"]
    assert (three.means, three.spreads, three.same_mean, three.same_spread) == ([76.9] * 3, [0.13, 0.21, 0.12], True, False)
    assert three.chance == pytest.approx(audit.agreement([0.065, 0.105, 0.06]))
    assert three.chance < three.at_most == pytest.approx(audit.agreement([0.06] * 3))
    assert found["T1.resnet164.fm2", "T3.resnet164.fm2"].spreads == [0.21, 0.09]
    assert found["T1.resnet56.baseline", "T9.resnet56.baseline"].same_spread and all(row.same_mean for row in found.values())


def test_the_lead_over_byot_under_each_spread():
    found = audit.under_each_spread("T2.resnet110.fm2", "T2.resnet110.byot")
    assert sorted(found.spread) == [0.12, 0.13, 0.21]
    for row in found.itertuples():
        expected = scipy.stats.ttest_ind_from_stats(76.90, row.spread, 4, 76.68, 0.14, 4, False)
        assert (row.low < 0) == (expected.pvalue > 0.05) and row.low < row.difference < row.high


def test_costs_as_table_10_prints_them():
    found = audit.costs().set_index(["claim", "cell"])
    row = found.loc["T10.negligible", "T10.resnet56.fm2"]
    assert row.time == pytest.approx(0.113 / 0.094) and row.low < row.time < row.high and row.memory == pytest.approx(1959 / 1740)
    assert row.status == Status.CONTRADICTED and found.loc["P.little_cost", "T10.resnet56.fm1"].status == Status.SUPPORTED


def runs(id_, tier, *values, **spec):
    """Records of a cell with these (best, last, median of the last ten)."""
    run = cell(id_).run(tier, 0)
    metrics = [dict(zip(("best", "last", "median10"), v, strict=True)) for v in values]
    return [example(id=f"{run.key}.seed{s}", key=run.key, seed=s, spec={**run.spec(), **spec}, metrics=m)
            for s, m in enumerate(metrics)]


def test_what_the_best_epoch_adds():
    """Means over seeds, one row per training and tier, and the difference to the baseline of the same tier alone."""
    records = (runs("X1.resnet20.fm2", "short", (70, 69, 69.5), (71, 69, 70))
               + runs("X1.resnet20.baseline", "short", (68, 67.5, 67)) + runs("X1.resnet20.fm1", "full", (72, 71, 71)))
    found = selection.trainings(selection.runs(Ledger(records))).set_index(["tier", "cell"])
    assert len(found) == 3                                      # F4s.resnet20 names the same trainings
    fm2 = found.loc["short"].query("method == 'FM (2 layers)'").iloc[0]
    assert (fm2.n, fm2["last"], fm2["median"], fm2.method_only) == (2, 1.5, 0.75, 1.0)
    assert fm2.last_sd == pytest.approx(np.std([1, 2], ddof=1))
    assert np.isnan(found.loc["full", "X1.resnet20.fm1"].method_only) and selection.runs(Ledger()).empty


def test_runs_are_counted_once_and_like_with_like():
    """A mean over runs is no mean over trainings; tiers, rare tests and mAP stay apart, in the table and in the sentence."""
    rare = {"recipe": cell("F6.resnet56.fm2.50").run("full", 0).spec()["recipe"] | {"test_every": 10}}
    detector = cell("T7s.resnet20.fm2")
    records = (runs("X1.resnet20.fm2", "short", (70, 69, 69), (71, 69, 70), (72, 69, 70))
               + runs("X1.resnet20.baseline", "short", (68, 67.5, 67)) + runs("F6.resnet56.fm2.50", "full", (40, 31, 30), **rare))
    mean_precision = runs(detector.id, "full", (50, 46.5, 46))
    found = selection.groups(selection.runs(Ledger(records + mean_precision))).set_index(["tier", "measure", "test_every"])
    assert len(found) == 3
    assert found.loc[("short", "top-1", 1), ["runs", "mean", "most"]].tolist() == [4, (1 + 2 + 3 + 0.5) / 4, 3]
    assert found.loc[("full", "top-1", 10), "most"] == 9 and found.loc[("full", "mAP", 1), "most"] == 3.5


def test_the_page_recounts_our_runs_by_tier():
    """From the files, by another hand: every run once, and no number over runs that differ in what was measured or how often."""
    groups = {}
    for r in read_records():
        kind = r.tier, "mAP" if r.spec.get("task") == "detection" else "top-1", r.spec["recipe"].get("test_every", 1)
        groups.setdefault(kind, []).append(r.metrics["best"] - r.metrics["last"])
    html = shown.best_epoch_gain("all")
    for (tier, measure, every), lost in groups.items():
        tested = "after each epoch" if every == 1 else f"every {every} epochs and after each of the last ten"
        assert (f"in the {len(lost)} runs of the {tier} tier that were tested {tested} ({measure}), {np.mean(lost):.2f} points "
                f"on average and {max(lost):.2f} at most") in html
    assert html.count(" points on average") == len(groups)


def test_a_gain_counts_once_in_however_many_tables_it_stands():
    found = selection.gains()
    values = {(c.network, c.condition, c.dataset, c.task, c.published) for c in studies.load_cells().values()
              if c.published and c.method in ("fm1", "fm2", "fm3") and studies.baseline(c)}
    assert len(found) == len(values) and set(found.measure[found.cell.str.startswith("T7")]) == {"mAP"}
    top1 = found.gain[found.measure == "top-1"]
    assert f"{len(top1)} different gains of Feature Mining in top-1, of {top1.min():.2f} to {top1.max():.2f} points, " \
           f"{top1.median():.2f} in the middle, and 0.97 in mAP" in shown.best_epoch_gain("smoke")


def test_binomial_errors():
    found = audit.images(ONCE).set_index("table")
    row = found.loc["T1"]
    assert row.error_high == pytest.approx(100 * scipy.stats.binom(10_000, 0.7371).std() / 10_000)
    assert row.error_low == pytest.approx(100 * scipy.stats.binom(10_000, 0.8287).std() / 10_000)
    a, b = 76.90, 76.68
    limit = 1.96 * np.hypot(*(100 * scipy.stats.binom(10_000, v / 100).std() / 10_000 for v in (a, b)))
    assert a - b < limit and found.loc["T2"].below >= 1
    assert "T7" not in found.index and found.loc["T6"].images == 5794


def test_numbers_of_test_images_are_those_of_the_data_sets():
    from featuremining.datasets import cub, imagenet

    assert audit.data()["images"] == {"cifar100": 10_000, "tiny_imagenet": 200 * 50, "imagenet": imagenet.SPLITS["val"],
                                      "cub": cub.PHOTOS[200][1]}


def test_every_number_that_a_quote_prints_is_held_against_the_tables():
    found = audit.arithmetic().set_index("claim")
    assert found.agree.all() and found.loc["T6.gain"].said == ["66.73", "76.26", "+9.53"]
    printing = {c.id for c in claims.load_claims().values() if re.search(r"\d\.\d\d", c.quote) and c.kind != "words"}
    assert printing == set(found.index) and found.loc["T9.all_layers"].tables == ["74.55", "75.35"]
    assert set(found.index[found.in_table]) == {i for i in found.index if i.startswith("T8.")}
    for id_, row in found.iterrows():                   # what the claim is judged by is what its quote prints
        said = [abs(float(text)) for text in row.said]
        stated = [*claims.claim(id_).values, *([claims.claim(id_).difference] * (claims.claim(id_).difference is not None))]
        assert set(stated) <= set(said)


@pytest.mark.parametrize("id_", ["T1.resnet164_gain", "T5.gain", "T6.gain", "T7.gain", "T8.pair20_gain", "T9.all_layers"])
def test_arithmetic_notices_any_other_digit(id_, monkeypatch):
    claim = claims.claim(id_)
    for place in (i for i, letter in enumerate(claim.quote) if re.match(r"\d", letter)):
        if not any(m.start() <= place < m.end() for m in audit.NUMBER.finditer(claim.quote)):
            continue
        digit = str((int(claim.quote[place]) + 1) % 10)
        wrong = replace(claim, quote=claim.quote[:place] + digit + claim.quote[place + 1:])
        monkeypatch.setattr(claims, "load_claims", lambda wrong=wrong: {id_: wrong})
        assert not audit.arithmetic().agree.any(), wrong.quote


def test_baselines_stand_beside_the_papers():
    found = audit.baselines()
    assert set(found.network) == {c.network for c in studies.load_cells().values() if c.table == "T1"}
    assert all(row.baseline == cell(f"T1.{row.network}.baseline").published for row in found.itertuples())
    assert found.accuracy.between(70, 90).all() and found.source.str.fullmatch(r"[\w.-]+/[\w.-]+").all()
    plain = found[found.plain].groupby("network").accuracy.max()
    html = shown.baselines()
    assert f"WRN-28-10: {plain['wrn_28_10'] - 79.35:+.2f}" in html


def test_a_damaged_file_is_one_sentence(tmp_path, monkeypatch):
    file = tmp_path / "audit.toml"
    paper = papers()["feature_mining"]
    file.write_text((paper.folder / file.name).read_text().replace('quote = "as depicted', 'qoute = "as depicted'))
    monkeypatch.setattr(audit, "papers", lambda: {"feature_mining": replace(paper, folder=tmp_path)})
    audit.data.cache_clear()
    with pytest.raises(FMError, match=r"audit\.toml is not valid: slips\.\d\.quote: it is missing\."):
        audit.data()
    audit.data.cache_clear()


def test_the_sentences_count_what_the_tables_show():
    assert f"{len(PAIRS)} pairs come down to {len(ONCE)} comparisons" in shown.comparisons(PAIRS)
    assert f"with Holm's correction within the claim, {(ONCE.holm < 0.05).sum()} are" in shown.comparisons(PAIRS)
    said, found = shown.sentences(), audit.summary()
    once = [c for c in claims.of_first() if not c.same_as]
    assert set(found.claim) == {c.id for c in once} and len(once) < len(claims.load_claims())       # none of another paper
    assert f"something in {len(once)} sentences" in said and "80 accuracies and 3 pairs" in said
    for status, word in shown.OWN.items():
        assert re.search(rf">{word}</span></td><td[^>]*>{(found.own_numbers == status).sum()}</td>", said)


def test_links_of_the_summary_lead_to_its_sections():
    anchors = re.findall(r' id="([^"]+)"', shown.comparisons(PAIRS) + shown.costs() + shown.arithmetic())
    links = re.findall(r'href="#([^"]+)"', shown.sentences())
    assert links and len(set(anchors)) == len(anchors) and set(links) <= set(anchors)


def test_figures_show_each_difference_once():
    """In as many marks as there are rows, with words for those who do not see them, and with the values as CSV."""
    for tables in (("T1",), ("T2", "T3", "T4", "T5", "T9"), ("T6", "T8")):
        html = shown.forest(PAIRS, *tables)
        own = drawn.labelled(ONCE[ONCE.table.isin(tables)], by_network=len(tables) == 1)
        assert f"{len(own)} printed differences with 95 % intervals; {(own.state == 0).sum()} significant" in html
        assert html.count("%0A") == len(own) + 1 and 'role="img"' in html and "#0b0c0d" not in html
        assert list(own.state) == [0 if r.holm < 0.05 else 1 if r.p < 0.05 else 2 for r in own.itertuples()]
    assert set(own.label) >= {"ResNet-110, pair 0.5: FM (2 layers) − Baseline", "BYOT − Baseline"}


def test_without_records_the_page_says_so(scratch):
    assert "No record yet, tier smoke" in shown.best_epoch_gain("smoke")


def test_parameters():
    assert shown.start({"tier": "all", "page": shown.Audit("short")}).tier == "all"
    for names, says in (({"tier": "medium"}, "smoke, short, full, all"), ({"teir": "all"}, "Did you mean 'tier'"),
                        ({}, "tier is missing")):
        with pytest.raises(UsageError, match=says):
            shown.start(names)
