"""How often false verdicts come out, by the looks fixed beforehand and by looking after every seed. No files, no torch here."""

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from ...stats import share
from ..markup import Html
from .style import COLOURS, INK, STYLE, inline


def false_verdicts(errors: list[dict]) -> Html:
    """One line per kind of verdict and truth; those that never err are left out."""
    drawn = [row for row in errors if row["ever"] or row["after_every_seed"]]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 1.6 + 0.34 * len(drawn)), layout="constrained")
        axes = figure.subplots()
        for y, row in enumerate(drawn):
            axes.plot([100 * row["allowed"]] * 2, [y - 0.4, y + 0.4], color=INK, lw=1.6, label="" if y else "allowed")
            axes.plot(100 * row["ever"], y, "o", color=COLOURS[0], ms=7, label="" if y else "at the looks fixed beforehand")
            if row["after_every_seed"] is not None:
                axes.plot(100 * row["after_every_seed"], y, "s", color=COLOURS[3], ms=6, mfc="none",
                          label="" if y else "95 % intervals after every seed from 4 to 12")
        axes.set(xlabel="worlds in which a false verdict is ever given (%)", yticks=range(len(drawn)), xlim=(0, None),
                 ylim=(len(drawn) - 0.5, -0.5), yticklabels=[f"{row['kind']}: {row['truth']}" for row in drawn])
        figure.legend(loc="outside lower center", ncols=3, fontsize=9)
        worst = max(drawn, key=lambda row: row["ever"])
        rows = [{"verdict": row["kind"], "truth": row["truth"], "false (%)": 100 * row["ever"],
                 "allowed (%)": 100 * row["allowed"],
                 "after every seed (%)": None if row["after_every_seed"] is None else 100 * row["after_every_seed"]}
                for row in drawn]
        said = (f"At the looks fixed beforehand at most {share(worst['ever'], 1)} of worlds have a false verdict "
                f"({worst['kind']}: {worst['truth']}).")
        return inline(figure, "False verdicts", said, pd.DataFrame(rows).round(2), said)
