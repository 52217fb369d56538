"""What the files of a paper hold: every field with its type and range. `read` gives the content of a file that fits its form, or
names it and the field that does not. No torch here."""

import re
import tomllib
from ast import literal_eval
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter
from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from .. import files
from ..datasets import DATASETS, NOISES
from ..errors import FMError, choose, said
from ..files import closed, open_
from .measures import MEASURES
from .printed import Printed

KINDS = ("order", "gain", "cost", "construction", "activations", "text", "same", "words", "to_run")
PRINTED = re.compile(r"[0-9]+(\.[0-9]+)?(e[0-9]{1,3})?")
SELECTION = ("best", "last", "median10")        # rules that pick the epoch, as records have them


def _digits(value: Any) -> str:
    return Printed(value).text


def _at_most(value: str) -> str:
    if float(value) > 100:
        raise ValueError("a percentage is at most 100")
    return value


def _above_0(value: str) -> str:
    if not float(value):
        raise ValueError("a printed number is above 0")
    return value


def _printed(value: Any) -> str:
    """Digits, with a power of ten where one is printed, or nothing."""
    if value != "" and not (isinstance(value, str) and PRINTED.fullmatch(value) and float(value)):
        raise ValueError(f'a printed number is its digits as text, such as "76.90", got {value!r}')
    return value


def _python(text: str) -> str:
    """What stands for a value of Python."""
    try:
        literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        raise ValueError("a value is written as in Python") from None
    return text


def _gaps(text: str) -> str:
    if any(name not in (None, "ours", "paper", "device") or spec or turned for _, name, spec, turned in Formatter().parse(text)):
        raise ValueError("only {ours}, {paper} and {device} are filled in")
    return text


def _one_of(what: str, known):
    return AfterValidator(lambda name: choose(what, name, known))


Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Ratio = Annotated[float, Field(gt=0, lt=1000)]
Digits = Annotated[str, BeforeValidator(_digits)]
Percent = Annotated[Digits, AfterValidator(_at_most)]
Above0 = Annotated[Digits, AfterValidator(_above_0)]
Ids = Annotated[list[Text], Field(min_length=1)]
DataSet = Annotated[str, _one_of("data set", DATASETS)]


@closed
class Looks(TypedDict):
    seeds: Annotated[list[Positive], Field(min_length=1)]
    planned: Positive
    share: Annotated[float, Field(gt=0, le=1)]
    words: NotRequired[Text]


@closed
class Paper(TypedDict):
    """``paper.toml``."""

    title: Text
    short: Text
    authors: Ids
    year: Annotated[int, Field(ge=1900, le=2100)]
    venue: Text
    looks: Looks
    prefix: NotRequired[Annotated[str, Field(pattern="^([A-Z]{2,})?$")]]
    doi: NotRequired[Text]
    arxiv: NotRequired[Text]
    cite: NotRequired[Text]
    text: NotRequired[Text]


@closed
class Data(TypedDict, total=False):
    """What `datasets.load` changes."""

    per_class: Positive
    subset_seed: Count
    noise: Annotated[str, _one_of("noise", NOISES)]
    rate: Annotated[float, Field(ge=0, le=1)]
    include_true: bool
    noise_seed: Count
    size: Annotated[int, Field(ge=1, le=4096)]
    train: Positive
    test: Positive


@closed
class Smoke(TypedDict, total=False):
    dataset: DataSet
    data: Data


@closed
class Condition(TypedDict):
    label: Text
    data: NotRequired[Data]
    recipe: NotRequired[dict[str, Any]]
    options: NotRequired[dict[str, Any]]
    smoke: NotRequired[Data]


@open_
class Method(TypedDict):
    name: Text


@closed
class Cell(TypedDict, total=False):
    """What is printed of a cell; `cells` says which of these go together."""

    published: Percent
    spread: Percent
    n: Positive
    seconds: Above0
    mib: Above0


@closed
class Rule(TypedDict):
    """How a study of our own is judged."""

    question: Text
    words: Text
    outcome: Literal[SELECTION]         # type: ignore[valid-type]
    beside: Literal[SELECTION]          # type: ignore[valid-type]
    level: Share
    seeds: Annotated[list[Count], Field(min_length=2)]
    family: Ids
    against: NotRequired[Ids]


