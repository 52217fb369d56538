"""The rooms of lib/featuremining: the page that shows them, the import contract, the folders and the imports say the same."""

import ast
import importlib.util
import re
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from featuremining import paths

LIB, TESTS = paths.ROOT / "lib" / "featuremining", paths.ROOT / "tests"
PAGE = (paths.ROOT / "book/find_your_way.md").read_text()
SPEC = importlib.util.spec_from_file_location("book_rooms", paths.ROOT / "book/rooms.py")
rooms = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(rooms)

CONTRACT = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
REAL = {path.stem for path in LIB.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()} - {"__init__", "__main__"}
FOLDERS = {name for name in REAL if (LIB / name).is_dir()}
LAYERS = [[name for name in re.findall(r"\w+", layer) if name in REAL] for layer in CONTRACT]    # in brackets: may be missing
HEIGHT = {name: -i for i, layer in enumerate(LAYERS) for name in layer}
APART = {name for layer in CONTRACT if "|" in layer for name in re.findall(r"\w+", layer)}       # beside each other, not in touch
SVG = ElementTree.fromstring((paths.ROOT / "book/_static/rooms.svg").read_text())
FORMS = {svg.get("class"): svg for svg in SVG if svg.tag.endswith("svg")}


def shown(form, kind: str) -> list[tuple[float, float, str]]:
    """(y, x, text) of what a form of the picture says in a kind of writing, from the top down."""
    texts = [t for t in form if t.tag.endswith("text") and t.get("class") == kind]
    return sorted((float(t.get("y")), float(t.get("x")), t.text) for t in texts)


def floors(form) -> list[tuple[float, list[str]]]:
    """(lower edge, the rooms on it) of each floor of the picture, from the top down."""
    edges = sorted((float(r.get("y")), float(r.get("y")) + float(r.get("height"))) for r in form if r.tag.endswith("rect"))
    names = shown(form, "name")
    return [(low, [word for y, _, text in names if top < y < low for word in text.split(" · ")]) for top, low in edges]


# --- the picture and the list ---------------------------------------------------------------------------------------

def test_picture_and_list_are_made_anew():
    assert rooms.PICTURE.read_text() == rooms.svg() and rooms.page(PAGE) == PAGE, "run `make rooms`"


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_picture_shows_the_contract(form):
    """All rooms, each on its floor, and nothing else; below the last folder lies the ground."""
    house = [names for _, names in floors(form)]
    assert house[:-1] == [layer for layer in LAYERS if layer and (FOLDERS & {*layer} or layer == ["cli"])]
    assert house[-1] == [name for layer in LAYERS for name in layer if name not in FOLDERS and name != "cli"]
    assert {name for floor in house for name in floor} == REAL and len(HEIGHT) == len(REAL)
    for name in REAL:
        assert name in SVG[1].text


def test_the_wide_picture_quotes_the_rooms():
    """What stands below a name are the first words of the room itself."""
    for _, _, text in shown(FORMS["wide"], "said")[:-1]:
        assert [room for room in REAL if rooms.words(room).replace("`", "").startswith(text)], text


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_way_of_a_number_leads_through_its_rooms(form):
    """Eight stops, left to right, each on the floor of its room, where something has that name; the line meets them all."""
    stops = sorted((float(c.get("cx")), float(c.get("cy"))) for c in form if c.tag.endswith("circle"))
    house = floors(form)
    for (_, y), (stop, room) in zip(stops, rooms.WAY.items(), strict=True):
        assert room in next(names for low, names in house if y < low)
        files = sorted((LIB / room).glob("*.py"))
        assert any(f.stem.startswith(stop) for f in files) or any(f"def {stop}(" in f.read_text() for f in files), stop
    assert " ".join(rooms.WAY) == "cell run loader step loop record verdict page"
    (way,) = [p.get("d") for p in form if p.get("class") == "way"]
    at, met = [0.0, 0.0], set()
    for move, numbers in re.findall(r"([MHV])([\d. ]+)", way):
        values = list(map(float, numbers.split()))
        at = values if move == "M" else [values[0], at[1]] if move == "H" else [at[0], values[0]]
        met.add(tuple(at))
    assert met >= set(stops)


def test_the_page_names_every_room_in_the_rooms_own_words():
    """In their order, and as docstrings say it; line breaks and marks of code apart."""
    listed = re.findall(r"^`(\w+)`\n: (.+?)\n\n", PAGE, re.M | re.S)
    assert [name for name, _ in listed] == [name for layer in LAYERS for name in layer]
    for name, text in listed:
        file = LIB / name / "__init__.py" if name in FOLDERS else LIB / f"{name}.py"
        said = ast.get_docstring(ast.parse(file.read_text())).split("\n\n")[0]
        assert text.replace("`", "").split() == said.replace("`", "").split(), name


