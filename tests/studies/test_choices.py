"""The ambiguity register says what the code does: every setting exists, has that default, and takes the alternatives."""

import re
from ast import literal_eval
from dataclasses import replace
from importlib import import_module
from inspect import signature
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from made_records import example

from featuremining import load_cells, make, paths, records
from featuremining.datasets import DATASETS, corrupt
from featuremining.layers.convmix import ConvMix
from featuremining.layers.gsop import GSoP
from featuremining.layers.low_rank import LowRankRecovery
from featuremining.layers.roots import settings_of
from featuremining.methods import METHODS
from featuremining.models import heads, options_of
from featuremining.models.retinanet import DETECTORS
from featuremining.recipes import recipe
from featuremining.showing.choices import markdown
from featuremining.studies import choices, read_studies

SETTINGS = [(name, values) for choice in choices.choices() for name, values in choice.settings.items()]
LAYERS = {"low_rank": LowRankRecovery, "convmix": ConvMix, "gsop": GSoP}
CHANNELS = {"convmix": [(2, 3)], "gsop": [4]}
NEEDS = {   # what a setting only means something with
    "fm.keep": {"segmentation": "dropout"}, "fm.dropout_shape": {"segmentation": "dropout"},
    "fm.second": {"segmentation": "noncomplementary"}, "low_rank.momentum": {"average": "ema"},
    "low_rank.lam": {"solver": "robust"}, "gsop.side": {"mode": "spatial"}, "gsop.relu": {"mode": "spatial"},
}


def in_code(kind, owner, name):
    """What the code or a study has for a setting of the register."""
    if kind == "method":
        return getattr(make(owner), name)
    if kind == "recipe":
        return getattr(recipe(owner, "full"), name)
    if kind == "layer":
        return signature(LAYERS[owner]).parameters[name].default
    if kind == "network":
        return options_of(owner)[name]
    if kind == "head":
        return heads.settings(owner)[name]
    if kind == "root":
        return settings_of(owner, {})[name]
    if kind == "detector":
        return getattr(DETECTORS[owner, "voc"], name)
    if kind == "data":
        module, options = DATASETS[owner]
        makers = (import_module(f"featuremining.datasets.{module}").load, corrupt.corrupted)
        return (options | {k: p.default for f in makers for k, p in signature(f).parameters.items()})[name]
    found = read_studies()[owner]
    for key in name.split("."):
        found = found[int(key) if isinstance(found, list) else key]
    return found


@pytest.mark.parametrize(("name", "values"), SETTINGS, ids=[name for name, _ in SETTINGS])
def test_a_setting_has_the_default_that_the_register_names(name, values):
    kind, owner, setting = choices.place(name)
    ours, found = literal_eval(values[0]), in_code(kind, owner, setting)
    assert found == ours and type(found) is type(ours)
    others = [literal_eval(v) for v in values[1:]]
    assert ours not in others and len({repr(v) for v in others}) == len(others)


@pytest.mark.parametrize(("name", "values"), [s for s in SETTINGS if s[0].startswith("method.")], ids=lambda v: str(v))
def test_the_alternatives_of_a_method_can_be_chosen(name, values):
    """And where the type lists all there are, the register has them all."""
    _, owner, setting = choices.place(name)
    needs = NEEDS.get(f"{owner}.{setting}", {})
    for value in values[1:]:
        assert getattr(make(owner, **{setting: literal_eval(value)}, **needs), setting) == literal_eval(value)
    hint = get_type_hints(type(make(owner)))[setting]
    if get_origin(hint) is Literal:
        assert {literal_eval(v) for v in values} == set(get_args(hint))


@pytest.mark.parametrize(("name", "values"), [s for s in SETTINGS if s[0].startswith("layer.")], ids=lambda v: str(v))
def test_the_alternatives_of_a_layer_can_be_chosen(name, values):
    """And every setting of a layer is in the register."""
    _, owner, setting = choices.place(name)
    for value in values:
        given = {setting: literal_eval(value), **NEEDS.get(f"{owner}.{setting}", {})}
        assert getattr(LAYERS[owner](*CHANNELS.get(owner, []), **given), setting, None) in (literal_eval(value), None)
    named = {choices.place(other)[2] for other, _ in SETTINGS if other.startswith(f"layer.{owner}.")}
    assert named == set(signature(LAYERS[owner]).parameters) - {"channels"}


