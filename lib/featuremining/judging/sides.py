"""The two sides of a pair of an order: what the runs of each cell come to, by what the sentence compares (`studies.measures`). No
torch here."""

from collections.abc import Sequence
from dataclasses import replace

from .. import studies
from ..records import findings
from ..stats import Summary
from ..studies import Cell, Look
from ..studies.claims import Claim
from ..studies.measures import ALONE, GAIN, TOP1
from .ledger import Ledger


def of_pair(claim: Claim, ids: Sequence[str], ledger: Ledger, look: Look | None = None) -> tuple[Summary, Summary] | None:
    """Higher and lower of so many seeds as the look takes, the lowest ones, without one of all; None where there are too few. A
    cell beside itself, by two measures: the differences seed by seed, beside nil."""
    a, b = map(studies.cell, ids)
    if claim.sides == (TOP1, TOP1):
        mine = ledger.deciding(a, look), ledger.deciding(b, look)
        return None if None in mine else mine
    values = _values(claim, a, b, ledger)
    n = look.n if look else min(map(len, values))
    if not n or min(map(len, values)) < n:
        return None
    one, other = (Summary.of(side[:n] if look else side) for side in values)
    return one, (Summary(one.n, 0.0, 0.0) if a == b else other)


def seeds(claim: Claim, ids: Sequence[str], ledger: Ledger) -> int:
    """How many seeds both sides of a pair have."""
    a, b = map(studies.cell, ids)
    return ledger.seeds((a, b)) if claim.sides == (TOP1, TOP1) else min(map(len, _values(claim, a, b, ledger)))


def _values(claim: Claim, a: Cell, b: Cell, ledger: Ledger) -> list[list[float]]:
    """Of both sides in the order of their seeds, from the first one on that the sentence counts."""
    found = [by_seed(cell, measure, ledger) for cell, measure in zip((a, b), claim.sides, strict=True)]
    one, other = ({seed: value for seed, value in side.items() if seed >= claim.first_seed.get(cell.id, 0)}
                  for side, cell in zip(found, (a, b), strict=True))
    if a == b:
        one = {seed: one[seed] - other[seed] for seed in one.keys() & other.keys()}
    return [[value for _, value in sorted(side.items())] for side in (one, one if a == b else other)]


def by_seed(cell: Cell, measure: str, ledger: Ledger) -> dict[int, float]:
    """A measure of each run that counts. What was measured of a network counts with the run that made it, unless by code that was
    not committed; what was measured along a training of its own counts by itself, if that one went as planned."""
    runs = {r.seed: r for r in ledger.counting(cell)}
    if measure == TOP1:
        return {seed: r.value(ledger.epoch(cell), cell.reported) for seed, r in runs.items()}
    if measure == GAIN:
        base = studies.baseline(cell)
        theirs = by_seed(base, TOP1, ledger) if base else {}
        return {seed: value - theirs[seed] for seed, value in by_seed(cell, TOP1, ledger).items() if seed in theirs}
    kind, _, name = measure.partition(".")
    if kind in ALONE:
        first, plan = ALONE[kind]
        along = {int(f.name.removeprefix("seed")): f.values.get(name) for f in findings.read(kind, cell.run("full", 0))
                 if f.provenance.get("dirty") is not True and f.values.get("plan") == plan}
        return {seed: value for seed, value in along.items() if seed >= first and value is not None}
    read = findings.read(kind, cell.run("full", 0)) if runs else []
    found = {f.name: f for f in read if f.provenance.get("dirty") is not True}
    of = {seed: found[f"seed{seed}"] for seed in runs if f"seed{seed}" in found}
    measured = {seed: f.values.get(name) for seed, f in of.items()
                if f.provenance.get("weights", {}).get(runs[seed].id) == runs[seed].weights}
    return {seed: value for seed, value in measured.items() if value is not None}


def raised(pair: tuple[Summary, Summary] | None, by: float) -> tuple[Summary, Summary] | None:
    """The pair with its higher side raised by what it may fall short."""
    return pair and (replace(pair[0], mean=pair[0].mean + by), pair[1])
