"""What pages of the book say, from studies, records and code, as Markdown with inline HTML: the paper's sentences; what is on
record and what it took; data sets; licences. No torch here before data sets are described."""

import re
import tomllib
from collections.abc import Iterable
from html import escape
from importlib import import_module
from importlib.metadata import metadata
from statistics import fmean
from textwrap import shorten

import pandas as pd

from .. import paths, stats, studies
from ..datasets import DATASETS
from ..judging import comparisons, cost, listing, planning
from ..judging.ledger import Ledger
from ..records import Record, durations, findings, read_records
from ..records.durations import words
from ..studies import Cell, claims
from ..studies.outcomes import OF_CLAIMS, State, Status
from . import markup, tables
from .markup import Html

TIERS = ("short", "full")


def sentences(ledger: Ledger) -> str:
    """Every sentence of the papers that claims something, under its section: quote, verdict, and what the verdict rests on."""
    parts, section = [], ("", "")
    open_ = {q.id: q for q in planning.questions(ledger)}
    for claim in claims.load_claims().values():
        if (claim.paper, claim.section) != section:
            section = claim.paper, claim.section
            parts.append(f"## {_heading(claim)}")
        detail = listing.detail(claim, ledger)
        cost = planning.cost(open_[claim.id], ledger) if claim.id in open_ else ""
        parts += [f"({anchor(claim.id)})=\n### {claim.id}", _judged(detail, cost), _pairs(detail)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _heading(claim: claims.Claim) -> str:
    """Of a section; those of the papers beside the first say which."""
    paper = studies.papers()[claim.paper]
    name = f"Section {claim.section}" if claim.section[0].isdigit() else claim.section
    return f"{paper.short}: {name}" if paper.prefix else name


def sentences_on(study: str, ledger: Ledger) -> Html:
    """The sentences on one experiment, as `sentences` shows them, each once; those that nobody has run yet come last and are
    folded."""
    details = [listing.detail(claim, ledger) for claim in claims.about(study) if not claim.same_as]
    waiting = [_judged(d) for d in details if d["verdict"].status == Status.NOT_RUN]
    parts = [text for d in details if d["verdict"].status != Status.NOT_RUN for text in (_judged(d), _pairs(d))]
    if waiting:
        parts += [f"<details><summary>Not run: {_counted(len(waiting), 'sentence')}</summary>", *waiting, "</details>"]
    return Html("\n".join(filter(None, parts)))


def _judged(detail: dict, cost: str = "") -> str:
    """A sentence's quote, its verdict, what is to be made of it and what it rests on; ``cost``: of deciding it, in words."""
    facts = {"by its own numbers": detail["own_numbers"], "the paper": detail["paper"], "ours": _ours(detail),
             "limit": detail["limit"], "look": detail["look"], "note": detail["note"], "to decide it": cost}
    definitions = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts.items() if text)
    lines = [f'<blockquote class="fm-quote">{escape(detail["says"])}</blockquote>',
             f'<p>{markup.standing(detail["verdict"])} <code>fm verdict {detail["claim"]}</code></p>',
             f"<p>{escape(detail['reading'])}</p>" if detail["reading"] else "",
             f'<dl class="fm-facts">{definitions}</dl>' if definitions else ""]
    return "\n".join(filter(None, lines))


def _ours(detail: dict) -> str:
    behind = [f"{detail['tier']} tier", detail["device"], f"n = {detail['n']}" if detail["n"] else ""] if detail["tier"] else []
    return detail["ours"] + (f" ({'; '.join(filter(None, behind))})" if behind else "")


