"""The page of the audit: what `judging.audit` finds as tables, figures and sentences with their numbers, by functions named for
what they show. No torch here."""

from dataclasses import dataclass
from math import prod
from textwrap import shorten

import pandas as pd

from .. import studies
from ..errors import choose
from ..judging import audit, cost
from ..judging.ledger import Ledger
from ..recipes import TIERS
from ..stats import Interval, share, signed
from ..studies.claims import load_claims
from ..studies.ids import Table
from ..studies.outcomes import Status
from . import checks, selection
from .figures import audit as drawn
from .markup import BREAK, DASH, Html, as_frame, badge, below, bounds, code, html, join, link, render, says, tag
from .parameters import given

PARAMETERS = ("tier",)
QUOTED = 56             # signs of a sentence that stand in a table
OWN = {Status.SUPPORTED: "supported", Status.NOT_ESTABLISHED: "not established", Status.CONTRADICTED: "contradicted"}


def start(names: dict) -> "Audit":
    """Check the notebook's parameter, given as its ``globals()``."""
    return Audit(choose("tier", given(names, PARAMETERS, Audit)["tier"], (*TIERS, "all")))


@dataclass(frozen=True)
class Audit:
    """What the page is made of. ``tier`` says which of our records show what the choice of the best epoch adds; all else is
    computed from what the paper prints."""

    tier: str

    @property
    def compared(self) -> pd.DataFrame:
        """Every comparison of printed numbers that a sentence of the paper makes."""
        return audit.pairs()

    @property
    def ledger(self) -> Ledger:
        """All of our runs."""
        return Ledger.read()


def sentences() -> Html:
    """How many sentences the printed numbers support, do not establish or contradict, with links to where this is shown."""
    sentences, (accuracies, costs), twice = audit.summary(), audit.printed(), audit.repeated()
    rows = []
    for status, word in OWN.items():
        ids = sentences.claim[sentences.own_numbers == status]
        rows.append({"own numbers": badge(status, word), "sentences": len(ids),
                     "note": join((link(f"#audit-{i}", _key(i)) for i in ids), ", ")})
    silent = sentences.claim[sentences.own_numbers == ""]
    rows.append({"own numbers": "no number printed", "sentences": len(silent),
                 "note": join(map(_key, silent), ", ")})
    return join([says(
        f"The paper claims something in {len(sentences)} sentences and prints {accuracies} accuracies and {costs} pairs of "
        f"time and memory. {sum(map(len, twice.cells))} of the accuracies are of {len(twice)} trainings that stand in "
        f"several tables: the mean is the same for {_all_of(twice.same_mean)}, "
        f"the spread for {_all_of(twice.same_spread)}."), html(
        rows, "The paper's sentences by its own printed numbers", style="words")])


def comparisons(compared: pd.DataFrame) -> Html:
    """Every order that the paper claims, tested again pair by pair."""
    orders, once = audit.orders(compared), audit.distinct(compared)
    table = as_frame([{
        "claim": _anchor(row.claim), "pairs": row.pairs, "printed so": row.above, "significant alone": row.settled,
        "significant (Holm)": row.holm, "if ± is a standard error (Holm)": row.holm_as_error,
        "own numbers": join([badge(row.status, OWN[row.status]), " *" if row.borrowed else ""])} for row in orders.itertuples()])
    close, supported = once[once.holm >= audit.ALPHA], orders[orders.status == Status.SUPPORTED]
    one_layer = sum(studies.cell(i).method == "fm1" for i in close.higher)
    return join([html(table, "Rankings that the paper claims, by its printed numbers"), says(
        f"The {len(compared)} pairs come down to {len(once)} comparisons of printed numbers. "
        f"{_all_of(once.difference > 0).capitalize()} are printed on the side that is claimed. Taken alone, "
        f"{(once.p < audit.ALPHA).sum()} are significant; with Holm's correction within the claim, "
        f"{len(once) - len(close)} are. Of the {len(close)} that are not, {one_layer} compare Feature Mining on one layer "
        f"with something. If the printed ± were the standard error of the mean, {(once.holm_as_error < audit.ALPHA).sum()} "
        f"would be significant, and of the {len(supported)} rankings that the numbers support, "
        f"{(supported.holm_as_error == supported.pairs).sum()} would still be supported.")])


def forest(compared: pd.DataFrame, *tables: str) -> Html:
    """The compared differences of these tables; one table of several networks has a panel for each."""
    once = audit.distinct(compared)
    rows = once[once.table.isin(tables)].sort_values("table", kind="stable")
    rows = drawn.labelled(rows, by_network=len(tables) == 1)
    title = f"Printed differences of Table{'s' * (len(tables) > 1)} {', '.join(map(number, tables))}"
    return drawn.forest(rows, title, 3 if len(tables) == 1 else 1)


