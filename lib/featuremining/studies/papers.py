"""The papers, a folder of ``data/studies`` each: ``paper.toml`` says which paper it is, ``cells/`` what it printed and what is
trained, ``sentences.toml`` what it says, ``choices.toml`` what it leaves open."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .. import paths
from ..errors import FMError
from . import forms
from .looks import Looks


@dataclass(frozen=True)
class Paper:
    """One paper as its ``paper.toml`` has it."""

    folder: Path
    title: str
    short: str
    authors: tuple[str, ...]
    year: int
    venue: str
    looks: Looks            # when our runs of it are looked at
    prefix: str = ""        # of its ids; the first paper has none
    doi: str = ""
    arxiv: str = ""
    cite: str = ""          # its key in the book's references
    text: str = ""          # pattern of the file name of its text

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def cells(self) -> list[Path]:
        """The files of its cells, one per family of experiments."""
        return sorted((self.folder / "cells").glob("*.toml"))

    @property
    def sentences(self) -> Path:
        return self.folder / "sentences.toml"

    @property
    def choices(self) -> Path:
        return self.folder / "choices.toml"


@cache
def papers() -> dict[str, Paper]:
    """All papers by the name of their folder, the first one (without a prefix) first; an `FMError` says what is wrong."""
    all_papers = []
    for path in sorted(paths.studies().glob("*/paper.toml")):
        values = forms.read(path, forms.Paper)
        try:
            looks = Looks(**{**values["looks"], "seeds": tuple(values["looks"]["seeds"])})
        except ValueError as error:
            raise FMError(f"{forms.name_of(path)} is not valid: looks: {error}.") from None
        all_papers.append(Paper(path.parent, **{**values, "authors": tuple(values["authors"]), "looks": looks}))
    prefixes = [paper.prefix for paper in all_papers]
    if twice := {prefix for prefix in prefixes if prefixes.count(prefix) > 1}:
        raise FMError(f"Two papers have the prefix {', '.join(map(repr, sorted(twice)))}.")
    return {paper.name: paper for paper in sorted(all_papers, key=lambda paper: (paper.prefix, paper.name))}
