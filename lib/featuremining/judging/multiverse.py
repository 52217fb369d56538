"""What becomes of verdicts under other settings than ours (`setting`), where they can differ: the first paper's sentences by its
own numbers, its claims by our runs, and the differences of our own cells. No torch here."""

from dataclasses import dataclass

from .. import stats, studies
from ..studies import Cell
from ..studies.claims import of_first
from ..studies.outcomes import Status
from . import comparisons, sentences
from .ledger import Ledger
from .setting import OFFERED, OURS, Setting

KINDS = ("The paper’s sentences, by its own numbers", "Claims of the paper, by our runs",
         "Differences to plain training in our own experiments, each by itself")


@dataclass(frozen=True)
class Row:
    """A verdict under each of `OFFERED`, in that order, and under our own setting."""

    kind: str
    id: str
    says: str
    statuses: tuple[Status, ...]
    ours: Status


def rows(ledger: Ledger) -> list[Row]:
    ledgers = {s: Ledger(ledger.records, s) for s in (OURS, *OFFERED)}
    return [*_own_numbers(ledgers), *_claims(ledgers), *_differences(ledger)]


def _row(kind: str, id_: str, says: str, judged) -> Row:
    """``judged``: setting -> status."""
    return Row(kind, id_, says, tuple(map(judged, OFFERED)), judged(OURS))


def _own_numbers(ledgers: dict[Setting, Ledger]) -> list[Row]:
    """They depend on the level alone."""
    found = []
    by_level = {s.level: ledger for s, ledger in ledgers.items()}
    for claim in (c for c in of_first() if not c.same_as):
        at = {level: sentences.judge(claim, ledger).own_numbers for level, ledger in by_level.items()}
        if claim.kind in ("order", "gain") and None not in at.values():
            found.append(_row(KINDS[0], claim.id, claim.quote, lambda s, at=at: at[s.level]))
    return found


def _claims(ledgers: dict[Setting, Ledger]) -> list[Row]:
    """Those that runs of ours are on record of."""
    found = []
    for claim in (c for c in of_first() if not c.same_as):
        if claim.kind in ("order", "gain") and sentences.judge(claim, ledgers[OURS]).ours:
            found.append(_row(KINDS[1], claim.id, claim.quote, lambda s, c=claim: sentences.judge(c, ledgers[s]).status))
    for cell in studies.load_cells().values():
        if cell.published is not None and ledgers[OURS].seeds([cell]):
            found.append(_row(KINDS[1], cell.id, ", ".join(cell.labels), lambda s, c=cell: ledgers[s].verdict(c).status))
    return found


def _differences(ledger: Ledger) -> list[Row]:
    """Of tables without a rule, which judges its own: by itself, without correction for looking at all of them, from two seeds
    a side on, each training once."""
    found: dict[str, Row] = {}
    for tier in ("full", "short"):
        for cell in studies.load_cells().values():
            base = studies.baseline(cell)
            if base is None or not cell.own or cell.table in studies.rules():
                continue
            if min(len(ledger.of(c, tier)) for c in (cell, base)) < 2:
                continue
            says = f"{', '.join(cell.labels)}, {tier}"
            found.setdefault(ledger.key(cell, tier), _row(
                KINDS[2], cell.id, says, lambda s, c=cell, b=base, t=tier: _settled(ledger, c, b, t, s)))
    return list(found.values())


def _settled(ledger: Ledger, cell: Cell, base: Cell, tier: str, setting: Setting) -> Status:
    sides = [ledger.ours(c, tier, setting.selection or "best") for c in (cell, base)]
    return comparisons.status(stats.welch_p(*sides), setting.level, sides[0].mean - sides[1].mean)
