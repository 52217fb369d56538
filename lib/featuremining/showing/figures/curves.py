"""What was recorded over epochs. No files, no state, no torch."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from ...records import Record, once
from ...studies import Cell
from ..markup import Html
from .style import STYLE, inline, looks, nothing, to_file

LEARNING = (("test_acc", "test top-1 (%)"), ("ce", "training loss, term of the main head"))      # curve, axis
MEMORISATION = (("memorised", "wrong labels memorised (%)"), ("recovered", "recognised in spite of them (%)"),
                ("test_acc", "test top-1 (%)"))
SHARES = ("memorised", "recovered")         # recorded in percent of all images, shown in percent of those with a wrong label


def curves(groups: list[tuple[Cell, list[Record]]], tier: str, panels: Sequence[tuple[str, str]] = LEARNING) -> Html:
    """Recorded quantities over epochs, one panel each; one line per seed, one colour per cell. Epochs without a value are left
    out."""
    groups = list({cell.id: (cell, once(records)) for cell, records in groups}.values())
    groups = [(cell, records) for cell, records in groups if any(panels[0][0] in record.curves for record in records)]
    if not groups:
        return nothing(tier)
    with matplotlib.rc_context(STYLE):
        figure = _drawn(groups, panels)
        ends = "; ".join(f"{' · '.join(cell.labels)} " + ", ".join(f"{_series(r, panels[0][0])[1][-1]:.2f}" for r in records)
                         for cell, records in groups)
        description = f"{', '.join(title for _, title in panels)} over epochs. {panels[0][1]} at the end, by seed: {ends}"
        several = len({cell.labels[0] for cell, _ in groups}) > 1
        means = [f"{' · '.join(cell.labels[not several:])} {fmean(_series(r, panels[0][0])[1][-1] for r in records):.2f}"
                 for cell, records in groups]
        caption = f"Over the epochs, {tier} tier, a line for each seed. At the end, {panels[0][1]}: {', '.join(means)}"
        return inline(figure, f"Training curves, {tier} tier", description, _by_epoch(groups, panels), caption)


def save(groups: list[tuple[Cell, list[Record]]], path: Path, panels: Sequence[tuple[str, str]] = LEARNING) -> None:
    """The same as a file (`to_file`)."""
    with matplotlib.rc_context(STYLE):
        to_file(_drawn(groups, panels), path)


def _drawn(groups: list[tuple[Cell, list[Record]]], panels: Sequence[tuple[str, str]]) -> Figure:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, len(panels))
    look, drawn = looks(cell.labels[1] for cell, _ in groups), Counter()
    for cell, records in groups:
        mine = look[cell.labels[1]]
        line = {"color": mine.colour, "ls": mine.dash(drawn[cell.labels[1]]), "lw": 1.8}
        drawn[cell.labels[1]] += 1
        for i, record in enumerate(records):
            label = f"{' · '.join(cell.labels)} (n = {len(records)})" if i == 0 else None
            for panel, (name, _) in zip(axes, panels, strict=True):
                panel.plot(*_series(record, name), label=label, **line)
    for panel, (_, title) in zip(axes, panels, strict=True):
        panel.set(xlabel="epoch", ylabel=title)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    return figure


def _by_epoch(groups: list[tuple[Cell, list[Record]]], panels: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """One row per epoch, one column per cell, seed and quantity; empty where nothing was measured."""
    columns = {f"{cell.id} seed {r.seed}: {title}": pd.Series(dict(zip(*_series(r, name), strict=True)), dtype=float).round(4)
               for name, title in panels for cell, records in groups for r in records}
    return pd.DataFrame(columns).sort_index().rename_axis("epoch").reset_index()


def _series(record: Record, name: str) -> tuple[list[int], list[float]]:
    """Epochs, from 1, and values of one curve; none where the record has no such curve."""
    scale = 100 / record.metrics["wrong_labels"] if name in SHARES else 1
    points = [(epoch, scale * v) for epoch, v in enumerate(record.curves.get(name, ()), 1) if v is not None]
    return [epoch for epoch, _ in points], [v for _, v in points]
