"""Whatever is wrong with what is read, it is one sentence that names the file,
    or the parameter, and what is wrong with it; and what
is right is taken. The inputs stand in `bad_studies.py` and `bad_files.py`, here is what reads them."""

import io
import json
import re
from hashlib import sha256
from typing import Any, NamedTuple

import another_paper
import bad_files as bad
import made_benchmarks
import pytest
import torch
from bad_studies import AUDIT, STUDIES
from helpers import FM2, small_run
from made_records import put as put_record
from made_records import recorded

from featuremining import FMError, UsageError, paths, records
from featuremining.datasets import cub, decode, fetch, imagenet, tiny_imagenet, voc
from featuremining.methods.distillation import load_teacher
from featuremining.models import build, weights
from featuremining.recipes import recipe
from featuremining.records import durations, findings, manifest
from featuremining.showing import notebook
from featuremining.studies import cell, choices, claims, forms, load_cells, numbers, papers, rules
from featuremining.training import checkpoint, loop, replicas

ID = "X1.resnet20.fm2"
RUN = small_run(FM2, 4, 0)
GOOD = {"tier": "smoke", "cells": [ID], "seeds": [0], "device": "cpu", "train": True}
CHECKPOINTS = bad.checkpoints(small_run(FM2, 4, 3), small_run(FM2, 5, 0))
SETS = {"tiny_imagenet": tiny_imagenet, "imagenet": imagenet, "cub": cub}
BENCH = made_benchmarks.measured("a CPU", tiers=[{"what": "resnet20", "value": 1.0}])


class Bad(NamedTuple):
    """``harm`` is what the reader of its kind makes of it; ``names``: what the sentence has to say, a pattern."""

    kind: str
    what: str
    harm: Any
    names: str = ""


BYTES = [(name, data) for name, data in bad.BYTES.items() if data != "nowhere"]
ALL = [
    *(Bad("study", f"{i} {file} {old[:25]!r} -> {new[:25]!r}", (file, old, new), says)
      for i, (file, old, new, says) in enumerate(STUDIES)),
    *(Bad("study", f"{file} {name}", (file, None, data)) for file in another_paper.FILES for name, data in (
        ("no UTF-8", b"\xff\xfe"), ("a pipe", "fifo"), ("deep", b"a = " + b"[" * 100_000), ("150 MB", "huge"), ("a list",
            b"[1]"))),
    *(Bad("audit", f"{old!r} -> {new!r}", (old, new), says) for old, new, says in AUDIT),
    *(Bad("recipe", f"{field}={value!r}", {field: value}, rf"A recipe's {field} can't be") for field, value in bad.RECIPES),
    Bad("recipe", "unknown", {"leaning_rate": 0.1}, "A recipe has no 'leaning_rate'; it has epochs"),
    *(Bad("record", name, harm) for name, harm in bad.RECORDS.items()),
    *(Bad("record", f"file: {name}", data) for name, data in BYTES),
    *(Bad("finding", f"{kind} {i} {says}", (kind, harm), re.escape(says)) for kind, (_, wrong) in bad.FINDINGS.items()
      for i, (says, harm) in enumerate(wrong.items())),
    *(Bad("finding", name, ("note", data)) for name, data in BYTES),
    Bad("finding", "of another training", ("note", {"key": "x"}), "it is of short/x"),
    Bad("finding", "a provenance of text", ("note", {"provenance": "here"}), "provenance"),
    Bad("finding", "weights of a list", ("view", {"provenance__weights": ["x"]}), r"provenance\.weights"),
    *(Bad("benchmark", says, harm, re.escape(says)) for says, harm in bad.BENCHMARKS.items()),
    *(Bad("benchmark", f"file: {name}", data) for name, data in BYTES),
    *(Bad("manifest", name, text, "line|regular|can't be read") for name, text in (*bad.MANIFESTS.items(), ("a pipe", "fifo"),
        ("a folder", "folder"))),
    *(Bad("checkpoint", name, harm) for name, harm in (*CHECKPOINTS.items(), *bad.HEADS.items())),
    *(Bad("weights", name, harm) for name, harm in (
        ("nothing", b""), ("half", lambda data: data[:500]), ("a flipped bit",
            lambda data: data[:900] + bytes([data[900] ^ 4]) + data[901:]),
        ("NaN", bad.nan_of), ("no tensors", lambda state: {"a": 1}), ("a list", lambda state: [1]), ("a pipe", "fifo"))),
    *(Bad("scene", f"{old} -> {new[:40]!r}", (old, new), says) for old, new, says in bad.SCENES),
    *(Bad("scene", name, data) for name, data in (("nothing", b""), ("a pipe", "fifo"), ("150 MB", "huge"), ("UTF-16",
        bad.SCENE.encode("utf-16")[:-1]),
                                                  ("a billion laughs", bad.laughs()))),
    *(Bad("folder", f"{name} {says[:40]} {i}", (name, harm), says) for i, (name, harm, says) in enumerate(bad.FOLDERS)),
    *(Bad("image", name, data) for name, data in bad.IMAGES.items()), *(Bad("archive", name, data) for name,
        data in bad.ARCHIVES.items()),
    *(Bad("notebook", f"{change}"[:60] + "..." * (len(f"{change}") > 60), change, says) for change, says in bad.NOTEBOOKS),
    *(Bad("environment", f"{variable}={value}", (variable, value), variable) for variable, value in bad.ENVIRONMENT)]


