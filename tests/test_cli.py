"""The command line: exit codes, sentences, and no torch where none is needed."""

import json
import os
import re
import signal
import subprocess
import sys

import pandas as pd
import pytest
from helpers import fm
from made_records import example

from featuremining import paths, records
from featuremining.datasets import DATASETS
from featuremining.studies import load_cells


@pytest.mark.parametrize(("words", "code", "says"), [
    (("run", "T1.resnet56.fm", "--tier", "smoke"), 2, "Did you mean T1.resnet56.fm2"),
    (("run", "T1.resnet56.fm2", "--tier", "medium"), 2, "smoke, short, full"),
    (("run", "X1.resnet20.fm2", "--tier", "smoke", "--seed", "-1"), 2, "0 or more"),
    (("run", "X1.resnet20.fm2", "--tier", "smoke", "--seed", "20240101120000"), 2, "below 2^32"),
    (("run", "X1.resnet20.fm2", "--tier", "smoke", "--device", "meta"), 2, "no device 'meta'"),
    (("run", "X1.resnet20.fm2", "--tier", "smoke", "--device", "cuda:7"), 2, "no device 'cuda:7'"),
    (("check", "T1.resnet56.fm2"), 1, "There are no weights"), (("check", "T7.resnet50.baseline"), 2, "is no classification"),
    (("run", "X1.resnet20.fm2"), 2, "tier"), (("status", "T99"), 2, "begins with 'T99'"), (("walk",), 2, "walk")], ids=str)
def test_wrong_words_exit_with_two_and_one_sentence(tmp_path, words, code, says):
    result = fm(*words, folder=tmp_path)
    assert result.returncode == code and says in result.stderr
    assert "Traceback" not in result.stderr and not list(tmp_path.rglob("*.json"))


def test_status_counts_records_by_cell_and_tier(scratch):
    cell = load_cells()["T1.resnet110.fm2"]
    for tier, seed in (("full", 0), ("full", 1), ("short", 0)):
        run = cell.run(tier, seed)
        made = example([76.9 + seed / 10], 1000, seed=seed, spec=run.spec())
        records.write(made, paths.record(tier, run.key, seed))
    rows = {r["cell"]: r for r in json.loads(fm("status", "--json", folder=scratch).stdout)}
    assert len(rows) == len(load_cells())
    for id_ in ("T1.resnet110.fm2", "T2.resnet110.fm2", "T3.resnet110.fm2"):
        assert rows[id_]["tiers"]["full"] == {"seeds": [0, 1], "missing": 2} and rows[id_]["tiers"]["short"]["seeds"] == [0]
        assert rows[id_]["verdict"] != "not run"
    assert rows["T1.resnet110.fm1"]["verdict"] == "not run" and not any(row["lacks"] for row in rows.values())
    text = fm("status", "T1.resnet110", folder=scratch).stdout
    assert "2/4" in text and "76.90 ± 0.13" in text and "differ in device" not in text


def test_status_says_where_seeds_were_trained(scratch):
    """Device and engine once where all agree, seed by seed where they do not."""
    cell = load_cells()["T1.resnet110.fm2"]
    for seed, (device, engine) in enumerate((("a CPU", "eager"), ("a GPU", "graph"), ("a CPU", "eager"))):
        run, one = cell.run("full", seed), example()
        origin = {**one.provenance, "device": device, "threads": 2, "engine": engine}
        made = example([76.9], 1000, seed=seed, spec=run.spec(), provenance=origin)
        records.write(made, paths.record("full", run.key, seed))
    (row, *_) = json.loads(fm("status", "T1.resnet110.fm2", "--json", folder=scratch).stdout)
    assert row["full_tier_on"] == "seed 0, 2: a CPU, 2 threads, eager; seed 1: a GPU, 2 threads, graph"
    text = fm("status", "T1.resnet110", folder=scratch).stdout
    assert f"differ in device or engine:\n  T1.resnet110.fm2: {row['full_tier_on']}\n" in text


def test_status_needs_no_torch():
    code = ("import sys; from featuremining import cli; cli.status('', True); "
            "sys.exit(any(m in sys.modules for m in ('torch', 'pandas', 'matplotlib')))")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_a_damaged_record_stops_status_with_its_name(scratch):
    path = paths.record("full", load_cells()["T1.resnet56.fm2"].run("full", 0).key, 0)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    result = fm("status", folder=scratch)
    assert result.returncode == 1 and "seed0.json is not a valid record" in result.stderr


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "runs").write_text("a file where a folder should be")
    (tmp_path / "build").write_text("a file where a folder should be")
    result = fm("run", "X1.resnet20.fm2", "--tier", "smoke", folder=tmp_path)
    assert result.returncode == 1 and "set FM_RUNS_DIR to a folder of yours" in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=str)
def test_an_interrupt_says_how_to_go_on(tmp_path, sent):
    words = [sys.executable, "-m", "featuremining", "run", "X1.resnet20.baseline", "--tier", "smoke", "--device", "cpu"]
    environment = {**os.environ, "FM_RUNS_DIR": str(tmp_path / "runs"), "FM_BUILD_DIR": str(tmp_path / "build")}
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(sent, signal.SIG_DFL))      # a shell's & or nohup ignores it
    process.stdout.readline()       # the training has begun
    process.send_signal(sent)
    _, errors = process.communicate()
    assert process.returncode == 128 + sent and "the same command goes on" in errors and "Traceback" not in errors


