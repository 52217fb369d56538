"""Records -> figures, as inline SVG that is legible in light and dark pages. No files, no state, no torch."""

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .comparisons import Comparison
from .errors import UsageError
from .findings import Finding
from .records import Record
from .studies import Cell, Rule
from .tables import Html, save_link
from .verdicts import Summary, mean_interval

INK, GRID = "#0b0c0d", "#0a0b0c"      # stand-ins that the page's own text and border colours replace
COLOURS = ["#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9"]
                                    # which colour-blind readers tell apart: seaborn's "colorblind"; its import takes seconds
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "featuremining", "font.size": 11, "text.color": INK, "axes.labelcolor": INK,
         "xtick.color": INK, "ytick.color": INK, "axes.edgecolor": INK, "axes.grid": True, "grid.color": GRID,
         "grid.linewidth": 0.6, "axes.spines.top": False, "axes.spines.right": False, "figure.facecolor": "none",
         "axes.facecolor": "none", "legend.frameon": False, "font.family": "sans-serif"}


def inline(figure: Figure, title: str, description: str, data: pd.DataFrame) -> Html:
    """The figure as an SVG element with a title and, for those who do not see it, a description; below it a link that saves
    what is drawn as CSV."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None}, bbox_inches="tight", transparent=True)
    svg = file.getvalue()[file.getvalue().index("<svg"):]
    svg = svg.replace(INK, "var(--pst-color-text-base, currentColor)").replace(GRID, "var(--pst-color-border, #8884)")
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.S)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1 width="100%"', svg, count=1)
    title = escape(title)
    head = f"<title>{title}</title><desc>{escape(description)}</desc>"
    svg = re.sub(r"(<svg[^>]*)>", rf'\1 role="img" aria-label="{title}">{head}', svg, count=1)
    saved = save_link(data.to_csv(index=False), "CSV", "csv", title)
    return Html(f'<figure class="plot">{svg}<figcaption>What is drawn: {saved}</figcaption></figure>')


def nothing(tier: str, what: str = "record") -> Html:
    """What stands in place of a figure without data."""
    return Html(f'<p class="empty">No {tier}-tier {what} of these cells yet: nothing to draw.</p>')


LEARNING = (("test_acc", "test top-1 (%)"), ("ce", "training loss, term of the main head"))      # curve, axis
MEMORISATION = (("memorised", "wrong labels memorised (%)"), ("recovered", "recognised in spite of them (%)"),
                ("test_acc", "test top-1 (%)"))
SHARES = ("memorised", "recovered")         # recorded in percent of all images, shown in percent of those with a wrong label


def curves(groups: list[tuple[Cell, list[Record]]], tier: str, panels: Sequence[tuple[str, str]] = LEARNING) -> Html:
    """Recorded quantities over epochs, one panel each; one line per seed, one colour per cell. Epochs without a value are left
    out."""
    groups = [(cell, found) for cell, found in groups if any(panels[0][0] in record.curves for record in found)]
    if not groups:
        return nothing(tier)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        axes = figure.subplots(1, len(panels))
        colours, dashes = COLOURS * len(groups), ["-", "--", "-.", ":"] * len(groups)
        for (cell, found), colour, dash in zip(groups, colours, dashes, strict=False):
            for i, record in enumerate(found):
                label = f"{' · '.join(cell.labels)} (n = {len(found)})" if i == 0 else None
                for panel, (name, _) in zip(axes, panels, strict=True):
                    panel.plot(*_series(record, name), dash, color=colour, lw=1.8, label=label)
        for panel, (_, title) in zip(axes, panels, strict=True):
            panel.set(xlabel="epoch", ylabel=title)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
        ends = "; ".join(f"{cell.id} " + ", ".join(f"{_series(r, panels[0][0])[1][-1]:.2f}" for r in found)
                         for cell, found in groups)
        description = f"{', '.join(title for _, title in panels)} over epochs. {panels[0][1]} at the end, by seed: {ends}"
        return inline(figure, f"Training curves, {tier} tier", description, _by_epoch(groups, panels))


def _by_epoch(groups: list[tuple[Cell, list[Record]]], panels: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """One row per epoch, one column per cell, seed and quantity; empty where nothing was measured."""
    columns = {f"{cell.id} seed {r.seed}: {title}": pd.Series(dict(zip(*_series(r, name), strict=True)), dtype=float).round(4)
               for name, title in panels for cell, found in groups for r in found}
    return pd.DataFrame(columns).sort_index().rename_axis("epoch").reset_index()


def _series(record: Record, name: str) -> tuple[list[int], list[float]]:
    """Epochs, from 1, and values of one curve; none where the record has no such curve."""
    scale = 100 / record.metrics["wrong_labels"] if name in SHARES else 1
    kept = [(epoch, scale * v) for epoch, v in enumerate(record.curves.get(name, ()), 1) if v is not None]
    return [epoch for epoch, _ in kept], [v for _, v in kept]


def accuracy_over(x: Sequence[float], groups: Mapping[str, Sequence[Sequence[float]]], xlabel: str, tier: str,
                  ylabel: str = "test top-1 (%)", title: str = "") -> Html:
    """A value over ``x``, one line per method. ``groups[method][i]`` holds the seeds' values at ``x[i]``, or nothing.

    Dots are seeds, lines join the means (diamonds), bars are 95 % t intervals of the mean where there are two seeds at least.
    """
    if not any(len(seeds) for values in groups.values() for seeds in values):
        return nothing(tier)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7, 3.8), layout="constrained")
        axes = figure.subplots()
        gap = 0.012 * (max(x) - min(x))                      # side by side, so that bars do not cover one another
        colours, dashes = COLOURS * len(groups), ["-", "--", "-.", ":"] * len(groups)
        for k, ((name, values), colour, dash) in enumerate(zip(groups.items(), colours, dashes, strict=False)):
            kept = [(at + (k - (len(groups) - 1) / 2) * gap, Summary.of(list(seeds)), seeds)
                    for at, seeds in zip(x, values, strict=True) if len(seeds)]
            if not kept:
                continue
            places, sizes = [at for at, _, _ in kept], sorted({s.n for _, s, _ in kept})
            label = f"{name} (n = {sizes[0]})" if len(sizes) == 1 else f"{name} (n = {sizes[0]} to {sizes[-1]})"
            axes.plot(places, [s.mean for _, s, _ in kept], dash + "D", color=colour, lw=1.8, ms=7, mfc="none", label=label)
            bars = [(at, s.mean, mean_interval(s).half) for at, s, _ in kept if s.n > 1]
            if bars:
                axes.errorbar(*zip(*bars, strict=True), fmt="none", ecolor=colour, elinewidth=1.4, capsize=3)
            axes.plot(np.repeat(places, [s.n for _, s, _ in kept]), np.concatenate([seeds for _, _, seeds in kept]), "o",
                      color=colour, ms=3.5, alpha=0.6)
        room = 4 * gap or 0.5                                # ticks alone would put the first marks on the frame
        axes.set(xlabel=xlabel, ylabel=ylabel, xticks=list(x), xlim=(min(x) - room, max(x) + room))
        axes.legend(fontsize=9)
        rows = [{xlabel: at, "method": name, "run": i, ylabel: v} for name, values in groups.items()
                for at, seeds in zip(x, values, strict=True) for i, v in enumerate(seeds)]
        means = "; ".join(f"{name} {', '.join(f'{fmean(s):.2f} at {at}' for at, s in zip(x, values, strict=True) if len(s))}"
                          for name, values in groups.items() if any(map(len, values)))
        description = f"{ylabel} over {xlabel}: seeds as dots, means as diamonds, 95 % intervals as bars. Means: {means}"
        return inline(figure, title or f"{ylabel} over {xlabel}, {tier} tier", description, pd.DataFrame(rows))


def over_samples(groups: list[tuple[Cell, list[Record]]], tier: str) -> Html:
    """Figure 6: accuracy over training images per class, the number that a cell's condition names."""
    sizes = sorted({int(cell.condition) for cell, _ in groups})
    seeds = {name: [[r.value("best") for cell, found in groups if cell.labels[1] == name and int(cell.condition) == size
                     for r in found] for size in sizes] for name in dict.fromkeys(cell.labels[1] for cell, _ in groups)}
    return accuracy_over(sizes, seeds, "training images per class", tier, "test top-1 (%), best epoch")