@pytest.fixture
def studies_alone(tmp_path, monkeypatch):
    """The second paper without the first, so that reading is quick."""
    monkeypatch.setattr(paths, "studies", lambda: tmp_path / "studies")
    another_paper.put(tmp_path / "studies", **{"cells/another.toml": another_paper.CELLS + another_paper.RULE})
    another_paper.forget()
    yield tmp_path / "studies/another"
    another_paper.forget()


def read_study(file):
    papers(), load_cells(), rules(), claims.load_claims(), choices.choices(), numbers.numbers("another")
    return [c.run(tier, 0).key for c in load_cells().values() for tier in ("smoke", "full")]


def harm_text(path, harm):
    if isinstance(harm, tuple) and harm[0] is not None:
        bad.edit(path, *harm)
    elif harm is not None:
        bad.put(path, harm[-1] if isinstance(harm, tuple) else harm)


class Readers:
    """For each kind a method that makes the file, harms it, says how it is called, and gives what reads it."""

    def __init__(self, request):
        self.request, self.tmp = request, request.getfixturevalue("tmp_path")
        self.patch = request.getfixturevalue("monkeypatch")

    def study(self, harm):
        folder = self.request.getfixturevalue("studies_alone")
        file, *change = harm or ("paper.toml", None)
        harm_text(folder / file, tuple(change) if harm else None)
        return f"another/{file}", lambda: read_study(file)

    def audit(self, harm):
        path = self.tmp / "feature_mining" / "audit.toml"
        path.parent.mkdir()
        path.write_text(another_paper.AUDIT)
        harm_text(path, harm)
        return "feature_mining/audit.toml", lambda: forms.read(path, forms.Audit)

    def recipe(self, harm):
        return "", lambda: recipe("resnet20", "full", **harm or {})

    def runs(self):
        self.patch.setenv("FM_RUNS_DIR", str(self.tmp / "runs"))
        self.patch.setenv("FM_BUILD_DIR", str(self.tmp / "build"))
        return paths.runs()

    def relist(self):
        listed = {str(p.relative_to(paths.runs())): manifest.sum_of(p) for p in paths.runs().glob("*/*/*.json") if p.is_file()}
        manifest.change(paths.runs(), listed)

    def record(self, harm):
        runs, (made,) = self.runs(), recorded(ID, 60.0, tier="short", n=200)
        path = put_record(made, paths.record("short", made.key, 0))
        bad.edited(path, **harm) if isinstance(harm, dict) else harm is not None and bad.put(path, harm)
        if isinstance(harm, dict | None):
            self.relist()
        return f"{runs}/short/{made.key}/seed0.json", lambda: records.read(path)

    def finding(self, harm):
        runs, (kind, change), run = self.runs(), harm or ("cost", None), cell(ID).run("short", 0)
        values, origin = bad.FINDINGS.get(kind, ({},))[0], {"device": "a CPU", "threads": 1}
        findings.write(kind, run, "seed0", values, origin)
        path = findings.path(kind, run, "seed0")
        if isinstance(change, dict):
            whole = kind == "note" or "provenance__weights" in change
            bad.edited(path, **(change if whole else {f"values__{name}": value for name, value in change.items()}))
            self.relist()
        elif change is not None:
            bad.put(path, change)
        return f"{runs}/short/{run.key}/{kind}.seed0.json", lambda: findings.check(path)

    def benchmark(self, harm):
        path = self.tmp / "a-cpu.json"
        path.write_text(json.dumps(BENCH))
        bad.edited(path, **harm) if isinstance(harm, dict) else harm is not None and bad.put(path, harm)
        return str(path), lambda: durations.measured(path)

    def manifest(self, harm):
        file = self.runs() / manifest.NAME
        file.parent.mkdir()
        bad.put(file, bad.LINE.encode() if harm is None else harm.encode() if "\n" in harm or len(harm) > 20 else harm)
        return str(file), lambda: manifest.change(paths.runs(), {})

    def checkpoint(self, harm):
        """Without the one before, which would go on."""
        self.request.getfixturevalue("few_images")
        path = paths.checkpoint("smoke", RUN.key, 0)
        path.parent.mkdir(parents=True)
        path.write_bytes(data := self.request.getfixturevalue("two_epochs"))
        if callable(harm):
            state = checkpoint._read(path)
            torch.save({**state, **harm(state)}, buffer := io.BytesIO())
            data = buffer.getvalue()
            path.write_bytes(checkpoint.SEAL + sha256(data).digest() + data)
        elif harm is not None:
            bad.put(path, harm)
        return f"{path}", loop.Training(RUN, torch.device("cpu")).resume

    def weights(self, harm):
        path, state = self.tmp / "teacher.pt", build("resnet20", 9).state_dict()
        weights.write(path, state)
        if callable(harm):
            try:
                path.write_bytes(harm(path.read_bytes()))
            except TypeError:                   # of the state, not of the bytes
                torch.save(harm(state), path)
                weights.beside(path).unlink()
        elif harm is not None:
            bad.put(path, harm)
        return str(path), lambda: load_teacher("resnet20", str(path), 9)

    def scene(self, harm):
        path = self.tmp / "2007_x.xml"
        path.write_text(bad.SCENE)
        harm_text(path, harm)
        return str(path), lambda: voc.objects(path)

    def folder(self, harm):
        name, change = harm or ("cub", lambda folder: None)
        folder = self.request.getfixturevalue("folders")(name)
        change(folder)
        return str(folder), lambda: SETS[name].load(generated=True)

    def image(self, harm):
        path = bad.put(self.tmp / "x.png", bad.GREY if harm is None else harm)
        return str(path), lambda: decode.read(path)

    def archive(self, harm):
        path = bad.put(self.tmp / "a.zip", bad.ZIP if harm is None else harm)
        return str(path), lambda: fetch.extract(path, self.tmp / "out")

    def notebook(self, harm):
        return "", lambda: notebook.start("cifar", {**GOOD, **(harm or {})})

    def environment(self, harm):
        variable, value = harm or ("FM_WORKERS", "2")
        for name in ("RANK", "MASTER_ADDR", "MASTER_PORT", "FM_WORKERS", "FM_BESIDE"):
            self.patch.delenv(name, raising=False)
        self.patch.setenv(variable, value)
        return variable, lambda: (decode.workers(5), loop._places(), paths.runs(), paths.build(), paths.raw(), replicas.join())


