"""What was trained: per experiment what is on record of what is listed, and what runs took or would take."""

from statistics import fmean

from .. import studies
from ..judging import cost
from ..judging.ledger import Ledger
from ..records import Record, durations, findings, read_records
from ..records.durations import words
from ..studies import Cell
from . import markup, tables
from .markup import Html, counted

TIERS = ("short", "full")


def status(ledger: Ledger) -> str:
    """Per experiment what is on record of what is listed, and per training what its runs took."""
    titles = {name: study["title"] for name, study in studies.read_studies().items()}
    rows = [_experiment(study, title, ledger) for study, title in titles.items()]
    parts = [markup.html(rows, "The numbers of each experiment, and their runs, short and full")]
    for tier in TIERS:
        trainings = {key: records for key, records in ledger.trainings.items() if records[0].tier == tier}
        if trainings:
            rows = [_training(key, records) for key, records in sorted(trainings.items())]
            parts.append(markup.html(rows, "What one run of each training took", tier))
    return "\n\n".join(parts) + "\n"


def _experiment(study: str, title: str, ledger: Ledger) -> dict:
    cells = [c for c in studies.load_cells().values() if c.study == study]
    row = {"experiment": markup.link(f"experiments/{cells[0].notebook}.html", title), "numbers": len(cells),
           "of them printed": sum(bool(c.paper) for c in cells)}
    for tier in TIERS:
        trainings = {ledger.key(c, tier): c for c in cells}
        records = [r for c in trainings.values() for r in ledger.of(c, tier)]
        wanted = {key: studies.wanted(c, tier) for key, c in trainings.items()}
        # seeds beyond those that are wanted of one training stand for none of another
        done = sum(min(len(ledger.of(c, tier)), wanted[key]) for key, c in trainings.items())
        row[f"{tier} runs, done"] = f"{done + _measured(cells, tier)} of {sum(wanted.values())}"
        row[f"{tier} runs, time"] = words(sum(map(durations.took, records))) if records else markup.DASH
    return row


def _measured(cells: list[Cell], tier: str) -> int:
    """Costs that were measured, on whichever device: they are findings and leave no record."""
    return sum(bool(findings.read("cost", c.run(tier, 0))) for c in cells if c.task == "cost")


def _training(key: str, records: list[Record]) -> dict:
    """Runs of one training: how many, minutes of each on average, and the most memory."""
    return {"run": key, "training": tables.trained(records[0]), "seeds": ", ".join(str(r.seed) for r in records),
            "minutes": f"{60 * fmean(map(durations.took, records)):.1f}", "peak MiB": tables.peak(records),
            "device, engine": durations.where(records)}


def took(groups: list[tuple[Cell, list[Record]]], tier: str) -> Html:
    """What the runs of these cells in a tier took, and what the cells would take in the full tier where steps or runs of their
    networks were measured."""
    runs = {r.id: r for _, records in groups for r in records}.values()
    costs = [f.values["iterations"] * f.values["seconds"] / 3600
             for f in cost.found([cell for cell, _ in groups], tier)]
    if costs:
        summary = f"{counted(len(costs), 'measurement')}, {words(sum(costs))} of iterations"
    elif runs:
        summary = (f"{counted(len(runs), 'run')}, {words(sum(map(durations.took, runs)))} in all, "
                   f"{tables.peak(list(runs))} MiB of memory at most")
    else:
        summary = "none yet"
    return markup.tag("p", f"Runs on record, {tier}: {summary}. {_again([cell for cell, _ in groups])}", class_="fm-took")


def _again(cells: list[Cell]) -> str:
    """One seed of each training in the full tier, on the device on which most of them can be told."""
    records, trainings = read_records(), {cell.run("full", 0).key: cell for cell in cells}
    on = {device: [cost for cell in trainings.values() if (cost := durations.hours(cell, "full", records, device))]
          for device in durations.devices(records)}
    device, costs = max(on.items(), key=lambda item: len(item[1]), default=("", []))
    if not costs:
        return "How long a full run takes was not measured."
    rest = len(trainings) - len(costs)
    return (f"One full run of each: {durations.about(costs)} ({device})"
            + (f"; for {rest} of them it was not measured." if rest else "."))
