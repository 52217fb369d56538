"""Which runs to do next: those with the best chance, per hour (`durations`), that a claim is decided (`chances`). No torch here.

A plan is greedy: of all claims that are open, the one whose missing runs bring the most chances per hour, counting whatever else
they may decide; then the next, while it fits the budget. Cells that share a training pay once.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count, islice

from .. import stats, studies
from ..datasets import where
from ..errors import UsageError
from ..records import findings
from ..records.durations import Cost, about, devices, hours
from ..studies import Cell
from . import chances
from .ledger import Ledger

EMPTY = Ledger()
UNMEASURED = "cost not measured"
NAMELESS = "no run is named that decides it (`fm verdict` says what it lacks)"
OVER = " over its baseline"         # what a printed gain is called by, after its cell
UNLIKELY = "no number of seeds up to {} is likely to decide"
MEASURED: dict[int, float] = {1: 1.0}      # a cost that is measured counts as decided
UNITS = {"m": 1 / 60, "h": 1, "d": 24}


@dataclass(frozen=True)
class Question:
    """A claim that is open, and the full-tier runs that may decide it: so many ``seeds`` of each cell, None where no number of
    them is likely to; teachers of these cells come first, with one. ``chance`` that they do, None where nothing printed or run
    says; ``enough``: seeds that do in 80 % of cases; ``measured``: it asks for what is measured of the networks after their runs,
    of a cell's from the seed on that ``first_seed`` names."""

    id: str
    needs: tuple[Cell, ...]
    seeds: tuple[int | None, ...]
    chance: float | None
    enough: int | None = None
    measured: bool = False
    first_seed: dict[str, int] = field(default_factory=dict)

    @property
    def odds(self) -> str:
        """In words."""
        if self.chance is None:
            return "the chance to decide is not known"
        most = self.needs[0].looks.seeds[-1]
        more = (f", {self.enough} seeds would in {stats.share(stats.POWER)}" if self.enough not in (None, *self.seeds)
                else "" if self.enough else f", no number of seeds up to {most} would in {stats.share(stats.POWER)}")
        return f"decides in {stats.share(self.chance)} of cases{more}"


def question(id_: str, needs: tuple[Cell, ...], likely: dict[int, float] | None, ledger: Ledger) -> Question:
    """With as many seeds as bring the best chance for each run that is missing, and their teachers' trainings."""
    first = tuple({t.id: t for c in needs for t in studies.teachers(c) if t not in needs}.values())
    once = (1,) * len(first)
    if likely is None:
        return Question(id_, first + needs, once + tuple(studies.wanted(c, "full") for c in needs), None)
    missing = {n: sum(max(n - len(ledger.counting(c)), 0) for c in needs) for n in likely}
    n = max(likely, key=lambda n: likely[n] / missing[n], default=None)
    if n is None or likely[n] < 1 - stats.LEVEL:
        return Question(id_, first + needs, once + (None,) * len(needs), 0.0)
    return Question(id_, first + needs, once + (n,) * len(needs), likely[n], chances.enough(likely))


def of_number(cell: Cell, ledger: Ledger) -> Question:
    """The verdict on a cell's number, or as many seeds as the cell wants where nothing is printed."""
    return question(cell.id, (cell,), None if cell.published is None else chances.number(cell.id, ledger.values(cell)), ledger)


def cost(q: Question, ledger: Ledger = EMPTY, on: str = "") -> str:
    """What a question still costs, in words; empty if its runs are on record."""
    if None in q.seeds:
        return UNLIKELY.format(q.needs[0].looks.seeds[-1])
    on = on or next(iter(devices(ledger)), "")
    missing = {(ledger.key(c), seed): c for c, n in zip(q.needs, q.seeds, strict=True)
               for seed in _missing(c, n, ledger, q.first_seed.get(c.id, 0))}
    took = {key: hours(c, "full", ledger.records, on) for (key, _), c in missing.items()}
    runs = f"{len(missing)} run{'s' * (len(missing) != 1)}"
    if unknown := sorted({_trained(c) for (key, _), c in missing.items() if took[key] is None}):
        return f"{runs}, {q.odds}; how long one takes was not measured for {'; '.join(unknown)}"
    return f"{about(took[key] for key, _ in missing)} ({runs}, {q.odds}; {on})" if missing else ""


def _trained(cell: Cell) -> str:
    """A network as readers know it, with its method where that is an option of the network and changes its step."""
    return cell.labels[0] + (f" ({cell.labels[1]})" if cell.options else "")