def _pairs(detail: dict) -> str:
    """The comparisons of an order, folded where they are many."""
    if not detail["pairs"]:
        return ""
    rows = [{"higher": f"<code>{p['higher']}</code>", "lower": f"<code>{p['lower']}</code>", "paper": p["printed"] or markup.DASH,
             "p (Holm)": p["printed_p"] or markup.DASH, "ours": p["ours"] or markup.DASH, "p (Holm), ours": p["p"] or markup.DASH,
             "n": p["n"] or markup.DASH} for p in detail["pairs"]]
    n = len(rows)
    table = markup.html(pd.DataFrame(rows), f"{detail['claim']}: differences in percentage points, 95 % intervals")
    return f"<details{' open' * (n <= 6)}><summary>{_counted(n, 'comparison')}</summary>\n{table}\n</details>"


def rule(rule_: studies.Rule, ledger: Ledger) -> Html:
    """A study of our own: its question, the rule that was fixed before its first run, and how many of its runs are on record."""
    done, wanted = comparisons.progress(rule_, ledger)
    return Html(f'<p><strong>{escape(rule_.question)}</strong></p>\n<p>{escape(rule_.words.strip())}</p>\n'
                f"<p>On record: {done} of {wanted} runs.</p>")


def anchor(id_: str) -> str:
    """
    >>> anchor("T1.one_layer")
    't1-one-layer'
    """
    return re.sub(r"[^a-z0-9]+", "-", id_.lower())


def grid_rows(ledger: Ledger) -> list[dict]:
    """The first paper's sentences as rows of the front page's grid, without those that say another again; each leads to its place
    on the page of claims."""
    def begun(text: str) -> str | None:         # the whole stands there
        return f'<span class="fm-clamp">{escape(text)}</span>' if text else None

    def said(row: dict) -> str:
        return (f'<a class="fm-clamp" href="claims.html#{anchor(row["claim"])}">{escape(row["says"])}</a>'
                + (f"<small>{escape(row['limit'])}</small>" if row["limit"] else ""))

    return [{"cell": row["claim"], "claim": said(row),
             "paper": begun(row["paper"]), "ours": begun(row["ours"]), "tier": row["tier"] or None, "n": row["n"],
             "95 % interval": " to ".join(map(stats.signed, row["interval"])) if row["interval"] else None,
             "verdict": row["verdict"]}
            for row in listing.of_first(ledger) if row["kind"] != "number" and not row["same_as"]]


ABOUT = {"cost": "cost", "number": "cost", "construction": "how the method is made", "text": "the paper's own text",
         "activations": "activations"}          # kind of a claim -> what it concerns; of all others, accuracy


def on_record(ledger: Ledger) -> str:
    """How many printed accuracies have runs under the paper's protocol, an interval and a known cost; what is decided; and whose
    the runs of the full tier are."""
    cells = studies.load_cells().values()
    printed = [c for c in cells if c.published is not None]
    runs = [summary.n for c in printed if (summary := ledger.deciding(c))]
    known = sum(durations.hours(c, "full", ledger.records) is not None for c in printed)
    claims_ = [row for row in listing.of_first(ledger) if not row["same_as"]]
    ended, begun = ([row for row in claims_ if row["verdict"].status.state == state] for state in (State.DECIDED, State.BEGUN))
    keys = {ledger.key(c) for c in cells if not c.own}
    full = [r for r in ledger if r.tier == "full"]
    theirs = sum(r.key in keys for r in full)
    undecided = ", ".join(f"{row['claim']} ({_concerns(row)})" for row in begun)
    return (f"Of the {len(printed)} printed accuracies {_none(len(runs))} {'has' if len(runs) < 2 else 'have'} runs under the "
            f"paper's protocol{'' if runs else ' yet'} and {_none(sum(n > 1 for n in runs))} an interval; what a run costs is "
            f"known of {known}. What is decided concerns {_list(map(_concerns, ended)) or 'nothing yet'}"
            + (f"; begun and open: {undecided}" if begun else "")
            + f". On record in the full tier: {_counted(theirs, 'run')} of the paper's cells and {len(full) - theirs} of our own "
            "small ones.")


