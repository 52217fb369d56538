"""One line a cell: what each reached, or its difference to the baseline, with intervals. No files, no state, no torch."""

from textwrap import fill

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from ...judging.comparisons import Comparison
from ...records import Record, once
from ...stats import Summary, mean_interval, signed
from ...studies import Cell, Rule
from ..markup import Html, bounds, empty
from .style import COLOURS, INK, STYLE, inline, looks, nothing


def multiverse(groups: list[tuple[Cell, list[Record]]], tier: str) -> Html:
    """One line per cell: seeds as dots, their mean with its 95 % interval where there are several. Dashed lines mark the means of
    the baseline and of Feature Mining by default (method ``fm2``), which the other cells change in one choice each."""
    groups = [(cell, Summary.of(values), values) for cell, records in groups
              if (values := [r.value("median10", cell.reported) for r in once(records)])]
    if not groups:
        return nothing(tier)
    import seaborn  # here, since it takes seconds that most pages need not wait

    look = looks(cell.labels[1] for cell, *_ in groups)
    marks = {cell.method: (look[cell.labels[1]].colour, dash) for method, dash in (("baseline", "--"), ("fm2", "-."))
             for cell, *_ in groups if cell.method == method}
    rows = pd.DataFrame([{"cell": cell.id, "choice": cell.labels[1], "run": i, "top-1 (%)": v}
                         for cell, _, values in groups for i, v in enumerate(values)])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 1.2 + 0.32 * len(groups)), layout="constrained")
        axes = figure.subplots()
        at = {"x": "top-1 (%)", "y": "cell", "hue": "cell", "legend": False, "ax": axes, "order": [c.id for c, *_ in groups],
              "palette": {cell.id: marks.get(cell.method, (INK,))[0] for cell, *_ in groups}}
        several = rows[rows.groupby("cell").cell.transform("size") > 1]
        if len(several):
            seaborn.pointplot(several, **at, errorbar=_interval, linestyle="none", marker="|", markersize=11, capsize=0.3,
                              err_kws={"linewidth": 1.4})
        seaborn.stripplot(rows, **at, jitter=False, size=4.5, alpha=0.7)
        for cell, s, _ in groups:
            if cell.method in marks:
                colour, dash = marks[cell.method]
                axes.axvline(s.mean, color=colour, ls=dash, lw=1.4, label=f"{cell.labels[1]}, mean", zorder=0)
        points = rows["top-1 (%)"]
        room = 0.15 * (points.max() - points.min()) + 0.2           # the intervals of two seeds may run out of the axes
        axes.set(xlabel="test top-1 (%), median of the last ten epochs", ylabel="", yticks=range(len(groups)),
                 ylim=(len(groups) - 0.5, -0.5), xlim=(points.min() - room, points.max() + room),
                 yticklabels=[f"{cell.labels[1]} (n = {s.n})" for cell, s, _ in groups])
        if any(cell.method in marks for cell, *_ in groups):
            figure.legend(loc="outside lower center", ncols=2, fontsize=9)
        summary = "; ".join(f"{cell.labels[1]} {s.mean:.2f} (n = {s.n})" for cell, s, _ in groups)
        title = f"One choice at a time, {tier} tier"
        return inline(figure, title, f"Test accuracy in percent by choice: {summary}", rows,
                      f"{title}: seeds as dots, their mean with its 95 % interval where there are several")


def _interval(values) -> tuple[float, float]:
    """Of the mean of several seeds, as elsewhere."""
    interval = mean_interval(Summary.of(list(values)))
    return interval.low, interval.high


def differences(compared: list[Comparison], rule: Rule) -> Html:
    """Each method minus what it is compared with, and the interval that decides; a comparison that is not finished is hollow."""
    drawn = [c for c in compared if c.outcome]
    if not drawn:
        return empty("No comparison has full runs on both sides yet: nothing to draw.")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 1.4 + 0.55 * len(compared)), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color=INK, lw=1)
        for y, c in enumerate(compared):
            if c.outcome and c.outcome.half < float("inf"):
                axes.errorbar(c.outcome.value, y, xerr=c.outcome.half, fmt="none", ecolor=COLOURS[0], capsize=3, elinewidth=1.6)
            if c.outcome:
                axes.plot(c.outcome.value, y, "o", color=COLOURS[0], ms=7, mfc="none" if c.p is None else COLOURS[0])
        axes.set(xlabel=f"difference of test top-1, {rule.outcome} epoch (percentage points)",
                 yticks=range(len(compared)), ylim=(len(compared) - 0.5, -0.5),
                 yticklabels=[fill(f"{c.label} (n = {' and '.join(str(len(s)) for s in c.seeds)})", 44) for c in compared])
        rows = [{"cell": c.cell.id, "difference": c.outcome.value, "low": c.outcome.low, "high": c.outcome.high,
                 "verdict": c.status} for c in drawn]
        summary = "; ".join(f"{c.label} {signed(c.outcome.value)} ({bounds(c.outcome, signed=True)}), {c.status}" for c in drawn)
        said = f"Differences in percentage points with {100 * rule.level:.0f} % intervals; hollow: not finished."
        return inline(figure, f"{rule.table}: each method minus what it is compared with", f"{said} {summary}",
                      pd.DataFrame(rows).round(4), f"Each method minus what it is compared with ({rule.table}). {said}")


def effects(rows: pd.DataFrame) -> Html:
    """A choice made otherwise, minus the same training with the default, hollow where one seed has it; the bar behind is where
    one more seed of the default would lie."""
    if rows.empty:
        return nothing("full")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 1.2 + 0.34 * len(rows)), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color=INK, lw=1)
        bars = rows[rows.another < float("inf")]
        axes.barh(bars.index, 2 * bars.another, left=-bars.another, height=0.5, color=COLOURS[7], alpha=0.3)
        for y, row in enumerate(rows.itertuples()):
            several = row.high - row.low < float("inf")
            if several:
                axes.errorbar(row.difference, y, xerr=(row.high - row.low) / 2, fmt="none", ecolor=COLOURS[0], capsize=3)
            axes.plot(row.difference, y, "o", color=COLOURS[0], ms=7, mfc=COLOURS[0] if several else "none")
        labels = [f"{row.instead} ({row.cell.partition('.')[0]}, n = {row.n})" for row in rows.itertuples()]
        axes.set(xlabel="less the default, test top-1, median of the last ten epochs (points)", ylim=(len(rows) - 0.5, -0.5),
                 yticks=range(len(rows)), yticklabels=labels)
        summary = "; ".join(f"{label} {d:+.1f}" for label, d in zip(labels, rows.difference, strict=True))
        said = ("Differences in percentage points; hollow: one seed; grey: another seed of the default, in 95 % of cases.")
        return inline(figure, "What an open choice changes", f"{said} {summary}", rows.round(4),
                      f"Feature Mining with one choice made otherwise, less Feature Mining by default. {said}")
