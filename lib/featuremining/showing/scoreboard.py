"""All claims as a map: a tile each, coloured and marked by its verdict, by paper and by the table it stands in. No torch."""

from collections import Counter

from .. import studies
from ..judging import listing
from ..judging.ledger import Ledger
from ..studies.ids import Table
from .markup import Html, render

TEXT = "In the text"


def scoreboard(ledger: Ledger) -> Html:
    """A tile leads to its own address on this page, under which `cards` has what is known of it."""
    papers: dict[str, dict[str, list[dict]]] = {}
    rows = [row for row in listing.rows(ledger) if not row["same_as"]]
    for row in sorted(rows, key=lambda row: _place(row["claim"])):
        papers.setdefault(row["of"], {}).setdefault(_group(row["claim"]), []).append(row)
    names = studies.papers()
    counts = Counter(row["verdict"].status for row in rows)
    return render("map", papers={names[name]: papers[name] for name in names if name in papers},
                  legend=sorted(counts.items(), key=lambda item: (item[0].state, -item[1])), total=len(rows))


def _place(id_: str) -> tuple:
    table = Table.at_start_of(id_)
    return (0,) if table is None else (1, *table.place)


def _group(id_: str) -> str:
    """The heading of the table, without its number's sentence."""
    table = Table.at_start_of(id_)
    return TEXT if table is None else studies.titles().get(str(table), table.title)
