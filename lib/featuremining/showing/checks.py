"""The checks of printed numbers, a section of the audit's page: what each asks, what it can find, what it finds. No torch."""

from ..judging import checks, planted
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
                     "found": f"{rate.found:.0%}", "false alarms": f"{rate.false:.1%}", "reliable": rate.power,
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
            ". Of some kind of fault, ", _named(relied), f" each find at least {planted.FOUND:.0%} at no more than "
            f"{planted.FALSE:.0%} false alarms. Without power here: ", _named(blind) or "none", "."]


def _named(names: list[str]) -> Html:
    return join((tag("em", name) for name in names), ", ")


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
