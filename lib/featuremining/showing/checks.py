"""The checks of printed numbers, a section of the audit's page: what each asks, what it can find, what it finds. No torch."""

import pandas as pd

from .. import studies
from ..judging import checks, planted, selection
from ..judging.ledger import Ledger
from ..stats import signed
from ..studies.ids import Table
from .markup import Html, bounds, html

DATASET, METHODS = "cifar100", {"the baseline": (), "Feature Mining": ("fm",)}


CAPTION = (f"Checks of printed numbers: how many of {planted.WORLDS} invented reports with one fault each finds, and to how many "
           "without a fault it objects")
NOISE = "Noise from epoch to epoch at the last learning rate, and what the best epoch makes of it, in points"


def instrument() -> Html:
    """Every check with its power, and what it objects to in the paper."""
    report, rates = checks.of_paper(), planted.rates()
    rows, named = [], set()
    for rate in rates:
        first, check = rate.check.name not in named, rate.check
        named.add(check.name)
        rows.append({"check": f"<strong>{check.name}</strong><br>{check.asks}" if first else "", "planted": rate.plant,
                     "found": f"{rate.found:.0%}", "false alarms": f"{rate.false:.1%}", "to be relied on": rate.power,
                     "on this paper": _objections(check, report) if first else ""})
    return Html(f"<p><strong>It says:</strong> {_answer(report, rates)}</p>\n" + html(pd.DataFrame(rows), CAPTION, style="words")
                + f"<p>{_limits(report)}</p>\n")


def _objections(check: checks.Check, report: checks.Report) -> str:
    if check.name == "spreads":
        return f"p = {checks.spread_p(report):.2f}, {check.looks_at(report)} {check.things}"
    return f"{len(check.find(report))} of {check.looks_at(report)} {check.things}"


def _answer(report: checks.Report, rates: list[planted.Rate]) -> str:
    objecting = [f"{_named([c.name])} to {_objections(c, report)}" for c in checks.CHECKS if c.find(report)]
    relied = list(dict.fromkeys(r.check.name for r in rates if r.power == "yes"))
    blind = [c.name for c in checks.CHECKS if c.name not in relied]
    return (f"{len(objecting)} of {len(checks.CHECKS)} checks object to something: {'; '.join(objecting) or 'none'}. Of some "
            f"kind of fault, {_named(relied)} each find at least {planted.FOUND:.0%} at no more than {planted.FALSE:.0%} false "
            f"alarms. Without power here: {_named(blind) or 'none'}.")


def _named(names: list[str]) -> str:
    return ", ".join(f"<em>{name}</em>" for name in names)


def _limits(report: checks.Report) -> str:
    sizes = sorted({(x.n, x.images) for x in report.numbers.values() if x.images})
    share = min(checks.share_attainable(n, images) for n, images in sizes)
    table, rows = max(checks.spreads(report).items(), key=lambda item: len(item[1]))
    (least, n), pooled = min(rows), checks.pooled(rows)
    chance = checks.chance_of_spread(least, pooled, n)
    return (f"{share:.0%} of all numbers with two decimals can be the mean of so many runs on so many images as the paper has, "
            f"so rounding can betray {'nothing' if share == 1 else 'something'}. One spread says little: of {n} runs with a true "
            f"spread of {pooled:.2f}, the pooled one of {Table.at_start_of(table).title}, {chance:.0%} of sets show its "
            f"smallest, ±{least:.2f}, or less, and so does one at least of {len(rows)} sets with a chance of "
            f"{1 - (1 - chance) ** len(rows):.0%}. Standard deviations can't be told from standard errors if all are the one or "
            f"all the other. The check of test images objects to {planted.flagged(1):.0%} of leads that truly are one point on "
            f"all images, and to {planted.flagged(3):.0%} of those of three: it finds no fault, but what other images may turn.")


def best_epoch(ledger: Ledger) -> Html:
    """What the best of the epochs at the last learning rate adds by noise alone: simulated from our runs' curves."""
    recipe = studies.cell("T1.resnet110.fm2").run("full", 0).recipe
    epochs = recipe.epochs - round(recipe.milestones[-1] * recipe.epochs)
    found = {name: n for name, methods in METHODS.items() if (n := selection.noise(ledger, DATASET, methods))}
    table = pd.DataFrame([{
        "runs of": name, "runs": n.runs, "epochs each": f"{n.epochs:.0f}", "spread over epochs": f"{n.sd:.2f}",
        "correlation of neighbours": f"{n.phi:.2f}", "best − line, observed": f"{n.best:.2f}",
        "as simulated": f"{n.expected:.2f}",
        f"simulated for {epochs} epochs": f"{selection.lift(n.sd, n.phi, epochs):.2f}"} for name, n in found.items()])
    if len(found) < len(METHODS):
        return html(table, NOISE)
    base, ours = found.values()
    gain = selection.inherited(base, ours, epochs)
    return Html(html(table, NOISE) + "<p><strong>It says:</strong> if the paper's accuracies vary from epoch to epoch as ours on "
                f"CIFAR-100 do, the best of its {epochs} epochs at the last learning rate lies "
                f"{selection.lift(base.sd, base.phi, epochs):.2f} points above what the baseline is expected to reach, and "
                f"{selection.lift(ours.sd, ours.phi, epochs):.2f} with Feature Mining. A gain inherits the difference, "
                f"{signed(gain.value)} ({bounds(gain, signed=True)} by a bootstrap over these {base.runs + ours.runs} runs). No "
                "printed number can show it: this check measures a size and raises no alarm.</p>\n")
