"""The Feature Mining paper held against itself: what its printed means, spreads and n allow it to say. Numbers -> DataFrames, a
row each; the words are those of `showing.audit`. No training, no torch.

The printed ± is read as the standard deviation of a cell's runs (n - 1 in the denominator), as everywhere here; where that
matters, the other reading, the standard error of their mean, has a column of its own.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from math import sqrt
from statistics import fmean

import pandas as pd

from .. import stats, studies
from ..stats import LEVEL, Summary
from ..studies import Cell, claims, forms, papers
from ..studies.claims import Claim
from ..studies.ids import Table
from . import cost, listing, sentences, verdicts
from .ledger import Ledger

PAPER = "feature_mining"
ALPHA = 1 - LEVEL
NOTHING = Ledger()        # the audit looks at no run of ours, but for what the choice of the best epoch adds (`selection`)
STEP = 0.01         # percentage points: the last digit that the paper prints
NUMBER, ENTRY = re.compile(r"[+-]?\d+\.\d\d"), re.compile(r"\S+ \d+\.\d\d ?\([+-]\d+\.\d\d\)")     # "ResNet-110+FM 53.31(+7.58)"


@cache
def data() -> dict:
    """``audit.toml`` of the paper: ``images``, ``slips``, ``baselines``; an `FMError` says what is wrong with it."""
    return forms.read(papers()[PAPER].folder / "audit.toml", forms.Audit)


def pairs() -> pd.DataFrame:
    """Every pair of every order that the paper claims and prints numbers for: ``difference`` from ``low`` to ``high`` (95 %),
    Welch's ``p``, ``holm`` among the pairs of the claim, ``holm_as_error`` where ± is read as a standard error, ``power``, and
    whether the spread is ``borrowed``, because the table prints none."""
    rows = []
    for claim in claims.load_claims().values():
        printed_pairs = [pair for pair in sentences.compared(claim, NOTHING) if pair.printed] if claim.kind == "order" else []
        both = [tuple(map(studies.cell, (pair.higher, pair.lower))) for pair in printed_pairs]
        plain = [stats.welch_p(*map(verdicts.printed, cells)) for cells in both]
        wide = stats.holm([stats.welch_p(*(_as_error(verdicts.printed(c)) for c in cells)) for cells in both])
        rows += [{"claim": claim.id, "section": claim.section, "higher": a.id, "lower": b.id, "table": b.table,
                  "difference": pair.printed.value, "low": pair.printed.low, "high": pair.printed.high, "p": p,
                  "holm": pair.printed_p, "holm_as_error": q, "borrowed": b.spread is None,
                  "power": stats.power(Summary(b.n, 0, _pooled(b)), Summary(b.n, 0, _pooled(b)), pair.printed.value)}
                 for pair, (a, b), p, q in zip(printed_pairs, both, plain, wide, strict=True)]
    return pd.DataFrame(rows)


def in_order(tables: pd.Series) -> pd.Series:
    """Sort key of names of tables: T2 before T10."""
    return tables.map(lambda name: Table.at_start_of(name).order)


def _as_error(s: Summary) -> Summary:
    """The same runs where what is printed as ± was the standard error of their mean."""
    return replace(s, sd=s.sd * sqrt(s.n))


def _pooled(cell: Cell) -> float:
    return sqrt(fmean(s * s for s in verdicts.pooled_spread(cell)))


def distinct(frame: pd.DataFrame) -> pd.DataFrame:
    """`pairs`, each comparison of two printed numbers once: under the claim whose correction is the strictest for it. A training
    that stands in two tables with the same mean and spread is one."""
    def identity(id_):
        cell = studies.cell(id_)
        return cell.run("full", 0).key, cell.published, cell.spread

    keys = [(identity(row.higher), identity(row.lower)) for row in frame.itertuples()]
    return (frame.assign(key=keys).sort_values("holm", ascending=False, kind="stable").drop_duplicates("key")
            .sort_index().drop(columns="key"))


def orders(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per claim of an order: how many of its pairs are printed so, how many are settled alone, with Holm's correction,
    and with it where ± is read as a standard error; and what follows."""
    rows = []
    for id_, group in frame.groupby("claim", sort=False):
        rows.append({"claim": id_, "section": group.section.iloc[0], "pairs": len(group),
                     "above": int((group.difference > 0).sum()), "settled": int((group.p < ALPHA).sum()),
                     "holm": int((group.holm < ALPHA).sum()), "holm_as_error": int((group.holm_as_error < ALPHA).sum()),
                     "borrowed": bool(group.borrowed.any()),
                     "status": sentences.judge(claims.load_claims()[id_], NOTHING).own_numbers})
    return pd.DataFrame(rows)


