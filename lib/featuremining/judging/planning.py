"""Which runs to do next: those that decide the most claims per hour (`durations`). No torch here.

A plan is greedy: of all claims that are open, the one whose missing runs bring the most claims per hour, counting whatever else
they decide; then the next, while it fits the budget. Cells that share a training pay once.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, islice
from math import sqrt
from statistics import fmean

from .. import stats, studies
from ..datasets import where
from ..errors import UsageError
from ..records import findings
from ..records.durations import Cost, about, devices, hours
from ..studies import Cell
from . import verdicts
from .ledger import Ledger

EMPTY = Ledger()
UNMEASURED = "cost not measured"
UNITS = {"m": 1 / 60, "h": 1, "d": 24}


@dataclass(frozen=True)
class Question:
    """A claim that is open, and the full-tier runs that would decide it: so many ``seeds`` of each cell, None where no number of
    them is expected to."""

    id: str
    needs: tuple[Cell, ...]
    seeds: tuple[int | None, ...]


def seeds(cell: Cell, ledger: Ledger) -> int | None:
    """How many full-tier seeds the verdict on the cell's number wants in all: the paper's n, for which the margin is made; from
    two on record on, as many as their spread asks for. None where no number of seeds is expected to decide."""
    verdict = ledger.verdict(cell)
    if verdict is None:
        return studies.wanted(cell, "full")
    spreads = verdicts.pooled_spread(cell)
    usual, within = sqrt(fmean(s * s for s in spreads)), stats.margin(spreads, cell.n)
    if not verdict.status.open:
        return verdict.ours.n
    if verdict.ours is None:              # suppose that the paper is right
        return cell.n if verdicts.seeds_to_decide(0.0, usual, verdicts.printed(cell), within) else None
    return verdict.seeds_needed if verdict.ours.n > 1 and verdict.seeds_needed else cell.n if verdict.ours.n < cell.n else None


def gain_seeds(cell: Cell, ledger: Ledger) -> int | None:
    """As `seeds`, of the cell and of its baseline each, for the verdict on the gain."""
    verdict = ledger.gain(cell)
    if verdict.ours is None or verdict.ours.n < 2:
        return cell.n
    return verdict.seeds_needed or cell.n


def cost(q: Question, ledger: Ledger = EMPTY, on: str = "") -> str:
    """What a question still costs, in words."""
    on = on or next(iter(devices(ledger)), "")
    missing = {(ledger.key(c), seed): c for c, n in zip(q.needs, q.seeds, strict=True)
               for seed in _missing(c, n or 0, ledger)}
    took = {key: hours(c, "full", ledger.records, on) for (key, _), c in missing.items()}
    if unknown := sorted({c.network for (key, _), c in missing.items() if took[key] is None}):
        return f"{len(missing)} runs; {UNMEASURED} of {', '.join(unknown)}"
    return f"{about(took[key] for key, _ in missing)} ({len(missing)} run{'s' * (len(missing) > 1)}; {on})" if missing else ""


def to_decide(cell: Cell, ledger: Ledger = EMPTY, on: str = "") -> str:
    """What the verdict on a number still costs, in words; empty if it stands.

    >>> to_decide(studies.cell("T5.resnet50.fm2"))
    'cost not measured'
    """
    wants = seeds(cell, ledger)
    if wants is None:
        return f"no number of seeds up to {stats.MOST_SEEDS} is expected to decide"
    missing = wants - len(ledger.of(cell))
    if missing <= 0:
        return ""
    on = on or next(iter(devices(ledger)), "")
    cost = hours(cell, "full", ledger.records, on)
    return f"{about([cost] * missing)} ({missing} seed{'s' * (missing > 1)}; {on})" if cost else UNMEASURED


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
    """The claims that are open: printed numbers, printed gains over a baseline, and the paper's sentences."""
    from ..studies import claims
    from . import sentences

    open_questions = []
    for cell in (c for c in studies.load_cells().values() if c.paper):
        if cell.task == "cost":
            open_questions += [] if findings.read("cost", cell.run("full", 0)) else [Question(cell.id, (cell,), (1,))]
            continue
        if ledger.verdict(cell).status.open:
            open_questions.append(Question(cell.id, (cell,), (seeds(cell, ledger),)))
        if (gain := ledger.gain(cell)) and gain.status.open:
            n = gain_seeds(cell, ledger)
            open_questions.append(Question(f"{cell.id} over its baseline", (cell, studies.baseline(cell)), (n, n)))
    for claim in claims.load_claims().values():
        if claim.needs and sentences.judge(claim, ledger).status.open:
            open_questions.append(Question(claim.id, claim.needs, tuple(studies.wanted(c, "full") for c in claim.needs)))
    return open_questions


@dataclass(frozen=True)
class Wanted:
    """A question with its missing runs, (key, seed) -> hours, or ``why`` they can't be planned."""

    id: str
    runs: dict[tuple[str, int], float]
    why: str = ""


