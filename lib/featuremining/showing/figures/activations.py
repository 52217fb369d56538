"""Activations over their magnitude (figure 4). No files, no state, no torch."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...errors import UsageError
from ...records.findings import Finding
from ...studies import Cell
from ..markup import Html
from .style import STYLE, inline, looks, nothing


def activations(measured: list[tuple[Cell, Finding]], unit: str, tier: str) -> Html:
    """Figure 4 from the first finding; ``unit`` is ``raw`` or ``in_spreads``."""
    if not measured:
        return nothing(tier, "measurement")
    values = measured[0][1].values
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
        beyond = edges[-1] + max(edges[-1] - edges[0], 0.1) / 15
        for stage, axes in enumerate(panels):
            for name, look in looks(tables).items():
                c = tables[name]
                seen = np.where(c[stage] > 0, c[stage], np.nan)         # no logarithm of nothing
                axes.stairs(seen[:-1], edges, color=look.colour, ls=look.dash(), lw=1.6, baseline=None,
                            label=f"{name} (n = {n} images)")
                axes.plot([beyond], seen[-1:], "o", color=look.colour, ms=4)
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
