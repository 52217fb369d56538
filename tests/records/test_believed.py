"""A record vouches for itself, and the manifest for it: edits of one field, copies under another name, flipped bytes, lost and
hostile files are named and left out, and everything else still counts."""

import json
import os
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from bad_files import BYTES, FINDINGS, RECORDS, edited
from bad_files import put as put_file
from helpers import fm
from made_records import example, put
from made_records import recorded as recorded_of

from featuremining import FMError, paths, records
from featuremining.records import findings, manifest
from featuremining.records.fsck import fsck
from featuremining.studies import cell

ID = "X1.resnet20.fm2"
RUN = cell(ID).run("short", 0)
COMMITTED = paths.ROOT / "data" / "runs"


def recorded(id_, *values, tier="full"):
    return recorded_of(id_, *values, tier=tier, n=200)


@pytest.fixture
def pair(scratch):
    """Two seeds of a cell and a finding, as `fm run` would leave them."""
    made = recorded(ID, 60.0, 61.0, tier="short")
    for record in made:
        records.write(record, paths.record("short", record.key, record.seed))
    findings.write("localise", RUN, "seed0", FINDINGS["localise"][0], {"weights": {}})
    return made


def path(seed=0, key=RUN.key, tier="short"):
    return paths.runs() / tier / key / f"seed{seed}.json"


def seen():
    """The seeds that count, and what is said of the others."""
    with records.left_out() as said:
        found = [(r.tier, r.key, r.seed) for r in records.read_records()]
    return found, said


def relisted():
    """The manifest lists what lies there now, as if it had been added."""
    runs = paths.runs()
    manifest.change(runs, {str(p.relative_to(runs)): manifest.sum_of(p) for p in runs.glob("*/*/*.json")})


@pytest.mark.parametrize("edit", ["best", "short curve", "no spec"])
def test_an_edit_that_contradicts_the_rest_is_left_out_even_where_it_is_listed(pair, edit):
    """The others stand in `bad_files.RECORDS`."""
    edited(path(), **RECORDS[edit])
    relisted()
    found, (said,) = seen()
    assert found == [("short", RUN.key, 1)] and str(path()) in said and "is not a valid record" in said and "\n" not in said


def test_a_consistent_edit_is_caught_by_the_manifest(pair):
    """Every accuracy 5 % higher, in curve, metrics and bits alike: only the sum knows."""
    better = recorded(ID, 65.0, tier="short")[0]
    put(better, path())
    found, (said,) = seen()
    assert found == [("short", RUN.key, 1)] and "is not the file whose sum stands in" in said
    with pytest.raises(FMError, match="does not count"):
        records.read(path())


@pytest.mark.parametrize(("to", "says"), [
    ({"seed": 2}, "it is the record"), ({"key": cell("X1.resnet20.baseline").run("short", 0).key}, "it is the record"),
    ({"tier": "full"}, "it is the record"), ({"tier": "smoke"}, "it is the record")], ids=["seed", "cell", "tier", "smoke"])
def test_a_copy_is_not_the_record_of_another(pair, to, says):
    """Neither for who reads records nor for `fm run`, even where it is listed."""
    path(**to).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path(), path(**to))
    if to.get("tier") != "smoke":
        relisted()
    found, (said,) = seen()
    assert len(found) == 2 and str(path(**to)) in said and says in said


def test_what_nobody_added_does_not_count_until_it_is_added(pair, capsys):
    third = put(recorded(ID, 60.0, 61.0, 62.0, tier="short")[2], path(2))
    found, (said,) = seen()
    assert len(found) == 2 and "`fm fsck --add` checks it and adds it" in said
    assert any(str(third) in fault for fault in fsck().faults)
    done = fsck(add=True)
    assert done.added == [f"short/{RUN.key}/seed2.json"] and not done.faults and len(seen()[0]) == 3


def test_only_what_is_good_is_added(pair):
    put(example(spec=RUN.spec(), seed=2, weights="short"), path(2))
    done = fsck(add=True)
    assert not done.added and len(done.faults) == 1 and len(seen()[0]) == 2


def test_a_lost_file_is_missed(pair):
    path().unlink()
    (findings_,) = (paths.runs() / "short" / RUN.key).glob("localise.*")
    findings_.unlink()
    found, (said,) = seen()
    assert len(found) == 1 and "seed0.json is gone, though" in said
    with records.left_out() as said:
        assert findings.read("localise", RUN) == []
    assert "is gone, though" in said[0] and len(fsck().faults) == 2
    assert len(fsck(drop=True).dropped) == 2 and seen()[1] == [] and not fsck().faults


def test_fsck_finds_any_flipped_byte(tmp_path, monkeypatch):
    """Of records, of findings, and of the manifest itself: one bit of one byte, at 150 places drawn at random."""
    chosen = [p for p in sorted(COMMITTED.glob("*/*/*.json")) if "cub_50" in str(p) or "localise.seed0" in p.name][:5]
    for p in chosen:
        target = tmp_path / p.relative_to(COMMITTED)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(p, target)
    monkeypatch.setenv("FM_RUNS_DIR", str(tmp_path))
    assert len(fsck(add=True).added) == 5 and not fsck().faults
    draw, files = random.Random(0), sorted(p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".lock")
    assert len(files) == 6
    for file in files:
        data = file.read_bytes()
        for at in (0, len(data) - 1, *draw.sample(range(len(data)), 23)):
            flipped = bytearray(data)
            flipped[at] ^= 1 << draw.randrange(8)
            file.write_bytes(flipped)
            assert fsck().faults, f"byte {at} of {file.name}: {data[at]} is {flipped[at]}"
        file.write_bytes(data)
    assert not fsck().faults


