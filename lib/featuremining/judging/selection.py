"""What the choice of the best epoch on the test set adds, in our own runs, and the paper's gains to hold it against. Accuracies
and mean average precisions never share a number. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
import pandas as pd

from .. import studies
from ..records import Record
from ..stats import LEVEL, Interval
from ..studies import Cell
from .ledger import Ledger

GROUP = ["tier", "measure", "test_every"]        # runs whose numbers may be averaged
TOP1, MAP = "top-1", "mAP"
LEAST, SERIES = 5, 4000         # epochs that say something of noise; simulated series


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


@dataclass(frozen=True)
class Noise:
    """How test accuracy varies from epoch to epoch at the last learning rate, in points: of ``runs``, with so many epochs each on
    average, about each run's own line; ``sd``, and ``phi``, the correlation of neighbouring epochs. ``best``: how far the best of
    these epochs lies above the line, as observed; ``expected``: as `lift` simulates it; ``sums``: squares and degrees of freedom
    of each run."""

    runs: int
    epochs: float
    sd: float
    phi: float
    best: float
    expected: float
    sums: tuple[tuple[float, int], ...]


def noise(ledger: Ledger, dataset: str, methods: tuple[str, ...]) -> Noise | None:
    """Of our runs on a data set with these methods; None without runs whose last learning rate has five epochs, all tested."""
    wanted = [r for r in ledger if r.spec["dataset"] == dataset and r.spec.get("task") != "detection"
              and tuple(m["name"] for m in r.spec["methods"]) == methods]
    series = [values for r in wanted if len(values := _last_phase(r)) >= LEAST]
    if not series:
        return None
    rest = [v - np.polyval(np.polyfit(np.arange(len(v)), v, 1), np.arange(len(v))) for v in series]
    sums = tuple((float(e @ e), len(e) - 2) for e in rest)                          # a line takes two degrees of freedom
    sd, epochs = _sd(sums), float(np.mean([len(v) for v in series]))
    phi = max(0.0, sum(float(e[1:] @ e[:-1]) for e in rest) / sum(squares for squares, _ in sums)) if sd else 0.0
    return Noise(len(series), epochs, sd, phi, float(np.mean([e.max() for e in rest])), lift(sd, phi, round(epochs), line=True),
                 sums)


def _sd(sums: Sequence[tuple[float, int]]) -> float:
    return sqrt(sum(squares for squares, _ in sums) / sum(df for _, df in sums))


def inherited(base: Noise, ours: Noise, epochs: int, level: float = LEVEL) -> Interval:
    """`lift` of ours less that of the baseline: what a gain has of the choice of the best epoch, by noise alone. The interval is
    that of a bootstrap over runs (percentiles): of few runs it is rough."""
    rng = np.random.default_rng(0)
    unit = {n: lift(1, n.phi, epochs) for n in (base, ours)}
    value = unit[ours] * ours.sd - unit[base] * base.sd
    drawn = [unit[ours] * _sd([ours.sums[i] for i in rng.integers(ours.runs, size=ours.runs)])
             - unit[base] * _sd([base.sums[i] for i in rng.integers(base.runs, size=base.runs)]) for _ in range(SERIES // 2)]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def _last_phase(r: Record) -> np.ndarray:
    """Test accuracies from the last change of the learning rate on, as far back as every epoch was tested."""
    rates, tested = r.curves["lr"], r.curves["test_acc"]
    start = len(rates)
    while start and rates[start - 1] == rates[-1] and tested[start - 1] is not None:
        start -= 1
    return np.array(tested[start:], float)


def lift(sd: float, phi: float, epochs: int, line: bool = False) -> float:
    """How far the best of so many epochs lies above their expectation, if they vary about it normally and neighbours correlate by
    phi (an autoregressive process of first order); above the ``line`` that is fitted to each series, where that is asked for.

    >>> round(lift(1, 0, 75), 1)            # the mean of the largest of 75 standard normals
    2.4
    """
    rng = np.random.default_rng(0)
    series = np.empty((SERIES, epochs))
    series[:, 0] = rng.standard_normal(SERIES)
    for t in range(1, epochs):
        series[:, t] = phi * series[:, t - 1] + sqrt(1 - phi**2) * rng.standard_normal(SERIES)
    if line:
        basis = np.linalg.qr(np.vander(np.arange(epochs), 2))[0]
        series -= series @ basis @ basis.T
    return sd * float(series.max(1).mean())
