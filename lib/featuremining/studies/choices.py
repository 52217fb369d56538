"""The register of open choices, ``choices.toml`` of each paper: what it leaves open, what is done here, what else could be. No
torch here."""

from ast import literal_eval
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from ..errors import FMError
from . import cells, forms
from .cells import Cell
from .papers import papers

PLACES = {"method": "`{}`", "recipe": "recipe of `{}`", "network": "network `{}`", "data": "data `{}`",
          "detector": "detector of `{}`", "study": "study `{}`", "head": "head `{}`", "root": "root `{}`", "layer": "layer `{}`"}


@dataclass(frozen=True)
class Choice:
    """An open question. ``settings`` maps where it is set to our value and others; without any, ``ours`` and ``others`` say it
    in words."""

    id: str
    title: str
    question: str
    evidence: str
    settings: Mapping[str, list[str]] = field(default_factory=dict)
    ours: str = ""
    others: str = ""

    def __post_init__(self):
        if bool(self.settings) == bool(self.ours and self.others):
            raise ValueError(f"{self.id} needs settings, or ours and others")
        if wrong := [name for name in self.settings if name.split(".")[0] not in PLACES or name.count(".") < 2]:
            raise ValueError(f"{self.id} says {wrong[0]!r}; a setting begins with one of {', '.join(PLACES)}")


@cache
def choices() -> tuple[Choice, ...]:
    """All open questions in the order of the papers and files; an `FMError` says what is wrong with one."""
    register = []
    for paper in papers().values():
        try:
            register += [Choice(id_, **entry) for id_, entry in forms.read(paper.choices, dict[str, forms.Choice]).items()]
        except ValueError as error:
            raise FMError(f"{forms.name_of(paper.choices)} is not valid: {error}.") from None
    ids = [choice.id for choice in register]
    if twice := sorted({id_ for id_ in ids if ids.count(id_) > 1}):
        raise FMError(f"Two papers have an open choice {', '.join(twice)}: begin its id with the paper's prefix.")
    return tuple(register)


def place(setting: str) -> tuple[str, str, str]:
    """Kind, owner and name of a setting.

    >>> place("method.fm.box"), place("study.cub.reported.byot")
    (('method', 'fm', 'box'), ('study', 'cub', 'reported.byot'))
    """
    kind, owner, name = setting.split(".", 2)
    return kind, owner, name


def differing(choice: Choice) -> list[Cell]:
    """The cells that are trained with another value than ours of one of the choice's settings; not those whose value the
    choice itself sets by their study."""
    named = {(owner, name.split(".")[1]) for kind, owner, name in map(place, choice.settings) if kind == "study"}
    return [cell for cell in cells.load_cells().values() if (cell.study, cell.method) not in named
            and any(_differs(cell, *place(name), literal_eval(values[0])) for name, values in choice.settings.items())]


def default_of(choice: Choice, cell: Cell) -> Cell | None:
    """The cell of the same table, network and condition whose methods differ from this one's in the choice alone: they have our
    value. None where there is no such cell."""
    ours = {(owner, name) for kind, owner, name in map(place, choice.settings) if kind == "method"}
    wanted = tuple({k: v for k, v in m.items() if (m["name"], k) not in ours} for m in cell.methods)
    beside = (c for c in cells.load_cells().values() if (c.table, c.network, c.condition, c.study) ==
              (cell.table, cell.network, cell.condition, cell.study))
    return next((c for c in beside if c != cell and c.methods == wanted and c.options == cell.options), None)


def _differs(cell: Cell, kind: str, owner: str, name: str, ours) -> bool:
    named = {"method": [m for m in cell.methods if m["name"] == owner],
             "network": [cell.options] if cell.network == owner else [],
             "layer": [part for part in _layers(cell) if owner in (part.get("layer"), part.get("name"))],
             "data": [cell.data] if cell.dataset == owner else []}.get(kind, [])
    return any(settings.get(name, ours) != ours for settings in named)


def _layers(cell: Cell) -> list[dict]:
    """The layers that stand in the cell's network, each with the settings it is given."""
    head = cell.options.get("head", "mean")
    return [*cell.options.get("insert", ()), {"name": head} if isinstance(head, str) else head]
