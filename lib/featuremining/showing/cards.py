"""Cards: all that is known of a cell as plain JSON values, for the pages to show when a number is opened. No torch here.

Every tier has a section of its own; a number never leaves its tier. Curves stay in the records.
"""

from collections.abc import Iterable
from math import isfinite

import pandas as pd

from .. import stats, studies
from ..judging import cost, listing, planning, verdicts
from ..judging.ledger import Ledger
from ..recipes import TIERS
from ..records import Record, findings
from ..records.findings import Finding
from ..studies import Cell
from ..studies.claims import Claim, load_claims
from ..studies.outcomes import Standing, Status
from . import markup
from .markup import DASH

GRID = ["claim", "verdict", "paper", "ours", "95 % interval", "n", "cell"]
RULES = ("best", "last", "median10")
QUANTITIES = {"classification": "test top-1 (%)", "detection": "mAP at 0.5 (%)", "cost": "seconds of an iteration"}
ORIGIN = ("commit", "dirty", "versions", "data_sha256", "device", "threads", "engine", "beside", "precision", "peak_memory_mib",
          "resumed", "resumed_elsewhere", "finished")      # of a record's provenance

def card(cell: Cell, ledger: Ledger) -> dict:
    """What is printed, what we found in each tier, the verdicts and the commands of one cell.

    ``tiers`` begins with full, whether it has been run or not; the others follow where there is something. ``cost`` says what
    a cell would take that has not been run; empty where that is not known.
    """
    full, *others = (_section(cell, tier, ledger) for tier in TIERS[::-1])
    return {"id": cell.id, "title": ", ".join(cell.labels), "table": studies.titles()[cell.table],
            "quantity": QUANTITIES[cell.task] + (f", {cell.reported}" if cell.reported else ""), "paper": cell.paper,
            "published": cell.published, "spread": cell.spread, "n": cell.n, "seconds": cell.seconds, "mib": cell.mib,
            "verdict": _verdict(ledger.verdict(cell), cell), "gain": _verdict(ledger.gain(cell), cell),
            "lacks": cell.missing,
            "cost": "" if _costs_are_known(cell) else planning.to_decide(cell, ledger),
            "tiers": [full, *(t for t in others if t["seeds"] or t["findings"])]}


def _costs_are_known(cell: Cell) -> bool:
    """Whether nothing is left to run of a cell of costs."""
    verdict = cost.verdict(cell, cost.nearest(cost.found([cell], "full"))) if cell.task == "cost" else None
    return verdict is not None and not verdict.status.open


def sentence(claim: Claim, ledger: Ledger) -> dict:
    """The card of a claim in words: its quote, its verdict and what that rests on."""
    detail = listing.detail(claim, ledger)
    standing, paper = detail["verdict"], studies.papers()[claim.paper]
    return {"id": claim.id, "title": f"{paper.short}, section {claim.section}" if claim.section[0].isdigit() else
            f"{paper.short}, {claim.section}", "quote": claim.quote, "status": standing.status, "detail": standing.rest,
            "reading": detail["reading"], "facts": list(facts(detail).items()), "pairs": detail["pairs"],
            "href": f"claims.html#{markup.anchor(claim.same_as or claim.id)}", "rerun": f"fm verdict {claim.id}"}


def facts(detail: dict, cost: str = "") -> dict[str, str]:
    """What a verdict on a sentence rests on, in words by their heading; ``cost``: of deciding it."""
    behind = [f"{detail['tier']} runs", detail["device"], f"n = {detail['n']}" if detail["n"] else ""] if detail["tier"] else []
    ours = detail["ours"] + (f" ({'; '.join(filter(None, behind))})" if behind else "")
    found = {"by its own numbers": detail["own_numbers"], "the paper": detail["paper"], "ours": ours,
             "compared": detail["compared"], "limit": detail["limit"], "look": detail["look"], "note": detail["note"],
             "to decide it": cost}
    return {name: text for name, text in found.items() if text}


def cards(ids: Iterable[str], ledger: Ledger) -> dict[str, dict]:
    """The cards of those ids that are cells or sentences."""
    cells, claims = studies.load_cells(), load_claims()
    return {id_: card(cells[id_], ledger) if id_ in cells else sentence(claims[id_], ledger)
            for id_ in dict.fromkeys(ids) if id_ in cells or id_ in claims}


def commands(cell: Cell, tier: str) -> list[str]:
    """What one types to run the cell: `fm`, and papermill, which shows the result as a page too."""
    seed = "" if cell.task == "cost" else " --seed 0"
    return [f"fm run {cell.id} --tier {tier}{seed}",
            f"papermill notebooks/{cell.study}.ipynb out.ipynb -p tier {tier} -p cells '[\"{cell.id}\"]' -p seeds '[0]'"]


