"""What the choice of the best epoch on the test set adds, in our own runs, and the paper's gains to hold it against. Accuracies
and mean average precisions never share a number. No torch here."""

from math import nan

import pandas as pd

from .. import studies
from ..records import Record
from ..studies import Cell
from .ledger import Ledger

GROUP = ["tier", "measure", "test_every"]        # runs whose numbers may be averaged
TOP1, MAP = "top-1", "mAP"


def measure(cell: Cell) -> str:
    """What a cell's numbers are: shares of images, or mean average precision."""
    return MAP if cell.task == "detection" else TOP1


def runs(ledger: Ledger) -> pd.DataFrame:
    """One row per run, however many cells name its training: the best epoch less the last and less the median of the last ten,
    in points; ``test_every``: epochs between two tests (each of the last ten is tested in any case)."""
    rows: dict[tuple, dict] = {}
    for cell in studies.load_cells().values():
        for r in (r for tier in dict.fromkeys(r.tier for r in ledger) for r in ledger.of(cell, tier)):
            rows.setdefault((r.tier, r.id, cell.reported), {
                "tier": r.tier, "measure": measure(cell), "test_every": r.spec["recipe"].get("test_every") or 1, "cell": cell.id,
                "method": cell.labels[1], "last": _lost(r, cell, "last"), "median": _lost(r, cell, "median10")})
    return pd.DataFrame(list(rows.values()), columns=[*GROUP, "cell", "method", "last", "median"])


def _lost(r: Record, cell: Cell, rule: str) -> float:
    return r.value("best", cell.reported) - r.value(rule, cell.reported)


def trainings(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per training of `runs`: means and standard deviations over its n seeds (nan for one seed); ``method_only``: best -
    last less that of the baseline of the same table and tier, which is what a gain inherits (nan without a baseline's run)."""
    by_run = frame.groupby([*GROUP, "cell", "method"], sort=False)
    found = by_run.agg(n=("last", "size"), last=("last", "mean"), last_sd=("last", "std"), median=("median", "mean"),
                       median_sd=("median", "std")).reset_index()
    means = {(row.tier, _key(row.cell, row.tier)): row.last for row in found.itertuples()}
    bases = [studies.baseline(studies.cell(id_)) for id_ in found.cell]
    return found.assign(method_only=[
        row.last - means.get((row.tier, _key(base.id, row.tier)), nan) if base else nan
        for row, base in zip(found.itertuples(), bases, strict=True)])


def _key(id_: str, tier: str) -> str:
    return studies.cell(id_).run(tier, 0).key


def groups(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per tier, measure and number of epochs between tests of `runs`: how many runs, mean and greatest of best - last,
    mean of best - median."""
    return frame.groupby(GROUP, sort=False).agg(runs=("last", "size"), mean=("last", "mean"), most=("last", "max"),
                                                median=("median", "mean")).reset_index()


def gains() -> pd.DataFrame:
    """Printed gains of Feature Mining, as it is defined, over the baseline of the same table, network and condition, each once:
    the same two trainings with the same two means are one gain, in whatever tables they stand."""
    rows: dict[tuple, dict] = {}
    for cell in studies.load_cells().values():
        base = studies.baseline(cell)
        if base and None not in (cell.published, base.published) and cell.method in ("fm1", "fm2", "fm3"):
            same = cell.run("full", 0).key, cell.published, base.run("full", 0).key, base.published
            rows.setdefault(same, {"cell": cell.id, "measure": measure(cell), "gain": cell.published - base.published})
    return pd.DataFrame(list(rows.values()))