def _concerns(row: dict) -> str:
    if row["verdict"].status == Status.CONTRADICTED:
        return "the paper's own numbers"
    cell = studies.load_cells().get(row["claim"])
    return "accuracy" if cell and cell.published is not None else ABOUT.get(row["kind"], "accuracy")


def _list(words_: Iterable[str]) -> str:
    """
    >>> _list(["cost", "accuracy", "cost"]), _list(["a", "b", "c"])
    ('cost and accuracy', 'a, b and c')
    """
    *first, last = dict.fromkeys(words_) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def _none(n: int) -> str:
    return str(n or "none")


def decided(ledger: Ledger) -> pd.DataFrame:
    """The claims that have been decided, each once, for the README."""
    return pd.DataFrame([{"claim": f"`{row['claim']}`", "what it says": shorten(row["says"], 90, placeholder=" …")
                          + (f" ({row['limit']})" if row["limit"] else ""),
                          "verdict": row["verdict"], "paper": row["paper"] or markup.DASH, "ours": row["ours"]}
                         for row in listing.of_first(ledger)
                         if row["verdict"].status.state == State.DECIDED and not row["same_as"]])


def outcomes() -> str:
    """What a claim can come to, and what each outcome means."""
    rows = [f"| {markup.badge(status)} | {status.meaning} |" for status in OF_CLAIMS]
    return "\n".join(["| Verdict | What it says |", "|:--|:--|", *rows]) + "\n"


def status(ledger: Ledger) -> str:
    """Per experiment what is on record of what is listed, and per training what its runs took."""
    titles = {name: study["title"] for name, study in studies.read_studies().items()}
    rows = [_experiment(study, title, ledger) for study, title in titles.items()]
    parts = [markup.html(pd.DataFrame(rows), "Cells of each experiment, and its runs on record by tier")]
    for tier in TIERS:
        trainings = {key: records for key, records in ledger.trainings.items() if records[0].tier == tier}
        if trainings:
            frame = pd.DataFrame([_training(key, records) for key, records in sorted(trainings.items())])
            parts.append(markup.html(frame, "What the trainings took, per run", tier))
    return "\n\n".join(parts) + "\n"


def _experiment(study: str, title: str, ledger: Ledger) -> dict:
    cells = [c for c in studies.load_cells().values() if c.study == study]
    row = {"experiment": f'<a href="../build/book/{cells[0].notebook}.html">{title}</a>', "cells": len(cells),
           "with a printed value": sum(bool(c.paper) for c in cells)}
    for tier in TIERS:
        trainings = {ledger.key(c, tier): c for c in cells}
        records = [r for c in trainings.values() for r in ledger.of(c, tier)]
        wanted = sum(studies.wanted(c, tier) for c in trainings.values())
        row[f"{tier}: runs of those wanted"] = f"{len(records) + _measured(cells, tier)} of {wanted}"
        row[f"{tier}: time"] = words(sum(map(durations.took, records))) if records else markup.DASH
    return row


def _measured(cells: list[Cell], tier: str) -> int:
    """Costs that were measured, on whichever device: they are findings and leave no record."""
    return sum(bool(findings.read("cost", c.run(tier, 0))) for c in cells if c.task == "cost")


def _training(key: str, records: list[Record]) -> dict:
    """Runs of one training: how many, minutes of each on average, and the most memory."""
    return {"run": f"<code>{key}</code>", "seeds": ", ".join(str(r.seed) for r in records),
            "minutes": f"{60 * fmean(map(durations.took, records)):.1f}", "peak MiB": tables.peak(records),
            "device, engine": durations.where(records)}