def to_decide(cell: Cell, ledger: Ledger = EMPTY, on: str = "") -> str:
    """What the verdict on a number still costs, in words; empty if it stands."""
    verdict = ledger.verdict(cell)
    return "" if verdict and not verdict.status.open else cost(of_number(cell, ledger), ledger, on)


def budget(text: str) -> float:
    """Hours.

    >>> budget("90m"), budget("40h"), budget("2d")
    (1.5, 40.0, 48.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([mhd])", text.strip())
    if not match or not float(match[1]):
        raise UsageError(f"A budget is minutes, hours or days, such as 90m, 40h or 2d, got {text!r}.")
    return float(match[1]) * UNITS[match[2]]


def questions(ledger: Ledger) -> list[Question]:
    """All that is open: the claims that `listing.rows` counts, numbers and sentences, and printed gains over a baseline."""
    from ..studies import claims
    from . import sentences

    found = []
    for cell in (c for c in studies.load_cells().values() if c.paper):
        if cell.task == "cost":
            found += [] if findings.read("cost", cell.run("full", 0)) else [question(cell.id, (cell,), MEASURED, ledger)]
            continue
        if ledger.verdict(cell).status.open:
            found.append(of_number(cell, ledger))
        if (gain := ledger.gain(cell)) and gain.status.open:
            pair = cell, studies.baseline(cell)
            likely = chances.gain(tuple(c.id for c in pair), tuple(map(ledger.values, pair)))
            found.append(question(cell.id + OVER, pair, likely, ledger))
    for claim in claims.load_claims().values():
        if claim.same_as or not sentences.judge(claim, ledger).status.open:
            continue
        if not claim.needs or claim.alone:
            found.append(Question(claim.id, (), (), None))
        else:
            likely = (MEASURED if claim.kind == "cost" else
                      chances.sentence(claim.id, tuple(() if c.task == "cost" else ledger.values(c) for c in claim.needs)))
            found.append(replace(question(claim.id, claim.needs, likely, ledger), measured=bool(claim.measures),
                                 first_seed=claim.first_seed))
    return found


@dataclass(frozen=True)
class Outlook:
    """What all open questions take on a device, whatever data are at hand: ``planned`` of them ``hours`` together, each run once;
    of those about accuracy ``first``, likely to be decided, takes the least; the networks that were not measured there."""

    device: str
    planned: int
    hours: float
    first: str
    first_hours: float
    unmeasured: tuple[str, ...]


def outlook(ledger: Ledger, on: str = "") -> Outlook:
    on = on or next(iter(devices(ledger)), "")
    asked = [q for q in questions(ledger) if not any(c.missing for c in q.needs)]
    costs = {ledger.key(c): hours(c, "full", ledger.records, on) for q in asked for c in q.needs}
    able = {q.id: w for q in asked if not (w := _wanted(q, costs, ledger, anywhere=True)).why}
    runs = {run: h for w in able.values() for run, h in w.runs.items()}
    likely = {q.id: sum(able[q.id].runs.values()) for q in asked
              if q.id in able and (q.chance or 0) >= stats.POWER and not any(c.task == "cost" for c in q.needs)}
    first = min(likely, key=likely.__getitem__, default="")
    unknown = sorted({c.network for q in asked for c in q.needs if costs[ledger.key(c)] is None})
    return Outlook(on, len(able), sum(runs.values()), first, likely.get(first, 0.0), tuple(unknown))


@dataclass(frozen=True)
class Wanted:
    """A question with its missing runs, (key, seed) -> hours, or ``why`` they can't be planned."""

    id: str
    runs: dict[tuple[str, int], float]
    why: str = ""