# --- what is added, and where ---------------------------------------------------------------------------------------

TABLE = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("| a ")]


def test_the_table_has_every_everyday_change():
    assert [re.match(r"a (data set|\w+)", row[0])[1] for row in TABLE] == [
        "method", "network", "layer", "data set", "number", "claim", "paper", "figure", "page", "benchmark"]


def base(first: str) -> Path:
    """Where a path that begins so lies."""
    return LIB if first in FOLDERS else paths.studies() if (paths.studies() / first).is_dir() else paths.ROOT


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_what_the_table_names_is_there(row):
    """Every path, and in one of these files every other word of code."""
    assert len(row) == 3 and "`" in row[1] and "`" in row[2]
    words = re.findall(r"`([^`]+)`", " ".join(row)) + [f"book/{page}" for page in re.findall(r"\]\(([^)]+)\)", " ".join(row))]
    files = [base(word.split("/")[0]) / word for word in words if "/" in word]
    files += [LIB / word for word in words if word.endswith(".py") and "/" not in word]
    assert files and all(file.is_file() for file in files), files
    text = "\n".join(file.read_text() for file in files)
    for word in words:
        assert "/" in word or word.endswith(".py") or word in text, word


# --- imports run one way --------------------------------------------------------------------------------------------

def used(source: str, package: list[str]) -> set[str]:
    """The rooms that a module of this package (["featuremining", room, ...]) imports from, wherever in it.

    >>> sorted(used("from .. import paths, stats\\nfrom ..judging.cost import x", ["featuremining", "studies"]))
    ['judging', 'paths', 'stats']
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[:len(package) + 1 - node.level] if node.level else []
            found += [[*base, *(node.module or "").split("."), alias.name] for alias in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
            first = node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
            name = first.value if isinstance(first, ast.Constant) else ""
            dots = len(name) - len(name.lstrip("."))
            found.append([*(package[:len(package) + 1 - dots] if dots else []), *name.strip(".").split(".")])
    clean = [[part for part in parts if part] for parts in found]
    return {parts[1] for parts in clean if parts[0] == "featuremining" and len(parts) > 1 and parts[1] in REAL}


def of(path: Path) -> tuple[str, list[str]]:
    """The room of a file and its package."""
    parts = path.relative_to(LIB.parent).with_suffix("").parts
    return parts[1], list(parts[:-1])


@pytest.mark.parametrize("room", sorted(REAL))
def test_a_room_uses_only_what_lies_below(room):
    """As import-linter has it, by another way: imports in functions and by `import_module` count too."""
    files = sorted((LIB / room).rglob("*.py")) if room in FOLDERS else [LIB / f"{room}.py"]
    assert files
    for file in files:
        own, package = of(file)
        above = {name for name in used(file.read_text(), package) - {own}
                 if HEIGHT[name] > HEIGHT[own] or (HEIGHT[name] == HEIGHT[own] and own in APART)}
        assert not above, f"{file.relative_to(paths.ROOT)} imports {above}"


@pytest.mark.parametrize("line", [
    "from ..showing import tables", "from .. import cli", "import featuremining.judging.cost",
    "from featuremining import training", "def f():\n    from ..training.loop import train",
    "import_module('..judging.cost', __package__)", "import_module(f'featuremining.showing.{name}')"])
def test_an_import_upwards_is_seen(line):
    (name,) = used(line, ["featuremining", "records"])
    assert HEIGHT[name] > HEIGHT["records"]


def test_the_rooms_do_use_each_other():
    """The ways that the picture draws exist: what is above knows what is below it on a number's way."""
    uses = {room: set().union(*(used(f.read_text(), of(f)[1]) for f in (LIB / room).rglob("*.py"))) for room in FOLDERS}
    assert uses["showing"] >= {"judging", "records", "studies"} and uses["judging"] >= {"records", "studies"}
    assert uses["training"] >= {"records", "studies", "methods", "models", "datasets"}


# --- tests mirror the rooms -----------------------------------------------------------------------------------------

def test_every_room_has_its_folder_of_tests_and_no_other_folder_is_there():
    """Beside the rooms the book, the notebooks and the workflow, which are no code of the package."""
    folders = {path.parent.relative_to(TESTS).parts[0] for path in TESTS.rglob("test_*.py") if path.parent != TESTS}
    assert folders == FOLDERS | {"book", "notebooks", "workflow"}
    assert (TESTS / "test_cli.py").exists()
