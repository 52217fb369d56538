"""What `make bench` measured, and what the page of each method says of it: settings, cost, results. As Markdown with inline
HTML."""

import inspect
from dataclasses import fields
from importlib import import_module

from .. import studies
from ..judging.ledger import Ledger
from ..methods import METHODS
from ..records import findings
from ..records.durations import all_measured, device_of
from . import markup, tables
from .api import field_lines
from .markup import DASH
from .start import data_name


def measured_on(device: str, origin: dict) -> str:
    """The caption of a table of measurements."""
    changed = " with uncommitted changes" if origin["dirty"] else ""
    return (f"{device_of({**origin, 'device': device})}, torch {origin['versions']['torch']}, "
            f"{origin['measured'][:10]}, commit {(origin['commit'] or '–')[:10]}{changed}")


def benchmarks() -> str:
    """What ``make bench`` measured, as HTML tables under Markdown headings, one below the other where several devices have it."""
    titles = {"loop": "Training ResNet-56 end to end", "methods": "What a method adds to a step",
              "augmentation": "Augmentation", "start": "Waiting for the first step", "book": "Building this book",
              "gpu": "Ways to carry out a step on a GPU", "tiers": "What a training takes"}
    parts = []
    for group, title in titles.items():
        found = [(measured["device"], measured["groups"][group]) for measured in all_measured() if group in measured["groups"]]
        parts += [f"## {title}"] if found else []
        for device, of in found:
            frame = tables.tier_hours(of["rows"]) if group == "tiers" else tables.benchmark(of["rows"])
            parts.append(markup.html(frame, measured_on(device, of["provenance"])))
    if "cuda" not in {measured["type"] for measured in all_measured()}:
        parts.append("On a GPU: not run.")
    return "\n\n".join(parts) + "\n"


STEP = ", one step of 128"         # what `benchmarks/loop.py` calls the time of one
LOOPS = {"plain": "loop of public CIFAR code, fp32", "fp32": "ours, fp32", "bf16": "ours, bf16"}
NETWORK = "resnet56"


def one_step() -> str:
    """Every time of a plain training step of ResNet-56 on record, side by side: what was timed, where, and when."""
    rows = []
    for measured in all_measured():
        for group in ("loop", "tiers"):
            found = measured["groups"].get(group, {"rows": []})
            for row in found["rows"]:
                loop = LOOPS.get(row["what"].removesuffix(STEP)) if group == "loop" else "ours, fp32" * (row["what"] == NETWORK)
                if loop:
                    rows.append(_step(loop, measured["device"], found["provenance"], row["value"],
                                      f"make bench, {'the loops in turns' if group == 'loop' else 'each network alone'}"))
    for cost_ in findings.read(findings.COST, studies.cell(f"T10.{NETWORK}.baseline").run("full", 0)):
        rows.append(_step("ours, fp32", cost_.provenance["device"], cost_.provenance, cost_.values["seconds"],
                          "Table 10, in turns with Feature Mining"))
    return markup.html(rows, "A training step of plain ResNet-56 with 128 images: all times on record. They "
                       "differ by machine, threads, precision and loop, and by what else a shared machine did at the time")


def _step(loop: str, device: str, origin: dict, seconds: float, where: str) -> dict:
    return {"training loop": loop, "device": device_of({**origin, "device": device}), "seconds": f"{seconds:.3g}",
            "note": where + (f", {origin['measured'][:10]}" if "measured" in origin else "")}


def settings(name: str) -> str:
    """Each setting of a method with its default and the comment beside it, from the source of the class and of its bases."""
    module, cls = METHODS[name]
    cls = getattr(import_module(f"featuremining.methods.{module}"), cls)
    lines = {}
    for base in cls.__mro__[::-1]:
        if base.__module__.startswith("featuremining.methods."):
            lines |= field_lines(inspect.getsource(base))
    rows = [{"setting": markup.code(field.name), "default": markup.code(lines[field.name][0]), "note": lines[field.name][1]}
            for field in fields(cls)]
    return markup.html(rows, f"Settings of {name}: defaults, meaning and source")


