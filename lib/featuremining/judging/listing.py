"""What stands of every cell and of every claim, the paper's sentences and its printed numbers, as plain JSON. No torch here."""

import json
from collections import Counter

from .. import records, stats, studies
from ..errors import UsageError
from ..recipes import TIERS
from ..records import durations, findings
from ..stats import Interval
from ..studies import Cell
from ..studies.claims import Claim, load_claims
from ..studies.measures import MEASURES
from ..studies.outcomes import Standing
from . import cost
from .ledger import Ledger
from .sentences import Judgement, judge


def cells(prefix: str) -> list[Cell]:
    """Those whose id begins so, in capitals or not, in the order of the paper."""
    found = sorted((c for c in studies.load_cells().values() if c.id.lower().startswith(prefix.lower())),
                   key=lambda c: c.at.table.place)
    if not found:
        raise UsageError(f"No cell's id begins with {prefix!r}; `fm status` without a prefix lists all.")
    return found


def status(prefix: str) -> list[dict]:
    """One dict per cell of `cells`: what is printed, the seeds on record and how many are missing of each tier, the verdict
    of the full tier, and where its runs were made. Plain JSON."""
    chosen, on_record = cells(prefix), records.seeds()
    ledger = Ledger(records.read_records("full", {c.run("full", 0).key for c in chosen}))
    return [_status(cell, ledger, {t: _done(cell, t, on_record) for t in TIERS}) for cell in chosen]


def _status(cell: Cell, ledger: Ledger, done: dict[str, list]) -> dict:
    v = ledger.verdict(cell)
    return {"cell": cell.id, "paper": cell.paper, "published": cell.published, "spread": cell.spread, "n": cell.n,
            "lacks": cell.missing or None, "verdict": v.status if v else None,
            "full_tier_on": durations.where(ledger.of(cell)),
            "tiers": {t: {"seeds": done[t], "missing": max(studies.wanted(cell, t) - len(done[t]), 0)} for t in TIERS}}


def _done(cell: Cell, tier: str, on_record: dict) -> list:
    """The seeds on record; of a cost, the devices it was measured on."""
    run = cell.run(tier, 0)
    return [f.name for f in findings.read("cost", run)] if cell.task == "cost" else on_record.get((tier, run.key), [])


def rows(ledger: Ledger) -> list[dict]:
    """One dict per claim, sentences in the order of the paper, then the printed numbers by table: what `fm verdict` prints and
    the scoreboard's grid shows. Plain JSON but for ``verdict``, a `Standing`; `as_json` writes it as text."""
    return [_sentence(c, judge(c, ledger)) for c in load_claims().values()] + [
        _number(c, ledger) for c in studies.load_cells().values() if c.paper]


def of_first(ledger: Ledger) -> list[dict]:
    """The `rows` of the first paper alone, whose headline is its own."""
    first = next(iter(studies.papers()))
    return [row for row in rows(ledger) if row["of"] == first]


def tally(claim_rows: list[dict]) -> str:
    """How many of these `rows` have which verdict, in a sentence that ends with what is undecided. A claim that rests on the
    evidence of another is not counted again.

    >>> from featuremining.studies.outcomes import Status
    >>> tally([{"verdict": Standing(status), "same_as": same} for status, same in (
    ...     (Status.NOT_RUN, ""), (Status.REPRODUCED, ""), (Status.NOT_RUN, ""), (Status.REPRODUCED, "the second"))])
    '3 claims: 1 reproduced; 2 not run. 1 more is said again in other words and not counted.'
    """
    counted = [row["verdict"] for row in claim_rows if not row["same_as"]]
    counts, again = Counter((v.status, v.scope) for v in counted), len(claim_rows) - len(counted)
    order = sorted(counts, key=lambda kind: (kind[0].state, -counts[kind]))
    return (f"{len(counted)} claims: " + "; ".join(f"{counts[kind]} {Standing(kind[0], scope=kind[1])}" for kind in order) + "."
            + (f" {again} more {'is' if again == 1 else 'are'} said again in other words and not counted." if again else ""))


def as_json(content: list[dict] | dict) -> str:
    """Of `rows` or of `detail`."""
    return json.dumps(content, indent=1, default=str)


def detail(claim: Claim | Cell, ledger: Ledger) -> dict:
    """The claim's dict of `rows`; what is compared where it is not accuracy, its unit, and the pairs that it rests on, as
    texts."""
    if isinstance(claim, Cell):
        return _number(claim, ledger) | {"compared": "", "unit": "", "pairs": []}
    judgement = judge(claim, ledger)
    said = dict.fromkeys(MEASURES[measure] for measure in claim.sides)
    compared = " minus ".join(what for what, _ in said) if claim.measures else ""
    of = [f", {measure}" if claim.measures else "" for measure in claim.sides]
    return _sentence(claim, judgement) | {"compared": compared, "unit": next(iter(said))[1], "pairs": [
        {"higher": p.higher + of[0], "lower": p.lower + of[1], "printed": _difference(p.printed), "printed_p": _p(p.printed_p),
         "ours": _difference(p.ours), "p": _p(p.p if min(p.n) > 1 else None), "n": f"{p.n[0]}, {p.n[1]}" if p.ours else ""}
        for p in judgement.pairs]}


def _difference(i: Interval | None) -> str:
    if i is None:
        return ""
    value, low, high = map(stats.signed, (i.value, i.low, i.high))
    return value + ("" if i.half == float("inf") else f" ({low} to {high})")


def _p(p: float | None) -> str:
    return "" if p is None else "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def _sentence(c: Claim, judgement: Judgement) -> dict:
    gained = judgement.pairs[0].ours if c.kind == "gain" else None
    reading = c.reading.get(judgement.status, "").format(ours=judgement.ours, paper=judgement.paper, device=judgement.device)
    return {"claim": c.id, "kind": c.kind, "section": c.section, "says": c.quote, "paper": judgement.paper,
            "ours": judgement.ours, "interval": [gained.low, gained.high] if gained and gained.half < float("inf") else None,
            "tier": judgement.tier, "n": judgement.n, "device": judgement.device,
            "verdict": Standing(judgement.status, judgement.detail, judgement.scope), "own_numbers": judgement.own_numbers or "",
            "limit": judgement.limit, "look": str(judgement.look or ""), "note": judgement.note,
            "reading": reading, "same_as": c.same_as, "of": c.paper}


def _number(c: Cell, ledger: Ledger) -> dict:
    """A printed number, or the pair of Table 10's."""
    study = studies.read_studies()[c.study]
    base = {"claim": c.id, "kind": "number", "section": study["section"], "says": ", ".join(c.labels), "paper": c.paper,
            "own_numbers": "", "limit": "", "look": "", "note": "", "reading": "", "same_as": "", "of": study["paper"].name}
    if c.seconds is not None:
        costs = cost.found([c], "full")
        return base | {"ours": "; ".join(map(cost.words, costs)), "interval": None, "tier": "full" if costs else "", "n": None,
                       "verdict": cost.verdict(c, cost.nearest(costs))}
    summary, v = ledger.deciding(c), ledger.verdict(c)
    i = stats.mean_interval(summary) if summary else None
    return base | {"ours": f"{summary.mean:.2f}" + (f" ± {summary.sd:.2f}" if summary.n > 1 else "") if summary else "",
                   "interval": [i.low, i.high] if i and summary.n > 1 else None, "tier": "full" if summary else "",
                   "n": summary.n if summary else None, "verdict": Standing(v.status),
                   "note": v.needed, "look": str(v.look or "")}
