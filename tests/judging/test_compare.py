"""`fm compare`: intervals by scipy's t, tiers kept apart, a sentence for everything that is no record."""

import json
import math
from dataclasses import replace

import pytest
from helpers import fm
from made_records import example, put
from scipy import stats

from featuremining import UsageError, paths, records, studies
from featuremining.judging import compare

SPREAD = {"best": 0.0, "last": -0.3, "median10": -0.4}


def record(id_, best, seed=0, tier="full", **more):
    run = studies.cell(id_).run(tier, seed)
    weights = f"{round(100 * best):064x}"
    return example(accuracies(run, best), 10_000, seed=seed, spec=run.spec(), weights=weights, **more)


def accuracies(run, best):
    """Accuracies whose three rules give ``best`` and what `SPREAD` adds."""
    last, middle = (round(best + SPREAD[rule], 4) for rule in ("last", "median10"))
    return [best, *[middle] * (run.recipe.epochs - 2), last]


def written(folder, made, name="mine.json"):
    return put(made, folder / name)


@pytest.mark.parametrize(("best", "inside"), [
    (75.35, (True, False, False)), (75.58, (True, True, True)), (75.62, (False, True, True)), (75.80, (False, True, True)),
    (75.95, (False, False, True)), (75.08, (False, False, False))])
def test_the_papers_number_predicts_one_more_run(tmp_path, best, inside):
    """By Student's t with n - 1 = 3 degrees of freedom: 75.35 ± 0.07 leaves 0.249 on each side."""
    half = stats.t.ppf(0.975, 3) * 0.07 * (1 + 1 / 4) ** 0.5
    found = compare.compare(written(tmp_path, record("T1.resnet56.fm2", best)), [])
    cells = {one["cell"]: one for one in found["cells"]}
    assert list(cells) == ["T9.resnet56.fm2", "T1.resnet56.fm2", "F6.resnet56.fm2.500"]      # one training, three cells
    paper = cells["T1.resnet56.fm2"]["paper"]
    assert (paper["best"]["low"], paper["best"]["high"]) == pytest.approx((75.35 - half, 75.35 + half))
    assert tuple(paper[rule]["inside"] for rule in compare.RULES) == inside
    assert cells["F6.resnet56.fm2.500"]["paper"] is None and cells["T1.resnet56.fm2"]["ours"] is None
    said = compare.text(found)
    assert f"{best:.2f} lies {'inside' if inside[0] else 'OUTSIDE'} 75.10 to 75.60" in said and "best epoch" in said


def test_our_own_seeds_predict_too(tmp_path):
    """From two others on, rule by rule; neither itself nor another training counts."""
    mine = record("T1.resnet56.fm2", 75.5)
    ours = [record("T1.resnet56.fm2", best, seed) for seed, best in ((1, 75.1), (2, 75.4), (3, 75.2))]
    noise = [mine, record("T1.resnet56.fm1", 70.0), record("T1.resnet56.fm2", 60.0, tier="short")]
    path = written(tmp_path, mine)
    found = compare.compare(path, ours + noise)
    last = next(c for c in found["cells"] if c["cell"] == "T1.resnet56.fm2")["ours"]["last"]
    half = stats.t.ppf(0.975, 2) * stats.tstd([75.1, 75.4, 75.2]) * (1 + 1 / 3) ** 0.5
    assert last["n"] == 3 and (last["low"], last["high"]) == pytest.approx((74.9333 - half, 74.9333 + half), abs=1e-4)
    assert found["equal_to_seeds"] == [0] and "the same weights, bit for bit, as our seed 0" in compare.text(found)
    one = compare.compare(path, ours[:1])
    assert all(c["ours"] is None for c in one["cells"]) and "is one other run: an interval needs two" in compare.text(one)


def test_another_tier_is_not_compared_with_the_paper(tmp_path):
    ours = [record("T1.resnet56.fm2", best, seed, "short") for seed, best in ((1, 60.1), (2, 60.4))]
    found = compare.compare(written(tmp_path, record("T1.resnet56.fm2", 60.2, tier="short")), ours)
    assert found["tier"] == "short" and all(c["paper"] is None and c["ours"]["best"]["inside"] for c in found["cells"])
    assert "Not compared with the paper" in compare.text(found) and "75.35" not in compare.text(found)


def test_the_evaluation_that_is_printed_is_compared(tmp_path):
    """BYOT's printed number is its ensemble's; Table 8 prints no spread."""
    others = {"byot.ensemble": accuracies(studies.cell("T2.resnet110.byot").run("full", 0), 76.7)}
    made = record("T2.resnet110.byot", 70.0, others=others)
    (found,) = compare.compare(written(tmp_path, made), [])["cells"]
    assert found["values"]["best"] == 76.7 and found["paper"]["best"]["inside"]
    noisy = compare.compare(written(tmp_path, record("T8.resnet110.fm2.pair20", 71.3), "noisy.json"), [])
    assert noisy["cells"][0]["paper"]["best"]["inside"] and "prints no spread" in compare.text(noisy)


def test_a_training_that_no_cell_asks_for(tmp_path):
    run = studies.cell("T1.resnet56.fm2").run("full", 0)
    made = example(spec=replace(run, methods=({"name": "fm"}, {"name": "mixup"})).spec())
    found = compare.compare(written(tmp_path, made), [])
    assert found["cells"] == [] and "resnet56 on cifar100, fm + mixup, 300 epochs" in compare.text(found)
    assert "No cell asks for this training" in compare.text(found)


def damaged(**changes):
    return json.dumps({**vars(record("T1.resnet56.fm2", 75.0)), **changes})


@pytest.mark.parametrize("text", [
    "", "not JSON", "[]", "{}", "\xff", damaged(schema=1), damaged(metrics={}), damaged(metrics={"best": 1, "last": 2}),
    damaged(metrics=[]), damaged(spec={"tier": "full"}), damaged(spec={}), damaged(kind="cost"),
    damaged(metrics={"best": "75", "last": 75.0, "median10": 75.0}),
    damaged(metrics={"best": math.nan, "last": 75.0, "median10": 75.0})], ids=range(14))
def test_what_is_no_record_is_one_sentence(tmp_path, text):
    path = tmp_path / "mine.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UsageError, match=r"mine\.json .*`fm run` wrote"):
        compare.compare(path, [])


def test_the_command(scratch):
    mine = written(scratch, record("T1.resnet56.fm2", 75.5))
    for seed, best in ((1, 75.1), (2, 75.4)):
        made = record("T1.resnet56.fm2", best, seed)
        records.write(made, paths.record("full", made.key, seed))
    result = fm("compare", str(mine), str(mine), folder=scratch)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("75.50 lies inside 75.10 to 75.60") == 4 and "of our 75.25" in result.stdout
    (found,) = json.loads(fm("compare", str(mine), "--json", folder=scratch).stdout)
    assert [c["cell"] for c in found["cells"]] == ["T9.resnet56.fm2", "T1.resnet56.fm2", "F6.resnet56.fm2.500"]
    for words in ((str(scratch / "none.json"),), (str(scratch),), (str(mine), str(paths.ROOT / "README.md"))):
        result = fm("compare", *words, folder=scratch)
        assert result.returncode == 2 and "`fm run` wrote" in result.stderr and not result.stdout
        assert "Traceback" not in result.stderr
