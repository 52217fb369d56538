"""The book as built: every page, results from data, methods' pages from the code. Loads and links: test_offline.py."""

import re
from dataclasses import fields
from importlib import import_module
from inspect import signature

import nbformat
import pytest
import torch
from helpers import book_build
from nbformat.v4 import new_code_cell, new_notebook, new_output
from papermill.exceptions import PapermillExecutionError

from featuremining import METHODS, FeatureMining, FMError, build, paths, read_records, studies
from featuremining.judging.ledger import Ledger
from featuremining.layers.convmix import ConvMix
from featuremining.layers.gsop import GSoP
from featuremining.layers.idccp import IDCCP
from featuremining.layers.low_rank import LowRankRecovery
from featuremining.layers.pooling import CovariancePooling
from featuremining.showing import layers, methods, pages
from featuremining.showing.api import field_lines
from featuremining.stats import signed
from featuremining.studies.choices import choices

OTHERS = [name for name in METHODS if name != "fm"]      # Feature Mining has the longer page
HEADINGS = ["In one sentence", "What changes in training", "Where it plugs in", "Settings and their source",
            "Departures from the paper", "Cost", "Results", "In your own loop"]


def test_every_page_is_there(html):
    for name in ("index", "experiments/cifar", "feature_mining", "does_it_hold", "scoreboard", "rerun", "speed", "references",
                 "ambiguities", "negative_results", "neighbours", "use", "contribute", "faq", "glossary", "add_a_method",
                 "status", "data", "api",
                 *(f"methods/{name}" for name in [*OTHERS, *book_build.LAYERS, "covariance_pooling"])):
        assert (html / f"{name}.html").stat().st_size > 5000
    assert (html / "index.html").exists()


def test_results_come_from_the_records(html):
    """Every committed short-tier accuracy of X1 stands on its page, every gain on the front page, and no full one is claimed."""
    front, board, page = ((html / f"{name}.html").read_text() for name in ("index", "scoreboard", "experiments/cifar"))
    own = {c.run("short", 0).key for c in studies.load_cells().values() if c.table == "X1"}
    found = [r for r in read_records("short") if r.key in own]
    for record in found:
        assert f"{record.metrics['last']:.2f}" in page
    ledger = Ledger.read()
    gains = [g for c in studies.load_cells().values() if c.table == "X1" and (g := ledger.difference(c, "short"))]
    assert len(gains) > 3 and all(signed(g.value) in front for g in gains)
    assert pages.on_record(ledger).rpartition(" experiments ")[2] in board        # "and 48 of our own small ones."
    assert page.count("verdict-not-run") >= 50 - len(read_records("full"))
    assert 'role="img"' in page or not found


def test_figures_follow_the_theme(html):
    page = (html / "experiments/cifar.html").read_text()
    for svg in re.findall(r'<figure class="plot">.*?</figure>', page, re.S):
        assert "var(--pst-color-text-base" in svg and "#0b0c0d" not in svg and "<title>" in svg


def executed(*cells, parameters=None):
    return new_notebook(cells=cells, metadata={"papermill": {"parameters": parameters or {}}})


DONE = {"execution": {"shell.execute_reply": "now"}}
FAILED = new_code_cell("1", execution_count=1, metadata=DONE, outputs=[new_output("error", ename="E", evalue="", traceback=[])])


@pytest.mark.parametrize(("book", "says"), [
    (executed(new_code_cell("1")), "was not executed"), (executed(FAILED), "an error"),
    (executed(new_code_cell("1", execution_count=1)), "the kernel was killed"), (executed(), "no code cell"),
    (executed(new_code_cell("1", execution_count=1, metadata=DONE), parameters={"tier": "full"}), "other parameters")],
    ids=["cut", "error", "killed", "empty", "other"])
def test_a_notebook_that_did_not_run_through_stops_the_build(book, says):
    nbformat.validate(book)
    with pytest.raises(FMError, match=says):
        book_build.check(book, paths.ROOT / "page.ipynb", {})


def test_pages_share_a_kernel_but_no_names(tmp_path, monkeypatch):
    """The second notebook runs in the first one's process, and does not find what the first one called x."""
    monkeypatch.setattr(book_build, "ROOT", tmp_path)
    monkeypatch.setattr(book_build, "PAGES", tmp_path)
    (tmp_path / "notebooks").mkdir()
    for name, code in (("a", "x = os.getpid()\nx"), ("b", "os.getpid()"), ("c", "x")):
        cells = [new_code_cell("tier = 'short'", metadata={"tags": ["parameters"]}), new_code_cell(f"import os\n{code}")]
        book = new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})
        nbformat.write(book, tmp_path / f"notebooks/{name}.ipynb")
    with pytest.raises(PapermillExecutionError, match="name 'x' is not defined"):
        book_build.execute_all({name: {"tier": "full"} for name in "abc"}, kernels=1)
    a, b = (nbformat.read(tmp_path / f"{name}.ipynb", 4).cells[-1].outputs[0].data["text/plain"] for name in "ab")
    assert a == b


def test_a_missing_page_stops_the_build(tmp_path):
    with pytest.raises(FMError, match=r"Built without.*cifar\.html"):
        book_build.census(tmp_path)


def test_numbers_that_the_method_page_computes():
    """Parameters of the heads, as the page's prose states them."""
    page = re.sub(r"\s+", " ", (paths.ROOT / "book/feature_mining.md").read_text())
    for network, stage3, stage2 in (("resnet56", 13000, 6600), ("resnet164", 51400, 25800)):
        fm = FeatureMining(layers=2).prepare(build(network, 100))
        count = [sum(p.numel() for p in mine.parameters()) for mine in fm.mines][::-1]
        assert count == [stage3, stage2] and f"{stage3:,} | {stage2:,}" in page
    assert f"{(13000 + 6600) / 861_620:.1%}".replace("%", " %") in page


