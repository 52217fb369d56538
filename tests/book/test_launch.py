"""Notebooks away from home: the first cell fetches the package, and with an address the book has buttons that lead to them."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from helpers import book_build
from nbformat.v4 import new_markdown_cell, new_notebook

from featuremining import FMError, paths
from featuremining.showing import notebook

ROOT = paths.ROOT
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ADDRESS = "https://github.com/example/companion"


def first_cell(path):
    return next(c for c in nbformat.read(path, 4).cells if c.cell_type == "code")


def test_all_notebooks_begin_alike_and_with_the_books_address():
    cells = [first_cell(path) for path in NOTEBOOKS]
    assert len({c.source for c in cells}) == 1 and len(cells) > 10
    assert all(c.id == "install" and c.metadata.tags == ["remove-cell"] for c in cells)
    (address,) = re.findall(r'^_address, _missing = "(.*?)",', cells[0].source, re.M)
    assert address == yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"], "run `make launch`"


@pytest.mark.parametrize("address", [
    "https://x.org/it's", 'https://x.org/a"b', "https://x.org/$(id)", "https://x.org/a;b", "https://x.org/a b", "http://x.org",
    "x", "https://x.org/`id`", "https://x.org/a\\b", "https://x.org/a\nb"])
def test_an_address_that_is_more_than_an_address_is_refused(address, tmp_path, monkeypatch):
    monkeypatch.setattr(book_build, "ROOT", tmp_path)
    (tmp_path / "_config.yml").write_text(yaml.safe_dump({"repository": {"url": address}}), encoding="utf-8")
    (tmp_path / "notebooks").mkdir()
    there = Path(shutil.copy(NOTEBOOKS[0], tmp_path / "notebooks"))
    before = there.read_bytes()
    with pytest.raises(FMError, match="no plain https"):
        book_build.launch()
    assert there.read_bytes() == before


@pytest.fixture
def away(monkeypatch):
    """A machine without the package; commands are kept instead of run."""
    given, path, find = [], list(sys.path), importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "featuremining" else find(name))
    monkeypatch.setattr(os, "system", lambda command: given.append(command) or 0)
    monkeypatch.setattr(sys, "path", path)
    return given


def test_where_the_package_is_there_nothing_happens(monkeypatch):
    monkeypatch.setattr(os, "system", lambda command: pytest.fail(command))
    before = list(sys.path)
    exec(first_cell(NOTEBOOKS[0]).source, {})
    assert sys.path == before


def test_without_an_address_one_sentence_says_how_to_install(away):
    source = re.sub(r'^_address, _missing = ".*?"', '_address, _missing = ""', first_cell(NOTEBOOKS[0]).source, flags=re.M)
    with pytest.raises(AssertionError, match=r"Install it first: pip install -e '\.\[notebooks\]' in a checkout"):
        exec(source, {})
    assert not away


def test_with_an_address_the_package_is_fetched(away, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    exec(first_cell(NOTEBOOKS[0]).source.replace('_missing = ""', f'_missing = "{ADDRESS}"'), {})
    (command,) = away
    clone, install = command.split(" && ")
    assert clone.startswith("git clone") and clone.endswith(f"{ADDRESS} fm")
    assert install == f"'{sys.executable}' -m pip install --quiet -e 'fm[notebooks]'" and sys.path[-1] == str(tmp_path / "fm/lib")
    assert (ROOT / "lib/featuremining").is_dir()             # where a checkout has it
    monkeypatch.setattr(os, "system", lambda command: 256)
    with pytest.raises(AssertionError, match="Install it first"):
        exec(first_cell(NOTEBOOKS[0]).source.replace('_missing = ""', f'_missing = "{ADDRESS}"'), {})


def test_its_names_are_no_parameters():
    names = {}
    exec(first_cell(NOTEBOOKS[0]).source, names)
    good = {"tier": "smoke", "cells": ["X1.resnet20.fm2"], "seeds": [0], "device": "cpu", "train": True}
    assert notebook.start("cifar", names | good).tier == "smoke"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A copy of the book's settings and of two notebooks in which the project has an address."""
    for folder in ("notebooks", "book/_static", "build/book"):
        (tmp_path / folder).mkdir(parents=True)
    text = (ROOT / "_config.yml").read_text()
    assert len(re.findall(r'^  url: ".*?"', text, re.M)) == 1
    (tmp_path / "_config.yml").write_text(re.sub(r'^  url: ".*?"', f'  url: "{ADDRESS}"', text, flags=re.M))
    for name in ("cifar", "cost"):
        shutil.copy(ROOT / f"notebooks/{name}.ipynb", tmp_path / "notebooks")
    monkeypatch.setattr(book_build, "ROOT", tmp_path)
    return tmp_path


def test_make_launch_writes_the_address_into_the_notebooks(elsewhere):
    for _ in range(2):                                      # a second time changes nothing
        book_build.launch()
        for path in (elsewhere / "notebooks").glob("*.ipynb"):
            assert first_cell(path).source.count(f'_missing = "{ADDRESS}", ') == 1
            home = nbformat.read(ROOT / "notebooks" / path.name, 4)
            assert nbformat.read(path, 4).cells[2:] == home.cells[2:]


def test_with_an_address_a_page_has_buttons_to_its_notebook(elsewhere):
    """One line of _config.yml; the page is built for real. They lead to the notebook in the repository."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Page")], metadata=kernel), elsewhere / "build/book/cifar.ipynb")
    (elsewhere / "book/index.md").write_text("# Front\n")
    (elsewhere / "toc.yml").write_text("format: jb-book\nroot: book/index\nchapters:\n  - file: build/book/cifar\n")
    for path in ("book/references.bib", "book/hooks.py", *(f"book/_static/{p.name}" for p in (ROOT / "book/_static").iterdir())):
        shutil.copy(ROOT / path, elsewhere / path)
    program = Path(sys.executable).with_name("jupyter-book")
    command = [str(program), "build", ".", "--toc", "toc.yml", "-W", "-n"]
    result = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-1000:] + result.stderr[-3000:]
    html = elsewhere / "_build/html"
    page = (html / "experiments/cifar.html").read_text()
    assert 'href="https://mybinder.org/v2/gh/example/companion/main?urlpath=lab/tree/notebooks/cifar.ipynb"' in page
    assert 'href="https://colab.research.google.com/github/example/companion/blob/main/notebooks/cifar.ipynb"' in page
    assert "build/book/cifar.ipynb" not in "".join(re.findall(r'href="https://[^"]*"', page))
    assert "mybinder" not in (html / "index.html").read_text()


def test_without_an_address_there_are_no_buttons(html):
    if yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]:
        pytest.skip("the project has an address")
    assert "mybinder" not in (html / "experiments/cifar.html").read_text()
