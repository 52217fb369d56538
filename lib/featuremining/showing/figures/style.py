"""One look for all figures: colours, sizes, and an SVG that is legible in light and dark pages."""

import io
import re
from collections.abc import Iterable
from functools import cache
from html import escape
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ... import studies
from ...errors import UsageError
from ..markup import Html, empty, save_link, tag

NARROW = 4.7            # inches, of which a screen of 360 pixels makes type that can be read
LINE = 0.17             # inches, of a legend
COLUMNS = 6             # of a map of values, that have room beside each other there
INK, GRID = "#0b0c0d", "#0a0b0c"      # stand-ins that the page's own text and border colours replace
COLOURS = ["#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9"]
                                    # which colour-blind readers tell apart: seaborn's "colorblind"; its import takes seconds
OWN = {"Baseline": 7, "Mean pooling": 7, "FM (1 layer)": 9, "FM (2 layers)": 0}      # method, as printed -> its colour
FREE, MARKERS = (1, 2, 3, 4, 5, 6), "os^vDPX*"       # yellow is too pale on white
DASHES = ["-", "--", "-.", ":", (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1))]
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "featuremining", "font.size": 11, "text.color": INK, "axes.labelcolor": INK,
         "xtick.color": INK, "ytick.color": INK, "axes.edgecolor": INK, "axes.grid": True, "grid.color": GRID,
         "grid.linewidth": 0.6, "axes.spines.top": False, "axes.spines.right": False, "figure.facecolor": "none",
         "axes.facecolor": "none", "legend.frameon": False, "font.family": "sans-serif"}


class Look(NamedTuple):
    colour: str
    row: int            # of DASHES
    mark: str

    def dash(self, nth: int = 0):
        """Of the ``nth`` line in this colour, which is that of one method on several networks."""
        return DASHES[(self.row + nth) % len(DASHES)]


@cache
def _known() -> dict[str, Look]:
    """The look of every method of the studies: colours first, then the same with other dashes and marks."""
    labels = dict.fromkeys(cell.labels[1] for cell in studies.load_cells().values())
    own = {name: Look(COLOURS[k], 0, MARKERS[0]) for name, k in OWN.items()}
    return own | {name: _look(i) for i, name in enumerate(name for name in labels if name not in own)}


def _look(i: int) -> Look:
    k, of = divmod(i, len(FREE))
    return Look(COLOURS[FREE[of]], k, MARKERS[(1 + k) % len(MARKERS)])


def looks(names: Iterable[str]) -> dict[str, Look]:
    """The look of each method, by its printed name: the same in every figure. Other names get those that the
    figure's methods leave."""
    names = list(dict.fromkeys(names))
    found = {name: _known()[name] for name in names if name in _known()}
    rest = (look for i in range(len(FREE) * len(MARKERS)) if (look := _look(i)) not in found.values())
    return {name: found[name] if name in found else next(rest) for name in names}


def to_file(figure: Figure, path: Path) -> None:
    """On white; a `UsageError` where the file's name ends in no format that can be drawn."""
    if path.suffix[1:] not in figure.canvas.get_supported_filetypes():
        raise UsageError(f"{path} should end in .svg, .png or .pdf.")
    figure.savefig(path, dpi=200, facecolor="white")


def inline(figure: Figure, title: str, description: str, data: pd.DataFrame, caption: str = "") -> Html:
    """The figure as an SVG element with a title and, for those who do not see it, a description, and once more for narrow
    screens, which show that one instead; below it a caption, or else the title, and a link that saves what is drawn as CSV."""
    head = tag("title", title) + tag("desc", description)
    wide = _svg(figure, title, head, "fm-wide")
    narrow(figure)
    with matplotlib.rc_context({"svg.hashsalt": "featuremining, narrow"}):     # else both would share what only one defines
        tall = _svg(figure, title, head, "fm-tall")
    saved = save_link(data.to_csv(index=False), "CSV", "csv", title)
    return tag("figure", wide, tall, tag("figcaption", f"{(caption or title).removesuffix('.')}. ", saved), class_="plot")


def _svg(figure: Figure, title: str, head: str, kind: str) -> Html:
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None}, bbox_inches="tight", transparent=True)
    svg = file.getvalue()[file.getvalue().index("<svg"):]
    svg = svg.replace(INK, "var(--pst-color-text-base, currentColor)").replace(GRID, "var(--pst-color-border, #8884)")
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.S)
    svg = re.sub(r" font-family: [^;\"]*;?", "", svg)           # the page's own, said once
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1 width="100%"', svg, count=1)
    stated = f' class="{kind}" role="img" aria-label="{escape(title)}">{head}'
    return Html(re.sub(r"(<svg[^>]*)>", lambda found: found[1] + stated, svg, count=1))


