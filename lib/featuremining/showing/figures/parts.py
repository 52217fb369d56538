"""What the classifiers of the parts lose over the epochs. No files, no state, no torch."""

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from ...records import Record
from ..markup import Html
from .style import COLOURS, INK, STYLE, inline, nothing

CURVES = {"ce": ("whole", COLOURS[0], "-"), "fm.stage3.inside": ("inside, last stage", COLOURS[1], "-"),
          "fm.stage3.outside": ("outside, last stage", COLOURS[2], "-"),
          "fm.stage2.inside": ("inside, stage before", COLOURS[1], ":"),
          "fm.stage2.outside": ("outside, stage before", COLOURS[2], ":")}      # curve -> label, colour, dash


def part_losses(shown: list[tuple[str, Record, float]]) -> Html:
    """Of each (title, record, loss of a guess) a panel; two in a row."""
    if not shown:
        return nothing("full")
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9 if columns > 1 else 7, 2.9 * rows + 0.5), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel, (title, record, guess) in zip(panels, shown, strict=False):
            for name, (label, colour, dash) in CURVES.items():
                if name in record.curves:
                    values = record.curves[name]
                    panel.plot(range(1, len(values) + 1), values, dash, color=colour, lw=1.7, label=label)
            panel.axhline(guess, color=INK, lw=1, ls="--", label="a guess")
            panel.set(xlabel="epoch", ylabel="loss", ylim=(0, 1.25 * guess))
            panel.set_title(title, fontsize=10, loc="left")
        for panel in panels[len(shown):]:
            panel.remove()
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
        ends = "; ".join(f"{title}: {_ends(record)}, a guess {guess:.2f}" for title, record, guess in shown)
        data = pd.concat([pd.DataFrame({"training": title, "epoch": range(1, len(record.curves["ce"]) + 1)}
                                       | {name: record.curves[name] for name in CURVES if name in record.curves})
                          for title, record, _ in shown])
        return inline(figure, "Losses of whole and parts over the epochs", f"At the end: {ends}", data,
                      "Losses of whole and parts over the epochs of one training each; dashed: the loss of a guess")


def _ends(record: Record) -> str:
    return ", ".join(f"{label} {record.curves[name][-1]:.2f}" for name, (label, *_) in CURVES.items() if name in record.curves)
