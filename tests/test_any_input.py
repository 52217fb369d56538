"""Whatever a generator makes: each parser takes it, or says in one sentence why not, and what is right it takes. `make slow`
tries a hundred times as many."""

import copy
import json
import math
from functools import cache

import another_paper
import bad_files as bad
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from made_records import put as put_record
from made_records import recorded
from test_bad_inputs import BENCH, GOOD, ID

from featuremining import FMError, UsageError, paths, records
from featuremining.datasets import cub, decode, fetch, voc
from featuremining.recipes import Recipe, recipe
from featuremining.records import durations, findings, manifest
from featuremining.showing import notebook
from featuremining.studies import cell, forms
from featuremining.training import checkpoint

pytestmark = pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
FEW = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
JUNK = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
                    max_leaves=6)
WORDS = st.text(st.characters(codec="utf-8"), max_size=12)


def one_sentence(read):
    """What is read, or None where it is refused in one sentence; anything else is raised."""
    try:
        return read()
    except FMError as error:
        said = str(error)
        assert type(error) in (FMError, UsageError) and said and "\n" not in said and len(said) < 1000, said
        return None


def places(content, at=()):
    """Every place in nested lists and objects."""
    yield at
    for key, below in content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ():
        yield from places(below, (*at, key))


@st.composite
def changed(draw, content):
    """The content with junk in one place, or without it."""
    content = copy.deepcopy(content)
    at = draw(st.sampled_from([place for place in places(content) if place]))
    parent = content
    for key in at[:-1]:
        parent = parent[key]
    if draw(st.booleans()):
        parent[at[-1]] = draw(JUNK)
    else:
        del parent[at[-1]]
    return content


@st.composite
def spoilt(draw, data):
    """The bytes with some other ones, cut off, or with more at the end."""
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[:draw(st.integers(0, len(data)))]) if draw(st.booleans()) else bytes(data) + draw(st.binary(max_size=8))


FILES = {"paper.toml": forms.Paper, "cells/another.toml": forms.Study, "sentences.toml": dict[str, forms.Sentence],
         "choices.toml": dict[str, forms.Choice], "numbers.toml": dict[str, forms.Table], "audit.toml": forms.Audit}
TEXTS = {**another_paper.FILES, "audit.toml": another_paper.AUDIT, "cells/another.toml": another_paper.CELLS + another_paper.RULE}


@pytest.mark.parametrize("name", FILES)
@FEW
@given(st.data())
def test_files_of_a_paper(name, tmp_path, data):
    path = tmp_path / "another" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.draw(spoilt(TEXTS[name].encode())))
    one_sentence(lambda: forms.read(path, FILES[name]))


@pytest.mark.parametrize("name", FILES)
@FEW
@given(st.data())
def test_fields_of_a_paper(name, data):
    """Values of TOML, in any place of a file that is right."""
    import tomllib

    content = data.draw(changed(tomllib.loads(TEXTS[name])))
    try:
        forms.files.fits(forms._adapter(FILES[name]), content)
    except ValueError as error:         # of ours, not pydantic's, which has lines for every field
        assert type(error) is ValueError and str(error) and "\n" not in str(error)


@FEW
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 99)), min_size=1, max_size=5))
def test_printed_numbers_are_taken(numbers):
    """Up to a hundred, with any digits; they come back as they were."""
    for whole, part in numbers:
        text = f"{whole % 100}.{part:02d}"
        assert forms._digits(text) == text and float(forms._at_most(text)) <= 100


@FEW
@given(st.sampled_from(sorted(vars(Recipe()))), JUNK)
@example("milestones", [math.nan])
def test_recipes(field, value):
    """A recipe that is let through has a finite rate in its epochs."""
    if made := one_sentence(lambda: recipe("resnet20", "full", **{field: value})):
        assert all(math.isfinite(made.rate(epoch)) for epoch in range(min(made.epochs, 400)))


@FEW
@given(st.builds(dict, epochs=st.integers(1, 400), lr=st.floats(1e-6, 10), momentum=st.floats(0, 0.99), pad=st.integers(0, 8),
                 batch=st.integers(1, 512), flip=st.booleans(), milestones=st.lists(st.floats(0, 1), max_size=3)))
def test_recipes_that_are_right_are_taken(fields):
    assert recipe("resnet20", "full", **fields).epochs == fields["epochs"]


@cache
def whole_record():
    (made,) = recorded(ID, 60.0, tier="short", n=200)
    return made, json.loads(records.dumps(records.as_dict(made)))


@FEW
@given(st.data())
def test_records(scratch, data):
    made, content = whole_record()
    path = put_record(made, paths.record("short", made.key, 0))
    wrong = data.draw(changed(content))
    path.write_text(json.dumps(wrong))
    with manifest.unlisted():
        found = one_sentence(lambda: records.read(path))
    assert found is None or (found.key, found.seed, dict(found.curves)) == (made.key, 0, dict(found.curves))
    path.write_bytes(data.draw(spoilt(json.dumps(content).encode())))
    with records.left_out():
        records.read_records()


@FEW
@given(st.floats(1, 99).map(lambda v: round(2 * v) / 2))
def test_records_that_are_right_are_taken(scratch, value):
    (made,) = recorded(ID, value, tier="short", n=200)
    with manifest.unlisted():
        assert records.read(put_record(made, paths.record("short", made.key, 0))).value("best") == value