def test_fsck_finds_twins_and_orphans(scratch):
    one, two = recorded(ID, 60.0, 61.0, tier="short")
    records.write(one, path())
    records.write(replace(two, weights=one.weights), path(1))
    orphan = example(spec={**RUN.spec(), "methods": [{"name": "fm", "layers": 1, "pool": "max"}]})
    records.write(orphan, path(0, orphan.key))
    (no_cell, twins) = sorted(fsck().faults, key=len)
    assert "answers no cell" in no_cell and orphan.key in no_cell and "have equal weights" in twins


@pytest.mark.parametrize("kind", BYTES)
def test_one_bad_file_is_named_and_left_out(pair, kind):
    put_file(path(), BYTES[kind])
    found, said = seen()
    assert found == [("short", RUN.key, 1)] and any("seed0.json" in one for one in said)
    with records.left_out():
        assert records.seeds() == {("short", RUN.key): [1]}
    assert fsck().faults
    put_file(next(path().parent.glob("localise.*")), BYTES[kind])
    with records.left_out() as said:
        assert findings.read("localise", RUN) == [] and said


def test_commands_name_what_they_leave_out_and_exit_with_one(pair, scratch):
    path().write_text("{")
    for words in (("verdict",), ("verdict", "--json"), ("status", ID), ("plan", "--budget", "1h")):
        result = fm(*words, folder=scratch)
        assert result.returncode == 1 and "seed0.json" in result.stderr and "Traceback" not in result.stderr, result.stderr
        assert result.stdout and result.stderr.startswith("fm: left out: ")
    result = fm("fsck", folder=scratch)
    assert result.returncode == 1 and "seed0.json is not a valid record" in result.stdout
    assert fm("status", ID, folder=scratch).stdout.count("1/1") == 1          # of two seeds one counts


def test_the_edit_that_made_a_verdict_is_left_out(scratch):
    """Four copies of another cell's record with `best` edited made "reproduced 75.35" once."""
    (model,) = recorded("T1.resnet56.baseline", 73.0)
    id_ = "T1.resnet56.fm2"
    for seed in range(4):
        run = cell(id_).run("full", seed)
        false = {"key": run.key, "id": run.id, "seed": seed, "metrics": {**model.metrics, "best": 75.35}}
        put(replace(model, **false), paths.record("full", run.key, seed))
    result = fm("verdict", id_, "--json", folder=scratch)
    assert result.returncode == 1 and json.loads(result.stdout)["verdict"] == "not run"
    assert result.stderr.count("left out") == 4


def test_the_manifest_is_that_of_sha256sum(pair, scratch):
    lines = (paths.runs() / "MANIFEST").read_text().splitlines()
    assert lines == sorted(lines, key=lambda line: line[66:]) and len(lines) == 3
    for line in lines:
        sha, name = line.split("  ")
        assert manifest.sum_of(paths.runs() / name) == sha


def test_smoke_runs_are_not_listed(scratch):
    smoke = recorded(ID, 60.0, tier="smoke")[0]
    records.write(smoke, paths.record("smoke", smoke.key, 0))
    assert len(records.read_records()) == 1 and not (paths.runs() / "MANIFEST").exists()


def test_the_projects_own_records_are_what_was_added():
    """`fm fsck` of the committed records: every file listed, every sum right, none lost, none alike, each asked for."""
    os.environ.pop("FM_RUNS_DIR", None)
    done = fsck()
    assert done.faults == [] and done.files >= 88


def test_an_index_of_another_version_or_damaged_is_made_anew(pair, scratch):
    """What was read is kept in the build folder where there is one; nothing rests on it."""
    paths.build().mkdir()
    best = f'"best": {pair[0].metrics["best"]}'.encode()
    for text in (None, b"", b"another version\nx\ty", b"\xff\xfe", None, lambda index: index.replace(best, b'"best": 99.0')):
        if text is not None:
            before = paths.index().read_bytes()
            paths.index().write_bytes(text(before) if callable(text) else text)
            assert paths.index().read_bytes() != before
        result = fm("status", ID, "--json", folder=scratch)
        assert result.returncode == 0 and json.loads(result.stdout)[0]["tiers"]["short"]["seeds"] == [0, 1], result.stderr
        assert best in paths.index().read_bytes()
    assert paths.index().read_text().count("\n") == 2


def test_curves_are_read_when_they_are_asked_for(pair, monkeypatch):
    record = records.read_records()[0]
    assert dict(record.curves) == pair[0].curves and record == pair[0] and record.images("last").sum() == 119
    assert records.as_dict(record) == records.as_dict(pair[0])


def test_a_path_is_what_it_says():
    at = manifest.place(COMMITTED / "full" / "a.b" / "seed0.json")
    assert str(at) == "full/a.b/seed0.json" and manifest.place(Path("/tmp/seed0.json")) is None
