"""Runs and their keys; bad studies."""

import pickle
from dataclasses import replace

import pytest

from featuremining import UsageError, load, studies
from featuremining.recipes import Recipe, as_dict, recipe
from featuremining.studies import cell, load_cells, plan
from featuremining.studies.printed import Printed


def test_equal_trainings_share_a_key():
    keys = {cell(id_).run("full", 0).key for id_ in ("T1.resnet110.fm2", "T2.resnet110.fm2", "T3.resnet110.fm2")}
    assert len(keys) == 1
    assert len(plan(["T1.resnet110.fm2", "T2.resnet110.fm2"], "full", [0, 1])) == 2


def test_whatever_is_trained_differs_in_key():
    runs = [cell("X1.resnet20.fm1").run("short", 0), cell("X1.resnet20.fm2").run("short", 0),
            cell("X1.resnet20.fm2").run("full", 0), cell("T1.resnet56.fm2").run("full", 0)]
    assert len({r.key for r in runs}) == 4
    assert runs[0].key == cell("X1.resnet20.fm1").run("short", 5).key


def test_keys_of_committed_records_stay():
    """A key is an address: these literals guard the records against an accidental change of how it is made."""
    assert cell("X1.resnet20.baseline").run("short", 0).key == "cifar100.resnet20.baseline.d3c313a6"
    assert cell("X1.resnet20.fm1").run("short", 0).key == "cifar100.resnet20.fm.07105b6f"
    assert cell("X1.resnet20.fm2").run("short", 0).key == "cifar100.resnet20.fm.3ed18c38"


def test_smoke_uses_embedded_data_only():
    assert {c.run("smoke", 0).dataset for c in load_cells().values()} == {
        "parts", "parts_tiny_imagenet", "parts_imagenet", "parts_cub"}


def test_the_smoke_tier_is_quick_on_any_processor():
    """bfloat16 is emulated where a processor has no instructions for it; in the other tiers cells keep their arithmetic."""
    precisions = {tier: {c.run(tier, 0).recipe.precision for c in load_cells().values()} for tier in ("smoke", "short", "full")}
    assert precisions == {"smoke": {"fp32"}, "short": {"fp32", "bf16"}, "full": {"fp32", "bf16"}}


def test_the_smoke_tier_s_data_can_be_had():
    """For every cell: no condition asks the embedded images for more than there are."""
    smoke = [c.run("smoke", 0) for c in load_cells().values() if c.task != "detection"]
    for dataset, data in {(run.dataset, tuple(run.data.items())) for run in smoke}:
        load(dataset, **dict(data))


def test_a_condition_changes_data_recipe_and_network():
    noisy, small, stem = cell("T8.resnet110.fm2.pair20"), cell("F6.resnet56.fm2.50"), cell("T4.resnet110.fm2.stride2")
    assert noisy.run("full", 0).data == {"noise": "pair", "rate": 0.2} and noisy.condition == "pair20"
    base = studies.baseline(noisy)
    assert base.id == "T8.resnet110.baseline.pair20" and studies.baseline(replace(base)) is None    # read anew, too
    assert len({c.run("full", 0).key for c in (noisy, cell("T8.resnet110.fm2.pair50"), cell("T1.resnet110.fm2"))}) == 3
    assert small.run("full", 0).data == {"per_class": 50} and small.run("smoke", 0).data == {"per_class": 20}
    assert small.run("full", 0).recipe.test_every == 10 and stem.run("full", 0).options == {"stem_stride": 2}
    assert cell("T8.resnet110.fm2.human").run("smoke", 0).data == {"noise": "symmetric", "rate": 0.4}
    assert cell("F6.resnet56.fm2.500").run("full", 0).key == cell("T1.resnet56.fm2").run("full", 0).key
    assert cell("T4s.resnet20.fm2").dataset == "tiny_imagenet_50" and cell("T4.resnet110.fm2").dataset == "tiny_imagenet"


def test_untested_epochs_end_with_the_last_ten():
    sparse = Recipe(epochs=300, test_every=10)
    tested = [e for e in range(300) if sparse.tests(e)]
    assert tested[:3] == [9, 19, 29] and tested[-10:] == list(range(290, 300)) and len(tested) == 39
    assert all(Recipe().tests(e) for e in range(300))

def test_cells_that_cannot_run_yet_say_what_they_lack():
    lacking = replace(cell("T1.wrn_28_10.dropout"), id="T1.net.dropout", methods=({"name": "nothing"},))
    with pytest.raises(UsageError, match="network net and method nothing"):
        lacking.runnable("full", 0)
    with pytest.raises(UsageError, match=r"Did you mean.*T1\.resnet56\.fm2"):
        cell("T1.resnet56.fm")
    with pytest.raises(UsageError, match="smoke, short, full"):
        cell("T1.resnet56.fm2").run("medium", 0)
    with pytest.raises(UsageError, match="0 or more"):
        cell("T1.resnet56.fm2").run("full", -1)


def test_the_papers_schedule():
    assert [recipe("resnet56", "full").rate(e) for e in (0, 149, 150, 224, 225, 299)] == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    assert recipe("densenet_bc_100_12", "full").batch == 64 and recipe("pyramidnet_110_270", "full").lr == 0.5
    short = recipe("resnet56", "short")
    assert short.epochs == 30 and [short.rate(e) for e in (14, 15, 22, 23)] == [0.1, 0.01, 0.01, 0.001]
    assert recipe("resnet164", "full").weight_decay == 1e-4 and recipe("resnet56", "full").weight_decay == 5e-4


def test_a_field_that_is_off_leaves_keys_alone():
    assert "precision" in as_dict(Recipe()) and "precision" not in as_dict(Recipe(precision=None))


def test_digits_stay_as_printed():
    """A trailing zero says how far a number was rounded: it is shown, and it is what rounding is reckoned by."""
    paper = cell("T1.resnet110.fm2")
    assert (paper.published.text, paper.paper, paper.published) == ("76.90", "76.90 ± 0.13", 76.9)
    assert [cell("T10.resnet56.fm1").seconds.half, cell("T10.resnet56.fm1").mib.half] == [0.0005, 0.5]
    assert str(pickle.loads(pickle.dumps(paper.published))) == f"{paper.published}" == "76.90"
    assert type(paper.published - 0) is float
    for wrong in ("76.9 ", "76,9", "1e2", "nan", "", 76.9):
        with pytest.raises(ValueError, match="its digits as text"):
            Printed(wrong)


def test_every_cell_has_a_table_with_a_title():
    assert {c.table for c in load_cells().values()} == set(studies.titles())
