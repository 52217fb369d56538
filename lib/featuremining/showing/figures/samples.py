"""Accuracy over the size of the data set (figure 6). No files, no state, no torch."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...records import Record, once
from ...stats import Summary, mean_interval
from ...studies import Cell
from ..markup import Html
from .style import STYLE, inline, looks, nothing


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
        for k, (name, look) in enumerate(looks(groups).items()):
            values, colour = groups[name], look.colour
            points = [(at + (k - (len(groups) - 1) / 2) * gap, Summary.of(list(seeds)), seeds)
                      for at, seeds in zip(x, values, strict=True) if len(seeds)]
            if not points:
                continue
            places, sizes = [at for at, _, _ in points], sorted({s.n for _, s, _ in points})
            label = f"{name} (n = {sizes[0]})" if len(sizes) == 1 else f"{name} (n = {sizes[0]} to {sizes[-1]})"
            axes.plot(places, [s.mean for _, s, _ in points], "D", ls=look.dash(), color=colour, lw=1.8, ms=7, mfc="none",
                      label=label)
            bars = [(at, s.mean, mean_interval(s).half) for at, s, _ in points if s.n > 1]
            if bars:
                axes.errorbar(*zip(*bars, strict=True), fmt="none", ecolor=colour, elinewidth=1.4, capsize=3)
            axes.plot(np.repeat(places, [s.n for _, s, _ in points]), np.concatenate([seeds for _, _, seeds in points]), "o",
                      color=colour, ms=3.5, alpha=0.6)
        room = 4 * gap or 0.5                                # ticks alone would put the first marks on the frame
        axes.set(xlabel=xlabel, ylabel=ylabel, xticks=list(x), xlim=(min(x) - room, max(x) + room))
        axes.legend(fontsize=9)
        rows = [{xlabel: at, "method": name, "run": i, ylabel: v} for name, values in groups.items()
                for at, seeds in zip(x, values, strict=True) for i, v in enumerate(seeds)]
        means = "; ".join(f"{name} {', '.join(f'{fmean(s):.2f} at {at}' for at, s in zip(x, values, strict=True) if len(s))}"
                          for name, values in groups.items() if any(map(len, values)))
        description = f"{ylabel} over {xlabel}: seeds as dots, means as diamonds, 95 % intervals as bars. Means: {means}"
        return inline(figure, title or f"{ylabel} over {xlabel}, {tier} tier", description, pd.DataFrame(rows), description)


def over_samples(groups: list[tuple[Cell, list[Record]]], tier: str) -> Html:
    """Figure 6: accuracy over training images per class, the number that a cell's condition names."""
    sizes = sorted({int(cell.condition) for cell, _ in groups})
    seeds = {}
    for name in dict.fromkeys(cell.labels[1] for cell, _ in groups):
        runs = [once(r for cell, records in groups if cell.labels[1] == name and int(cell.condition) == size for r in records)
                for size in sizes]
        seeds[name] = [[r.value("best") for r in same] for same in runs]
    return accuracy_over(sizes, seeds, "training images per class", tier, "test top-1 (%), best epoch")
