"""The checks of printed numbers, a section of the audit's page: what each asks, what it can find, what it finds. No torch."""

from ..judging import checks, planted
from ..stats import share
from ..studies.ids import Table
from .markup import Html, html, join, render, says, tag

CAPTION = (f"Checks of printed numbers: how many of {planted.WORLDS} invented reports with one fault each finds, and to how many "
           "without a fault it objects")


def instrument() -> Html:
    """Every check with its power, and what it objects to in the paper."""
    report, rates = checks.of_paper(), planted.rates()
    rows, named = [], set()
    for rate in rates:
        first, check = rate.check.name not in named, rate.check
        named.add(check.name)
        rows.append({"check": check.name if first else "", "fault put in": rate.plant,
                     "found": share(rate.found), "false alarms": f"{share(rate.false, 1)}", "reliable": rate.power,
                     "on this paper": _objections(check, report) if first else ""})
    asked = render("items", items=[{"name": c.name, "text": c.asks} for c in checks.CHECKS], numbered=False)
    return Html(says(*_answer(report, rates)) + asked + html(rows, CAPTION) + tag("p", _limits(report)))


def _objections(check: checks.Check, report: checks.Report) -> str:
    if check.name == "spreads":
        return f"p = {checks.spread_p(report):.2f}, {check.looks_at(report)} {check.things}"
    return f"{len(check.find(report))} of {check.looks_at(report)} {check.things}"


def _answer(report: checks.Report, rates: list[planted.Rate]) -> list[str]:
    objecting = [join([_named([c.name]), f" to {_objections(c, report)}"]) for c in checks.CHECKS if c.find(report)]
    relied = list(dict.fromkeys(r.check.name for r in rates if r.power == "yes"))
    blind = [c.name for c in checks.CHECKS if c.name not in relied]
    return [f"{len(objecting)} of {len(checks.CHECKS)} checks object to something: ", join(objecting, "; ") or "none",
            ". Of some kind of fault, ", _named(relied), f" each find at least {share(planted.FOUND)} at no more than "
            f"{share(planted.FALSE)} false alarms. Without power here: ", _named(blind) or "none", "."]


def _named(names: list[str]) -> Html:
    return join((tag("em", name) for name in names), ", ")


def _limits(report: checks.Report) -> str:
    sizes = sorted({(x.n, x.images) for x in report.numbers.values() if x.images})
    attainable = min(checks.share_attainable(n, images) for n, images in sizes)
    table, rows = max(checks.spreads(report).items(), key=lambda item: len(item[1]))
    (least, n), pooled = min(rows), checks.pooled(rows)
    chance = checks.chance_of_spread(least, pooled, n)
    return (f"{share(attainable)} of all numbers with two decimals can be the mean of so many runs on so many images as the "
            f"paper has, so rounding can betray {'nothing' if attainable == 1 else 'something'}. One spread says little: of "
            f"{n} runs with a true spread of {pooled:.2f}, the pooled one of {Table.at_start_of(table).title}, "
            f"{share(chance)} of sets show its smallest, ±{least:.2f}, or less, and so does one at least of {len(rows)} sets "
            f"with a chance of {share(1 - (1 - chance) ** len(rows))}. Standard deviations can't be told from standard errors "
            f"if all are the one or all the other. The check of test images objects to {share(planted.flagged(1))} of leads "
            f"that truly are one point on all images, and to {share(planted.flagged(3))} of those of three: it finds no "
            "fault, but what other images may turn.")
