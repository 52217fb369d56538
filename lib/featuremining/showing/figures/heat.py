"""A table of numbers over many orders of magnitude, as a map of colours with the numbers in it. No files, no state, no torch."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from ..markup import Html
from .style import STYLE, inline

WORST = 1e3         # what is larger has the last colour


def short(value: float) -> str:
    """
    >>> short(0.00123), short(1.0), short(float("inf")), short(1e12)
    ('1e−3', '1', 'inf', '1e12')
    """
    if value in (0, 1) or not np.isfinite(value):
        return f"{value:.0f}"
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}".replace("-", "−")


def heat(values: pd.DataFrame, title: str, over: str, lowest: float, said: str = "") -> Html:
    """``values`` with a row and a column of the map each, named by index and columns; ``over``: what the columns are. Below
    ``lowest`` all have the first colour."""
    table = values.to_numpy(float)
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(2.6 + 0.62 * table.shape[1], 1.2 + 0.34 * table.shape[0]), layout="constrained")
        axes = figure.subplots()
        norm = LogNorm(lowest, WORST, clip=True)
        axes.pcolormesh(np.where(np.isfinite(table), table, WORST).clip(lowest, WORST), cmap="cividis", norm=norm, lw=0)
        for (row, column), value in np.ndenumerate(table):
            axes.text(column + 0.5, row + 0.5, short(value), ha="center", va="center", fontsize=8.5,
                      color="white" if norm(min(value, WORST)) < 0.55 else "black")
        axes.set(xticks=np.arange(table.shape[1]) + 0.5, yticks=np.arange(table.shape[0]) + 0.5, xlabel=over)
        axes.set_xticklabels(list(map(_named, values.columns)))
        axes.set_yticklabels(values.index)
        axes.invert_yaxis()
        rows = ("; ".join(f"{name}: {', '.join(map(short, row))}" for name, row in zip(values.index, table, strict=True)))
        return inline(figure, title, f"{title}, over {over} {', '.join(map(_named, values.columns))}. {rows}. {said}".strip(),
                      values.rename_axis("row").reset_index())


def _named(value) -> str:
    return short(value) if isinstance(value, float) else str(value)


def lines(series: dict[str, tuple[Sequence[float], Sequence[float]]], title: str, x: str, y: str) -> Html:
    """Lines over positive values, ordinates logarithmic: name -> (abscissas, ordinates)."""
    from .style import COLOURS

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.8), layout="constrained")
        axes = figure.subplots()
        looks = zip(series.items(), COLOURS * len(series), ["-", "--", "-.", ":"] * len(series), strict=False)
        for (name, (at, values)), colour, dash in looks:
            axes.plot(at, values, dash, color=colour, marker="o", ms=3.5, lw=1.6, label=name)
        axes.set(yscale="log", xlabel=x, ylabel=y)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
        said = "; ".join(f"{name}: {', '.join(f'{v:.2g}' for v in values)}" for name, (_, values) in series.items())
        rows = pd.DataFrame([{"series": name, x: a, y: v} for name, (at, values) in series.items()
                             for a, v in zip(at, values, strict=True)])
        return inline(figure, title, f"{title}, {y} over {x}. {said}.", rows)