@closed
class Study(TypedDict):
    """A file of cells. What becomes a `Recipe` is checked as one."""

    title: Text
    section: Text
    dataset: DataSet
    tables: dict[str, Text]
    methods: dict[str, list[Method]]
    networks: dict[str, dict[str, Any]]
    labels: dict[str, Text]
    cells: dict[str, Cell]
    notebook: NotRequired[Text]
    datasets: NotRequired[dict[str, DataSet]]
    data: NotRequired[dict[str, Data]]
    recipes: NotRequired[dict[str, dict[str, Any]]]
    conditions: NotRequired[dict[str, Condition]]
    options: NotRequired[dict[str, dict[str, Any]]]
    smoke: NotRequired[Smoke]
    task: NotRequired[Literal["classification", "detection", "cost"]]
    reported: NotRequired[dict[str, Text]]
    baseline: NotRequired[Text]
    rules: NotRequired[dict[str, Rule]]


@closed
class Choice(TypedDict):
    title: Text
    question: Text
    evidence: Text
    settings: NotRequired[dict[str, Annotated[list[Annotated[str, AfterValidator(_python)]], Field(min_length=1)]]]
    ours: NotRequired[Text]
    others: NotRequired[Text]


@closed
class Sentence(TypedDict):
    """A sentence; `claims` says which fields go with which kind."""

    section: Text
    quote: Text
    kind: Literal[KINDS]                # type: ignore[valid-type]
    tables: NotRequired[Ids]
    higher: NotRequired[Ids]
    lower: NotRequired[Ids]
    pairs: NotRequired[list[Annotated[list[Text], Field(min_length=2, max_length=2)]]]
    measures: NotRequired[Annotated[list[Annotated[str, _one_of("measure", MEASURES)]], Field(min_length=1, max_length=2)]]
    within: NotRequired[Annotated[float, Field(ge=0)]]
    first_seed: NotRequired[Annotated[dict[Text, Positive], Field(min_length=1)]]
    cells: NotRequired[Ids]
    methods: NotRequired[Ids]
    values: NotRequired[list[Digits]]
    difference: NotRequired[Digits]
    at_most: NotRequired[Ratio]
    above: NotRequired[Ratio]
    against: NotRequired[Text]
    against_section: NotRequired[Text]
    same_as: NotRequired[Text]
    why: NotRequired[Text]
    reading: NotRequired[dict[str, Annotated[str, AfterValidator(_gaps)]]]


@closed
class Table(TypedDict):
    """Of ``numbers.toml``: a row's numbers as they are printed, "" where there is none."""

    title: Text
    source: Text
    columns: Ids
    rows: dict[str, list[Annotated[str, BeforeValidator(_printed)]]]


@closed
class Slip(TypedDict):
    section: Text
    quote: Text
    note: Text


@closed
class Baseline(TypedDict):
    network: Text
    accuracy: Annotated[float, Field(gt=0, le=100)]
    source: Text
    recipe: Text
    plain: bool
    variant: NotRequired[Text]
    runs: NotRequired[Text]
    epoch: NotRequired[Text]


@closed
class Audit(TypedDict):
    """``audit.toml``: test images by data set, slips of the text, baselines that others reached."""

    images: dict[DataSet, Positive]
    slips: list[Slip]
    baselines: list[Baseline]


@cache
def _adapter(form: Any) -> TypeAdapter:
    return TypeAdapter(form)


def read(path: Path, form: Any) -> dict:
    """What a TOML file of a paper holds; an `FMError` names the file and the first field that does not fit the form."""
    try:
        content = tomllib.loads(files.read(path).decode())
        files.fits(_adapter(form), content)
    except (OSError, ValueError, RecursionError) as error:
        raise FMError(f"{name_of(path)} is not valid: {said(error)}.") from None
    return content


def name_of(path: Path) -> str:
    """How a file is called in a sentence: from the folder of its paper on."""
    return "/".join(path.parts[-3 if path.parent.name == "cells" else -2:])
