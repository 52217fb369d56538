"""Records: written once, read whole, named when damaged; every committed one is valid, clean and still meant."""

import json
import shutil

import jsonschema
import pytest
from made_records import example, put

from featuremining import FMError, paths, records
from featuremining.records import findings
from featuremining.studies import cell, load_cells
from featuremining.training.loop import outdated

SCHEMA = json.loads((paths.ROOT / "tests/record.schema.json").read_text())
COMMITTED = [path for tier in ("short", "full") for path in sorted((paths.ROOT / "data" / "runs" / tier).glob("*/seed*.json"))]
FINDINGS = sorted((paths.ROOT / "data" / "runs").glob("*/*/*.*.json"))


RIGHT = [i in (3, 96) for i in range(100)]       # 2 % of the test images of `example`
NUMBERS = records.metrics([1.0, 2.0], 100)
BITS, FEWER = records.pack(RIGHT), records.pack([True] + [False] * 99)


def test_round_trip_and_schema(tmp_path):
    path = tmp_path / "a" / "seed0.json"
    records.write(example(), path)
    assert records.read(path) == example()
    jsonschema.validate(json.loads(path.read_text()), SCHEMA)
    assert not list(path.parent.glob("*.tmp"))
    with pytest.raises(FMError, match="never overwritten"):
        records.write(example(), path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 99}', '{"schema": 1, "id": "x"}'])
def test_a_damaged_record_is_named(tmp_path, text):
    path = tmp_path / "seed0.json"
    path.write_text(text)
    with pytest.raises(FMError, match=r"seed0\.json is not a valid record"):
        records.read(path)


def test_which_images_were_right(tmp_path):
    """The bits come back as they were, in the order of the images; an older record has none and is still read."""
    path = tmp_path / "seed0.json"
    records.write(example(right={"best": BITS, "last": BITS}), path)
    assert records.read(path).images("last").tolist() == RIGHT
    old = tmp_path / "seed1.json"
    records.write(example(schema=1, right={}), old)
    assert "right" not in json.loads(old.read_text()) and records.read(old).images("last") is None
    jsonschema.validate(json.loads(old.read_text()), SCHEMA)


@pytest.mark.parametrize(("changes", "says"), [
    ({"right": {}}, "missing in schema 2"), ({"right": {"best": BITS}}, "'last'"),
    ({"right": {"best": BITS, "last": FEWER}}, "1 of 100 images are right in its last epoch, but the accuracy is 2.0"),
    ({"right": {"best": FEWER, "last": BITS}}, "right in its best epoch"),
    ({"right": {"best": records.pack([*RIGHT, *[False] * 8]), "last": BITS}}, "112 bits are not those of 100 images"),
    ({"right": {"best": records.pack([*RIGHT, True]), "last": BITS}}, "104 bits are not those of 100 images"),
    ({"right": {"best": "?", "last": BITS}}, "base64|adding"), ({"schema": 1}, "stated in schema 1"),
    ({"right": {"best": BITS, "last": BITS}, "others": {"ensemble": [1.0, 2.0]}}, "other evaluations")],
    ids=["none", "no last", "last off", "best off", "too many", "a bit after the last", "no base64", "schema 1", "no ensemble"])
def test_images_that_contradict_the_accuracy_are_refused(tmp_path, changes, says):
    path = tmp_path / "seed0.json"
    with pytest.raises(FMError, match=says):
        records.write(example(**changes), path)
    put(example(**changes), path)
    with pytest.raises(FMError, match=says):
        records.read(path)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 100_000])
def test_a_file_that_nests_without_end_is_named(tmp_path, text):
    path = tmp_path / "seed0.json"
    path.write_text(text)
    with pytest.raises(FMError, match="not a valid record"):
        records.read(path)


def test_no_test_images_are_no_record(tmp_path):
    path = tmp_path / "seed0.json"
    put(example(metrics={**NUMBERS, "n_test": 0}, right={"best": "", "last": ""}), path)
    with pytest.raises(FMError, match="not a valid record"):
        records.read(path)


def test_what_was_set_aside_counts_no_more(scratch):
    """A record or a finding under another name is not a second seed, nor a second device."""
    run = cell("F6.resnet56.fm2.50").run("full", 0)
    path = paths.record("full", run.key, 0)
    records.write(example(spec=run.spec()), path)
    findings.write("note", run, "here.2t", {}, {})
    for name in ("seed0.old.json", "seed0 (copy).json", "seed0.1.json"):
        shutil.copy(path, path.with_name(name))
    aside = findings.path("note", run, "here.2t")
    shutil.copy(aside, aside.with_name("note.here.2t.old.json"))
    assert len(records.read_records("full")) == 1 and records.seeds() == {("full", run.key): [0]}
    assert len(findings.read("note", run)) == 1


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FMError, match="free some disk space"):
        records.write(example(), tmp_path / "seed0.json")
    assert not list(tmp_path.iterdir())


def test_three_selection_rules():
    m = records.metrics([float(v) for v in (1, 9, 2, 3, 4, 5, 6, 7, 8, 2, 4, 4)], 10)
    assert (m["best"], m["best_epoch"], m["last"], m["median10"]) == (9.0, 2, 4.0, 4.0)


@pytest.mark.parametrize("path", FINDINGS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_committed_findings(path):
    """Each lies beside the records of what it measured, under its own name, and was measured on a committed state."""
    found = findings.check(path)
    assert path.parent.name == found.key and path.parent.parent.name == found.tier and path.stem == f"{found.kind}.{found.name}"
    assert found.provenance["commit"] and found.provenance["dirty"] is False
    for id_, weights in found.provenance.get("weights", {}).items():
        key, seed = id_.rsplit(".", 1)
        assert records.read(paths.ROOT / "data" / "runs" / found.tier / key / f"{seed}.json").weights == weights


def test_there_are_committed_records():
    assert COMMITTED, "the short-tier records of X1 belong to the project"


@pytest.mark.parametrize("path", COMMITTED, ids=lambda p: f"{p.parent.parent.name}/{p.parent.name}/{p.stem}")
def test_committed_records(path):
    record = records.read(path)
    jsonschema.validate(records.as_dict(record), SCHEMA)
    assert path == paths.ROOT / "data" / "runs" / record.tier / record.key / f"seed{record.seed}.json"
    assert record.provenance["commit"] and record.provenance["dirty"] is False
    assert outdated(record) == ""
    runs = [cell.run(record.tier, record.seed) for cell in load_cells().values()]
    assert (record.key, record.spec) in [(run.key, run.spec()) for run in runs], "no cell asks for this record"


def test_a_changed_default_makes_a_record_outdated():
    spec = {**example().spec, "methods": [{"name": "mixup"}]}
    then = {"parameters": 1, "methods": [{"name": "mixup", "train_only_parameters": 0, "alpha": 0.2}]}
    assert outdated(example(spec=spec, resolved=then)) == "mixup alpha was 0.2 and is 1.0 now"
    then["network"] = {"depth": 20, "block": "bottleneck"}
    assert outdated(example(spec=spec, resolved=then)) == "resnet20 block was 'bottleneck' and is 'basic' now"
    del then["network"]
    del then["methods"][0]["alpha"]     # a setting that came later keeps the old behaviour by default
    assert outdated(example(spec=spec, resolved=then)) == ""
