"""A record of your own beside the printed numbers and our records: could it be one more run of the same? No torch here.

Where one more run lies, with 95 % probability, is the prediction interval of n runs with this mean and spread
(`stats.prediction_interval`). It is wider than the interval of their mean: four runs with a spread of 0.1 leave 0.36 on each
side.
"""

from pathlib import Path

from .. import records, studies
from ..errors import FMError, UsageError
from ..records import Record
from ..stats import Summary, prediction_interval
from . import verdicts

RULES = {"best": "best epoch", "last": "last epoch", "median10": "median of the last ten"}
LIKE = "give one that `fm run` wrote, such as data/runs/full/<training>/seed0.json"


def compare(path: Path, on_record: list[Record]) -> dict:
    """The record in a file beside the cells that it answers: plain JSON, one entry of ``cells`` each. With the printed number
    only where the record is of the full tier; with those ``on_record`` of the same training, other than itself, from two on."""
    mine = read(path)
    same = [r for r in on_record if r.key == mine.key]
    twins = [r.seed for r in same if r.weights == mine.weights]
    others = [r for r in same if r.weights != mine.weights]
    cells = _cells(mine)
    return {"file": str(path), "key": mine.key, "seed": mine.seed, "tier": mine.tier, "trained": _trained(mine),
            "equal_to_seeds": twins, "cells": [_cell(c, mine, others) for c in cells]}


def read(path: Path) -> Record:
    """The record in a file; one sentence for everything that is none."""
    try:
        return records.read(path, LIKE)
    except FMError as error:
        raise UsageError(str(error)) from None


def _cells(r: Record) -> list[studies.Cell]:
    return [c for c in studies.load_cells().values() if c.run(r.tier, 0).key == r.key]


def _trained(r: Record) -> str:
    methods = " + ".join(m["name"] for m in r.spec["methods"]) or "baseline"
    return f"{r.spec['network']} on {r.spec['dataset']}, {methods}, {r.spec['recipe']['epochs']} epochs"


def _cell(cell: studies.Cell, mine: Record, others: list[Record]) -> dict:
    values = {rule: mine.value(rule, cell.reported) for rule in RULES}
    paper = ours = None
    if mine.tier == "full" and cell.published is not None:
        printed = verdicts.printed(cell)
        paper = {rule: _beside(values[rule], printed) for rule in RULES} | {"spread_printed": cell.spread is not None}
    if len(others) > 1:
        ours = {rule: _beside(values[rule], Summary.of([r.value(rule, cell.reported) for r in others])) for rule in RULES}
    return {"cell": cell.id, "labels": list(cell.labels), "values": values, "paper": paper, "ours": ours, "others": len(others)}


def _beside(value: float, s: Summary) -> dict:
    interval = prediction_interval(s)
    return {"mean": s.mean, "spread": s.sd, "n": s.n, "low": interval.low, "high": interval.high,
            "inside": interval.low <= value <= interval.high}


def text(comparison: dict) -> str:
    """What `compare` found, for readers."""
    lines = [f"{comparison['file']}: {comparison['trained']}, {comparison['tier']} tier, seed {comparison['seed']} "
             f"({comparison['key']})"]
    if comparison["equal_to_seeds"]:
        lines.append(f"  the same weights, bit for bit, as our seed {', '.join(map(str, comparison['equal_to_seeds']))}")
    if not comparison["cells"]:
        lines.append("  No cell asks for this training, so there is nothing to compare it with; `fm status` lists the cells.")
    if comparison["cells"] and comparison["tier"] != "full":
        lines.append("  Not compared with the paper, whose numbers are of the full schedule; only with our runs of the "
                     f"{comparison['tier']} tier.")
    for cell in comparison["cells"]:
        lines.append(f"  {cell['cell']} ({', '.join(cell['labels'])})")
        for rule, name in RULES.items():
            parts = [_interval_words(cell["paper"][rule], "the printed")] if cell["paper"] else []
            parts += [_interval_words(cell["ours"][rule], "our")] if cell["ours"] else []
            lines.append(f"    {name:23} {cell['values'][rule]:.2f}" + (f" lies {'; '.join(parts)}" if parts else ""))
        if cell["paper"]:
            lines.append("    The paper's rule is the best epoch." + (
                "" if cell["paper"]["spread_printed"] else " It prints no spread here; its network's in other tables stand in."))
        if not cell["ours"]:
            lines.append(f"    Of ours there is {'one' if cell['others'] else 'no'} other run: an interval needs two.")
    return "\n".join(lines)


def _interval_words(s: dict, whose: str) -> str:
    return (f"{'inside' if s['inside'] else 'OUTSIDE'} {s['low']:.2f} to {s['high']:.2f}, the 95 % prediction interval of "
            f"{whose} {s['mean']:.2f} ± {s['spread']:.2f} (n = {s['n']})")
