"""What the choice of the best epoch adds in our own runs, and what of it is noise: a section of the audit's page. No torch."""

import pandas as pd

from .. import studies
from ..judging import selection
from ..judging.ledger import Ledger
from ..stats import signed
from .markup import DASH, Html, as_frame, bounds, empty, html, says, tier_badge

DATASET, METHODS = "cifar100", {"the baseline": (), "Feature Mining": ("fm",)}
NOISE = "Noise from epoch to epoch at the last learning rate, and what the best epoch makes of it, in points"


def added(tier: str) -> Html:
    """What the best epoch on the test set adds in our own runs: by tier, by how often they were tested, and accuracies apart
    from mean average precisions."""
    runs, gains = selection.runs(Ledger.read(None if tier == "all" else tier)), selection.gains()
    accuracy, rest = gains.gain[gains.measure == selection.TOP1], gains[gains.measure != selection.TOP1]
    scale = (f"For comparison, the paper prints {len(accuracy)} different gains of Feature Mining in top-1, of "
             f"{accuracy.min():.2f} to {accuracy.max():.2f} points, {accuracy.median():.2f} in the middle"
             + "".join(f", and {row.gain:.2f} in {row.measure}" for row in rest.itertuples()) + ".")
    if runs.empty:
        return empty(f"No record yet, tier {tier}: nothing to show. {scale}")
    groups = selection.groups(runs)
    of_groups = as_frame([{
        "tier": tier_badge(row.tier), "of": row.measure, "tested": _tested(row.test_every), "runs": row.runs,
        "best − last, mean": f"{row.mean:.2f}", "at most": f"{row.most:.2f}", "best − median, mean": f"{row.median:.2f}"}
        for row in groups.itertuples()])
    by_training = as_frame([{
        "cell": row.cell, "method": row.method, "tier": tier_badge(row.tier), "of": row.measure, "n": row.n,
        "best − last": _spread(row.last, row.last_sd),
        "that − baseline's": DASH if pd.isna(row.method_only) else signed(row.method_only),
        "best − median": _spread(row.median, row.median_sd)} for row in selection.trainings(runs).itertuples()])
    said = "; ".join(
        f"in the {row.runs} runs of the {row.tier} tier that were tested {_tested(row.test_every)} ({row.measure}), "
        f"{row.mean:.2f} points on average and {row.most:.2f} at most" for row in groups.itertuples())
    return Html(html(of_groups, "What choosing the best epoch on the test images adds to a run, in points")
                + says(f"The best epoch lies above the last by this much: {said}. {scale}")
                + html(by_training, "The same by training, mean over its n seeds"))


def best_epoch(ledger: Ledger) -> Html:
    """What the best of the epochs at the last learning rate adds by noise alone: simulated from our runs' curves."""
    recipe = studies.cell("T1.resnet110.fm2").run("full", 0).recipe
    epochs = recipe.epochs - round(recipe.milestones[-1] * recipe.epochs)
    found = {name: n for name, methods in METHODS.items() if (n := selection.noise(ledger, DATASET, methods))}
    runs = as_frame([{
        "runs of": name, "runs": n.runs, "epochs each": f"{n.epochs:.0f}", "spread over epochs": f"{n.sd:.2f}",
        "correlation of neighbours": f"{n.phi:.2f}", "best − line, observed": f"{n.best:.2f}",
        "as simulated": f"{n.expected:.2f}",
        f"simulated for {epochs} epochs": f"{selection.lift(n.sd, n.phi, epochs):.2f}"} for name, n in found.items()])
    if len(found) < len(METHODS):
        return html(runs, NOISE)
    base, ours = found.values()
    gain = selection.inherited(base, ours, epochs)
    return Html(html(runs, NOISE) + says(
        "If the paper's accuracies vary from epoch to epoch as ours on CIFAR-100 do, the best of its "
        f"{epochs} epochs at the last learning rate lies {selection.lift(base.sd, base.phi, epochs):.2f} points above what the "
        f"baseline is expected to reach, and {selection.lift(ours.sd, ours.phi, epochs):.2f} with Feature Mining. A gain "
        f"inherits the difference, {signed(gain.value)} ({bounds(gain, signed=True)} by a bootstrap over these "
        f"{base.runs + ours.runs} runs). No printed number can show it: this check measures a size and raises no alarm."))


def _tested(every: int) -> str:
    """
    >>> _tested(1), _tested(10)
    ('after each epoch', 'every 10 epochs and after each of the last ten')
    """
    return "after each epoch" if every == 1 else f"every {every} epochs and after each of the last ten"


def _spread(mean: float, sd: float) -> str:
    return f"{mean:.2f}" + ("" if pd.isna(sd) else f" ± {sd:.2f}")