def narrow(figure: Figure) -> None:
    """For a screen of 360 pixels: panels one below the other, pictures side by side as they were, long words on several lines,
    the legend in one column."""
    width, height = figure.get_size_inches()
    panels = [panel for panel in figure.axes if panel.get_subplotspec()]
    rows, columns = panels[0].get_subplotspec().get_gridspec().get_geometry()
    if any(panel.images for panel in panels):
        height *= min(1, NARROW / width)
        height += sum(max(_beside(panel, max(9, 52 // columns)) for panel in panels[i:i + columns])
                      for i in range(0, len(panels), columns))
    elif columns > 1:
        _stack(figure, panels, columns)
        height *= len(panels) / rows
    height *= max(map(_fold, panels))
    height *= max(map(_upright, panels))
    height += LINE * max(_legend_below(figure, panels) - 2, 0)
    figure.set_size_inches(min(width, NARROW), height)


def _beside(panel: Axes, letters: int) -> float:
    """The words around a picture, so many letters a line; the inches that more lines of them take."""
    def words(text: str) -> str:
        return fill(text.replace("-\n", "-").replace("\n", " "), letters)

    panel.set_title(words(panel.get_title()), fontsize=8.5)
    panel.set_ylabel(panel.get_ylabel(), fontsize=8.5)
    panel.set_xlabel(words(panel.get_xlabel()), fontsize=8.5)
    return 0.14 * (panel.get_xlabel().count("\n") + panel.get_title().count("\n"))


def _fold(panel: Axes) -> float:
    """Long words beside and below a panel, on several lines; how much higher it has to be for them."""
    if not panel.images:
        panel.set_xlabel(fill(panel.get_xlabel(), 44))
        for place in ("left", "center"):
            panel.set_title(fill(panel.get_title(place), 46), loc=place, fontsize=10)
    texts = [label.get_text() for label in panel.get_yticklabels()]
    lines = 1
    if max(map(len, texts), default=0) > 32:
        texts = [fill(text, 26) for text in texts]
        lines += max(text.count("\n") for text in texts)
        panel.set_yticks(panel.get_yticks(), texts, fontsize=9)
    return 1 + 0.4 * (lines - 1)


def _upright(panel: Axes) -> float:
    """Values in many narrow columns, one beside the other, turned upright; how much higher the panel has to be for them."""
    if not panel.texts or len(panel.get_xticks()) <= COLUMNS:
        return 1
    for text in panel.texts:
        text.set_rotation(90)
    panel.tick_params(axis="x", rotation=90)
    return 1.5


def _stack(figure: Figure, panels: list[Axes], columns: int) -> None:
    """One below the other, in the order of reading; what the first of a row said for all, each says."""
    ratios = panels[0].get_subplotspec().get_gridspec().get_height_ratios() or [1]
    grid = figure.add_gridspec(len(panels), 1, height_ratios=[ratios[i // columns % len(ratios)] for i in range(len(panels))])
    for i, panel in enumerate(panels):
        first = panels[i - i % columns]
        panel.set_subplotspec(grid[i])
        panel.tick_params(labelleft=True, labelbottom=True)
        panel.set_ylabel(panel.get_ylabel() or first.get_ylabel())
        texts = [label.get_text() for label in first.get_yticklabels()]
        if any(texts) and not any(label.get_text() for label in panel.get_yticklabels()):
            panel.set_yticks(first.get_yticks(), texts)


def _legend_below(figure: Figure, panels: list[Axes]) -> int:
    """Those of the figure and those beside a panel, in one column; how many lines they have."""
    beside = [legend for panel in panels if (legend := panel.get_legend()) and panel.bbox.x1 <= legend.get_window_extent().x0]
    lines = 0
    for legend in [*figure.legends, *beside]:
        handles, labels = legend.legend_handles, [text.get_text() for text in legend.get_texts()]
        legend.remove()
        figure.legend(handles, labels, loc="outside lower center", ncols=1, fontsize=9)
        lines += len(labels)
    return lines


def nothing(tier: str, what: str = "record") -> Html:
    """What stands in place of a figure without data."""
    return empty(f"No {tier}-tier {what} of these cells yet: nothing to draw.")
