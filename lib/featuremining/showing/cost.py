"""Costs beside the printed ones, as a table. No torch here."""

import pandas as pd

from .. import studies
from ..judging.cost import printed_ratio, verdict
from ..records.findings import COST, Finding
from ..studies import Cell
from .markup import DASH


def cost_table(cells: list[Cell], costs: list[Finding]) -> pd.DataFrame:
    """One row per cell and device: printed and measured seconds of an iteration, their ratios to the baseline, and memory."""
    return pd.DataFrame([_row(cell, f) for cell in cells for f in costs_of(cell, costs) or [None]])


def costs_of(cell: Cell, costs: list[Finding]) -> list[Finding]:
    """Those of the cell, in the tier of each."""
    return [f for f in costs if f.kind == COST and f.key == cell.run(f.tier, 0).key]


def device(finding: Finding) -> str:
    """What a cost was measured on, in words."""
    p = finding.provenance
    threads = f"{p['threads']} thread{'' if p['threads'] == 1 else 's'}"
    return f"{p['device']}, {threads}" + (f", {p['engine']}" if p["engine"] != "eager" else "")


def _row(cell: Cell, finding: Finding | None) -> dict[str, str]:
    base, printed = studies.baseline(cell), printed_ratio(cell)
    row = {"cell": cell.id, "method": cell.labels[1],          # ratios first: of all this, only they compare
           "paper time ratio": f"{printed[0]:.3f}" if printed else DASH, "our time ratio (95 %)": DASH,
           "paper memory ratio": f"{cell.mib / base.mib:.3f}" if printed else DASH, "our memory ratio": DASH,
           "verdict": verdict(cell, finding) or DASH, "device": device(finding) if finding else DASH,
           "paper s": f"{cell.seconds:.3f}" if cell.seconds else DASH, "ours s (mean)": DASH, "median (quartiles)": DASH,
           "paper MB": f"{cell.mib:g}" if cell.mib else DASH, "our MiB": DASH}
    if finding is None:
        return row
    v = finding.values
    row["ours s (mean)"] = f"{v['seconds']:.3g}"
    row["median (quartiles)"] = "{median:.3g} ({q1:.3g} to {q3:.3g})".format(**v)
    kinds = ("allocated", "reserved") if "allocated_mib" in v else ("saved",)
    row["our MiB"] = ", ".join(f"{v[f'{kind}_mib']:.1f} {kind}" for kind in kinds)
    if "time_ratio" in v:
        row["our time ratio (95 %)"] = "{time_ratio:.3f} ({low:.3f} to {high:.3f})".format(**v)
        row["our memory ratio"] = f"{v['memory_ratio']:.3f}"
    return row
