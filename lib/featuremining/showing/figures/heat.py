"""A table of numbers over many orders of magnitude, as a map of colours with the numbers in it. No files, no state, no torch."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from ..markup import Html
from .style import STYLE, inline, looks

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
    import seaborn  # here, since it takes seconds that most pages need not wait

    table = values.to_numpy(float)
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(2.6 + 0.62 * table.shape[1], 1.2 + 0.34 * table.shape[0]), layout="constrained")
        axes = figure.subplots()
        norm = LogNorm(lowest, WORST, clip=True)
        seaborn.heatmap(np.where(np.isfinite(table), table, WORST).clip(lowest, WORST), ax=axes, cmap="cividis", norm=norm,
                        annot=np.vectorize(short, otypes=[str])(table), fmt="", annot_kws={"fontsize": 8.5}, cbar=False,
                        xticklabels=list(map(_named, values.columns)), yticklabels=values.index)
        for text, value in zip(axes.texts, table.flat, strict=True):            # seaborn's own choice is pale on the middle
            text.set_color("white" if norm(min(value, WORST)) < 0.55 else "black")
        axes.set(xlabel=over, ylabel="")
        rows = ("; ".join(f"{name}: {', '.join(map(short, row))}" for name, row in zip(values.index, table, strict=True)))
        return inline(figure, title, f"{title}, over {over} {', '.join(map(_named, values.columns))}. {rows}. {said}".strip(),
                      values.rename_axis("row").reset_index())


def _named(value) -> str:
    return short(value) if isinstance(value, float) else str(value)


def lines(series: dict[str, tuple[Sequence[float], Sequence[float]]], title: str, x: str, y: str) -> Html:
    """Lines over positive values, ordinates logarithmic: name -> (abscissas, ordinates). Those that are the same are one line
    with all of their names: the last would hide the others."""
    same: dict[tuple, list[str]] = {}
    for name, points in series.items():
        same.setdefault(tuple(map(tuple, points)), []).append(name)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.8), layout="constrained")
        axes = figure.subplots()
        names = {first: "\n".join([first, *others]) for first, *others in same.values()}
        for first, look in looks(names).items():
            axes.plot(*series[first], ls=look.dash(), color=look.colour, marker="o", ms=3.5, lw=1.6, label=names[first])
        axes.set(yscale="log", xlabel=x, ylabel=y)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
        said = "; ".join(f"{name}: {', '.join(f'{v:.2g}' for v in values)}" for name, (_, values) in series.items())
        rows = pd.DataFrame([{"series": name, x: a, y: v} for name, (at, values) in series.items()
                             for a, v in zip(at, values, strict=True)])
        return inline(figure, title, f"{title}, {y} over {x}. {said}.", rows)