def test_cells_with_another_layer_setting_differ():
    (rarely,) = [c for c in choices.choices() if c.id == "LDFR6"]
    assert {c.id for c in choices.differing(rarely)} >= {"X5.resnet20.fldfr", "LDFR.X1.resnet20.fldfr.60"}
    assert "X5.resnet20.convmix" not in {c.id for c in choices.differing(rarely)}


@pytest.mark.parametrize(("name", "values"), [s for s in SETTINGS if s[0].startswith("recipe.")], ids=lambda v: str(v))
def test_the_alternatives_of_a_recipe_can_be_chosen(name, values):
    _, owner, field = choices.place(name)
    for value in values[1:]:
        assert getattr(recipe(owner, "full", **{field: literal_eval(value)}), field) == literal_eval(value)


def test_every_setting_of_feature_mining_stands_in_the_register():
    """But the kind of segmentation, which Table 9 names, and what we added for networks that end otherwise."""
    named = {choices.place(name)[2] for name, _ in SETTINGS if name.startswith("method.fm.")}
    assert set(make("fm").settings()) - named == {"segmentation", "layers", "covariance"}


def test_letters_beside_settings_are_those_of_the_register():
    """``# A6: ...`` in the class and the entry A6 speak of the same setting."""
    source = (paths.ROOT / "lib/featuremining/methods/feature_mining.py").read_text()
    beside = re.findall(r"^    (\w+):.*# (A\d+):", source, re.M)
    listed = {(choices.place(name)[2], c.id) for c in choices.choices() for name in c.settings if name.startswith("method.fm.")}
    assert set(beside) == listed and len(beside) > 15


def test_what_the_choice_itself_sets_is_not_otherwise():
    """CS-KD has its authors' weight on the birds, another than the method's default."""
    (p10,) = (c for c in choices.choices() if c.id == "P10")
    assert load_cells()["T6.resnet50.cs_kd"].methods[0]["weight"] == 3.0
    assert "T6.resnet50.cs_kd" not in {cell.id for cell in choices.differing(p10)}
    weightless = replace(p10, settings={"method.cs_kd.weight": p10.settings["method.cs_kd.weight"]})
    assert [cell.id for cell in choices.differing(weightless)] == ["T6.resnet50.cs_kd", "T6s.resnet20.cs_kd"]


def test_numbers_in_the_evidence_are_the_papers():
    said = {c.id: re.sub(r"\s+", " ", c.evidence) for c in choices.choices()}
    base, one, two = (load_cells()[f"T10.resnet56.{m}"] for m in ("baseline", "fm1", "fm2"))
    for a, b in ((one, base), (two, one)):
        assert f"{a.mib - b.mib:.0f} MB and {1000 * (a.seconds - b.seconds):.0f} ms" in said["A9"]
    assert str(load_cells()["T1.densenet_bc_100_12.baseline"].published) in said["P6"]
    printed = {c.published.text for c in load_cells().values() if c.published is not None}
    assert set(re.findall(r"\d\d\.\d\d", said["P24"])) <= printed
    nine = [load_cells()[f"T9.resnet56.{m}"].published for m in ("dropout_fm", "spatial_dropout_fm", "noncomplementary_fm")]
    assert "three printed numbers lie below" in said["A19"] and max(nine) < load_cells()["T9.resnet56.fm1"].published


def test_the_page_names_the_cells_that_choose_otherwise(scratch):
    """And counts their runs: none before one is on record, one after."""
    (choice,) = [c for c in choices.choices() if c.id == "P12"]
    cells = choices.differing(choice)
    assert {c.condition for c in cells} == {"stride2", "resize32"}
    assert "runs on record: 0." in markdown("P12")
    run = cells[0].run("short", 0)
    records.write(example(spec=run.spec()), paths.record("short", run.key, 0))
    assert "runs on record: 1." in markdown("P12")


def test_every_method_named_exists():
    assert {choices.place(name)[1] for name, _ in SETTINGS if name.startswith("method.")} <= set(METHODS)