def repeated_spreads() -> Html:
    """Trainings that stand in several tables."""
    trainings = audit.repeated()
    table = as_frame([{
        "network": row.network, "method": row.method, "tables": ", ".join(map(number, row.cells)),
        "means": _once(row.means), "spreads": _once(row.spreads),
        "chance if run anew": DASH if row.same_spread else _chance(row.chance)} for row in trainings.itertuples()])
    odd = trainings[~trainings.same_spread]
    named = " and ".join(f"{row.network} with {row.method} ({', '.join(f'±{s:.2f}' for s in row.spreads)})"
                         for row in odd.itertuples())
    close = audit.under_each_spread("T2.resnet110.fm2", "T2.resnet110.byot")
    intervals = "; ".join(f"±{row.spread:.2f}: {bounds(Interval(row.difference, row.low, row.high), signed=True)}"
                          for row in close.itertuples())
    return join([html(table, "The same training in several tables"), says(
        f"{trainings.same_spread.sum()} of {len(trainings)} repeat mean and spread, as the same runs must. {named} repeat "
        "only the mean. Had each of those tables runs of its own, all their means would round alike with a chance of "
        f"{_chance(prod(odd.chance))}; of {_chance(prod(odd.at_most))} if all spreads were as small as the smallest. So the "
        "means were probably taken over, and a spread was computed or typed again. This matters where a lead is small: that "
        f"over BYOT in Table 2, {signed(close.difference[0])}, has an interval that includes zero under "
        f"{_all_of((close.low < 0) & (close.high > 0))} spreads ({intervals}).")])


def costs() -> Html:
    """The sentences about cost beside Table 10."""
    costs = audit.costs()
    table = as_frame([{
        "claim": "" if again else join([_anchor(row.claim), BREAK, badge(row.status, OWN[row.status])]),
        "read as": "" if again else f"at most × {row.at_most:.2f}", "method": row.method, "memory": f"× {row.memory:.2f}",
        "time (rounded)": f"× {row.time:.2f} ({row.low:.2f} to {row.high:.2f})", "ours": _ours(row.ours)}
        for row, again in zip(costs.itertuples(), costs.claim.duplicated(), strict=True)])
    quotes = [{"section": row.section, "quote": row.quote, "text": ""} for row in costs.drop_duplicates("claim").itertuples()]
    parts = [f"{row.method}: {_percent(row.time)} more time ({_percent(row.low)} to {_percent(row.high)} by what was rounded "
             f"off) and {_percent(row.memory)} more memory" for row in costs.drop_duplicates("cell").itertuples()]
    none = "" if any(costs.ours) else " No cost of ours is on record for these cells."
    table = table if any(costs.ours) else table.drop(columns="ours")
    listed, caption = render("items", items=quotes, numbered=False), "An iteration beside the baseline's, as Table 10 prints it"
    return join([listed, html(table, caption), says("; ".join(parts) + "." + none)])


def best_epoch_gain(tier: str) -> Html:
    """What the best epoch on the test set adds in our own runs."""
    return selection.added(tier)


def best_epoch_noise(ledger: Ledger) -> Html:
    """The same by simulation, from how our accuracies vary from epoch to epoch; of all tiers, whatever the page's own."""
    return selection.best_epoch(ledger)


def reliability_of_checks() -> Html:
    """Every check of the printed numbers: what it asks, what it can find, what it finds here."""
    return checks.instrument()


def detectable(compared: pd.DataFrame) -> Html:
    """What four runs a side can find, per table, and the compared differences that are smaller."""
    once = audit.distinct(compared)
    by_table = audit.detectable(once)
    table = as_frame([{
        "table": number(row.table), "n": row.n, "pooled spread": f"±{row.spread:.2f}" + (" *" if row.borrowed else ""),
        "found with 80 % power": f"{row.least:.2f}", "comparisons": row.pairs, "smallest": f"{row.smallest:.2f}",
        "below": row.below} for row in by_table.itertuples()])
    weak = once[once.difference < once.table.map(dict(zip(by_table.table, by_table.least, strict=True)))].sort_values("power")
    named = as_frame([{
        "comparison": _named(row.higher, row.lower), "power": share(row.power),
        "difference (95 %)": f"{signed(row.difference)} ({bounds(Interval(0, row.low, row.high), signed=True)})"}
        for row in weak.itertuples()])
    return join([html(table, "The smallest difference that n runs a side can find, in points"), html(
        named, "Printed differences smaller than that, and the power at each"), says(
        f"{len(once) - len(weak)} of the {len(once)} compared differences are large enough for the paper's design to find "
        f"them four times in five. For the other {len(weak)} it has too few runs: the power given for each is the chance "
        "that a repetition of the same size would find it, if it is true as printed.")])


def other_images(compared: pd.DataFrame) -> Html:
    """What the draw of the test images does to an accuracy."""
    once = audit.distinct(compared)
    by_table = audit.images(once)
    table = as_frame([{
        "table": number(row.table), "test images": f"{row.images:,}", "accuracies": f"{row.least:.2f} to {row.most:.2f}",
        "standard error of one": f"{row.error_low:.2f} to {row.error_high:.2f}", "comparisons": row.pairs,
        "within 1.96 of two": row.below} for row in by_table.itertuples()])
    first = by_table.iloc[0]
    spread = audit.detectable(once).set_index("table").spread[first.table]
    return join([html(table, "Binomial standard error of an accuracy by the draw of its test images, in points"), says(
        f"Another {first.images:,} test images would move an accuracy of Table {number(first.table)} by a standard error of "
        f"{first.error_low:.2f} to {first.error_high:.2f} points, where the pooled spread of its runs is {spread:.2f}. If "
        f"the two accuracies of a comparison came from different images, {by_table.below.sum()} of {by_table.pairs.sum()} "
        "printed differences would lie within 1.96 standard errors.")])