def test_data_says_where_and_how(tmp_path):
    result = fm("data", folder=tmp_path, FM_DATA_DIR=str(tmp_path))
    assert result.returncode == 0 and "missing: `fm data cifar100` gets it" in result.stdout and "embedded" in result.stdout
    lines = result.stdout.splitlines()
    assert len(lines) == 1 + len(DATASETS) and all(len(line) <= 80 for line in lines[1:])
    (tmp_path / "CUB_200_2011/CUB_200_2011").mkdir(parents=True)        # what is wrong is said whole, and once
    (tmp_path / "CUB_200_2011/CUB_200_2011/images.txt").touch()
    result = fm("data", folder=tmp_path, FM_DATA_DIR=str(tmp_path))
    one, other = (line for line in result.stdout.splitlines() if line.startswith(("  cub ", "  cub_50 ")))
    assert "CUB_200_2011/CUB_200_2011" in one and other.endswith("missing: as cub")


def test_a_data_set_that_cannot_be_fetched_says_how_to_get_it(tmp_path):
    result = fm("data", "imagenet", folder=tmp_path, FM_DATA_DIR=str(tmp_path))
    assert result.returncode == 1 and "image-net.org" in result.stderr and "ILSVRC2012_devkit_t12.tar.gz" in result.stderr


def test_plan_counts_the_claims_that_verdict_counts(tmp_path):
    (tmp_path / "runs").mkdir()
    plan, verdict = (fm(*words, folder=tmp_path).stdout for words in (("plan", "--budget", "1h"), ("verdict",)))
    counted = sum(int(n) for n in re.findall(r"(\d+) (?:not run|inconclusive|not judged|unfinished)", verdict.splitlines()[-1]))
    claims, gains = map(int, re.search(r"\((\d+) claims, as `fm verdict` counts them, and (\d+) printed gains", plan).groups())
    assert claims == counted > 100
    assert sum(int(n) for n in re.findall(r"^ +(\d+) open: ", plan, re.M)) <= claims + gains


def test_doctor_looks_at_everything(tmp_path):
    result = fm("doctor", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    for word in ("torch", "device", "threads", "GiB free", "commit", "give equal bits"):
        assert word in result.stdout


def test_completion_is_of_the_program_that_people_type(tmp_path):
    """Whichever way it was started."""
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}           # else the shell that the tests run in decides
    said = fm("--show-completion", "bash", folder=tmp_path, **named).stdout
    assert said.rstrip().endswith("complete -o default -F _fm_completion fm") and "_FM_COMPLETE=complete_bash" in said


def test_version_and_short_help(tmp_path):
    for word, says in (("--version", "0."), ("-h", "Commands")):
        result = fm(word, folder=tmp_path)
        assert result.returncode == 0 and says in result.stdout


def test_status_goes_through_the_paper_in_its_order(scratch):
    rows = json.loads(fm("status", "--json", folder=scratch).stdout)
    tables = list(dict.fromkeys(row["cell"].split(".")[0] for row in rows))
    assert tables[:10] == [f"T{i}" for i in range(1, 11)] and tables.index("F6") < tables.index("X1")


def test_export_is_tidy(tmp_path):
    everything = records.read_records()
    own = [r for r in everything if r.tier == "short" and r.spec["dataset"] == "cifar100" and "data" not in r.spec]
    own = [r for r in own if r.spec["recipe"]["precision"] == "fp32"]
    for words, of, rows, by in (
            (("curves.csv",), everything, sum(len(r.curves["lr"]) for r in everything), ["run", "epoch"]),
            (("metrics.csv", "--metrics"), everything, sum(1 + len(r.metrics.get("others", {})) for r in everything),
             ["run", "evaluation"]),
            (("some.csv", "X1.resnet20"), own, sum(len(r.curves["lr"]) for r in own), ["run", "epoch"])):
        result = fm("export", str(tmp_path / words[0]), *words[1:], FM_RUNS_DIR=str(paths.runs()), folder=tmp_path)
        frame = pd.read_csv(tmp_path / words[0])
        assert result.returncode == 0 and f"{rows} rows of {len(of)} runs" in result.stdout
        assert len(frame) == rows and set(frame["run"]) == {r.id for r in of} and not frame.duplicated(by).any()
    one = own[0]
    mine = pd.read_csv(tmp_path / "some.csv").query("run == @one.id")
    assert mine["loss"].tolist() == one.curves["loss"] and mine["epoch"].tolist() == [*range(1, len(mine) + 1)]


@pytest.mark.parametrize("words", [
    ("export", "out.txt"), ("export", "out.csv", "T99"), ("plot", "X1.resnet20.fm2", "--tier", "short", "-o", "out.xyz"),
    ("plot", "T1.resnet56.fm2"), ("plot", "T1.resnet56.fm9")])
def test_what_cannot_be_written_is_one_sentence(tmp_path, words):
    result = fm(*words, FM_RUNS_DIR=str(paths.runs()), folder=tmp_path)
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and "Traceback" not in result.stderr


def test_plot_draws_curves(tmp_path):
    result = fm("plot", "X1.resnet20.fm2", "X1.resnet20.baseline", "--tier", "short", "-o", str(tmp_path / "c.svg"),
                FM_RUNS_DIR=str(paths.runs()), folder=tmp_path)
    assert result.returncode == 0 and "FM (2 layers)" in (tmp_path / "c.svg").read_text(encoding="utf-8")
