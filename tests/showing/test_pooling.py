"""The page of covariance pooling: its numbers come from what is measured and on record, and what is not there is said."""

import json
import re
from html import unescape

import made_benchmarks
import numpy as np
import pandas as pd
import pytest
import scipy.stats

from featuremining import paths, studies
from featuremining.judging.ledger import Ledger
from featuremining.measuring import roots
from featuremining.records import findings
from featuremining.showing import pooling
from featuremining.showing.figures.heat import heat, lines
from featuremining.studies.measures import ALONE

CELLS = ["X4.resnet20.mean", "X4.resnet20.newton_schulz"]


def head(label, slope):
    return {"label": label, "clean": 50.0, "distorted": {"jpeg": [40.0, 20.0], "contrast": [10.0, 10.0]},
            "iterations": {"1": 0.5, "5": 0.25}, "epochs": {"condition": [1e3, 1e6], "rank": [60, 63], "error": [0.1, 0.25]},
            "probes": {"loss": [2.0, 1.0], "loss_range": [0.5, 0.25], "gradient_change": [4.0, 2.0], "slope": [slope, slope]}}


@pytest.fixture
def followed(scratch):
    for id_, values in zip(CELLS, (head("Mean pooling", 10.0), head("Newton-Schulz, 5 steps", 15.0)), strict=True):
        findings.write("landscape", studies.cell(id_).run("smoke", 0), "seed0", values, {})
    return pooling.followed(CELLS, "smoke", [0])


def plain(html):
    return unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<svg.*?</svg>", "", html, flags=re.S)))


def test_the_two_maps_differ_in_their_covariance_alone():
    """Not even the sorted values of a channel differ."""
    one, other = pooling.clouds().values()
    assert np.allclose(np.sort(one, 0), np.sort(other, 0)) and np.allclose(one.mean(0), other.mean(0))
    assert np.cov(one.T)[0, 1] > 0.3 > -0.3 > np.cov(other.T)[0, 1]


def test_a_map_of_colours_has_its_numbers_as_words_and_csv():
    values = pd.DataFrame([[0.00123, 1.0], [np.inf, 5e7]], index=["a", "b"], columns=[10.0, 0.0])
    shown = heat(values, "T", "gap", 1e-6)
    assert "T, over gap 1e1, 0. a: 1e−3, 1; b: inf, 5e7." in unescape(shown) and "0.00123" in shown and "data:text/csv" in shown
    assert shown.count("<image") == 0               # colours are shapes, sharp at any size
    assert "y over x. s: 1, 0.5." in lines({"s": ([1, 2], [1.0, 0.5])}, "T", "x", "y")


def test_lines_that_are_the_same_are_one_with_all_names():
    """Drawn apart, the last hides the others; the numbers are kept for each."""
    shown = lines({"a": ([1, 2], [1.0, 0.5]), "b": ([1, 2], [1.0, 0.25]), "c": ([1, 2], [1.0, 0.5])}, "T", "x", "y")
    drawn = shown.partition("</svg>")[0].count("stroke-width: 1.6")
    assert drawn == 2 * 2 and "a: 1, 0.5; b: 1, 0.25; c: 1, 0.5." in shown         # each once more in the legend


def test_without_a_measurement_the_page_says_so(scratch):
    assert not pooling.followed(CELLS, "smoke", [0]) and "No smoke-tier measurement" in pooling.conditions({}, "smoke")
    assert all("Nothing on record yet" in made({}, "smoke") for made in (pooling.landscape, pooling.robustness))
    answer = plain(pooling.answer({}, Ledger()))
    assert "was not measured in this tier" in answer and "0 of " in answer
    assert f"none of the {len(studies.rules()['X4'].pairs)} comparisons is finished" in answer


