"""One look for all figures: colours, sizes, and an SVG that is legible in light and dark pages."""

import io
import re
from collections.abc import Iterable
from functools import cache
from html import escape
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from ... import studies
from ...errors import UsageError
from ..markup import Html, save_link

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


def inline(figure: Figure, title: str, description: str, data: pd.DataFrame) -> Html:
    """The figure as an SVG element with a title and, for those who do not see it, a description; below it a link that saves
    what is drawn as CSV."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None}, bbox_inches="tight", transparent=True)
    svg = file.getvalue()[file.getvalue().index("<svg"):]
    svg = svg.replace(INK, "var(--pst-color-text-base, currentColor)").replace(GRID, "var(--pst-color-border, #8884)")
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.S)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1 width="100%"', svg, count=1)
    title = escape(title)
    head = f"<title>{title}</title><desc>{escape(description)}</desc>"
    svg = re.sub(r"(<svg[^>]*)>", rf'\1 role="img" aria-label="{title}">{head}', svg, count=1)
    saved = save_link(data.to_csv(index=False), "CSV", "csv", title)
    return Html(f'<figure class="plot">{svg}<figcaption>What is drawn: {saved}</figcaption></figure>')


def nothing(tier: str, what: str = "record") -> Html:
    """What stands in place of a figure without data."""
    return Html(f'<p class="empty">No {tier}-tier {what} of these cells yet: nothing to draw.</p>')
