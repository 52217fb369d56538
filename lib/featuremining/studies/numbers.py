"""What a paper's family prints and no training here would answer, ``numbers.toml`` of a paper: tables for readers, each with
where its numbers were read. They enter no verdict. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from ..errors import FMError, choose
from . import forms
from .papers import papers


@dataclass(frozen=True)
class Numbers:
    """``rows``: for each label its numbers as they are printed, in the order of the ``columns``; "" where there is none."""

    id: str
    title: str
    source: str
    columns: list[str]
    rows: Mapping[str, list[str]]

    def __post_init__(self):
        for label, row in self.rows.items():
            if len(row) != len(self.columns) or not any(row):
                raise ValueError(f"{self.id}.rows.{label} needs {len(self.columns)} numbers, or empty ones")


@cache
def numbers(paper: str) -> dict[str, Numbers]:
    """The tables of a paper by their names, in the order of the file; none where there is no file."""
    path = papers()[choose("paper", paper, papers())].folder / "numbers.toml"
    if not path.exists():
        return {}
    tables = forms.read(path, dict[str, forms.Table])
    try:
        return {name: Numbers(name, **table) for name, table in tables.items()}
    except ValueError as error:
        raise FMError(f"{forms.name_of(path)} is not valid: {error}.") from None