def _section(cell: Cell, tier: str, ledger: Ledger) -> dict:
    """The records and findings of one tier. ``resolved`` are the settings of the first seed, ``differing`` the seeds whose
    settings are others."""
    run = cell.run(tier, 0)
    records = ledger.of(cell, tier)
    resolved = records[0].resolved if records else {}
    return {"tier": tier, "key": run.key, "spec": run.spec(), "resolved": resolved,
            "differing": [r.seed for r in records if r.resolved != resolved],
            "rules": {rule: _summary([r.value(rule, cell.reported) for r in records]) for rule in RULES} if records else {},
            "seeds": [_seed(r, cell) for r in records], "findings": [_finding(f, cell) for f in findings.read("*", run)],
            "rerun": commands(cell, tier)}


def _summary(values: list[float]) -> dict:
    """n, mean, standard deviation and 95 % interval; None where one seed says nothing."""
    s = stats.Summary.of(values)
    i = stats.mean_interval(s)
    return {"n": s.n} | {name: number(v) for name, v in (("mean", s.mean), ("sd", s.sd), ("low", i.low), ("high", i.high))}


def number(value: float | None) -> float | None:
    """Four decimals; None for what JSON can't hold.

    >>> number(1 / 3), number(float("inf"))
    (0.3333, None)
    """
    return round(value, 4) if value is not None and isfinite(value) else None


def _seed(record: Record, cell: Cell) -> dict:
    p = record.provenance
    return ({"seed": record.seed, "best_epoch": record.value("best_epoch", cell.reported)}
            | {rule: number(record.value(rule, cell.reported)) for rule in RULES}
            | {"minutes": number(p["seconds"] / 60), "weights": record.weights} | {name: p[name] for name in ORIGIN if name in p})


def _finding(finding: Finding, cell: Cell) -> dict:
    """What was measured besides, without the values of single images or iterations: a cost, class activation, detections."""
    plain = {name: _plain(v) if isinstance(v, dict) else v for name, v in finding.values.items()
             if name != "each" and not isinstance(v, list)}
    return {"kind": finding.kind, "name": finding.name, "values": {k: v for k, v in plain.items() if v != {}},
            "verdict": str(cost.verdict(cell, finding) or DASH) if finding.kind == findings.COST else ""} | {
            name: finding.provenance[name] for name in ORIGIN if name in finding.provenance}


def _plain(values: dict) -> dict:
    return {name: v for name, v in values.items() if not isinstance(v, list | dict)}


def _verdict(v: verdicts.Verdict | None, cell: Cell) -> dict | None:
    if v is None:
        return None
    d = v.difference
    return {"status": v.status, "detail": v.standing(cell).rest, "margin": number(v.margin), "seeds_needed": v.seeds_needed,
            "level": number(v.look.level) if v.look else None,
            "difference": d and {"value": number(d.value), "low": number(d.low), "high": number(d.high)}}


def grid(cells: list[Cell], ledger: Ledger, others: Iterable[dict] = ()) -> pd.DataFrame:
    """Every claim as one row: the printed number, ours in full tier, interval, n and verdict. ``others`` are rows of claims
    that are no cells, with the same columns; ``cell`` is the id under which a page opens them. What is decided comes first."""
    rows = [*(row for cell in cells for row in _rows(cell, ledger)), *others]
    rows.sort(key=lambda row: row["verdict"].status.state if row["verdict"] else 0)
    return pd.DataFrame(rows, columns=GRID, dtype=object).fillna(DASH)


def _rows(cell: Cell, ledger: Ledger) -> list[dict]:
    """One row; of a cost, one per device."""
    row = {"cell": cell.id, "claim": ", ".join(cell.labels), "paper": cell.paper, "ours": DASH, "95 % interval": DASH,
           "n": DASH, "verdict": Standing(Status.NOT_RUN)}
    if cell.task == "cost":
        return [row | _cost(cell, f) for f in findings.read(findings.COST, cell.run("full", 0))] or [row]
    judged = ledger.verdict(cell)
    row["verdict"] = judged.standing(cell) if judged else None
    if summary := ledger.deciding(cell):
        row |= {"ours": f"{summary.mean:.2f}", "95 % interval": markup.bounds(stats.mean_interval(summary)),
                "n": summary.n}
    return [row]


def _cost(cell: Cell, finding: Finding) -> dict:
    v = finding.values
    interval = {"95 % interval": f"{v['low']:.3f} to {v['high']:.3f}"} if "time_ratio" in v else {}
    return {"claim": f"{', '.join(cell.labels)}; {finding.provenance['device']}", "ours": cost.words(finding), **interval,
            "n": f"{v['iterations']} iterations", "verdict": cost.verdict(cell, finding)}
