"""What goes wrong on a first day is one sentence that says what to do."""

import os
import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pytest
import timm
import torch
from helpers import fm
from PIL import Image

from featuremining import FMError, UsageError, build, cli, paths, studies
from featuremining.datasets import decode
from featuremining.judging import listing
from featuremining.recipes import recipe
from featuremining.studies import Run, claims
from featuremining.training import engine, replicas
from featuremining.training.loop import train


@pytest.mark.parametrize(("name", "options", "says"), [
    ("timm/resnet10t", {"pretrained": True}, "wrap it in Tapped"), ("resnet20", {"pretrained": True}, "wrap it in Tapped"),
    ("timm/resnet10t", {"no_such_option": 1}, "no_such_option"), ("resnet20", {"blok": "basic"}, "Did you mean 'block'"),
    ("wrn_16_4", {"growth": 12}, "There is no option of wrn_16_4 'growth'"), ("resnet50", {"width": 2}, "There is no option")])
def test_options_that_a_network_does_not_have(name, options, says):
    with pytest.raises(UsageError, match=says) as raised:
        build(name, 10, **options)
    assert "\n" not in str(raised.value)


def test_options_that_a_network_has():
    assert build("resnet20", 10, shortcut="A").classes == 10
    assert build("timm/resnet10t", 10, drop_rate=0.1).net.drop_rate == timm.create_model("resnet10t", drop_rate=0.1).drop_rate


@pytest.mark.parametrize("variables", [
    {"WORLD_SIZE": "2"}, {"WORLD_SIZE": "two"}, {"WORLD_SIZE": "0"}, {"WORLD_SIZE": ""}, {"WORLD_SIZE": "4", "RANK": "0"},
    {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "localhost"}], ids=str)
def test_a_world_size_that_was_left_in_the_environment(variables, monkeypatch):
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="unset WORLD_SIZE"):
        replicas.join()


@pytest.mark.parametrize(("kind", "set_to", "there", "says"), [
    ("cpu", {}, (), r"no g\+\+ here.*CXX"), ("cpu", {"CXX": "icpx"}, ("g++",), "no icpx here"),
    ("cuda", {}, ("g++",), "no gcc here.*CC"), ("cuda", {"CC": "cc"}, ("gcc", "clang"), "no cc here"),
    ("cpu", {}, ("g++",), None), ("cpu", {"CXX": "icpx"}, ("icpx",), None), ("cpu", {"CXX": "ccache g++"}, ("ccache",), None),
    ("cuda", {}, ("clang",), None), ("cuda", {"CC": "cc"}, ("cc",), None)], ids=str)
def test_the_engine_compile_wants_a_compiler(kind, set_to, there, says, monkeypatch):
    monkeypatch.setattr(engine.sys, "platform", "linux")
    monkeypatch.setattr(engine.shutil, "which", lambda name: name if name in there else None)
    for name in ("CC", "CXX"):
        monkeypatch.setenv(name, set_to.get(name, ""))
    with pytest.raises(UsageError, match=says) if says else nullcontext():
        assert engine.resolve("compile", torch.device(kind)) == "compile"


@pytest.mark.parametrize("variable", ["FM_RUNS_DIR", "FM_BUILD_DIR"])
@pytest.mark.parametrize("below", ["", "deep/er"])
def test_a_place_that_cannot_be_written_is_noticed_before_the_first_epoch(variable, below, scratch, monkeypatch):
    (scratch / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv(variable, str(scratch / "file" / below))
    monkeypatch.setattr("featuremining.training.loop._train", lambda *_: pytest.fail("began"))
    with pytest.raises(FMError, match=f"Nothing can be written to .*Not a directory.*set {variable} to"):
        train(Run("parts", "resnet20", (), recipe("resnet20", "smoke"), "smoke", 0), "cpu")


def test_a_place_without_records_is_named(tmp_path):
    for words in (("status", "X1.resnet20.fm2"), ("fsck",), ("export", str(tmp_path / "x.csv"))):
        done = fm(*words, folder=tmp_path)
        assert done.returncode == 0 and "nothing is on record" in done.stderr
    (tmp_path / "runs").write_text("", encoding="utf-8")
    for words in (("verdict", "T1.one_layer"), ("fsck",), ("plan", "--budget", "1h")):
        done = fm(*words, folder=tmp_path)
        assert done.returncode == 2 and "is a file" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [
    lambda p: cli.plot(["X1.resnet20.fm2"], p), lambda p: cli.compare([p]), lambda p: cli.check("X1.resnet20.fm2"),
    lambda p: cli.export(p), lambda p: cli.status(), lambda p: cli.verdict()],
    ids=["plot", "compare", "check", "export", "status", "verdict"])
def test_every_command_that_reads_records_says_that_there_are_none(command, scratch, capsys):
    (scratch / "runs").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="is a file: FM_RUNS_DIR"):
        command(scratch / "x.csv")