@pytest.mark.parametrize("kind", bad.FINDINGS)
@FEW
@given(st.data())
def test_findings(kind, scratch, data):
    run = cell(ID).run("short", 0)
    findings.write(kind, run, "seed0", bad.FINDINGS[kind][0], {"device": "a CPU", "threads": 1})
    path = findings.path(kind, run, "seed0")
    with manifest.unlisted():
        assert findings.check(path).kind == kind
        path.write_text(json.dumps(data.draw(changed(json.loads(path.read_text())))))
        one_sentence(lambda: findings.check(path))


@FEW
@given(changed(BENCH))
def test_benchmarks(tmp_path, content):
    durations.measured.cache_clear()
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    if found := one_sentence(lambda: durations.measured(path)):
        durations._steps(found)


@FEW
@given(spoilt((bad.LINE + bad.LINE.replace("seed0", "seed1")).encode()))
def test_manifests(scratch, data):
    paths.runs().mkdir(exist_ok=True)
    (paths.runs() / manifest.NAME).write_bytes(data)
    manifest._listed.cache_clear()
    one_sentence(lambda: manifest.listed(paths.runs()))
    with records.left_out():
        assert records.read_records() == []


@FEW
@given(st.binary(max_size=200).map(lambda rest: checkpoint.SEAL + rest) | spoilt(checkpoint.SEAL + b"0" * 60))
def test_checkpoints(tmp_path, data):
    (tmp_path / "seed0.pt").write_bytes(data)
    assert one_sentence(lambda: checkpoint.load(tmp_path / "seed0.pt")) is None


@FEW
@given(spoilt(bad.SCENE.encode()))
def test_annotations(tmp_path, data):
    (tmp_path / "x.xml").write_bytes(data)
    if found := one_sentence(lambda: voc.objects(tmp_path / "x.xml")):
        assert np.isfinite(found.boxes).all() and (found.boxes[:, 2:] > found.boxes[:, :2]).all()


@FEW
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 30), st.integers(1, 30), st.booleans())
def test_annotations_that_are_right_are_taken(tmp_path, left, right, top, bottom, difficult):
    (xmin, xmax), (ymin, ymax) = sorted((left, right)), sorted((top, bottom))
    box = "".join(f"<{side}>{value}</{side}>" for side, value in zip(voc.SIDES, (xmin, ymin, xmax, ymax), strict=True))
    text = bad.SCENE.replace(bad.BOX, f"<bndbox>{box}</bndbox>").replace(">0<", f">{int(difficult)}<")
    (tmp_path / "x.xml").write_text(text)
    found = voc.objects(tmp_path / "x.xml")
    assert found.boxes.tolist() == [[xmin - 1, ymin - 1, xmax, ymax]] and found.difficult.tolist() == [difficult]


@pytest.mark.parametrize("name", cub.TABLES)
@FEW
@given(st.lists(WORDS, max_size=3), st.lists(st.floats(0, 1e4), min_size=4, max_size=4))
def test_tables_of_cub(name, tmp_path, words, sides):
    (tmp_path / f"{name}.txt").write_text("".join(f"{i} {word}\n" for i, word in enumerate(words, 1)), encoding="utf-8")
    one_sentence(lambda: cub._column(tmp_path, name, cub.TABLES[name]))
    if name == "bounding_boxes" and min(sides[2:]) > 0:
        (tmp_path / f"{name}.txt").write_text("1 " + " ".join(map(str, sides)))
        assert cub._column(tmp_path, name, cub.TABLES[name]) == {1: sides}


@FEW
@given(spoilt(bad.GREY))
def test_pictures(tmp_path, data):
    (tmp_path / "x.png").write_bytes(data)
    one_sentence(lambda: decode.read(tmp_path / "x.png"))


SMALL = {"zip": bad.zipped({"a/b.txt": b"1" * 50, "c": b"2"}), "tgz": bad.tarred({"a/b.txt": b"1" * 50, "c": b"2"}),
         "tar": bad.tarred({"a/b.txt": b"1"}, "w")}


@pytest.mark.parametrize("kind", SMALL)
@FEW
@given(st.data())
def test_archives(kind, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("archive")
    (folder / "in").mkdir()
    source = folder / "in" / f"a.{kind}"
    source.write_bytes(data.draw(spoilt(SMALL[kind])))
    one_sentence(lambda: fetch.extract(source, folder / "deep" / "out"))
    assert {path.name for path in folder.iterdir()} <= {"in", "deep"} and {p.name for p in (folder / "deep").iterdir()} == {"out"}


@FEW
@given(st.sampled_from(sorted(GOOD)), JUNK | JUNK.map(lambda v: json.dumps(v, default=str)))
def test_parameters_of_notebooks(name, value):
    if page := one_sentence(lambda: notebook.start("cifar", {**GOOD, name: value})):
        assert page.cells and page.seeds and all(isinstance(seed, int) for seed in page.seeds)


@FEW
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4), st.booleans(), st.booleans())
def test_parameters_that_are_right_are_taken(seeds, train, as_text):
    page = notebook.start("cifar", {**GOOD, "seeds": json.dumps(seeds) if as_text else seeds, "train": train})
    assert page.seeds == list(dict.fromkeys(seeds)) and page.train_missing is train
