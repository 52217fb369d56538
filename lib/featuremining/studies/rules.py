"""Rules of our own studies, fixed before their first run: ``[rules]`` in the files of their cells."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from ..errors import FMError, UsageError
from .cells import baseline, cell, read_studies


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
    family: tuple[str, ...]         # ids; each is compared with its baseline


@cache
def rules() -> dict[str, Rule]:
    """The rules fixed beforehand, by the name of their table."""
    by_table = {}
    for name, study in read_studies().items():
        for table, entry in study.get("rules", {}).items():
            try:
                fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
                by_table[table] = Rule(table, **fields)
                for id_ in by_table[table].family:
                    if baseline(cell(id_)) is None:
                        raise ValueError(f"{id_} has no baseline")
            except (TypeError, ValueError, UsageError) as error:
                raise FMError(f"{name}.toml: the rule of {table} is not valid: {error}.") from None
    return by_table
