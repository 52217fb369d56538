"""Why the method may or may not help, as far as the records tell. Every number from data. No torch."""

import json
from collections.abc import Iterable
from math import log
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from .. import studies
from ..datasets import size
from ..judging import class_activation, comparisons
from ..judging.ledger import Ledger
from ..records import Record, findings
from ..stats import Interval, signed, welch
from ..studies import Cell
from ..studies.outcomes import Status
from .figures.parts import part_losses
from .forest import Line, forest
from .learning import FM, epochs, last, pairs, setting, train_and_test
from .markup import Html, bounds, link, listed, says, tag
from .start import in_a_sentence

CLOSE = 10                  # points between training and test accuracy
CONTROL = "X6"              # the rule on learning rate and reduction
BRIEF = 60                  # epochs: a fifth of the paper's on CIFAR-100


def underfit(ledger: Ledger) -> Html:
    """Training against test accuracy at the end of each training, where training labels are right."""
    groups: dict[str, list[tuple[Cell, list[Record]]]] = {}
    lower = []
    for tier, cell, base in pairs(ledger):
        plain = ledger.of(base, tier)
        if "memorised" in plain[0].curves:          # of wrong labels a training accuracy says something else
            continue
        groups.setdefault(setting(tier, cell), []).extend([(base, plain), (cell, ledger.of(cell, tier))])
        lower += [epochs(tier, cell)] if last(plain, "train_acc") - last(plain, "test_acc") < CLOSE else []
    brief = sum(length <= BRIEF for length in lower)
    which = "all" if brief == len(lower) else brief
    return Html(train_and_test(groups) + (says(
        f"In {len(lower)} of {len(groups)} settings plain training ends within {CLOSE} points of its own training accuracy, or "
        f"above it; {which} of these were trained for {BRIEF} epochs or fewer. There is little overfitting there for a "
        "regulariser to remove, so a missing gain says little.") if lower else ""))


def heads(ledger: Ledger) -> Html:
    """The losses of the classifiers of the parts over the epochs, of one training on each data set."""
    shown = {cell.dataset: (setting(tier, cell), ledger.of(cell, tier)[0], log(size(cell.dataset, **cell.data).classes))
             for tier, cell, _ in reversed(pairs(ledger))}
    return part_losses(list(shown.values())[::-1])


def empty(ledger: Ledger, computed: Path) -> Html:
    """Of the steps on record, how many boxes were empty, beside what the rule of the boxes makes one expect."""
    expected = json.loads(computed.read_text(encoding="utf-8"))["boxes"]["8"]["center_clip"]["empty"]
    seen = [v for tier, cell, _ in pairs(ledger) for r in ledger.of(cell, tier)
            for v in r.curves.get("fm.stage3.empty", ()) if size(cell.dataset, **cell.data).pixels == 32]
    if not seen:
        return tag("p", "No run on record says how many of its boxes were empty.")
    return says(f"Over {len(seen)} epochs on record with a last map of 8 × 8, {100 * fmean(seen):.1f} % of the boxes held no "
                f"place at all; {100 * expected:.1f} % are expected. The inside classifier then sees only its own bias, and "
                "must name the class all the same. Smaller maps have more empty boxes; the table under the ",
                link("feature_mining.html#demonstration", "demonstration"), " has their share for each reading of the paper.")


def averaged(ledger: Ledger) -> Html:
    """Losses averaged instead of added, and added, over plain training."""
    groups: dict[str, list[Line]] = {}
    changes = []
    for tier, cell, _ in pairs(ledger):
        other = studies.load_cells().get(cell.id.replace(f".{FM}", ".mean_loss"))
        if other and ledger.of(other, tier):
            lines = [Line(c.labels[1], ledger.difference(c, tier), note=f"n = {len(ledger.of(c, tier))}") for c in (cell, other)]
            groups[setting(tier, cell)] = lines
            n = min(len(ledger.of(c, tier)) for c in (cell, other))
            changes.append(f"{signed(lines[1].interval.value - lines[0].interval.value)} points on {in_a_sentence(cell)} after "
                           f"{epochs(tier, cell)} epochs (n = {n})")
    figure = forest(groups, "Difference to plain training in percentage points, losses added as in the paper and averaged.")
    return Html(figure + says(
        f"With losses averaged instead of added the accuracy differs by {listed(changes)}. Averaging divides "
        "every gradient by the number of losses, as a smaller learning rate does; a control asks whether it is more than that.")
        + control(ledger)
        if groups else figure)