def detectable(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per table: its pooled spread, the smallest difference that n against n runs find with 80 % power (the margin of the
    verdicts), and how many of the compared differences of ``frame`` (`distinct`) are smaller."""
    rows = []
    for table, group in frame.groupby("table", sort=False):
        cell = studies.cell(group.lower.iloc[0])
        least = stats.margin(verdicts.pooled_spread(cell), cell.n)
        rows.append({"table": table, "n": cell.n, "spread": _pooled(cell), "borrowed": bool(group.borrowed.any()), "least": least,
                     "pairs": len(group), "smallest": group.difference.min(), "below": int((group.difference < least).sum())})
    return pd.DataFrame(rows).sort_values("table", key=in_order, ignore_index=True)


def repeated() -> pd.DataFrame:
    """Trainings that stand in several tables, one row each: the cells, their means and spreads. ``chance``: that separate sets of
    n runs had given means that round alike, by the printed spreads; ``at_most``: by the smallest of them."""
    groups: dict[tuple, list[Cell]] = {}
    for cell in studies.load_cells().values():
        if cell.published is not None:
            groups.setdefault((cell.run("full", 0).key, cell.reported), []).append(cell)
    rows = []
    for cells in (sorted(group, key=lambda c: c.table) for group in groups.values() if len(group) > 1):
        errors = [c.spread / sqrt(c.n) for c in cells]
        rows.append({"cells": [c.id for c in cells], "network": cells[0].labels[0], "method": cells[0].labels[1],
                     "means": [c.published for c in cells], "spreads": [c.spread for c in cells],
                     "same_mean": len({c.published for c in cells}) == 1, "same_spread": len({c.spread for c in cells}) == 1,
                     "chance": agreement(errors), "at_most": agreement([min(errors)] * len(errors))})
    return pd.DataFrame(rows)


def agreement(errors: Sequence[float], step: float = STEP) -> float:
    """Chance that normal means with these standard errors around the same value round to the same multiple of ``step``; averaged
    over where between two multiples that value lies."""
    import numpy as np
    from scipy.special import ndtr

    places = step * (np.arange(20) + 0.5)[:, None] / 20                         # of the true value within one step
    reach = int(8 * min(errors) / step) + 2                                    # beyond, the narrowest has nothing
    edges = step * (np.arange(-reach, reach + 2) - 0.5)
    each = [np.diff(ndtr((edges - places) / error), axis=1) for error in errors]
    return float(np.prod(each, axis=0).sum(1).mean())


def under_each_spread(id_: str, other: str) -> pd.DataFrame:
    """The difference of two printed numbers with its interval under each spread that some table prints for the first."""
    cell, base = studies.cell(id_), studies.cell(other)
    key = cell.run("full", 0).key
    spreads = {c.spread: c.table for c in studies.load_cells().values() if c.spread is not None and c.run("full", 0).key == key}
    intervals = [stats.welch(replace(verdicts.printed(cell), sd=s), verdicts.printed(base)) for s in spreads]
    return pd.DataFrame([{"table": table, "spread": s, "difference": i.value, "low": i.low, "high": i.high}
                         for (s, table), i in zip(spreads.items(), intervals, strict=True)])


def costs() -> pd.DataFrame:
    """Each sentence about cost and each cell it is about: printed ratios to the baseline, that of the times from ``low`` to
    ``high`` by what was rounded off, the ratio its word is read as, and ours on every device on record."""
    rows = []
    for claim in (c for c in claims.load_claims().values() if c.kind == "cost"):
        for cell in (c for c in map(studies.cell, claim.cells) if c.seconds):
            time, low, high = cost.printed_ratio(cell)
            ours = [{"device": f.provenance["device"], **f.values} for f in cost.found([cell], "full")]
            rows.append({"claim": claim.id, "section": claim.section, "quote": claim.quote, "cell": cell.id,
                         "method": cell.labels[1], "time": time, "low": low, "high": high,
                         "memory": cell.mib / studies.baseline(cell).mib, "at_most": claim.at_most, "ours": ours,
                         "status": sentences.judge(claim, NOTHING).own_numbers})
    return pd.DataFrame(rows)


def images(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per table of accuracies: the test images, the binomial standard error of its lowest and highest accuracy, that of a
    difference of two accuracies on different images, and how many differences of ``frame`` (`distinct`) are below 1.96 of it."""
    rows = []
    for table, group in frame.groupby("table", sort=False):
        cells = [c for c in studies.load_cells().values() if c.table == table and c.published is not None]
        if (count := data()["images"].get(cells[0].dataset)) is None:
            continue                                                        # mAP is no share of images
        errors = sorted(100 * sqrt(p * (1 - p) / count) for p in (c.published / 100 for c in cells))
        limits = [1.96 * sqrt(sum(_image_variance(i, count) for i in (row.higher, row.lower))) for row in group.itertuples()]
        rows.append({"table": table, "images": count, "least": min(c.published for c in cells),
                     "most": max(c.published for c in cells), "error_low": errors[0], "error_high": errors[-1],
                     "pairs": len(group), "below": int((group.difference.to_numpy() < limits).sum())})
    return pd.DataFrame(rows).sort_values("table", key=in_order, ignore_index=True)


def _image_variance(id_: str, count: int) -> float:
    """Of an accuracy in percent by the draw of ``count`` test images."""
    p = studies.cell(id_).published / 100
    return 1e4 * p * (1 - p) / count


def arithmetic() -> pd.DataFrame:
    """Each quote that prints numbers of a gain or an order, a sentence or an entry of a table (``in_table``): its numbers beside
    those that the tables have for them, all as text; ``gains``: which of them are differences."""
    rows = []
    for claim in (c for c in claims.load_claims().values() if c.kind in ("gain", "order")):
        if said := NUMBER.findall(claim.quote):
            gains = [claim.kind == "gain" and (text[0] in "+-" or text == f"{claim.difference or 0:.2f}") for text in said]
            tables = _in_tables(claim, said, gains)
            rows.append({"claim": claim.id, "section": claim.section, "in_table": bool(ENTRY.fullmatch(claim.quote)),
                         "said": said, "tables": tables, "gains": gains, "agree": said == tables})
    return pd.DataFrame(rows)


def _in_tables(claim: Claim, said: list[str], gains: list[bool]) -> list[str]:
    """What the tables have where a quote prints these numbers: from the lower to the higher value, or the higher alone, and the
    gain; of an order, from the least to the most of its higher side."""
    higher, lower = zip(*(map(studies.cell, pair) for pair in claim.named_pairs()), strict=True)
    above = [cell.published for cell in higher]
    values = [lower[0].published, above[0]] if claim.kind == "gain" else [min(above), max(above)]
    gain, plain = above[0] - lower[0].published, iter(values[-gains.count(False):])
    return [f"{gain:{'+' * (text[0] in '+-')}.2f}" if is_gain else f"{next(plain, float('nan')):.2f}"
            for text, is_gain in zip(said, gains, strict=True)]


def baselines() -> pd.DataFrame:
    """Accuracies that others reached with the networks of Table 1, beside its baseline and Feature Mining on two layers."""
    frame = pd.DataFrame(data()["baselines"])
    printed = {m: [studies.cell(f"T1.{network}.{m}").published for network in frame.network] for m in ("baseline", "fm2")}
    return frame.assign(label=[studies.cell(f"T1.{network}.fm2").labels[0] for network in frame.network], **printed)


def summary() -> pd.DataFrame:
    """What the paper's own numbers say of each of its sentences, without those that say another again; ``own_numbers`` is empty
    where it prints none that could."""
    sentence_rows = [row for row in listing.of_first(NOTHING) if row["kind"] != "number" and not row["same_as"]]
    return pd.DataFrame(sentence_rows)[["claim", "kind", "section", "says", "own_numbers"]]


def printed() -> tuple[int, int]:
    """How many accuracies (or mAP) and how many pairs of time and memory the paper's tables print."""
    cells = [c for c in studies.load_cells().values() if c.paper]
    return sum(c.published is not None for c in cells), sum(c.seconds is not None for c in cells)
