"""The picture beside an address of the book that somebody shares: what it is about, and all printed gains. No state, no torch."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import matplotlib
from matplotlib.figure import Figure

from ...stats import Interval
from .style import COLOURS, STYLE

PIXELS = (1200, 630)            # what previews of addresses show whole
DPI = 100


def social(path: Path, title: str, sentences: Sequence[str], gains: Sequence[tuple[Interval, bool]]) -> None:
    """Title and sentences on the left, gains with their intervals on the right; True: we have runs of it."""
    with matplotlib.rc_context({**STYLE, "text.color": "#1f2328", "xtick.color": "#57606a", "axes.edgecolor": "#57606a",
                                "grid.color": "#d8dee4"}):
        figure = Figure(figsize=[side / DPI for side in PIXELS], facecolor="white")
        figure.text(0.05, 0.9, title, fontsize=34, weight="bold", va="top")
        figure.text(0.05, 0.7, "\n\n".join(fill(sentence, 40) for sentence in sentences), fontsize=17, va="top", linespacing=1.35)
        axes = figure.add_axes((0.56, 0.1, 0.4, 0.6))
        for at, (gain, run) in enumerate(sorted(gains, key=lambda one: one[0].value)):
            axes.plot([gain.low, gain.high], [at, at], color=COLOURS[0], lw=1.5)
            axes.plot(gain.value, at, "o", color=COLOURS[0], mfc=COLOURS[0] if run else "white", ms=5)
        axes.axvline(0, color="#57606a", lw=1)
        axes.set(yticks=[], xlabel="")
        axes.spines["left"].set_visible(False)
        axes.tick_params(labelsize=13)
        figure.text(0.56, 0.73, "gains as printed, percentage points; filled: run by us", fontsize=13, color="#57606a")
        figure.savefig(path, dpi=DPI, facecolor="white")
