"""Notebooks are thin, clean and checked."""

import ast
import json
import re
from functools import partial

import nbformat
import pytest
from made_records import example

import featuremining
from featuremining import METHODS, UsageError, paths, records, studies
from featuremining.showing import audit, notebook

NOTEBOOKS = sorted((paths.ROOT / "notebooks").glob("*.ipynb"))
LOGIC = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.Try, ast.Lambda, ast.With, ast.If)
GOOD = {"tier": "smoke", "cells": ["X1.resnet20.fm2"], "seeds": [0], "device": "cpu", "train": True}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_hygiene(path):
    book = nbformat.read(path, 4)
    nbformat.validate(book)
    assert book.metadata.kernelspec.name == "python3"
    ids = [c.id for c in book.cells]
    assert len(set(ids)) == len(ids) and all(not c.startswith("cell-") for c in ids)
    code = [c for c in book.cells if c.cell_type == "code"]
    assert not any(c.outputs or c.execution_count for c in code)
    assert [c.metadata.get("tags") for c in code].count(["parameters"]) == 1
    for cell in code:
        assert len(cell.source.splitlines()) <= 8, cell.source
        found = [type(node).__name__ for node in ast.walk(ast.parse(cell.source)) if isinstance(node, LOGIC)]
        assert not found, f"{cell.id} holds {found}: logic belongs into the library"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_parameters_cell_declares_all_parameters_with_types_and_comments(path):
    (cell,) = [c for c in nbformat.read(path, 4).cells if "parameters" in c.metadata.get("tags", [])]
    parameters, start = (audit.PARAMETERS, audit.start) if path.stem == "audit" else (
        notebook.PARAMETERS, partial(notebook.start, path.stem))
    assert tuple(node.target.id for node in ast.parse(cell.source).body) == parameters
    names = {}
    exec(cell.source, names)
    start({k: v for k, v in names.items() if k in parameters})


def test_lists_may_come_as_text():
    """Papermill's -p hands lists over as strings."""
    page = notebook.start("cifar", {**GOOD, "cells": json.dumps(["X1.resnet20.fm1"]), "seeds": "[0, 1]"})
    assert page.cells == ["X1.resnet20.fm1"] and page.seeds == [0, 1]


def test_a_flag_may_come_as_text():
    assert notebook.start("cifar", {**GOOD, "train": "false"}).train_missing is False


def test_what_a_page_runs_is_said_and_then_missing(scratch):
    """A table of the trainings with what they change, and the runs that have no record yet; with training off, none."""
    cells = ["X1.resnet20.baseline", "X1.resnet20.fm2"]
    page = notebook.start("cifar", {**GOOD, "cells": cells, "seeds": [0, 1]})
    wanted = [(studies.cell(c).run("smoke", 0).key, seed) for c in cells for seed in (0, 1)]
    assert [(run.key, run.seed) for run in page.missing] == wanted
    shown = re.sub(r"<[^>]+>", " ", page.plan().replace("<wbr>", ""))
    assert re.search(r"none\s+parts\s+resnet20\s+6 epochs, batch \d+, rate 0.1, fp32\s+0, 1\s+0 of 2\s+X1.resnet20.baseline",
                     shown)
    assert re.search(r"fm \(layers=2\)\s+parts\s+resnet20\s+6 epochs", shown) and "training is on" in shown
    one = page.missing[0]
    records.write(example(spec=one.spec()), paths.record(one.tier, one.key, 0))
    assert len(page.missing) == 3 and "1 of 2" in page.plan()
    assert notebook.start("cifar", {**GOOD, "train": False}).missing == []
    costs = notebook.start("cost", {**GOOD, "cells": ["T10.resnet56.baseline", "T10.resnet56.fm1"]})
    assert len(costs.missing) == 2 and "0 of 1" in costs.plan()


def test_the_cell_can_be_run_again():
    """In Jupyter one changes a parameter and runs the cells once more; by then ``page`` exists."""
    page = notebook.start("cifar", dict(GOOD))
    assert notebook.start("cifar", {**GOOD, "page": page, "seeds": [1]}).seeds == [1]


def test_what_cannot_be_trained_is_refused_but_can_still_be_shown(monkeypatch):
    monkeypatch.delitem(METHODS, "byot")
    with pytest.raises(UsageError, match="lacks the method byot"):
        notebook.start("cifar", {**GOOD, "cells": ["T2.resnet110.byot"]})
    assert notebook.start("cifar", {**GOOD, "cells": ["T2.resnet110.byot"], "train": False}).cells == ["T2.resnet110.byot"]


CELL = "tier: str = 'smoke'\ncells: list = ['X1.resnet20.fm2']\nseeds: list = [0]\ndevice: str = 'cpu'\ntrain: bool = True"


@pytest.mark.parametrize("others", [
    {"pi": 3.14}, {"df": [1]}, {"helper": len}, {"seed": 3, "cell": "x"}, {"Path": paths.Path}, {"np": json, "tiers": 1}],
    ids=str)
def test_any_other_name_may_be_in_the_kernel(others):
    """Of a startup file, a cell of one's own, an import: nothing of it is set by the parameters."""
    history = ["", "from pathlib import Path", "%matplotlib inline", CELL, "df = [1]"]
    assert notebook.start("cifar", {**GOOD, **others, "In": history}).cells == GOOD["cells"]
    assert audit.start({"tier": "all", **others, "In": ["", "tier: str = 'all'"]}).tier == "all"


@pytest.mark.parametrize(("history", "says"), [
    (["", CELL, "# Parameters\nteir = 'short'\n"], "Did you mean 'tier'"),
    (["", CELL, "# Parameters\npi = 3\n"], "no parameter 'pi'"),
    (["", CELL.replace("seeds", "seed")], "Did you mean 'seeds'"),
    (["", CELL, "x = 1", CELL + "\nlr: float = 1"], "'lr'")], ids=str)
def test_what_the_parameters_set_is_checked(history, says):
    with pytest.raises(UsageError, match=says):
        notebook.start("cifar", {**GOOD, "In": history})
    notebook.start("cifar", {**GOOD, "In": [*history, CELL]})       # mended and run again


def test_what_a_list_names_twice_is_shown_once():
    cells = ["X1.resnet20.fm2", "X1.resnet20.fm1", "X1.resnet20.fm2"]
    page = notebook.start("cifar", {**GOOD, "cells": cells, "seeds": [0, 1, 0]})
    assert page.cells == ["X1.resnet20.fm2", "X1.resnet20.fm1"] and page.seeds == [0, 1]


@pytest.mark.parametrize("name", ["notebook", "figures", "tables"])
def test_a_package_that_is_missing_is_one_sentence(name, monkeypatch):
    def gone(module):
        raise ModuleNotFoundError("No module named 'matplotlib.figure'", name="matplotlib.figure")

    monkeypatch.setattr("featuremining.import_module", gone)
    with pytest.raises(UsageError, match=r"needs matplotlib.*pip install 'featuremining\[notebooks\]'"):
        getattr(featuremining, name)


def test_the_shells_own_names_are_no_parameters():
    notebook.start("cifar", {**GOOD, "In": [], "Out": {}, "_i1": "", "fm": notebook, "get_ipython": None})