def arithmetic() -> Html:
    """The numbers that sentences print, beside the tables."""
    quotes = audit.arithmetic()
    table = as_frame([{
        "claim": _place(row.claim), "section": row.section, "stands in": "a table" if row.in_table else "a sentence",
        "as quoted": ", ".join(row.said), "in the tables": ", ".join(row.tables), "agree": "yes" if row.agree else "no"}
        for row in quotes.itertuples()])
    sentences, entries = quotes.agree[~quotes.in_table], quotes.agree[quotes.in_table]
    return join([html(table, "Values and differences that sentences and entries of tables print"), says(
        f"{_all_of(sentences).capitalize()} sentences that print values or a difference agree with the tables, and "
        f"{_all_of(entries)} gains that stand in a table with the two values that they are of.")])


def slips() -> Html:
    """Oddities of the text."""
    found = [{"section": slip["section"], "quote": slip["quote"], "text": slip["note"]} for slip in audit.data()["slips"]]
    return render("items", items=found, numbered=False)


def baselines() -> Html:
    """What others reached without Feature Mining."""
    others = audit.baselines()
    above, plain = others[others.accuracy > others.fm2], others[others.plain]
    exceeded, best = above.label[above.plain].unique(), plain.loc[plain.groupby("network", sort=False).accuracy.idxmax()]
    table = as_frame([{
        "network": row.label + ("" if pd.isna(row.variant) else f", {row.variant}"), "top-1": f"{row.accuracy:.2f}",
        "to its baseline": signed(row.accuracy - row.baseline), "to its FM (2 layers)": signed(row.accuracy - row.fm2),
        "note": join([code(row.source), f": {row.recipe}. Runs: {_or_not_said(row.runs)}; epoch: {_or_not_said(row.epoch)}."])}
        for row in others.itertuples()])
    gains = "; ".join(f"{row.label}: {signed(row.accuracy - row.baseline)} ({signed(row.fm2 - row.baseline)})"
                      for row in best.itertuples())
    return join([drawn.baselines(others), html(
        table, "CIFAR-100 accuracies of these networks as their sources print them, and beside the paper's"), says(
        f"On {above.network.nunique()} of {others.network.nunique()} networks somebody reached more without Feature Mining "
        "than the paper with it on two layers. With a recipe that is known to be plain that holds for "
        f"{', '.join(exceeded) or 'none'}; the others may hold Mixup or label smoothing. The best plain recipe of each "
        f"network beside the paper's baseline, and in brackets the gain that the paper prints for Feature Mining: {gains}.")])


def _key(claim: str) -> Html:
    """With the sentence under the pointer."""
    return tag("code", claim, title=load_claims()[claim].quote)


def _quoted(claim: str) -> str:
    return f"“{shorten(load_claims()[claim].quote, QUOTED, placeholder=' …')}”"


def _anchor(claim: str) -> Html:
    """How the sentence begins, over its key, to which links lead."""
    return below(_quoted(claim), tag("code", claim, id=f"audit-{claim}"))


def _place(claim: str) -> Html:
    """The anchor of a gain; of an order, a link to where its pairs stand."""
    return _anchor(claim) if load_claims()[claim].kind == "gain" else below(_quoted(claim), link(f"#audit-{claim}", code(claim)))


def number(id_: str) -> str:
    """Of the table that an id begins with.

    >>> number("T10"), number("T2.resnet110.fm2")
    ('10', '2')
    """
    return str(Table.at_start_of(id_).number)


def _named(higher: str, lower: str) -> str:
    a, b = studies.cell(higher), studies.cell(lower)
    return f"{a.at.table.title}, {a.labels[0]}: {a.labels[1]} − {b.labels[1]}"


def _ours(costs: list[dict]) -> str:
    return "; ".join(f"{o['device']}: {cost.ratios(o)}" for o in costs) or DASH


def _all_of(flags: pd.Series) -> str:
    return f"all {len(flags)}" if flags.all() else f"{flags.sum()} of {len(flags)}"


def _once(values: list[float]) -> str:
    """
    >>> _once([74.71, 74.71]), _once([0.13, 0.21])
    ('74.71', '0.13, 0.21')
    """
    return ", ".join(f"{v:.2f}" for v in (values if len(set(values)) > 1 else values[:1]))


def _chance(probability: float) -> str:
    """
    >>> _chance(0.0016), _chance(0.25), _chance(0.0000551)
    ('1 in 625', '1 in 4', '1 in 18,100')
    """
    return f"1 in {float(f'{1 / probability:.3g}'):,.0f}"


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):.0f} %"


def _or_not_said(text) -> str:
    return "not said" if pd.isna(text) else text