def multiverse(groups: list[tuple[Cell, list[Record]]], tier: str) -> Html:
    """One line per cell: seeds as dots, their mean with its 95 % interval where there are several. Dashed lines mark the means of
    the baseline and of Feature Mining by default (method ``fm2``), which the other cells change in one choice each."""
    groups = [(cell, Summary.of(values), values) for cell, found in groups
              if (values := [r.value("median10", cell.reported) for r in found])]
    if not groups:
        return nothing(tier)
    marks = {"baseline": (COLOURS[1], "--"), "fm2": (COLOURS[0], "-.")}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 1.2 + 0.32 * len(groups)), layout="constrained")
        axes = figure.subplots()
        for y, (cell, s, values) in enumerate(groups):
            colour, dash = marks.get(cell.method, (INK, ""))
            if s.n > 1:
                axes.errorbar(s.mean, y, xerr=mean_interval(s).half, fmt="|", color=colour, ms=11, capsize=3, elinewidth=1.4)
            axes.plot(values, [y] * s.n, "o", color=colour, ms=4.5, alpha=0.7)
            if dash:
                axes.axvline(s.mean, color=colour, ls=dash, lw=1.4, label=f"{cell.labels[1]}, mean", zorder=0)
        points = [v for *_, values in groups for v in values]
        room = 0.15 * (max(points) - min(points)) + 0.2             # the intervals of two seeds may run out of the axes
        axes.set(xlabel="test top-1 (%), median of the last ten epochs", yticks=range(len(groups)),
                 ylim=(len(groups) - 0.5, -0.5), xlim=(min(points) - room, max(points) + room),
                 yticklabels=[f"{cell.labels[1]} (n = {s.n})" for cell, s, _ in groups])
        if any(cell.method in marks for cell, *_ in groups):
            figure.legend(loc="outside lower center", ncols=2, fontsize=9)
        said = "; ".join(f"{cell.labels[1]} {s.mean:.2f} (n = {s.n})" for cell, s, _ in groups)
        rows = [{"cell": cell.id, "choice": cell.labels[1], "run": i, "top-1 (%)": v}
                for cell, _, values in groups for i, v in enumerate(values)]
        return inline(figure, f"One choice at a time, {tier} tier", f"Test accuracy in percent by choice: {said}",
                      pd.DataFrame(rows))


