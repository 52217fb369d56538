"""What is measured of trained networks is kept beside their records, once, and pages show it without weights or data."""

import importlib
from dataclasses import replace

import pytest

from featuremining import UsageError, load, paths, records, studies
from featuremining.measuring import diagnostics
from featuremining.recipes import recipe
from featuremining.records import findings
from featuremining.showing import figures, markup, notebook, show, tables
from featuremining.showing.figures.curves import _series
from featuremining.stats import Summary, paired, welch
from featuremining.studies import cells
from featuremining.training import run as training_run

T = importlib.import_module("featuremining.training.loop")
CELLS = ["F2s.resnet20.baseline", "F2s.resnet20.fm2"]


@pytest.fixture
def trained(scratch, monkeypatch):
    """One epoch of both networks on a few images."""
    few = load("parts")
    few = few._replace(train_x=few.train_x[:64], train_y=few.train_y[:64], test_x=few.test_x[:45], test_y=few.test_y[:45])
    for module in (training_run, diagnostics):
        monkeypatch.setattr(module, "load", lambda name, **changes: few)
    short = replace(recipe("resnet20", "smoke"), epochs=1, batch=32)
    monkeypatch.setattr(cells, "recipe", lambda network, tier, **changes: short)
    runs = [(studies.cell(c), studies.cell(c).run("smoke", 0)) for c in CELLS]
    for _, run in runs:
        T.train(run, "cpu")
    return runs


def page(study, cells, train=True):
    return notebook.Page(study, "smoke", cells, [0], "cpu", train)


def test_class_activation_is_measured_once_and_shown_without_weights(trained, capsys):
    shown = page("class_activation", CELLS)
    assert "No smoke-tier measurement" in show.class_maps(shown.measured("localise"), "smoke")
    shown.look()
    for _, run in trained:
        (found,) = findings.read("localise", run)
        assert found.name == "seed0" and found.values["cam"]["n"] == 45 and 0 < found.values["cam"]["chance"] < 30
        assert list(found.provenance["weights"]) == [run.id] and len(found.values["maps"]["cam"]) == diagnostics.SHOWN
        paths.weights(run.tier, run.key, run.seed).unlink()
    shown.look()
    assert capsys.readouterr().out.count("measured") == 2                   # nothing is done twice
    frame = tables.localisation(shown.measured("localise"))
    assert list(frame["to baseline"].str.contains("to")) == [False, False, True, True]
    base, fm = (findings.read("localise", run)[0].values["cam"] for _, run in trained)
    assert frame["to baseline"][2] == tables.difference(paired(fm["each"]["pointing"], base["each"]["pointing"]))
    assert abs(paired(fm["each"]["pointing"], base["each"]["pointing"])["mean"] - (fm["pointing"] - base["pointing"])) < 1e-3
    drawn = show.class_maps(shown.measured("localise"), "smoke")
    assert drawn.partition("</svg>")[0].count("<image") == 6 * (1 + 2 * 2)      # image, CAM and Grad-CAM of two networks


def test_networks_with_several_seeds_are_compared_over_seeds():
    def found(id_, *energies):
        values = [{how: {"pointing": 2 * e, "energy": e, "top1": 90.0} for how, _ in tables.MAPS} for e in energies]
        return [(studies.cell(id_), findings.Finding(1, "localise", "a seed", "key", "full", v, {})) for v in values]

    alone = tables._over_seeds([*found("F2s.resnet20.baseline", 40), *found("F2s.resnet20.fm2", 20, 25)])
    assert not alone            # one seed of the baseline has no spread
    base, _, mined, _ = tables._over_seeds([*found("F2s.resnet20.baseline", 40, 44), *found("F2s.resnet20.fm2", 20, 25, 21)])
    i = welch(Summary.of([20, 25, 21]), Summary.of([40, 44]))
    assert base["energy inside (%)"] == "42.0 ± 2.8" and base["energy, to baseline"] == markup.DASH and mined["seed"] == "all 3"
    assert mined["energy, to baseline"] == tables.difference({"mean": i.value, "low": i.low, "high": i.high})


def test_activations_are_counted_on_the_same_images(trained, monkeypatch):
    shown = page("activations", CELLS)
    shown.look()
    (found,) = findings.read("activations", trained[-1][1])
    assert list(found.values["raw"]["counts"]) == ["Baseline", "FM (2 layers)"] and found.values["n"] == 45
    assert not findings.read("activations", trained[0][1])
    measured = shown.measured("activations")
    assert "<svg" in show.activations(measured, "raw", "smoke") and "<svg" in show.activations(measured, "in_spreads", "smoke")
    assert len(tables.activations(measured)) == 6


def test_without_weights_nothing_is_measured(trained, capsys):
    for _, run in trained:
        paths.weights(run.tier, run.key, run.seed).unlink()
    page("class_activation", CELLS).look()
    assert capsys.readouterr().out.count("no weights of it are kept here") == 2
    assert not findings.read("localise", trained[0][1])


def test_a_page_that_only_shows_measures_nothing(trained):
    page("class_activation", CELLS, train=False).look()
    assert not findings.read("localise", trained[0][1])


def test_data_without_boxes_are_refused():
    with pytest.raises(UsageError, match="cifar100 has no boxes"):
        diagnostics.boxes_of("cifar100", None)


def test_a_damaged_finding_is_named(scratch):
    run = studies.cell(CELLS[0]).run("smoke", 0)
    findings.write("note", run, "here", {"seconds": 1.0}, {})
    assert findings.read("note", run)[0].values == {"seconds": 1.0}
    findings.path("note", run, "here").write_text("{")
    with pytest.warns(records.LeftOut, match=r"note\.here\.json is not a valid finding"):
        assert findings.read("note", run) == []


def test_lines_leave_out_epochs_that_were_not_tested(trained):
    (record,) = notebook.Page("class_activation", "smoke", CELLS[:1], [0], "cpu", False).runs[0][1]
    sparse = replace(record, curves={**record.curves, "test_acc": [None, 10.0], "ce": [2.0, 1.0], "memorised": [1.0, 5.0]},
                     metrics={**record.metrics, "wrong_labels": 50.0})
    assert _series(sparse, "test_acc") == ([2], [10.0])
    assert _series(sparse, "memorised") == ([1, 2], [2.0, 10.0])    # of the images with a wrong label
    assert "<svg" in figures.curves([(studies.cell(CELLS[0]), [sparse])], "smoke")
