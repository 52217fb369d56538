"""What the book begins with: three answers, all printed gains, all differences of our own. Every number from data. No torch."""

from pathlib import Path

from .. import studies
from ..datasets import size
from ..judging import audit, listing, planning
from ..judging.ledger import Ledger
from ..judging.verdicts import printed
from ..records.durations import words
from ..stats import LEVEL, Interval, signed, welch
from ..studies import Cell
from ..studies.outcomes import State, Status
from .forest import Line, forest
from .markup import Html, bounds, render

SCOREBOARD = "scoreboard.html"


def answers(ledger: Ledger, here: str = "") -> Html:
    """What the paper's own numbers support, what our runs show, what nobody knows yet and what it takes; without a link to the
    page ``here``, which shows them."""
    rows = [row for row in listing.of_first(ledger) if not row["same_as"]]
    return render("answers", here=here, level=100 * LEVEL, **own_numbers(), **our_runs(ledger, rows), **not_known(ledger, rows))


def own_numbers() -> dict:
    once = audit.distinct(audit.pairs())
    return {"compared": len(once), "alone": int((once.p < audit.ALPHA).sum()), "corrected": int((once.holm < audit.ALPHA).sum()),
            "as_error": int((once.holm_as_error < audit.ALPHA).sum())}


def our_runs(ledger: Ledger, rows: list[dict]) -> dict:
    """``decided`` of the ``accuracies`` that the paper prints; its experiments that have runs in ``full``, each training once;
    what becomes of short runs; costs that come out cheaper."""
    cells = studies.load_cells()
    accuracies = [row for row in rows if row["kind"] == "number" and cells[row["claim"]].published is not None]
    in_order = sorted(cells.values(), key=lambda c: (c.published is None, c.at.table.order), reverse=True)
    full = list({ledger.key(c): c for c in in_order if not c.own and ledger.difference(c)}.values())[::-1]
    short = short_gains(ledger)
    return {"accuracies": len(accuracies), "decided": sum(row["verdict"].status.state == State.DECIDED for row in accuracies),
            "full": [{"cell": c, "seeds": _seeds(c, ledger, "full"), "gain": signed(ledger.difference(c).value),
                      "between": bounds(ledger.difference(c), signed=True)} for c in full],
            "short": len(short), "below": sum(i.value < 0 for _, i in short),
            "cheaper": sum(row["verdict"].status == Status.CHEAPER for row in rows)}


def short_gains(ledger: Ledger) -> list[tuple[Cell, Interval]]:
    """Of methods over the same network trained plainly, after a tenth of the schedule; each training once."""
    found = {ledger.key(c, "short"): (c, i) for c in reversed(studies.load_cells().values())
             if (i := ledger.difference(c, "short"))}
    return list(found.values())[::-1]


def not_known(ledger: Ledger, rows: list[dict]) -> dict:
    """How many claims nothing is on record of, and what the open ones would take on the device that most is known of."""
    waiting = sum(row["verdict"].status.state == State.WAITING for row in rows)
    outlook = planning.outlook(ledger)
    return {"claims": len(rows), "waiting": waiting, "device": outlook.device, "time": words(outlook.hours),
            "planned": outlook.planned, "unmeasured": len(outlook.unmeasured), "first": outlook.first,
            "first_title": _title(outlook.first), "first_time": words(outlook.first_hours)}


def _title(id_: str) -> str:
    """Of an open question as `planning.questions` names it: what a reader knows of it. Empty for a sentence."""
    cell = studies.load_cells().get(id_.removesuffix(planning.OVER))
    over = " over plain training" if id_.endswith(planning.OVER) else ""
    return f"{cell.at.table.title}, {', '.join(cell.labels)}{over}" if cell else ""


