"""What the papers claim: their sentences, ``sentences.toml`` of each, and their numbers, the cells. Whether they hold is said by
`judging`. No torch here."""

from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import Any

from ..errors import FMError, UsageError, choose, nearest, said
from . import cells, forms, outcomes
from .cells import Cell
from .ids import Table
from .measures import ALONE, GAIN, TOP1
from .papers import papers
from .printed import Printed

UNMEASURED = ("construction", "text", "same", "words", "to_run")        # kinds that no cell decides


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper. Which of the fields after ``kind`` it has follows from its kind."""

    id: str
    section: str
    quote: str
    kind: str
    tables: tuple = ()          # where the pairs of an order lie, on every network and condition that has both
    higher: tuple = ()          # methods
    lower: tuple = ()
    pairs: tuple = ()           # of an order: ids instead of the three above
    measures: tuple = ()        # of an order: what is compared (`MEASURES`), of both sides or of either; none: accuracies
    within: float = 0.0         # of an order: "the same" is read as no more than so many points below
    first_seed: dict[str, int] = field(default_factory=dict)    # cell -> lowest seed of which what was measured counts
    cells: tuple = ()           # ids
    methods: tuple = ()
    values: tuple = ()          # of a gain: as the sentence prints them, in the order of ``cells``
    difference: Printed | None = None
    at_most: float | None = None    # of a cost: the ratio to the baseline that its word is read as
    above: float | None = None      # or the ratio that it is claimed to exceed
    against: str = ""               # of a text: the paper's other sentence, and where it stands
    against_section: str = ""
    same_as: str = ""               # the sentence that rests on the same evidence, under which it is counted
    why: str = ""
    reading: dict[str, str] = field(default_factory=dict)      # by verdict, what is to be made of it; {ours}, {paper}, {device}
    paper: str = ""                 # whose sentence it is: the name of its folder

    @property
    def needs(self) -> tuple[Cell, ...]:
        """The cells whose records would decide it."""
        ids = [id_ for pair in self.named_pairs() for id_ in pair] + list(self.cells)
        over = self.cells if self.kind == "cost" else ids if GAIN in self.measures else ()
        bases = [cells.baseline(cells.cell(id_)) for id_ in over]
        return tuple({c.id: c for c in (*map(cells.cell, ids), *filter(None, bases))}.values())

    @property
    def sides(self) -> tuple[str, str]:
        """What an order compares, of the higher and of the lower cell of a pair."""
        return self.measures * 2 if len(self.measures) == 1 else self.measures or (TOP1, TOP1)

    @property
    def alone(self) -> bool:
        """Whether it compares what no run of its cells brings (`measures.ALONE`)."""
        return any(side.partition(".")[0] in ALONE for side in self.sides)

    @property
    def built(self) -> tuple[Cell, ...]:
        """Of a construction: a cell for each training of ``methods`` in ``tables``."""
        found = [c for c in cells.load_cells().values() if c.table in self.tables and c.method in self.methods and not c.own]
        return tuple({c.run("full", 0).key: c for c in reversed(found)}.values())[::-1]

    def named_pairs(self) -> list[tuple[str, str]]:
        """(higher, lower) ids of an order or a gain; a training that stands in several tables counts once."""
        if self.kind == "gain":
            return [tuple(self.cells)]
        if self.kind == "activations" or self.pairs:
            return [tuple(pair) for pair in self.pairs]
        by_id = {c.id: c for c in cells.load_cells().values() if not c.own}
        places = dict.fromkeys(c.at.beside("") for c in by_id.values() if c.table in self.tables)
        pairs: dict[tuple[str, ...], tuple[str, str]] = {}
        for place, a, b in product(places, self.higher, self.lower):
            pair = str(place.beside(a)), str(place.beside(b))
            if all(id_ in by_id for id_ in pair):
                pairs.setdefault(tuple(by_id[id_].run("full", 0).key for id_ in pair), pair)
        return list(pairs.values())


@cache
def load_claims() -> dict[str, Claim]:
    """The sentences by id, in the order of the paper; `FMError` for an entry that does not fit its kind."""
    claims: dict[str, Claim] = {}
    for paper in papers().values():
        file = forms.name_of(paper.sentences)
        for id_, entry in forms.read(paper.sentences, dict[str, forms.Sentence]).items():
            values: dict[str, Any] = {k: _frozen(k, v) for k, v in entry.items()}
            claim = Claim(id_, **values, paper=paper.name)
            try:
                _check(claim)
            except ValueError as error:
                raise FMError(f"{file} is not valid: {id_}: {said(error)}.") from None
            if id_ in claims or id_ in cells.load_cells():
                raise FMError(f"{file} is not valid: {id_} is the id of another sentence or of a cell.")
            claims[id_] = claim
    if lost := [c.id for c in claims.values() if c.same_as and getattr(claims.get(c.same_as), "kind", "same") == "same"]:
        raise FMError(f"{', '.join(lost)} must be the same as a sentence that is judged by itself.")
    return claims


def _check(claim: Claim) -> None:
    """A `ValueError` for what does not fit its kind, or names what there is not."""
    for status in claim.reading:
        choose("reading", status, outcomes.TOLD)
    by_table: dict[str, set[str]] = {table: set() for table in claim.tables}
    for c in cells.load_cells().values():
        if c.table in by_table:
            by_table[c.table].add(c.method)
    for method in (*claim.higher, *claim.lower, *claim.methods):
        choose(f"method in {', '.join(claim.tables) or 'no table'}", method, sorted(set().union(*by_table.values())))
    for table in by_table:
        choose("table", table, cells.titles())
    if claim.kind == "gain" and (len(claim.cells) != 2 or len(claim.values) not in (0, 2)):
        raise ValueError("a gain is of two cells, and has two values or none")
    if not (claim.built if claim.kind == "construction" else claim.needs or claim.kind in UNMEASURED):
        raise ValueError("it names no cell")
    if (claim.kind == "same") != bool(claim.same_as) or (claim.kind == "text") != bool(claim.against):
        raise ValueError("same_as belongs to the kind same, and against to the kind text")
    if ((claim.measures or claim.within) and claim.kind != "order") or len(claim.measures) > 2:
        raise ValueError("measures, two at most, and within, points below, belong to the kind order")
    if claim.first_seed and (not claim.measures or claim.first_seed.keys() - {c.id for c in claim.needs}):
        raise ValueError("first_seed names cells that are compared by what was measured of them")
    if claim.kind == "order" and any(a == b for a, b in claim.named_pairs()) and len(set(claim.sides)) < 2:
        raise ValueError("a cell is compared with itself by two measures")
    if claim.kind == "cost" and (claim.at_most is None) == (claim.above is None):
        raise ValueError("a cost is at_most so much, or above it")


def _frozen(name: str, value):
    """Lists are tuples, and what is printed is a number with its digits."""
    if isinstance(value, list):
        return tuple(_frozen(name, v) for v in value)
    return Printed(value) if name in ("values", "difference") else value


def about(study: str) -> list[Claim]:
    """The sentences on the experiments of a notebook: those that rest on cells of it, or are named after one of its tables; all
    of a paper that has no other experiment."""
    named = {c.table for c in cells.load_cells().values() if c.notebook == study}
    alone = {s["paper"].name for name, s in cells.read_studies().items()
             if s.get("notebook", name) == study and len(s["paper"].cells) == 1}
    return [c for c in load_claims().values() if c.paper in alone
            or str(Table.at_start_of(c.id)) in named or study in {cell.notebook for cell in c.needs}]


def of_first() -> list[Claim]:
    """The sentences of the first paper."""
    first = next(iter(papers()))
    return [c for c in load_claims().values() if c.paper == first]


def claim(id_: str) -> Claim | Cell:
    """The sentence or the printed number with this id; `UsageError` with the nearest ids if there is none."""
    by_id: dict[str, Claim | Cell] = {**load_claims(), **{c.id: c for c in cells.load_cells().values() if c.paper}}
    if id_ not in by_id and id_ in cells.load_cells():
        raise UsageError(f"{id_} has no printed number, and so no verdict; `fm status {id_}` says what is on record of it.")
    if id_ not in by_id:
        near = nearest(id_, by_id)
        hint = f"Did you mean {', '.join(near)}? " if near else ""
        raise UsageError(f"There is no claim {id_!r}. {hint}`fm verdict` lists all.")
    return by_id[id_]