def differences(found: list[Comparison], rule: Rule) -> Html:
    """Each method minus its baseline with the interval that decides; a comparison that is not finished is hollow."""
    shown = [c for c in found if c.outcome]
    if not shown:
        return nothing("full")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 1.4 + 0.45 * len(found)), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color=INK, lw=1)
        for y, c in enumerate(found):
            if c.outcome and c.outcome.half < float("inf"):
                axes.errorbar(c.outcome.value, y, xerr=c.outcome.half, fmt="none", ecolor=COLOURS[0], capsize=3, elinewidth=1.6)
            if c.outcome:
                axes.plot(c.outcome.value, y, "o", color=COLOURS[0], ms=7, mfc="none" if c.p is None else COLOURS[0])
        axes.set(xlabel=f"method minus baseline, test top-1, {rule.outcome} epoch (percentage points)", yticks=range(len(found)),
                 ylim=(len(found) - 0.5, -0.5),
                 yticklabels=[f"{' · '.join(c.cell.labels)} (n = {' and '.join(str(len(s)) for s in c.seeds)})" for c in found])
        rows = [{"cell": c.cell.id, "difference": c.outcome.value, "low": c.outcome.low, "high": c.outcome.high,
                 "verdict": c.status} for c in shown]
        said = "; ".join(f"{row['cell']} {row['difference']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f}), {row['verdict']}"
                         for row in rows)
        return inline(figure, f"{rule.table}: each method minus its baseline",
                      f"Differences in percentage points with {100 * rule.level:.0f} % intervals; hollow: not finished. {said}",
                      pd.DataFrame(rows).round(4))


def activations(found: list[tuple[Cell, Finding]], unit: str, tier: str) -> Html:
    """Figure 4 from the first finding; ``unit`` is ``raw`` or ``in_spreads``."""
    if not found:
        return nothing(tier, "measurement")
    values = found[0][1].values
    names = {"raw": "activation", "in_spreads": "activation, in standard deviations of its stage"}
    return activation_histogram(values[unit]["edges"], values[unit]["counts"], values["n"], names[unit])


def activation_histogram(edges: Sequence[float], counts: Mapping[str, Sequence[Sequence[float]]], n: int,
                         unit: str = "activation") -> Html:
    """How many activations of an image are how large: one panel per stage, one line per network, ordinates logarithmic.

    ``edges`` (E,) and ``counts[network]`` (stages, E) are those of `insight.activation_counts`: the last column, drawn as a
    dot, counts what lies beyond the last edge. ``n`` is the number of images, ``unit`` what the abscissa shows.
    """
    edges, tables = np.asarray(edges, float), {name: np.asarray(c, float) for name, c in counts.items()}
    stages = len(next(iter(tables.values())))
    if any(c.shape != (stages, len(edges)) for c in tables.values()):
        raise UsageError(f"activation_histogram needs {len(edges)} counts for every stage of every network.")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.2 * stages, 3.4), layout="constrained")
        panels = figure.subplots(1, stages, sharex=True, squeeze=False)[0]
        colours, dashes = COLOURS * len(tables), ["-", "--", "-.", ":"] * len(tables)
        beyond = edges[-1] + max(edges[-1] - edges[0], 0.1) / 15
        for stage, axes in enumerate(panels):
            for (name, c), colour, dash in zip(tables.items(), colours, dashes, strict=False):
                seen = np.where(c[stage] > 0, c[stage], np.nan)         # no logarithm of nothing
                axes.stairs(seen[:-1], edges, color=colour, ls=dash, lw=1.6, label=f"{name} (n = {n} images)", baseline=None)
                axes.plot([beyond], seen[-1:], "o", color=colour, ms=4)
            axes.set(yscale="log", title=f"stage {stage + 1}")
        panels[0].set_ylabel("activations per image")
        figure.supxlabel(f"{unit} (dots: all beyond)", fontsize=11)
        panels[-1].legend(fontsize=9)
        description = (f"Number of activations per image in bins of {edges[1] - edges[0]:.2g} from {edges[0]:.2g} to "
                       f"{edges[-1]:.3g}, dots: beyond, mean over {n} images. In all, stage by stage: "
                       + "; ".join(f"{name} {', '.join(f'{total:.0f}' for total in c.sum(1))}" for name, c in tables.items()))
        rows = pd.concat([pd.DataFrame({"stage": stage + 1, "above": edges.round(4), "up to": [*edges[1:].round(4), np.inf],
                                        **{name: c[stage] for name, c in tables.items()}}) for stage in range(stages)])
        return inline(figure, f"Activations over magnitude ({unit})", description, rows)