def measured_costs(name: str) -> list[tuple[str, list[dict]]]:
    """What a method or a layer adds to a step, from the benchmarks of each device that has it: where, and its rows."""
    found = []
    for measured in all_measured():
        measurements = measured["groups"].get("methods", {"rows": []})
        if rows := [row for row in measurements["rows"] if row["what"].startswith((f"{name}:", f"{name},"))]:
            found.append((measured_on(measured["device"], measurements["provenance"]), rows))
    return found


def cost(name: str) -> str:
    """The same as tables."""
    parts = [markup.html(tables.benchmark(rows), f"A step of ResNet-56 over the baseline's: {where}")
             for where, rows in measured_costs(name)]
    if not parts:
        return "Not measured yet: `make bench` measures it."
    return "\n\n".join([*parts, "Operations are the PyTorch calls of a step, with the method / without it; goals are ours "
                         "([how it is measured](speed-and-cost))."])


NEIGHBOURS = {"fm": "Feature Mining", "low_rank": "low-rank recovery", "convmix": "ConvMix", "covariance": "covariance pooling",
              "geometric": "affinity contrast", "geometric_pattern": "neighbouring pattern", "geometric_lle": "local weights",
              "ical": "ICAL", "unit": "unit class vectors", "kd": "KD", "fitnet": "FitNet", "attention": "attention"}


def neighbours_costs() -> str:
    """Time and memory of a step of each of the neighbours over the baseline's, device by device; what was not measured says
    so."""
    rows = []
    for name, title in NEIGHBOURS.items():
        for where, of in measured_costs(name) or [(DASH, [])]:
            cases: dict[str, dict[str, str]] = {} if of else {name: {}}
            for row in of:
                case, _, what = row["what"].partition(": ")
                cases.setdefault(case, {})[what] = f"× {row['value']:.3f}"
            for case, found in cases.items():
                time, memory = (found.get(f"{what} of a step", "not measured") for what in ("time", "peak memory"))
                rows.append({"what": title + case.removeprefix(name), "time": time, "peak memory": memory, "device": where})
    return markup.html(rows, "A step of ResNet-56 over the baseline's")


FEW = 6             # rows that need not be folded


def results(name: str) -> str:
    """The cells that use the method or layer: printed numbers with verdicts (full tier), those that nobody has run folded where
    they are many, then what is on record of all others, each training once."""
    cells = [c for c in studies.load_cells().values() if name in used(c)]
    printed, ledger, parts = [c for c in cells if c.published is not None], Ledger.read(), []
    for run, named in ((True, ""), (False, "Not run: {}")):
        if of := [c for c in printed if bool(ledger.deciding(c)) == run]:
            table = markup.html(tables.claims(of, ledger), "The paper's numbers, and ours under its protocol: top-1 in percent, "
                                "mAP in Table 7", "full")
            title = named.format(markup.counted(len(of), "printed number"))
            parts.append(markup.render("folded", title=title, body=table, open=len(of) <= FEW) if title else table)
    for tier, others in (("full", [c for c in cells if c.published is None]), ("short", cells)):
        if recorded := list({ledger.key(c, tier): c for c in reversed(others) if ledger.of(c, tier)}.values())[::-1]:
            frame = tables.own_runs(recorded, ledger, tier)
            frame.insert(2, "data", [data_name(c) for c in recorded])
            parts.append(markup.html(frame, "Other runs: top-1 in percent (for detectors mAP), and the gain over plain training, "
                                     "equally long, in the same table", tier))
    if cells and not parts:
        named = "\n".join(f"- {', '.join(c.labels)} (`{c.id}`)" for c in cells)
        return f"No run with it is on record yet. {markup.counted(len(cells), 'training')} would use it:\n\n{named}"
    return "\n\n".join(parts) or "No number of the paper uses it; it is here for comparison in your own experiments."


def used(cell: studies.Cell) -> set[str]:
    """The names of the methods and layers that a cell is trained with."""
    head = cell.options.get("head")
    return {*(m["name"] for m in cell.methods), *(entry["layer"] for entry in cell.options.get("insert", ())),
            *([head["name"] if isinstance(head, dict) else head] if head else ())}
