"""What the page of the neighbours shows beside its runs: what was measured of their networks, and gains beside what they cost. No
torch here."""

from collections.abc import Iterable
from statistics import median

import pandas as pd

from .. import stats, studies
from ..judging import comparisons
from ..judging.comparisons import Comparison
from ..judging.ledger import Ledger
from ..records import Record, durations
from ..records.findings import Finding
from ..studies import Cell
from . import markup
from .figures import neighbours as figures
from .figures.neighbours import Cost
from .markup import DASH, Html


def gains_and_costs(rule: studies.Rule, ledger: Ledger) -> Html:
    """What each comparison of a rule gains and what it costs, and what is not run with its hours."""
    compared = comparisons.compare(rule, ledger)
    drawn = figures.gains_and_costs([(c, cost(c, ledger)) for c in compared], f"{rule.table}: gains over what they cost")
    return Html(drawn + not_run(compared, ledger))


def detail(found: list[tuple[Cell, Finding]]) -> pd.DataFrame:
    """One row a network: how much its maps change where the image does, before and after its low-rank layer."""
    return pd.DataFrame([{
        **_whose(cell, f), "behind": f.values["place"],
        "before": f"{f.values['before']:.2f}", "after": f"{f.values['after']:.2f}",
        "difference": stats.signed(f.values["after"] - f.values["before"]),
        "finer than four places, before (%)": f"{f.values['fine_before']:.2f}", "after (%)": f"{f.values['fine_after']:.2f}",
        "images": f.values["n"]} for cell, f in found])


def view(found: list[tuple[Cell, Finding]]) -> pd.DataFrame:
    """One row a network: the part of an image that holds most of its class activation."""
    return pd.DataFrame([{
        **_whose(cell, f), "area (%)": _number(f.values["area"]), "of the last stage's map (%)": _number(f.values["last"]),
        "without activation": f.values["silent"], "images": f.values["n"]} for cell, f in found])


def confusion(found: list[tuple[Cell, Finding]]) -> pd.DataFrame:
    """One row a network: its classes' angles and how it confuses them."""
    return pd.DataFrame([{
        **_whose(cell, f), "wrong (%)": _number(f.values["wrong"]), "mean angle": f"{f.values['angle']:.1f}°",
        "Spearman's ρ": _number(f.values["rho"]), "confused, smaller angles (%)": _number(f.values["near"]),
        "larger angles (%)": _number(f.values["far"]), "for a class of the superclass (%)": _number(f.values["similar"]),
        "their mean angle": _number(f.values["similar_angle"]) + "°" * (f.values["similar_angle"] is not None)}
        for cell, f in found])


def _whose(cell: Cell, f: Finding) -> dict:
    return {"cell": cell.id, "network": ", ".join(cell.labels), "seed": f.name.removeprefix("seed")}


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:.2f}".replace("-", "−")


def cost(c: Comparison, ledger: Ledger) -> Cost:
    """What a comparison's cell takes above the other: time of runs on the same devices, parameters of networks and methods."""
    ours, theirs = (ledger.of(cell) for cell in (c.cell, c.base))
    if not ours or not theirs:
        return Cost(None, None, None)
    by_device = {device: [durations.took(r) for r in theirs if durations.devices_of(r) == {device}]
                 for device in set().union(*map(durations.devices_of, theirs))}
    ratios = sorted(100 * (durations.took(r) / median(by_device[device]) - 1)
                    for r in ours for device in durations.devices_of(r)
                    if durations.devices_of(r) == {device} and by_device.get(device))
    time = (median(ratios), ratios[0], ratios[-1]) if ratios else None
    return Cost(time, *(_parameters(ours[0], methods) - _parameters(theirs[0], methods) for methods in (True, False)))


def _parameters(r: Record, methods: bool) -> int:
    return r.resolved["parameters"] + sum(m["train_only_parameters"] for m in r.resolved["methods"] if methods)


def not_run(compared: Iterable[Comparison], ledger: Ledger) -> Html:
    """The comparisons that nothing is on record of, with the hours of a run: its own, or its baseline's as a lower bound."""
    rows = {c.cell.id: c for c in compared if not c.outcome}
    said = [f"{c.label} ({_hours(c, ledger)})" for c in rows.values()]
    return markup.tag("p", f"Not run: {'; '.join(said)}.") if said else Html("")


def _hours(c: Comparison, ledger: Ledger) -> str:
    where = durations.devices(ledger.records)
    for cell, least in ((c.cell, False), (c.base, True), (studies.baseline(c.base) or c.base, True)):
        found = [h for on in where if (h := durations.hours(cell, "full", ledger.records, on))]
        if found:
            return f"{durations.about([found[0]._replace(least=least or found[0].least)])} a run"
    return "hours of a run not measured"


def table(frame: pd.DataFrame, caption: str, tier: str) -> Html:
    """The table, or a sentence that there is nothing to show."""
    if frame.empty:
        return markup.empty(f"Not run: nothing of this is measured in the {tier} tier.")
    return markup.html(frame, caption, tier)
