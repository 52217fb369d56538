"""Rules of our own studies, fixed before the runs they ask for: ``[rules]`` in the files of their cells."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from ..errors import FMError, said
from .cells import Cell, baseline, cell, read_studies


@dataclass(frozen=True)
class Rule:
    """How a study of our own is judged, written into it beforehand (`comparisons.compare`)."""

    table: str
    question: str
    words: str                      # the whole rule, for readers
    outcome: str                    # the selection rule that decides
    beside: str                     # the one that is shown beside it
    level: float
    seeds: tuple[int, ...]
    family: tuple[str, ...]         # ids; each is compared with
    against: tuple[str, ...] = ()   # that of the same place; empty: with its baseline

    @property
    def pairs(self) -> list[tuple[Cell, Cell]]:
        """Each cell with the one that it is compared with."""
        bases = map(cell, self.against) if self.against else (baseline(cell(id_)) for id_ in self.family)
        return list(zip(map(cell, self.family), bases, strict=True))


@cache
def rules() -> dict[str, Rule]:
    """The rules fixed beforehand, by the name of their table."""
    by_table = {}
    for study in read_studies().values():
        for table, entry in study.get("rules", {}).items():
            fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
            by_table[table] = rule = Rule(table, **fields)
            try:
                if len(set(rule.seeds)) < len(rule.seeds):
                    raise ValueError("its seeds must differ")
                if rule.against and len(rule.against) != len(rule.family):
                    raise ValueError("family and against must be of one length")
                for one, other in rule.pairs:
                    if one.table != table or other is None or other.table != table or one == other:
                        raise ValueError(f"{one.id} has nothing to be compared with in {table}")
            except ValueError as error:
                raise FMError(f"{study['file']} is not valid: rules.{table}: {said(error)}.") from None
    return by_table