def plan(hours_: float, asked: Sequence[Question], ledger: Ledger = EMPTY, on: str = "",
         anywhere: bool = False) -> dict:
    """Which runs have the best chance per hour to decide these questions, within ``hours_`` hours on a device. Plain JSON.

    ``steps`` in their order, each with its runs (cell, seeds, hours, command) and what it ``may_decide``: claims with their
    chance; ``expected``, how many claims that comes to; ``open``, what is left and why. ``anywhere``: data that are not at hand
    do not matter.
    """
    on = on or next(iter(devices(ledger)), "")
    names: dict[str, Cell] = {}
    for cell in (c for q in asked for c in q.needs):
        names.setdefault(ledger.key(cell), cell)
    costs = {key: hours(cell, "full", ledger.records, on) for key, cell in names.items()}
    wanted, by_id = [_wanted(q, costs, ledger, anywhere) for q in asked], {q.id: q for q in asked}
    able = {w.id: w.runs for w in wanted if not w.why}
    price = {run: h for runs in able.values() for run, h in runs.items()}
    worth = {id_: by_id[id_].chance or 0.0 for id_ in able}
    steps: list[dict] = []
    chosen: set[tuple[str, int]] = set()
    while step := _best(able, price, worth, chosen, hours_ - sum(price[run] for run in chosen)):
        new, done = step
        chosen |= new
        able = {id_: runs for id_, runs in able.items() if id_ not in done}
        steps.append({"runs": _runs(new, names, price), "hours": sum(price[run] for run in new), "may_decide": [
            {"claim": id_, "chance": by_id[id_].chance, "odds": by_id[id_].odds} for id_ in done]})
    beyond = [{"claim": id_, "why": "beyond the budget", "hours": sum(price[run] for run in runs.keys() - chosen)}
              for id_, runs in able.items()]
    return {"device": on, "budget_hours": hours_, "hours": sum(price[run] for run in chosen), "steps": steps,
            "expected": sum(one["chance"] or 0.0 for step in steps for one in step["may_decide"]),
            "open": beyond + [{"claim": w.id, "why": w.why, "hours": None} for w in wanted if w.why]}


def _wanted(q: Question, costs: dict[str, Cost | None], ledger: Ledger, anywhere: bool) -> Wanted:
    """The lowest seeds that are not on record, until there are as many as the question needs."""
    runs: dict[tuple[str, int], float] = {}
    obstacles: dict[str, dict[str, None]] = {}
    if not q.needs:
        return Wanted(q.id, {}, NAMELESS)
    for cell, n in zip(q.needs, q.seeds, strict=True):
        key = ledger.key(cell)
        if n is None:
            return Wanted(q.id, {}, UNLIKELY.format(cell.looks.seeds[-1]))
        missing = _missing(cell, n, ledger, q.first_seed.get(cell.id, 0))
        if missing and (why := _obstacle(cell, costs[key], anywhere)):
            obstacles.setdefault(why[0], {})[why[1]] = None
        runs |= {(key, seed): costs[key].hours if costs[key] else 0.0 for seed in missing}
    if not runs:
        return Wanted(q.id, {}, "its runs are on record and do not decide" + (
            ", or what it asks of their networks was not measured" if q.measured else ""))
    return Wanted(q.id, runs, "; ".join(f"{why}: {', '.join(of)}" for why, of in obstacles.items()))


def _missing(cell: Cell, n: int, ledger: Ledger, first: int = 0) -> list[int]:
    run = cell.run("full", 0)
    done = {0} if cell.task == "cost" and findings.read("cost", run) else {r.seed for r in ledger.of(cell)}
    counting = len(done) if cell.task == "cost" else sum(r.seed >= first for r in ledger.counting(cell))
    return list(islice((seed for seed in count(first) if seed not in done), max(n - counting, 0)))


def _obstacle(cell: Cell, cost: Cost | None, anywhere: bool) -> tuple[str, str] | None:
    """Why a run can't be planned, and of what that is said."""
    if cell.missing:
        return "can't be trained yet", cell.missing
    if cell.task != "cost" and not anywhere and not where(cell.dataset)[0]:
        return "data not at hand (`fm data`)", cell.dataset
    return None if cost else (UNMEASURED, cell.network)


def _best(able: dict[str, dict], price: dict, worth: dict[str, float], chosen: set, left: float) -> tuple[set, list[str]] | None:
    """The runs, not chosen yet, of the question that brings most chances per hour, and the ids that may be decided with them; the
    cheaper first where two are equal, as are those whose chance is not known, which come last."""
    best, choice = (0.0, 0.0), None
    for runs in able.values():
        new = runs.keys() - chosen
        cost = sum(sorted(price[run] for run in new))       # in a fixed order, so that equal plans are equal
        if cost > left + 1e-9:
            continue
        done = [id_ for id_, others in able.items() if others.keys() - chosen <= new]
        rank = (sum(worth[id_] for id_ in done) / max(cost, 1e-9), -cost)
        if choice is None or rank > best:
            best, choice = rank, (new, done)
    return choice


def _runs(new: set, names: dict[str, Cell], price: dict) -> list[dict]:
    rows = []
    for key, cell in names.items():
        if numbers := sorted(seed for k, seed in new if k == key):
            rows.append({"cell": cell.id, "seeds": numbers, "hours": sum(price[key, seed] for seed in numbers),
                         "command": f"fm run {cell.id} --tier full" + "".join(f" --seed {seed}" for seed in numbers)})
    return rows