def took(groups: list[tuple[Cell, list[Record]]], tier: str) -> Html:
    """What the runs of these cells in a tier took, and what the cells would take in the full tier where steps or runs of their
    networks were measured."""
    runs = {r.id: r for _, records in groups for r in records}.values()
    costs = [f.values["iterations"] * f.values["seconds"] / 3600
             for f in cost.found([cell for cell, _ in groups], tier)]
    if costs:
        summary = f"{_counted(len(costs), 'measurement')}, {words(sum(costs))} of iterations"
    elif runs:
        summary = (f"{_counted(len(runs), 'run')}, {words(sum(map(durations.took, runs)))} in all, "
                   f"{tables.peak(list(runs))} MiB of memory at most")
    else:
        summary = "no run of these cells"
    return Html(f'<p class="fm-took">On record in the {tier} tier: {summary}. {_again([cell for cell, _ in groups])}</p>')


def _again(cells: list[Cell]) -> str:
    """One seed of each training in the full tier, on the device on which most of them can be told."""
    records, trainings = read_records(), {cell.run("full", 0).key: cell for cell in cells}
    on = {device: [cost for cell in trainings.values() if (cost := durations.hours(cell, "full", records, device))]
          for device in durations.devices(records)}
    device, costs = max(on.items(), key=lambda item: len(item[1]), default=("", []))
    if not costs:
        return "What their full tier takes was not measured."
    rest = len(trainings) - len(costs)
    return (f"One seed of each in the full tier: {durations.about(costs)} ({device})"
            + (f"; not measured: {rest}." if rest else "."))


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def data_sets() -> str:
    """Each published data set: what it is, its names here, its files with their checksums, its terms, how to get it."""
    modules: dict[str, list[str]] = {}
    for name, (module, options) in DATASETS.items():
        if not options.get("generated"):
            modules.setdefault(module, []).append(name)
    return "\n\n".join(_data_set(module, names) for module, names in modules.items()) + "\n"


def _data_set(module: str, names: list[str]) -> str:
    """From the constants and the docstring of the data set's module, which begins with its title."""
    code = import_module(f"..datasets.{module}", __package__)
    title = re.match(r"[^(:]+", code.__doc__)[0].strip()
    files = [f"`{url}`" + (f", {size:,} bytes" if size else "") + f", md5 `{md5}`" for url, size, md5 in archives(module)]
    get = f"`fm data {names[0]}`" if files else "by hand; `fm data` says how" if hasattr(code, "get") else "nothing to get"
    lines = [("name" if len(names) == 1 else "names", ", ".join(f"`{name}`" for name in names)), ("to get it", get),
             ("terms", code.TERMS), *[("file", file) for file in files]]
    return "\n\n".join([f"## {title}", code.__doc__.replace("``", "`").strip(), "\n".join(f"- {k}: {v}" for k, v in lines)])


def archives(module: str) -> list[tuple[str, int | None, str]]:
    """Address, bytes (None: not known) and md5 of each file that ``fm data`` downloads."""
    code = import_module(f"..datasets.{module}", __package__)
    if module == "cifar100":
        from torchvision.datasets import CIFAR100

        return [(CIFAR100.url, None, CIFAR100.tgz_md5)]
    if module == "voc":
        from torchvision.datasets.voc import DATASET_YEAR_DICT as KNOWN

        return [(KNOWN[name]["url"], size, KNOWN[name]["md5"]) for name, size in code.ARCHIVES.values()]
    return [(code.URL, code.BYTES, code.MD5)] if hasattr(code, "MD5") else []


def licences() -> str:
    """The project's own and those that its dependencies state in their metadata, in one sentence each."""
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    stated = ", ".join(f"{name} ({licence(name)})" for name in (re.match(r"[\w.-]+", d)[0] for d in project["dependencies"]))
    return f"The project is under {project['license']}. What it needs to run states of itself: {stated}.\n"


def licence(package: str) -> str:
    """What an installed package states: its SPDX expression, else its classifier, else the first line of its licence.

    >>> licence("typer")
    'MIT'
    """
    stated = metadata(package)
    classified = [c.rpartition(" :: ")[2] for c in stated.get_all("Classifier", []) if c.startswith("License ::")]
    return stated.get("License-Expression") or ", ".join(classified) or (stated.get("License") or "not stated").splitlines()[0]
