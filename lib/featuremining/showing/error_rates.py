"""The page on how often verdicts err: what `judging.error_rates` measured last, answer first. No torch here."""

from itertools import groupby

import pandas as pd

from ..judging import error_rates
from ..stats import share
from .figures.error_rates import false_verdicts
from .markup import DASH, html, render


def markdown() -> str:
    """Answer, picture, tables."""
    found = error_rates.read()
    rates = html(_rates(found["rates"]), CAPTION)
    rates = render("folded", title="All outcomes, by verdict, truth and seeds", body=rates, open=False)
    return "\n\n".join((_answer(found), false_verdicts(found["errors"]), rates,
                        "## How many seeds it takes\n\n" + _expected(found),
                        html(_seeds(found["seeds"]), "Seeds of each side until a look settles, 16 where none does"))) + "\n"


CAPTION = "What stands after so many seeds, in percent of worlds"


def _answer(found: dict) -> str:
    errors = [row for row in found["errors"] if row["after_every_seed"] is not None]
    loose = max(errors, key=lambda row: row["after_every_seed"])
    shares = [row["outcomes"] for row in found["rates"] if row["kind"] == "number" and row["truth"] == "the paper is right"]
    four, sixteen = (shares[i].get("reproduced", 0) for i in (1, -1))
    half = next(row["outcomes"].get("reproduced", 0) for row in found["rates"]
                if (row["kind"], row["truth"], row["n"]) == ("gain", "half of the gain", 4))
    return (f"In {found['worlds']:,} simulated worlds for each row a false verdict is given in at most "
            f"{share(max(row['ever'] for row in found['errors']), 1)}, over all looks together. If one looked after every "
            f"seed from 4 to 12 with an interval of 95 % instead, it would be {share(loose['after_every_seed'], 1)} "
            f"({loose['kind']}, {loose['truth']}). The price is patience: with the paper exactly right, a number is "
            f"*reproduced* with four seeds in {share(four)} of worlds and with sixteen in {share(sixteen)}, since the paper's "
            f"own mean rests on four runs. And equal means within the margin, here {error_rates.WITHIN:.2f} points for a "
            f"number and {2**0.5 * error_rates.WITHIN:.2f} for a gain: half of the gain lies within, so with four seeds it is "
            f"called *reproduced* in {share(half)} of worlds, which is not counted as false.")


def _rates(rates: list[dict]) -> pd.DataFrame:
    rows = []
    for (kind, truth), group in groupby(rates, key=lambda row: (row["kind"], row["truth"])):
        by_n = list(group)
        for outcome in sorted({name for row in by_n for name in row["outcomes"]}):
            rows.append({"verdict": kind, "in truth": truth, "outcome": outcome} | {f"n = {n}": next(
                (f"{100 * row['outcomes'].get(outcome, 0):.1f}" for row in by_n if row["n"] == n), DASH) for n in (2, 4, 8, 16)})
    return pd.DataFrame(rows)


def _expected(found: dict) -> str:
    never = max(found["seeds"], key=lambda row: row["undecided"])
    return (f"Differences in points, at a spread of 0.2. A {never['kind']} with a difference of {never['difference']:.1f} stays "
            f"undecided most often, in {share(never['undecided'])} of worlds.")


def _seeds(seeds: list[dict]) -> pd.DataFrame:
    words = {"number": "number, off by", "gain": "gain, printed and true"}
    return pd.DataFrame([{"verdict": words[row["kind"]], "points": f"{row['difference']:.1f}",
                          "seeds to expect": f"{row['seeds']:.1f}", "undecided after 16": share(row['undecided'])}
                         for row in seeds])
