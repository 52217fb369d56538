"""Costs -> figure: the time of an iteration over the baseline's. No files, no state, no torch."""

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from ...judging.cost import PAPERS_DEVICE, printed_ratio
from ...records.findings import Finding
from ...studies import Cell
from ..cost import costs_of, device
from ..markup import Html, empty
from .style import INK, STYLE, inline, looks


def cost_figure(cells: list[Cell], costs: list[Finding]) -> Html:
    """Time of an iteration over the baseline's by network, with 95 % intervals; one panel per device, the paper's beside it."""
    pairs = [(cell, f) for cell in cells for f in costs_of(cell, costs) if "time_ratio" in f.values]
    if not pairs:
        return empty("No cost of these cells beside their baseline yet: nothing to draw.")
    devices = list(dict.fromkeys(device(f) for _, f in pairs))
    networks = list(dict.fromkeys(cell.labels[0] for cell, _ in pairs))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(max(4.5 * len(devices), 7), 1.6 + 0.6 * len(networks)), layout="constrained")
        panels = figure.subplots(1, len(devices), sharex=True, sharey=True, squeeze=False)[0]
        points = [0.95, 1.25, *(f.values["time_ratio"] for _, f in pairs)]
        panels[0].set_xlim(min(points) - 0.05, max(points) + 0.05)      # a few rounds' intervals may run out of the axes
        for panel, name in zip(panels, devices, strict=True):
            _panel(panel, [(cell, f) for cell, f in pairs if device(f) == name], networks, name)
        panels[0].set(ylabel="network", yticks=range(len(networks)), yticklabels=networks, ylim=(len(networks) - 0.5, -0.5))
        panels[-1].legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
        text = "Seconds of a training iteration over those of the baseline, with 95 % intervals: " + "; ".join(
            "{name} {time_ratio:.3f} ({low:.3f} to {high:.3f})".format(name=", ".join(cell.labels), **f.values)
            for cell, f in pairs)
        rows = [{"cell": cell.id, "network": cell.labels[0], "method": cell.labels[1], "device": device(f), "tier": f.tier,
                 **{k: f.values[k] for k in ("time_ratio", "low", "high", "rounds")},
                 "printed ratio": round(printed_ratio(cell)[0], 3) if printed_ratio(cell) else None} for cell, f in pairs]
        return inline(figure, "What Feature Mining adds to an iteration", text, pd.DataFrame(rows), text)


def _panel(panel, pairs: list[tuple[Cell, Finding]], networks: list[str], title: str) -> None:
    methods = list(dict.fromkeys(cell.labels[1] for cell, _ in pairs))
    for k, (method, (colour, _, marker)) in enumerate(looks(methods).items()):
        measured = [(cell, f.values) for cell, f in pairs if cell.labels[1] == method]
        y = [networks.index(cell.labels[0]) + 0.24 * (k - (len(methods) - 1) / 2) for cell, _ in measured]
        x, n = [s["time_ratio"] for _, s in measured], sorted({s["rounds"] for _, s in measured})
        reach = [[s["time_ratio"] - s["low"] for _, s in measured], [s["high"] - s["time_ratio"] for _, s in measured]]
        label = f"{method}, n = {' to '.join(map(str, dict.fromkeys((n[0], n[-1]))))} rounds"
        panel.errorbar(x, y, xerr=reach, fmt=marker, color=colour, capsize=3, label=label)
        printed = [(printed_ratio(cell)[0], at) for (cell, _), at in zip(measured, y, strict=True) if printed_ratio(cell)]
        if printed:
            label = f"{method}, paper ({PAPERS_DEVICE})"
            panel.plot(*zip(*printed, strict=True), marker, color=colour, mfc="none", label=label)
    panel.axvline(1, color=INK, lw=1)
    panel.set(xlabel="time of an iteration / baseline's")
    panel.set_title(title, fontsize=10)