def plan(hours_: float, asked: Sequence[Question], ledger: Ledger = EMPTY, on: str = "",
         anywhere: bool = False) -> dict:
    """Which runs decide the most of the questions per hour, within ``hours_`` hours on a device. Plain JSON.

    ``steps`` in their order, each with its runs (cell, seeds, hours, command) and the ids that it decides; ``open``, what stays
    so and why. ``anywhere``: data that are not at hand do not matter.
    """
    on = on or next(iter(devices(ledger)), "")
    names: dict[str, Cell] = {}
    for cell in (c for q in asked for c in q.needs):
        names.setdefault(ledger.key(cell), cell)
    costs = {key: hours(cell, "full", ledger.records, on) for key, cell in names.items()}
    wanted = [_wanted(q, costs, ledger, anywhere) for q in asked]
    able = {w.id: w.runs for w in wanted if not w.why}
    price = {run: h for runs in able.values() for run, h in runs.items()}
    steps: list[dict] = []
    chosen: set[tuple[str, int]] = set()
    decided_by_all = 0
    while step := _best(able, price, chosen, hours_ - sum(price[run] for run in chosen)):
        new, decided = step
        chosen |= new
        able = {id_: runs for id_, runs in able.items() if id_ not in decided}
        decided_by_all += len(decided)
        steps.append({"runs": _runs(new, names, price), "hours": sum(price[run] for run in new), "decides": decided})
    beyond = [{"claim": id_, "why": "beyond the budget", "hours": sum(price[run] for run in runs.keys() - chosen)}
              for id_, runs in able.items()]
    return {"device": on, "budget_hours": hours_, "hours": sum(price[run] for run in chosen), "steps": steps,
            "decided": decided_by_all,
            "open": beyond + [{"claim": w.id, "why": w.why, "hours": None} for w in wanted if w.why]}


def _wanted(q: Question, costs: dict[str, Cost | None], ledger: Ledger, anywhere: bool) -> Wanted:
    """The lowest seeds that are not on record, until there are as many as the question needs."""
    runs: dict[tuple[str, int], float] = {}
    obstacles: dict[str, dict[str, None]] = {}
    for cell, n in zip(q.needs, q.seeds, strict=True):
        key = ledger.key(cell)
        if n is None:
            return Wanted(q.id, {}, f"no number of seeds up to {stats.MOST_SEEDS} is expected to decide")
        missing = _missing(cell, n, ledger)
        if missing and (why := _obstacle(cell, costs[key], anywhere)):
            obstacles.setdefault(why[0], {})[why[1]] = None
        runs |= {(key, seed): costs[key].hours if costs[key] else 0.0 for seed in missing}
    if not runs:
        return Wanted(q.id, {}, "its runs are on record and do not decide")
    return Wanted(q.id, runs, "; ".join(f"{why}: {', '.join(of)}" for why, of in obstacles.items()))


def _missing(cell: Cell, n: int, ledger: Ledger) -> list[int]:
    run = cell.run("full", 0)
    done = {0} if cell.task == "cost" and findings.read("cost", run) else {r.seed for r in ledger.of(cell)}
    return list(islice((seed for seed in count() if seed not in done), max(n - len(done), 0)))


def _obstacle(cell: Cell, cost: Cost | None, anywhere: bool) -> tuple[str, str] | None:
    """Why a run can't be planned, and of what that is said."""
    if cell.missing:
        return "can't be trained yet", cell.missing
    if cell.task != "cost" and not anywhere and not where(cell.dataset)[0]:
        return "data not at hand (`fm data`)", cell.dataset
    return None if cost else (UNMEASURED, cell.network)


def _best(able: dict[str, dict], price: dict, chosen: set, left: float) -> tuple[set, list[str]] | None:
    """The runs, not chosen yet, of the question that brings most per hour, and the ids that are decided with them; the cheaper
    first where two are equal."""
    best, choice = (0.0, 0.0), None
    for runs in able.values():
        new = runs.keys() - chosen
        cost = sum(sorted(price[run] for run in new))       # in a fixed order, so that equal plans are equal
        if cost > left + 1e-9:
            continue
        decided = [id_ for id_, others in able.items() if others.keys() - chosen <= new]
        rank = (len(decided) / max(cost, 1e-9), -cost)
        if choice is None or rank > best:
            best, choice = rank, (new, decided)
    return choice


def _runs(new: set, names: dict[str, Cell], price: dict) -> list[dict]:
    rows = []
    for key, cell in names.items():
        if numbers := sorted(seed for k, seed in new if k == key):
            rows.append({"cell": cell.id, "seeds": numbers, "hours": sum(price[key, seed] for seed in numbers),
                         "command": f"fm run {cell.id} --tier full" + "".join(f" --seed {seed}" for seed in numbers)})
    return rows