def gain_lines(ledger: Ledger) -> dict[str, list[Line]]:
    """Every printed gain of Feature Mining over the same network trained plainly, by table; hollow where we have no run."""
    groups: dict[str, list[Line]] = {}
    seen = set()
    for cell in sorted(studies.load_cells().values(), key=lambda c: c.at.table.order):
        base = studies.baseline(cell)
        if base is None or None in (cell.published, base.published) or "fm" not in {m["name"] for m in cell.methods}:
            continue
        if (once := (cell.run("full", 0).key, cell.published)) in seen:
            continue
        seen.add(once)
        label = f"{cell.labels[0]}: {cell.labels[1]}"
        groups.setdefault(studies.titles()[cell.table], []).append(
            Line(label, welch(printed(cell), printed(base)), cell.id, not ledger.counting(cell)))
    return {title: sorted(lines, key=lambda line: line.interval.value) for title, lines in groups.items()}


def gains(ledger: Ledger) -> Html:
    """The same as a figure."""
    groups = gain_lines(ledger)
    values = [line.interval.value for lines in groups.values() for line in lines]
    run = sum(not line.hollow for lines in groups.values() for line in lines)
    return forest(groups, f"What the paper prints: {len(values)} gains of Feature Mining over the same network trained plainly, "
                  f"in percentage points with {100 * LEVEL:.0f} % intervals from the printed spreads, {signed(min(values))} to "
                  f"{signed(max(values))}. Hollow: not run by us ({len(values) - run} of {len(values)}).", SCOREBOARD)


def picture(ledger: Ledger, path: Path) -> None:
    """What stands beside an address of the book that somebody shares."""
    from .figures.social import social

    rows = [row for row in listing.of_first(ledger) if not row["same_as"]]
    own, ours, rest = own_numbers(), our_runs(ledger, rows), not_known(ledger, rows)
    sentences = (f"{own['corrected']} of {own['compared']} printed differences are larger than chance between runs.",
                 f"{ours['decided']} of {ours['accuracies']} printed accuracies are decided by runs of ours.",
                 f"{rest['waiting']} of {rest['claims']} claims have no run yet.")
    social(path, "Feature Mining, reproduced", sentences,
           [(line.interval, not line.hollow) for lines in gain_lines(ledger).values() for line in lines])


def differences(ledger: Ledger) -> Html:
    """Our own differences to plain training: whole schedules with two seeds a side or more, and a tenth of the schedule."""
    cells = studies.load_cells().values()
    full = {ledger.key(c): c for c in reversed(cells)
            if (i := ledger.difference(c)) and Line("", i).bounded and "fm" in {m["name"] for m in c.methods}}
    groups = {"Whole schedule, two seeds a side or more": [difference_line(c, ledger, "full") for c in full.values()][::-1],
              "A tenth of the schedule": [difference_line(c, ledger, "short") for c, _ in short_gains(ledger)]}
    return forest(groups, "What our runs show: differences to the same network trained plainly, in percentage points with "
                  f"{100 * LEVEL:.0f} % intervals where both sides have two seeds. None is compared with a printed number here.")


def difference_line(cell: Cell, ledger: Ledger, tier: str) -> Line:
    """A cell's difference to its baseline, of so many seeds a side."""
    return Line(f"{data_words(cell)}, {cell.labels[0]}: {cell.labels[1]}", ledger.difference(cell, tier), cell.id,
                note=f"n = {_seeds(cell, ledger, tier)}")


def _seeds(cell: Cell, ledger: Ledger, tier: str) -> int:
    """Of the side that has fewer."""
    return min(len(ledger.of(c, tier)) for c in (cell, studies.baseline(cell)))


NAMES = {"parts": "Built-in images", "cifar100": "CIFAR-100", "tiny_imagenet_50": "Tiny ImageNet, 50 classes",
         "cub_50": "Birds, 50 classes", "cifar100n": "CIFAR-100, labels by people", "parts_voc": "Built-in images to detect"}


def data_name(cell: Cell) -> str:
    """The data set as readers know it."""
    return NAMES.get(cell.dataset, cell.dataset.replace("_", " "))


def data_words(cell: Cell) -> str:
    """The data set and how many training images the cell takes of it."""
    return f"{data_name(cell)} ({size(cell.dataset, **cell.data).train:,} images)"


def in_a_sentence(cell: Cell) -> str:
    """The same where it does not begin a sentence or a line."""
    return data_words(cell).replace("Built-in", "the built-in").replace("Birds", "birds")
