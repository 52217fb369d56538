"""How networks learn, and what schedules of other lengths found, as far as the records tell. Every number from data. No torch."""

from collections.abc import Mapping, Sequence
from math import log
from statistics import fmean

from .. import studies
from ..datasets import size
from ..judging.ledger import Ledger
from ..records import Record
from ..stats import Interval
from ..studies import Cell, Rule
from .figures.parts import part_losses
from .forest import Line, forest
from .markup import DASH, Html, empty, html, says
from .start import data_words

FM = "fm2"                  # Feature Mining as the paper likes it best, by its short name in ids
TIERS = ("full", "short")
LOSSES = {"ce": "loss, whole", "fm.stage3.inside": "inside, last stage", "fm.stage3.outside": "outside, last stage",
          "fm.stage2.inside": "inside, stage before", "fm.stage2.outside": "outside, stage before"}
EMPTY = "fm.stage3.empty"


def pairs(ledger: Ledger) -> list[tuple[str, Cell, Cell]]:
    """(tier, Feature Mining on two layers, its baseline) where both have runs; each training once, whole schedules first."""
    found = {}
    for tier in TIERS:
        for cell in studies.load_cells().values():
            base = studies.baseline(cell)
            if base and cell.method == FM and cell.task == "classification" and ledger.of(cell, tier) and ledger.of(base, tier):
                found.setdefault(ledger.key(cell, tier), (tier, cell, base))
    return list(found.values())


def epochs(tier: str, cell: Cell) -> int:
    return cell.run(tier, 0).recipe.epochs


def setting(tier: str, cell: Cell) -> str:
    """Data, network, length and table, for a heading."""
    return f"{data_words(cell)}, {cell.labels[0]}, {epochs(tier, cell)} epochs ({cell.table})"


def last(records: Sequence[Record], curve: str) -> float:
    """Mean over the seeds of the last value on record."""
    return fmean(next(v for v in reversed(r.curves[curve]) if v is not None) for r in records)


def train_and_test(groups: Mapping[str, Sequence[tuple[Cell, Sequence[Record]]]]) -> Html:
    """A line from training to test accuracy at the end, for each cell under its title."""
    lines: dict[str, list[Line]] = {}
    for title, cells in groups.items():
        for cell, records in cells:
            train, test = (last(records, curve) for curve in ("train_acc", "test_acc"))
            lines.setdefault(title, []).append(Line(cell.labels[1], Interval(test, min(test, train), max(test, train)),
                                                    says=f"training {train:.1f}, test {test:.1f}, n = {len(records)}"))
    return forest(lines, "Accuracy in percent at the end: the dot is on the test images, the other end of the line on the "
                  "training images, as augmented.", signs=False)


def learning(rule: Rule, ledger: Ledger) -> Html:
    """Of a study's cells with full runs: training against test accuracy, losses and empty boxes at the end, and the losses of the
    parts over the epochs."""
    cells = [cell for cell in studies.load_cells().values() if cell.table == rule.table and ledger.of(cell)]
    if not cells:
        return empty(f"No run of {rule.table} is on record yet: nothing to show.")
    groups: dict[str, list[tuple[Cell, list[Record]]]] = {}
    for cell in cells:
        groups.setdefault(setting("full", cell), []).append((cell, ledger.of(cell)))
    mined = [(f"{cell.labels[1]}, {setting('full', cell)}", ledger.of(cell)[0], log(size(cell.dataset, **cell.data).classes))
             for cell in cells if EMPTY in ledger.of(cell)[0].curves]
    table = html([_end(cell, ledger.of(cell)) for cell in cells], "Losses at the end, mean over the runs", "full")
    return Html(train_and_test(groups) + table + (part_losses(mined) if mined else ""))


def _end(cell: Cell, records: list[Record]) -> dict[str, str]:
    seen = {words: f"{last(records, curve):.3f}" if curve in records[0].curves else DASH for curve, words in LOSSES.items()}
    share = f"{100 * fmean(v for r in records for v in r.curves[EMPTY]):.1f}" if EMPTY in records[0].curves else DASH
    return {"network": cell.labels[0], "method": cell.labels[1], "n": str(len(records)), **seen,
            "empty boxes, all epochs (%)": share}


def schedules(ledger: Ledger) -> Html:
    """Feature Mining less plain training by the number of epochs, where one setting has runs of several lengths."""
    groups: dict[str, list[tuple[int, Line]]] = {}
    for tier, cell, _ in pairs(ledger):
        n, length = len(ledger.of(cell, tier)), epochs(tier, cell)
        line = Line(f"{length} epochs ({cell.table})", ledger.difference(cell, tier), note=f"n = {n}")
        groups.setdefault(f"{data_words(cell)}, {cell.labels[0]}", []).append((length, line))
    several = {title: [line for _, line in sorted(found, key=lambda pair: pair[0])] for title, found in groups.items()
               if len({length for length, _ in found}) > 1}
    if not several:
        return empty("No setting has runs of two lengths yet: nothing to compare.")
    figure = forest(several, "Feature Mining (2 layers) less plain training in percentage points, best epoch on the test "
                    "images, by the length of the training.")
    bounded = [line for lines in several.values() for line in lines if line.bounded]
    clear = sum(line.interval.low > 0 or line.interval.high < 0 for line in bounded)
    return Html(figure + says(f"Of these {sum(map(len, several.values()))} differences {len(bounded)} "
                              f"{'has' if len(bounded) == 1 else 'have'} enough seeds for an interval, and {clear} of these "
                              f"{'excludes' if clear == 1 else 'exclude'} zero."))