@pytest.mark.parametrize(("typed", "meant"), [
    ("fm ver", {"verdict", "verify"}), ("fm run X1.resnet20.fm2", {"X1.resnet20.fm2", "X1.resnet20.fm2_mixup"}),
    ("fm verdict T1.one_la", {"T1.one_layer"}), ("fm plot X1.resnet20.fm2 X1.resnet20.basel", {"X1.resnet20.baseline"}),
    ("fm status zz", set())])
def test_a_shell_completes_commands_and_ids(typed, meant, tmp_path):
    where = {"_FM_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    code = "import sys; sys.argv = ['fm']; from featuremining.cli import app; app(prog_name='fm')"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **where}, capture_output=True, text=True)
    assert set(done.stdout.split()) == meant, done.stderr


def test_a_blank_folder_is_none(monkeypatch):
    for blank in ("", " ", "\t"):
        monkeypatch.setenv("FM_BUILD_DIR", blank)
        assert paths.build() == paths.ROOT / "build"


@pytest.mark.parametrize("backend", ["nonsense", "module://no.such", "tkagg"])
def test_what_shows_figures_elsewhere_keeps_no_file_from_being_drawn(backend, tmp_path):
    done = fm("plot", "T1.resnet56.fm2", folder=tmp_path, MPLBACKEND=backend)
    assert done.returncode == 2 and "Nothing of the full tier is on record" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(("of", "given", "says"), [
    (claims.claim, "T1.ONE_LAYER", "T1.one_layer"), (claims.claim, "t1.one-layer", "T1.one_layer"), (claims.claim, "T2", r"T2\."),
    (claims.claim, "p.Little_Cost", "P.little_cost"), (studies.cell, "T1.resnet56", r"T1\.resnet56\."),
    (studies.cell, "x1.resnet20.fm2", "X1.resnet20.fm2"), (studies.cell, "X1.RESNET20.FM_2", "X1.resnet20.fm2")])
def test_an_id_that_is_nearly_one_is_answered_with_it(of, given, says):
    with pytest.raises(UsageError, match=f"Did you mean {says}"):
        of(given)


@pytest.mark.parametrize(("words", "says"), [
    (("data", "CIFAR100"), "Did you mean 'cifar100'"), (("run", "X1.resnet20.fm2", "--tier", "Smoke"), "Did you mean 'smoke'"),
    (("verdict", "t1.resnet56.fm2"), "Did you mean T1.resnet56.fm2"),
    (("run", "x1.resnet20.fm2", "--tier", "smoke"), "X1.resnet20")], ids=str)
def test_capitals_are_no_riddle(words, says, tmp_path):
    (tmp_path / "runs").mkdir()
    done = fm(*words, folder=tmp_path)
    assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1
    assert listing.cells("t1.RESNET56") == listing.cells("T1.resnet56")


def test_a_data_folder_that_is_a_file(tmp_path):
    (tmp_path / "data").write_text("", encoding="utf-8")
    done = fm("data", folder=tmp_path, FM_DATA_DIR=str(tmp_path / "data"))
    assert done.returncode == 2 and "is a file: FM_DATA_DIR" in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "| head -1"])
def test_a_closed_stream_is_no_traceback(closed, tmp_path):
    """As by cron or a pager; what can't be said is not said."""
    (tmp_path / "runs").mkdir()
    command = f"'{sys.executable}' -m featuremining status T1.resnet56 {closed}"
    environment = {**os.environ, "FM_RUNS_DIR": str(tmp_path / "runs")}
    done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr


@pytest.mark.parametrize(("kind", "ending"), [(np.uint16, "png"), (np.uint16, "tif"), (np.int32, "tif")], ids=str)
def test_a_picture_of_sixteen_bits_keeps_its_greys(kind, ending, tmp_path):
    values = np.linspace(0, 65535, 64).reshape(8, 8).astype(kind)
    Image.fromarray(values).save(tmp_path / f"x.{ending}")
    read = np.asarray(decode.read(tmp_path / f"x.{ending}"))
    assert read.shape == (8, 8, 3) and np.abs(read[..., 0] - values / 257).max() <= 0.5 + 1e-6
    assert (read == read[..., :1]).all()


@pytest.mark.parametrize(("words", "locale"), [
    (("verdict",), {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    (("status", "T1"), {"PYTHONIOENCODING": "ascii"}), (("verdict",), {"PYTHONIOENCODING": "ascii"})], ids=str)
def test_another_locale_changes_no_answer(words, locale, tmp_path):
    """Studies and records are UTF-8 whatever the locale is; signs that the terminal does not have are replaced."""
    (tmp_path / "runs").mkdir()
    done = fm(*words, folder=tmp_path, **locale)
    assert done.returncode == 0 and done.stdout.isascii() and len(done.stdout.splitlines()) > 20, done.stderr