@pytest.mark.parametrize("name", [*OTHERS, *book_build.LAYERS])
def test_a_method_has_its_page(name):
    """The same headings in the same order, the three parts that are made from code and records, and no label used twice; what
    several pages say is included, and pictures are there."""
    page = (paths.ROOT / f"book/methods/{name}.md").read_text()
    changes = "What changes in the network" if name in book_build.LAYERS else HEADINGS[1]
    assert re.findall(r"^## (.+)$", page, re.M) == [HEADINGS[0], changes, *HEADINGS[2:]]
    included = re.findall(r"^```{include} (.+)$", page, re.M)
    assert [path for path in included if "/build/" in path] == [
        f"../../build/book/methods/{name}.{part}.md" for part in ("settings", "cost", "results")]
    shared = [*(path for path in included if "/build/" not in path), *re.findall(r"^:file: (.+)$", page, re.M)]
    assert all((paths.ROOT / "book/methods" / path).is_file() for path in shared)
    pages = [p.read_text() for p in [paths.ROOT / "book/feature_mining.md", *paths.ROOT.glob("book/methods/*.md")]]
    labels = [label for text in pages for label in re.findall(r"^:label: (.+)$", text, re.M)]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("name", OTHERS)
def test_the_code_of_a_method_page_runs(name, tmp_path, monkeypatch):
    """As written, from a folder of its own: a loss with gradients for all that the optimiser was given."""
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.+?)```", (paths.ROOT / f"book/methods/{name}.md").read_text(), re.S)
    assert len(code.splitlines()) <= 12
    torch.manual_seed(0)
    scope = {}
    exec(code, scope)
    assert torch.isfinite(scope["loss"])
    scope["loss"].backward()
    trained = scope["optimizer"].param_groups[0]["params"]
    assert {id(p) for p in trained} == {id(p) for name in ("net", "method") for p in scope[name].parameters()}
    assert all(p.grad is not None for p in [*trained, *scope["mining"].parameters()])


def test_the_page_of_covariance_pooling(tmp_path, monkeypatch):
    """The headings of a method's page, but that a network changes; parts that are made; its code, as written."""
    monkeypatch.chdir(tmp_path)
    page = (paths.ROOT / "book/methods/covariance_pooling.md").read_text(encoding="utf-8")
    others = {"What changes in training": "What changes in the network",
              "Departures from the paper": "Departures from the papers"}
    assert re.findall(r"^## (.+)$", page, re.M) == [others.get(heading, heading) for heading in HEADINGS]
    made = {f"../../build/book/{name}.md" for name in book_build.project_parts() if name.startswith("methods/")}
    assert {*re.findall(r"^```{include} (.+)$", page, re.M)} == made and len(made) == 3
    (code,) = re.findall(r"```python\n(.+?)```", page, re.S)
    torch.manual_seed(0)
    scope = {}
    exec(code, scope)
    scope["loss"].backward()
    trained = scope["optimizer"].param_groups[0]["params"]
    assert scope["same"] and all(p.grad is not None and p.grad.isfinite().all() for p in trained)


def test_settings_of_layers_are_those_of_the_code():
    """Every setting of heads, blocks and roots, with a link to the register where it speaks of it."""
    table = layers.settings()
    for part in (CovariancePooling, IDCCP, GSoP):
        for name in set(signature(part).parameters) - {"channels"}:
            assert f"<code>{name}</code>" in table
    linked = set(re.findall(r"ambiguities\.html#(gcp\d+)", table))
    settable = {c.id.lower() for c in choices() if c.id.startswith("GCP") and any(not s.startswith("study.") for s in c.settings)}
    assert linked == settable and len(linked) > 12


@pytest.mark.parametrize(("name", "layer", "asked"), [("low_rank", LowRankRecovery, "ldfr"), ("convmix", ConvMix, "cm")])
def test_settings_of_one_layer(name, layer, asked):
    table = layers.settings_of_one(name)
    for setting in set(signature(layer).parameters) - {"channels"}:
        assert f"<code>{setting}</code>" in table
    settable = {c.id.lower() for c in choices() if c.id.startswith(asked.upper()) and c.settings}
    assert set(re.findall(rf"ambiguities\.html#({asked}\d+)", table)) == settable


def test_settings_are_read_from_the_source():
    """Every setting of every method with its default and its comment, inherited ones too; no comment, an empty cell."""
    source = "class A:\n    p: float = 0.5   # half <of> it\n    q: tuple[int, ...] = (-2,)\n"
    assert field_lines(source) == {"p": ("0.5", "half <of> it"), "q": ("(-2,)", "")}
    for name in METHODS:
        table = methods.settings(name)
        for field in fields(getattr(import_module(f"featuremining.methods.{METHODS[name][0]}"), METHODS[name][1])):
            assert f"<code>{field.name}</code>" in table


def test_a_method_page_shows_its_cells_and_costs():
    cells = studies.load_cells().values()
    for name in METHODS:
        shown, cost = methods.results(name).replace("<wbr>", ""), methods.cost(name)
        for cell in cells:
            if cell.published is not None:
                assert (f"<code>{cell.id}</code>" in shown) == (name in [m["name"] for m in cell.methods])
        mine = [c for c in cells if name in [m["name"] for m in c.methods]]
        waiting = "No run with it is on record yet" in shown and all(f"`{c.id}`" in shown for c in mine)
        assert shown.startswith(("<p", "<details")) or (waiting if mine else "No number of the paper uses it" in shown)
        assert f">{name}: time of a step" in cost or f">{name}, " in cost or "Not measured yet" in cost