@pytest.fixture(scope="module")
def two_epochs(tmp_path_factory):
    """The last checkpoint of a run of four epochs that was killed after two."""
    from conftest import few_of

    folder, save, saves = tmp_path_factory.mktemp("killed"), checkpoint.save, []

    def last(*words):
        save(*words)
        saves.append(1)
        if len(saves) == 2:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setenv("FM_RUNS_DIR", str(folder / "runs"))
        patch.setenv("FM_BUILD_DIR", str(folder / "build"))
        patch.setattr("featuremining.training.run.load", lambda name, **changes: few_of())
        patch.setattr(checkpoint, "save", last)
        loop.train(RUN, "cpu")
    return next(folder.rglob("seed0.pt")).read_bytes()


KINDS = sorted({one.kind for one in ALL})


@pytest.mark.parametrize("one", ALL, ids=lambda one: f"{one.kind}: {one.what}")
def test_a_bad_input_is_one_sentence(one, request):
    file, read = getattr(Readers(request), one.kind)(one.harm)
    with pytest.raises(FMError) as caught:
        read()
    said = str(caught.value)
    assert type(caught.value) in (FMError, UsageError) and said.endswith(".") and "\n" not in said and len(said) < 1000, said
    assert file in said and re.search(one.names, said), said
    if one.kind == "archive":
        tmp_path = request.getfixturevalue("tmp_path")
        assert not list(tmp_path.glob("**/evil.txt")) and not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_without_what_is_wrong_is_taken(kind, request):
    _, read = getattr(Readers(request), kind)(None)
    read()


@pytest.mark.parametrize("kind", [kind for kind in bad.FINDINGS if kind != "cost"])
def test_a_finding_of_each_kind_is_taken(kind, request):
    _, read = Readers(request).finding((kind, None))
    assert read().kind == kind


def test_there_are_enough_of_them():
    assert len(ALL) >= 400 and len({(one.kind, one.what) for one in ALL}) == len(ALL)
