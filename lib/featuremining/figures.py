"""Records -> figures, as inline SVG that is legible in light and dark pages. No files, no state, no torch."""

import io
import re

import matplotlib
import seaborn as sns
from matplotlib.figure import Figure

from .records import Record
from .studies import Cell
from .tables import Html

INK, GRID = "#0b0c0d", "#0a0b0c"      # stand-ins that the page's own text and border colours replace
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "featuremining", "font.size": 11, "text.color": INK, "axes.labelcolor": INK,
         "xtick.color": INK, "ytick.color": INK, "axes.edgecolor": INK, "axes.grid": True, "grid.color": GRID,
         "grid.linewidth": 0.6, "axes.spines.top": False, "axes.spines.right": False, "figure.facecolor": "none",
         "axes.facecolor": "none", "legend.frameon": False, "font.family": "sans-serif"}


def inline(figure: Figure, title: str, description: str) -> Html:
    """The figure as an SVG element with a title and a description for screen readers."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None}, bbox_inches="tight", transparent=True)
    svg = file.getvalue()[file.getvalue().index("<svg"):]
    svg = svg.replace(INK, "var(--pst-color-text-base, currentColor)").replace(GRID, "var(--pst-color-border, #8884)")
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.S)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1 width="100%"', svg, count=1)
    head = f"<title>{title}</title><desc>{description}</desc>"
    svg = re.sub(r"(<svg[^>]*)>", rf'\1 role="img" aria-label="{title}">{head}', svg, count=1)
    return Html(f'<figure class="plot">{svg}</figure>')


def curves(groups: list[tuple[Cell, list[Record]]], tier: str) -> Html:
    """Test top-1 and the main head's training cross-entropy over epochs; one line per seed, one colour per cell."""
    groups = [(cell, found) for cell, found in groups if found]
    if not groups:
        return Html(f'<p class="empty">No {tier}-tier record of these cells yet: nothing to draw.</p>')
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        accuracy, loss = figure.subplots(1, 2)
        colours, dashes = sns.color_palette("colorblind", len(groups)), ["-", "--", "-.", ":"] * len(groups)
        for (cell, found), colour, dash in zip(groups, colours, dashes, strict=False):
            for i, record in enumerate(found):
                epochs = range(1, len(record.curves["test_acc"]) + 1)
                label = f"{' · '.join(cell.labels)} (n = {len(found)})" if i == 0 else None
                accuracy.plot(epochs, record.curves["test_acc"], dash, color=colour, label=label, lw=1.8)
                loss.plot(epochs, record.curves["ce"], dash, color=colour, lw=1.8)
        accuracy.set(xlabel="epoch", ylabel="test top-1 (%)")
        loss.set(xlabel="epoch", ylabel="training cross-entropy, main head")
        accuracy.legend(loc="lower right", fontsize=9)
        description = "Test accuracy and training cross-entropy over epochs of " + ", ".join(cell.id for cell, _ in groups)
        return inline(figure, f"Training curves, {tier} tier", description)
