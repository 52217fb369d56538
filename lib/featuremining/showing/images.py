"""Which test images were right, as a section of a page: how far runs of one cell disagree, and networks side by side. Nothing
here decides a verdict. No torch."""

import pandas as pd

from .. import studies
from ..judging import comparisons, images
from ..judging.comparisons import Comparison
from ..judging.ledger import Ledger
from ..stats import LEVEL
from ..studies import Cell, Rule
from .markup import DASH, Html, bounds, html, tag
from .tables import p_value, signed

NOT_YET = "not yet: needs two runs"


def answers(rule: Rule, ledger: Ledger) -> Html:
    """Of a study of our own, from its full tier: the two tables below, and whether the assumption behind the first holds."""
    cells = [c for c in studies.load_cells().values() if c.table == rule.table]
    compared = comparisons.compare(rule, ledger)
    parts = [html(spreads(cells, ledger, rule.outcome), f"Answers image by image, {rule.outcome} epoch, in points", "full"),
             tag("p", verdict(cells, ledger, rule.outcome))]
    seeds = side_by_side(compared, ledger, rule.outcome)
    if not seeds.empty:
        parts.append(html(seeds, "Two networks of one seed on the same images", "full"))
    return Html("".join(parts))


def spreads(cells: list[Cell], ledger: Ledger, rule: str) -> pd.DataFrame:
    """One row per cell: how far two runs disagree, the spread of accuracies that follows if errors are independent, the observed
    one beside it, and whether the two fit."""
    rows = []
    for cell in cells:
        right = images.answers(ledger.counting(cell), rule, cell.reported)
        found = None if right is None else images.spread(right)
        rows.append({"cell": cell.id, "method": " · ".join(cell.labels), "n": 0 if right is None else len(right),
                     "error by the draw of images": DASH if right is None else f"{images.error(right):.2f}",
                     "two runs disagree on": f"{found.disagreement:.2f} %" if found else DASH,
                     "expected spread": f"{found.expected:.2f}" if found else DASH,
                     "observed (95 %)": f"{found.observed.value:.2f} ({bounds(found.observed)})" if found else DASH,
                     "fits": NOT_YET if found is None else "yes" if found.fits else "no"})
    return pd.DataFrame(rows)


def verdict(cells: list[Cell], ledger: Ledger, rule: str) -> str:
    """Whether our runs spread as runs with independent errors would, over all cells that can say it."""
    by_cell = [images.answers(ledger.counting(cell), rule, cell.reported) for cell in cells]
    found = [s for right in by_cell if right is not None if (s := images.spread(right))]
    if not found:
        return ("Whether runs err independently of each other, so that two of them tell the spread of all, can't be said yet: "
                f"none of these {len(cells)} cells has two runs whose record holds their answers.")
    p, df = images.fit(found), sum(s.runs - 1 for s in found)
    fits = "fit" if p >= 1 - LEVEL else "do not fit"
    return (f"The expected spreads {fits} the observed ones, of {len(found)} cells with two runs or more (chi-square, {df} "
            f"degrees of freedom, p = {p_value(p)}). So many runs show with 80 % power that the spread is {images.seen(df):.1f} "
            "times as large as expected; less may pass unseen.")


def side_by_side(compared: list[Comparison], ledger: Ledger, rule: str) -> pd.DataFrame:
    """One row per comparison and seed whose answers are on record: the two networks on the same images."""
    return pd.DataFrame([{
        "cell": c.cell.id, "method": " · ".join(c.cell.labels), "seed": row["seed"], "only the method right": row["only_method"],
        "only the baseline right": row["only_base"], "difference (95 %)": signed(row["difference"]),
        "p (McNemar)": p_value(row["p"])}
        for c in compared for row in images.side_by_side(ledger.counting(c.cell), ledger.counting(c.base), rule)])
