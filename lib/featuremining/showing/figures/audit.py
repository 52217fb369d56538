"""Figures of the audit: printed differences with their intervals, and other people's baselines. No files, no state, no torch."""

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from ... import studies
from ...judging.audit import ALPHA
from ..markup import Html
from .style import COLOURS, INK, STYLE, inline

STATES = (("significant, with Holm's correction", "o", COLOURS[0], COLOURS[0]),
          ("significant, but only alone", "D", COLOURS[1], COLOURS[1]),
          ("within what the spread allows", "s", COLOURS[3], "none"))               # legend, marker, colour, filling
BASELINES = (("the paper's baseline", "o", COLOURS[0], "none"), ("the paper's FM (2 layers)", "o", COLOURS[0], COLOURS[0]),
             ("others, plain recipe", "^", COLOURS[1], COLOURS[1]),
             ("others, recipe not known to be plain", "v", COLOURS[3], "none"))


def labelled(frame: pd.DataFrame, by_network: bool = False) -> pd.DataFrame:
    """`audit.distinct` with the ``panel`` of each row (its table or its network), its ``label`` there, and its ``state``: 0
    significant with Holm's correction, 1 significant alone, 2 not."""
    cells = [(studies.cell(row.higher), studies.cell(row.lower)) for row in frame.itertuples()]
    several = {table: len({c.labels[0] for c, _ in cells if c.table == table}) > 1 for table in frame.table}
    methods = [f"{a.labels[1]} − {b.labels[1]}" for a, b in cells]
    places = [f"{a.labels[0]}: " if several[a.table] and not by_network else "" for a, _ in cells]
    return frame.assign(
        panel=[a.labels[0] if by_network else a.at.table.title for a, _ in cells],
        label=[place + words for place, words in zip(places, methods, strict=True)],
        state=[0 if holm < ALPHA else 1 if p < ALPHA else 2 for holm, p in zip(frame.holm, frame.p, strict=True)])


def forest(rows: pd.DataFrame, title: str, columns: int = 1) -> Html:
    """Differences in percentage points with 95 % intervals, one panel for each of `labelled`'s; panels of several columns share
    their labels."""
    panels = [(name, group.iloc[::-1].reset_index()) for name, group in rows.groupby("panel", sort=False)]
    grid = [panels[i:i + columns] for i in range(0, len(panels), columns)]
    heights = [max(len(group) for _, group in line) for line in grid]
    with matplotlib.rc_context({**STYLE, "font.size": 10}):
        figure = Figure(figsize=(9, 0.55 * len(grid) + 0.24 * sum(heights) + 0.8), layout="constrained")
        axes = figure.subplots(len(grid), columns, sharex=True, squeeze=False, height_ratios=[h + 1 for h in heights])
        for line, places in zip(grid, axes, strict=True):
            for k, ((name, group), panel) in enumerate(zip(line, places, strict=True)):
                _panel(panel, name, group, group.label if k == 0 else [])
        for panel in axes[-1]:
            panel.set_xlabel("difference (percentage points)")
        marks = [matplotlib.lines.Line2D([], [], marker=m, color=c, mfc=f, ls="", label=text) for text, m, c, f in STATES]
        figure.legend(handles=marks, loc="outside lower center", ncols=3, fontsize=9)
        count = rows.state.value_counts()
        counts = ", ".join(f"{count.get(k, 0)} {text}" for k, (text, *_) in enumerate(STATES))
        drawn = rows[["higher", "lower", "difference", "low", "high", "p", "holm", "holm_as_error", "power"]].round(6)
        said = f"{len(rows)} printed differences with 95 % intervals; {counts}"
        return inline(figure, title, said, drawn, f"{title}. {said}")


def _panel(panel, name: str, rows: pd.DataFrame, labels) -> None:
    for row in rows.itertuples():
        _, marker, colour, filling = STATES[row.state]
        panel.errorbar(row.difference, row.Index, xerr=[[row.difference - row.low], [row.high - row.difference]], fmt=marker,
                       color=colour, mfc=filling, ms=4.5, capsize=2.5, elinewidth=1.2)
    panel.axvline(0, color=INK, lw=1)
    panel.set(yticks=range(len(rows)), ylim=(-0.7, len(rows) - 0.3))
    panel.set_yticklabels(labels if len(labels) else [""] * len(rows))
    panel.set_title(name, fontsize=10, loc="left")


def baselines(frame: pd.DataFrame) -> Html:
    """One network a line: the paper's baseline, its Feature Mining on two layers, and what others reached without."""
    networks = list(dict.fromkeys(frame.label))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 1.4 + 0.5 * len(networks)), layout="constrained")
        axes = figure.subplots()
        at = frame.label.map(networks.index)
        per_network = frame.drop_duplicates("label")
        points = ((per_network.baseline, at[per_network.index]), (per_network.fm2, at[per_network.index]),
                  (frame.accuracy[frame.plain], at[frame.plain] + 0.2), (frame.accuracy[~frame.plain], at[~frame.plain] + 0.2))
        for (text, marker, colour, filling), (x, y) in zip(BASELINES, points, strict=True):
            axes.plot(x, y, marker, color=colour, mfc=filling, ms=7, label=text)
        axes.set(xlabel="CIFAR-100, test top-1 (%)", yticks=range(len(networks)), yticklabels=networks,
                 ylim=(len(networks) - 0.5, -0.5))
        figure.legend(loc="outside lower center", ncols=2, fontsize=9)
        summary = "; ".join(f"{name}: {rows.baseline.iloc[0]:.2f}, with FM {rows.fm2.iloc[0]:.2f}, others "
                            + ", ".join(f"{v:.2f}" for v in rows.accuracy) for name, rows in frame.groupby("label", sort=False))
        return inline(figure, "Networks of Table 1 without Feature Mining, elsewhere", summary, frame.drop(columns="label"))
