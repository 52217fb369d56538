"""Rules of our own studies, fixed before their first run: ``[rules]`` in the files of their cells."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from ..errors import FMError, UsageError, choose
from .cells import Cell, baseline, cell, read_studies

SELECTION = ("best", "last", "median10")        # rules that pick the epoch, as records have them


@dataclass(frozen=True)
class Rule:
    """How a study of our own is judged, written into it before its first run (`comparisons.compare`)."""

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
    for name, study in read_studies().items():
        for table, entry in study.get("rules", {}).items():
            try:
                fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
                by_table[table] = rule = Rule(table, **fields)
                if table not in study["tables"]:
                    raise ValueError("its table is another study's")
                choose("outcome", rule.outcome, SELECTION)
                choose("beside", rule.beside, SELECTION)
                if not 0 < rule.level < 1 or len(set(rule.seeds)) < max(2, len(rule.seeds)) or not rule.family:
                    raise ValueError("level lies between 0 and 1, two seeds or more differ, and the family has a cell")
                for one, other in rule.pairs:
                    if one.table != table or other is None or other.table != table or one == other:
                        raise ValueError(f"{one.id} has nothing to be compared with in {table}")
            except (TypeError, ValueError, UsageError) as error:
                raise FMError(f"{name}.toml: the rule of {table} is not valid: {error}.") from None
    return by_table