def test_seeds_that_count_are_beside_their_sentences(scratch):
    """In the full tier, seed 0 left out; the difference and the verdict are computed."""
    assert "Nothing on record yet" in plain(pooling.smoother(Ledger()))
    for id_, factor in zip(CELLS, (1.0, 0.5), strict=True):
        for seed, value in enumerate((9.0, 0.40, 0.42, 0.44, 9.0)):
            findings.write("landscape", studies.cell(id_).run("full", 0), f"seed{seed}", {
                "plan": ALONE["landscape"].plan, "loss_range": factor * value, "gradient_change": value,
                "slope": 10 * value}, {"dirty": False})
    said = " ".join(plain(pooling.smoother(Ledger())).split())
    low, high = scipy.stats.ttest_ind((0.4, 0.42, 0.44), (0.2, 0.21, 0.22), equal_var=False).confidence_interval()
    assert f"range of the loss reproduced 0.42 ± 0.02 0.21 ± 0.01 +{low:.2f} to +{high:.2f} 3 GCP.landscape" in said
    assert "change of the gradient inconclusive 0.42 ± 0.02 0.42 ± 0.02" in said and "no sentence speaks of it 4.20" in said
    answer = plain(pooling.answer({}, Ledger()))
    assert "0.42 with mean pooling and 0.21 with Newton-Schulz (reproduced)" in answer
    assert "0.42 and 0.42 (inconclusive), in short trainings of 3 seeds" in answer
    assert "moves by 4.20 and 4.20, no clear difference: a shorter step" in answer
    for seed, value in ((1, 8.0), (2, 8.2), (3, 8.4)):
        findings.write("landscape", studies.cell(CELLS[1]).run("full", 0), f"seed{seed}", {
            "plan": ALONE["landscape"].plan, "loss_range": 0.2, "gradient_change": 0.4, "slope": value}, {"dirty": False})
    assert "moves by 4.20 and 8.20, a clear difference." in plain(pooling.answer({}, Ledger()))


def test_what_was_followed_is_shown(followed):
    assert "1e+06" in pooling.conditions(followed, "smoke") and "Newton-Schulz, 5 steps" in pooling.iterations(followed)
    landscape, robust = plain(pooling.landscape(followed, "smoke")), plain(pooling.robustness(followed, "smoke"))
    assert "0.375" in landscape and "3.000" in landscape and "15.00" in landscape
    assert "30.0" in robust and "20.0" in robust and "50.0" in robust        # mean of jpeg, of all kinds, clean
    answer = plain(pooling.answer(followed, Ledger()))
    assert "from 1e3 to 1e6" in answer and "25 % at its end" in answer
    assert "How smooth the loss is beside mean pooling was not measured." in answer         # seed 0 does not count


def test_the_answers_numbers_are_those_of_the_maps():
    answer, said = pooling.answer({}, Ledger()), {(r["root"], r["gap"]): r["error"] for r in roots.gradient_errors(1.0)}
    assert answer.count("<li>") == 5
    assert f"off by {100 * said['svd', 1e-7]:.1f} %" in answer
    assert f"as float32 has it by {100 * said['svd', 0.0]:.1f} %" in answer
    found = {(r["root"], r["precision"], r["condition"]): r["error"] for r in roots.forward_errors()}
    assert f"{100 * found['newton_schulz_5', 'float32', 1e6]:.0f} %" in answer


def test_speed_is_what_the_benchmark_left(tmp_path, monkeypatch):
    row = {"what": "exact over svd", "value": 2.5, "low": 2.25, "high": 2.75, "unit": "×", "goal": "", "note": "here"}
    (tmp_path / "a.json").write_text(json.dumps(made_benchmarks.measured("A CPU", roots=[row], loop=[])))
    monkeypatch.setattr(paths, "benchmarks", lambda: tmp_path / "nowhere")
    assert "Not run" in pooling.speed()
    monkeypatch.setattr(paths, "benchmarks", lambda: tmp_path)
    assert re.search(r"exact over svd\s+2.5 ×\s+2.25 to 2.75\s+–\s+A CPU\s+here", plain(pooling.speed()))


def test_printed_numbers_have_their_source():
    shown = plain(pooling.printed("isqrt"))
    assert "22.14" in shown and "Read in github.com/jiangtaoxie/fast-MPN-COV" in shown and "22.73" in shown