def control(ledger: Ledger) -> Html:
    """Losses averaged beside a smaller learning rate, by a rule fixed before the runs with that rate; the others were known."""
    rule = studies.rules()[CONTROL]
    lines = [Line(c.label, c.outcome, note=f"n = {' and '.join(str(len(s)) for s in c.seeds)}, {c.status}")
             for c in comparisons.compare(rule, ledger) if c.outcome]
    caption = (f"Difference of test accuracy after the {rule.outcome} epoch in percentage points. The rule, fixed before the "
               f"runs with the smaller rate and when the others were known, is on the page of the ablations ({rule.table}). An "
               "interval as wide as these does not show that two are equal.")
    return Html(_no_more(rule, ledger) + forest({rule.question: lines}, caption))


def _no_more(rule: studies.Rule, ledger: Ledger) -> str:
    """What the control has come to, in a sentence, where its three comparisons are finished and say so: the smaller rate gains on
    plain training, and averaged losses can't be told from it, nor added ones with that rate from averaged ones."""
    rate, *rest = comparisons.compare(rule, ledger)
    if (rate.status, *(c.status for c in rest)) != (Status.ABOVE, Status.NO_CLEAR_DIFFERENCE, Status.NO_CLEAR_DIFFERENCE):
        return ""
    gain, beyond, added = (f"{signed(c.outcome.value)} points ({bounds(c.outcome, signed=True)})" for c in (rate, *rest))
    return says(f"Nothing shows that it is more. With a fifth of the learning rate plain training gains {gain}; averaged losses "
                f"differ from that by {beyond}, and added losses with the smaller rate from averaged ones by {added}, neither "
                "clearly.")


class Seen(NamedTuple):
    """How much of a network's class activation falls on the part that tells the class, in percent, and of plain training; means
    over so many seeds, and their difference."""

    cell: Cell
    share: str
    plain: str
    difference: Interval
    seeds: int


def on_the_part(cells: Iterable[Cell]) -> list[Seen]:
    """Of those cells that were measured with two seeds or more, and their baselines too."""
    found = []
    for cell in cells:
        base = studies.baseline(cell)
        sides = [findings.read("localise", c.run("full", 0)) if c else [] for c in (cell, base)]
        if min(map(len, sides)) > 1:
            mine, plain = (class_activation.of_seeds(side, "cam", "energy") for side in sides)
            found.append(Seen(cell, f"{mine.mean:.1f}", f"{plain.mean:.1f}", welch(mine, plain), min(map(len, sides))))
    return found


def looks(_: Ledger) -> Html:
    """How much of the class activation falls on the true part: over plain training, of seeds."""
    groups: dict[str, list[Line]] = {}
    gone = []
    for one in on_the_part(studies.load_cells().values()):
        line = Line(one.cell.labels[1], one.difference, note=f"plain {one.plain} %, n = {one.seeds}")
        groups.setdefault(setting("full", one.cell), []).append(line)
        gone += [f"{line.label} on {in_a_sentence(one.cell)}"] if line.interval.high < 0 else []
    said = says(f"With {listed(gone)}, less of the map lies on that part. This would happen if the network "
                "uses more of the image, and also if it misses the part; only accuracy can tell which.")
    figure = forest(groups, "How much of the class activation map lies on the part that tells the class: difference to plain "
                    "training in percentage points, and the share with plain training.")
    return Html((said if gone else "") + figure)
