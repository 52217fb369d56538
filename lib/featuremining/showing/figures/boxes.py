"""Where boxes fall on a map, a panel for each reading of the paper. No files, no state."""

import matplotlib
import pandas as pd
import seaborn
from matplotlib.figure import Figure

from ..markup import Html
from .style import STYLE, inline

COLUMNS = 2             # of panels, so that their numbers are legible on a narrow screen
NAMES = {"center_clip": "centre anywhere (default)", "exact_width": "the same, odd widths too", "corner_clip": "corner anywhere",
         "inside": "inside the map"}


def coverage(size: int) -> Html:
    """How many percent of the boxes hold each place of a map of ``size`` x ``size``."""
    from ...measuring import boxes

    found = {name: boxes.coverage(name, size).numpy() for name in NAMES}
    highest, rows = max(values.max() for values in found.values()), -(-len(found) // COLUMNS)
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(6.4, 3.2 * rows), layout="constrained")
        axes = figure.subplots(rows, COLUMNS).flatten()
        for panel, (name, values) in zip(axes, found.items(), strict=False):
            seaborn.heatmap(values, ax=panel, vmin=0, vmax=highest, cmap="cividis", annot=True, fmt=".0f", cbar=False,
                            square=True, annot_kws={"fontsize": 8.5}, xticklabels=False, yticklabels=False)
            panel.set_title(NAMES[name], fontsize=11)
        said = "; ".join(f"{NAMES[name]}: {values.min():.0f} to {values.max():.0f} percent" for name, values in found.items())
        frame = pd.DataFrame([{"reading": name, "row": row, "column": column, "percent": round(float(values[row, column]), 2)}
                              for name, values in found.items() for row in range(size) for column in range(size)])
        what = f"Percent of boxes that hold each place of {size} × {size}, first row at the top."
        return inline(figure, "Where boxes fall", f"{what} {said}", frame, what)
