"""What is measured of the neighbours of Feature Mining -> figures: confusion over angle, maps around a low-rank layer, gains over
what they cost. No files, no state, no torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...judging.comparisons import Comparison
from ...records.findings import Finding
from ...studies import Cell
from ..markup import Html
from .style import INK, STYLE, inline, looks, nothing

PARTS = 10              # of the pairs of classes, by their angle
DOTS = 400              # pairs of a network up to which each has its dot


def by_angle(angles: Sequence[float], confused: Sequence[float], parts: int = PARTS) -> np.ndarray:
    """(parts, 2): mean angle and mean confusion of equal parts of the pairs, by their angle; fewer parts where pairs are few.

    >>> by_angle([90, 60, 70, 80], [1, 4, 3, 2], 2).tolist()
    [[65.0, 3.5], [85.0, 1.5]]
    """
    order = np.argsort(angles, kind="stable")
    pairs = np.column_stack([angles, confused])[order]
    return np.array([part.mean(0) for part in np.array_split(pairs, min(parts, len(pairs)))])


def confusion(measured: list[tuple[Cell, Finding]], tier: str) -> Html:
    """How often two classes are taken for each other over the angle of their vectors: each network's pairs, where they are few,
    and their means by tenths."""
    if not measured:
        return nothing(tier, "measurement")
    groups: dict[str, list[Finding]] = {}
    for cell, f in measured:
        groups.setdefault(cell.labels[1], []).append(f)
    rows, facts = [], []
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.6, 4.2), layout="constrained")
        axes = figure.subplots()
        for name, look in looks(groups).items():
            found = groups[name]
            angles, confused = (np.concatenate([np.fromstring(f.values[what], sep=" ") for f in found])
                                for what in ("angles", "confused"))
            means = by_angle(angles, confused)
            if len(angles) <= DOTS:
                axes.plot(angles, confused, ".", color=look.colour, ms=4, alpha=0.45)
            rhos = [f.values["rho"] for f in found if f.values["rho"] is not None]
            rho = f", Spearman's ρ {np.mean(rhos):.2f}".replace("-", "−") if rhos else ""
            label = f"{name} (n = {len(found)}{rho})"
            axes.plot(*means.T, ls=look.dash(), color=look.colour, marker=look.mark, ms=5.5, lw=1.8, label=label)
            facts.append(f"{label}: " + ", ".join(f"{a:.0f}° {c:.2f} %" for a, c in means))
            rows += [{"network": name, "angle": round(a, 2), "taken for each other (%)": round(c, 4)} for a, c in means]
        axes.set(xlabel="angle between two class vectors (degrees)", ylabel="taken for each other\n(% of a class's images)",
                 ylim=(0, None))
        figure.legend(loc="outside lower center", ncols=min(len(groups), 2), fontsize=9)
        what = "Mean confusion of pairs of classes by tenths of their angles."
        return inline(figure, f"Confusion over angle, {tier} tier", f"{what} {'; '.join(facts)}", pd.DataFrame(rows), what)


def grid(rows: Sequence[str]) -> np.ndarray:
    """A map of `measuring.detail`: rows of two hexadecimal digits a place -> (H, W) of 0 to 255.

    >>> grid(["00ff", "8000"]).tolist()
    [[0, 255], [128, 0]]
    """
    return np.array([list(bytes.fromhex(row)) for row in rows])


def detail(measured: list[tuple[Cell, Finding]], tier: str) -> Html:
    """The most informative map of a few images before and after the first network's low-rank layer, each in its own range."""
    if not measured:
        return nothing(tier, "measurement")
    cell, found = measured[0]
    maps = {name: [grid(rows) for rows in grids] for name, grids in found.values["maps"].items()}
    n = len(maps["before"])
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(1.5 * n + 0.8, 3.4), layout="constrained")
        panels = figure.subplots(2, n, squeeze=False)
        for line, (name, grids) in zip(panels, maps.items(), strict=True):
            for axes, values in zip(line, grids, strict=True):
                axes.imshow(values, cmap="magma", interpolation="none")
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
            line[0].set_ylabel(name, fontsize=10)
        rows = [{"image": i + 1, "row": y + 1, "column": x + 1, "before": int(a), "after": int(maps["after"][i][y, x])}
                for i, before in enumerate(maps["before"]) for (y, x), a in np.ndenumerate(before)]
        said = (f"{cell.id}, {found.name}: the most informative map of {n} test images before and after the layer behind "
                f"{found.values['place']}, dark to bright in its own range")
        return inline(figure, "Maps before and after low-rank recovery", said, pd.DataFrame(rows))


@dataclass(frozen=True)
class Cost:
    """What a cell's runs take above those of the one that it is compared with: the part of their time in percent (median, lowest,
    highest), and parameters while training and at test time. None where it is not on record."""

    time: tuple[float, float, float] | None
    training: int | None
    testing: int | None


def gains_and_costs(compared: list[tuple[Comparison, Cost]], title: str) -> Html:
    """Each comparison's difference with its interval, over the time that its runs take more, and over the parameters that they
    train more."""
    drawn = [(c, cost) for c, cost in compared if c.outcome]
    if not drawn:
        return nothing("full")
    panels = (("time of a run above the other's (%)", lambda cost: cost.time),
              ("parameters more while training (thousands)",
               lambda cost: None if cost.training is None else (cost.training / 1000,) * 3))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        look = looks(c.cell.labels[1] for c, _ in drawn)
        for panel, (over, of) in zip(axes, panels, strict=True):
            panel.axhline(0, color=INK, lw=1)
            for c, cost in drawn:
                colour, _, marker = look[c.cell.labels[1]]
                if (at := of(cost)) is None:
                    continue
                panel.errorbar(at[0], c.outcome.value, xerr=[[at[0] - at[1]], [at[2] - at[0]]],
                               yerr=c.outcome.half if c.outcome.half < float("inf") else None, fmt=marker, color=colour,
                               capsize=3, mfc="none" if c.p is None else colour, label=c.label)
            panel.set(xlabel=over)
        axes[0].set_ylabel("difference of test top-1\n(percentage points)")
        handles = dict(zip(*axes[1].get_legend_handles_labels()[::-1], strict=True))
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=2, fontsize=9)
        rows = [{"cell": c.cell.id, "minus": c.base.id,
                 "difference": c.outcome.value, "low": c.outcome.low, "high": c.outcome.high,
                 "time more (%)": cost.time and cost.time[0], "parameters more, training": cost.training,
                 "parameters more, test": cost.testing} for c, cost in drawn]
        facts = "; ".join(f"{c.label} {c.outcome.value:+.2f}" for c, _ in drawn)
        what = "Differences of test accuracy over what they cost; hollow: not finished."
        return inline(figure, title, f"{what} {facts}", pd.DataFrame(rows).round(4), what)
