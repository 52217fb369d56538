"""``fm``: train a cell, see what holds and what to run next, find data. ``python -m featuremining`` is the same."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from . import measuring, paths, studies, training
from .errors import FMError, UsageError
from .recipes import TIERS
from .records import findings, left_out

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__,
                  context_settings={"help_option_names": ["-h", "--help"]})

SHOWN = 8           # files that were left out, each on a line
CELL = Annotated[str, typer.Argument(help="id of a cell, as `fm status` lists them, for example T1.resnet56.fm2")]
TIER = Annotated[str, typer.Option(help="smoke (a minute, embedded data), short (a tenth of the epochs) or full (all of them)")]


def _version(wanted: bool) -> None:
    if wanted:
        from .records import provenance

        at = provenance.commit()
        print(provenance.versions()["featuremining"]
              + (f" ({at['commit'][:7]}{', with uncommitted changes' if at['dirty'] else ''})" if at["commit"] else ""))
        raise typer.Exit


@app.callback()
def fm(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print it and stop")] = False):
    pass


@app.command()
def run(cell: CELL, tier: TIER,
        seed: Annotated[list[int], typer.Option(help="0, 1, 2, ...; give it twice and a GPU trains both at once")] = [0],  # noqa: B006
        device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1")] = "auto",
        engine: Annotated[str, typer.Option(help="auto, eager, graph (one CUDA graph per step) or compile")] = "auto",
        wait: Annotated[bool, typer.Option("--wait", help="for another process that is at the same run")] = False) -> None:
    """Train one cell, once per seed. The same command resumes after any interruption; a finished run says so at once."""
    wanted = studies.cell(cell)
    runs = [wanted.runnable(tier, number) for number in dict.fromkeys(seed)]
    files = [paths.record(r.tier, r.key, r.seed) for r in runs]
    done = [path.exists() for path in files]
    try:
        with _stopped_by_signals():
            if wanted.task == "cost":
                return _measured(measuring.measure(_beside(wanted, tier), device, engine))
            records = training.train_all(runs, device, engine, wait=wait)
    except KeyboardInterrupt as stop:
        then = "measures anew" if wanted.task == "cost" else "goes on from the last finished epoch"
        with suppress(OSError):         # a terminal that is gone
            print(f"\nfm: stopped; the same command {then}.", file=sys.stderr)
        raise typer.Exit(128 + next(iter(stop.args), signal.SIGINT)) from None
    for record, path, before in zip(records, files, done, strict=True):
        best, last, middle = (record.value(rule, wanted.reported) for rule in ("best", "last", "median10"))
        print(f"{cell} {tier} seed {record.seed} is {'already ' if before else ''}recorded: best {best:.2f} % (epoch "
              f"{record.value('best_epoch', wanted.reported)}), last {last:.2f} %, median of the last ten {middle:.2f} %"
              f"{f' ({wanted.reported})' if wanted.reported else ''}\n{path}")


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """What a cluster or a closed terminal sends stops a run as Ctrl-C does, unless it is ignored, as under nohup."""
    def stop(number, _):
        raise KeyboardInterrupt(number)

    sent = [s for s in map(signal.Signals.__members__.get, ("SIGTERM", "SIGHUP")) if s and signal.getsignal(s) == signal.SIG_DFL]
    for number in sent:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in sent:
            signal.signal(number, signal.SIG_DFL)


def _beside(wanted: studies.Cell, tier: str) -> list[studies.Run]:
    """A cost means something beside its baseline's: both are measured together."""
    return [c.run(tier, 0) for c in (studies.baseline(wanted), wanted) if c]


def _measured(costs: list[findings.Finding]) -> None:
    for finding in costs:
        print(f"{finding.key} on {finding.name}: "
              + ", ".join(f"{k} {v:.4g}" for k, v in finding.values.items() if isinstance(v, float)))


@app.command()
def status(prefix: Annotated[str, typer.Argument(help="only cells whose id begins so, for example T1.resnet56")] = "",
           as_json: Annotated[bool, typer.Option("--json", help="for programs: one object per cell")] = False) -> None:
    """Per cell and tier: runs done, runs missing, verdict (full tier against the printed number); seeds that differ in device or
    engine."""
    _records_place()
    from . import records
    from .judging.ledger import Ledger
    from .records import durations

    cells = _cells(prefix)
    on_record = records.seeds()
    ledger = Ledger(records.read_records("full", {c.run("full", 0).key for c in cells}))
    rows = []
    for cell in cells:
        done = {t: _done(cell, t, on_record) for t in TIERS}
        v = ledger.verdict(cell)
        rows.append({"cell": cell.id, "paper": cell.paper, "published": cell.published, "spread": cell.spread, "n": cell.n,
                     "lacks": cell.missing or None, "verdict": v.status if v else None,
                     "full_tier_on": durations.where(ledger.of(cell)),
                     "tiers": {t: {"seeds": done[t], "missing": max(studies.wanted(cell, t) - len(done[t]), 0)} for t in TIERS}})
    print(json.dumps(rows, indent=1)) if as_json else _show(rows)


def _cells(prefix: str) -> list[studies.Cell]:
    """Those whose id begins so, in the order of the paper."""
    cells = sorted((c for c in studies.load_cells().values() if c.id.startswith(prefix)), key=lambda c: c.at.table.place)
    if not cells:
        raise UsageError(f"No cell's id begins with {prefix!r}; `fm status` without a prefix lists all.")
    return cells


def _records_place() -> None:
    """Where FM_RUNS_DIR names no folder, nothing is on record, and that is worth a word."""
    if paths.runs().is_file():
        raise UsageError(f"{paths.runs()} is a file: FM_RUNS_DIR names the folder of records.")
    if not paths.runs().exists():
        print(f"fm: {paths.runs()} is not there, so nothing is on record in it (FM_RUNS_DIR names the place).", file=sys.stderr)


def _done(cell: studies.Cell, tier: str, on_record: dict) -> list:
    """The seeds on record; of a cost, the devices it was measured on."""
    run = cell.run(tier, 0)
    return [f.name for f in findings.read("cost", run)] if cell.task == "cost" else on_record.get((tier, run.key), [])


def _show(rows: list[dict]) -> None:
    _table(("cell", "paper", *TIERS, "verdict"), [
        (row["cell"], row["paper"], *(f"{len(t['seeds'])}/{len(t['seeds']) + t['missing']}" for t in row["tiers"].values()),
         f"lacks {row['lacks']}" if row["lacks"] else row["verdict"] or "") for row in rows])
    done = {t: sum(len(r["tiers"][t]["seeds"]) for r in rows) for t in TIERS}
    print(f"\n{len(rows)} cells; runs recorded (a run that answers two cells counts in both): "
          + ", ".join(f"{t} {n}" for t, n in done.items()) + ".")
    if mixed := [f"  {row['cell']}: {row['full_tier_on']}" for row in rows if row["full_tier_on"].startswith("seed ")]:
        print("Full-tier seeds that differ in device or engine:", *mixed, sep="\n")


@app.command()
def verdict(claim: Annotated[str, typer.Argument(help="id of a claim or a cell: T1.one_layer, T1.resnet56.fm2")] = "",
            as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False) -> None:
    """Does it hold? All claims of the paper, its sentences and its numbers, or one of them with what its verdict rests on."""
    _records_place()
    from .judging import listing
    from .judging.ledger import Ledger
    from .studies import claims

    chosen = claims.claim(claim) if claim else None
    ledger = Ledger.read()
    if chosen is None:
        rows = listing.rows(ledger)
        return print(listing.as_json(rows)) if as_json else _show_verdicts(rows)
    detail = listing.detail(chosen, ledger)
    print(listing.as_json(detail)) if as_json else _show_verdict(detail)


def _show_verdicts(rows: list[dict]) -> None:
    from .judging.listing import tally

    _table(("claim", "verdict", "by its own numbers", "paper", "ours"), [
        (row["claim"], str(row["verdict"]), row["own_numbers"], row["paper"],
         row["ours"] + (f" ({row['tier']}, n = {row['n']})" if row["n"] else "")) for row in rows])
    print(f"\n{tally(rows)}")


def _show_verdict(detail: dict) -> None:
    print(f"{detail['claim']} (section {detail['section']}): {detail['says']}\n\nverdict             {detail['verdict']}")
    for name, text in (("by its own numbers", detail["own_numbers"]), ("paper", detail["paper"]), ("ours", detail["ours"]),
                       ("limit", detail["limit"]), ("look", detail["look"]), ("note", detail["note"]),
                       ("reading", detail.get("reading"))):
        if text:
            print(f"{name:19} {text}")
    if detail["pairs"]:
        print()
        _table(("higher", "lower", "paper: difference", "p (Holm)", "ours: difference", "p (Holm)", "n"),
               [tuple(pair.values()) for pair in detail["pairs"]])


@app.command()
def verify() -> None:
    """Is the network of test time the plain one? Every form of Feature Mining that the paper prints is built, trained for two
    steps and compared, without data: a few minutes."""
    from .studies import claims

    asked = [cell for claim_ in claims.load_claims().values() if claim_.kind == "construction" for cell in claim_.built]
    for cell in {c.id: c for c in asked}.values():
        v = measuring.verify(cell.run("full", 0)).values
        words = [f"{what} {'equal' if v[f'same_{what}'] else 'DIFFERS'}" for what in ("state", "outputs", "cost")]
        print(f"{cell.id}: {', '.join(words)}; {v['multiply_adds']:,} multiply-adds, {v['train_only_parameters']:,} parameters "
              "of the training alone", flush=True)


@app.command()
def plan(budget: Annotated[str, typer.Option(help="minutes, hours or days: 90m, 40h, 2d")],
         device: Annotated[str, typer.Option(help="how its name begins, where costs were measured on several")] = "",
         any_data: Annotated[bool, typer.Option("--any-data", help="also runs on data that are not at hand here")] = False,
         as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False) -> None:
    """What to run next: the runs with the best chance per hour to decide a claim, from measured costs and simulated verdicts."""
    from .judging import planning
    from .judging.ledger import Ledger
    from .records import durations

    hours, ledger = planning.budget(budget), Ledger.read()
    on = durations.device(device, ledger)
    planned = planning.plan(hours, planning.questions(ledger), ledger, on, any_data)
    print(json.dumps(planned, indent=1)) if as_json else _show_plan(planned)


def _show_plan(planned: dict) -> None:
    from collections import Counter

    from .records.durations import words

    rows = []
    for step in planned["steps"]:
        first, *more = step["may_decide"]
        for i, run in enumerate(step["runs"]):
            rows.append((run["cell"], ", ".join(map(str, run["seeds"])), words(run["hours"]),
                         *(("", "") if i else (first["claim"] + (f" and {len(more)} more" if more else ""), first["odds"]))))
    if rows:
        _table(("run (full tier)", "seeds", "takes", "may decide", "if the paper is right, or runs stay as ours are"), rows)
        print(f"\nFor example: {planned['steps'][0]['runs'][0]['command']}")
    claims = sum(len(step["may_decide"]) for step in planned["steps"])
    print(f"{words(planned['hours']) if rows else 'Nothing'} of {words(planned['budget_hours'])} on {planned['device']}: of the "
          f"{claims + len(planned['open'])} open claims {claims} may be decided, and {planned['expected']:.1f} of them are "
          "expected to be.")
    for why, n in Counter(question["why"] for question in planned["open"]).most_common():
        hours = [question["hours"] for question in planned["open"] if question["why"] == why and question["hours"]]
        print(f"  {n:4} open: {why}" + (f"; the cheapest takes {words(min(hours))}" if hours else ""))


@app.command()
def compare(files: Annotated[list[Path], typer.Argument(help="records, as `fm run` writes them")],
            as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False) -> None:
    """Could these records be further runs of what is printed, or of what we have on record?"""
    from .judging import compare
    from .records import read_records

    on_record = read_records()
    comparisons = [compare.compare(path, on_record) for path in files]
    print(json.dumps(comparisons, indent=1) if as_json else "\n\n".join(map(compare.text, comparisons)))


@app.command()
def fsck(add: Annotated[bool, typer.Option("--add", help="list good files that are not in MANIFEST yet: copied ones")] = False,
         drop: Annotated[bool, typer.Option("--drop", help="take out the lines of files that are gone")] = False) -> None:
    """Is everything on record what was added? Reads every byte of the records and findings again."""
    from .records.fsck import fsck

    found = fsck(add, drop)
    for what, names in (("added", found.added), ("dropped", found.dropped)):
        for name in names:
            print(f"{what}: {name}")
    for fault in found.faults:
        print(fault)
    print(f"{found.files} files in {', '.join(map(str, paths.all_runs()))}: "
          + (f"{len(found.faults)} faults" if found.faults else "each is what was added"))
    if found.faults:
        raise typer.Exit(1)


@app.command()
def export(file: Annotated[Path, typer.Argument(help="what to write, such as curves.csv")],
           prefix: Annotated[str, typer.Argument(help="only cells whose id begins so; none: every record")] = "",
           metrics: Annotated[bool, typer.Option("--metrics", help="a row per run and evaluation instead")] = False) -> None:
    """The records as one tidy table for other programs: a row per run and epoch."""
    from .records import read_records, tidy

    keys = {c.run(t, 0).key for c in _cells(prefix) for t in TIERS} if prefix else None
    frame = (tidy.metrics if metrics else tidy.curves)(read_records(keys=keys))
    tidy.write(frame, file)
    print(f"{len(frame)} rows of {frame['run'].nunique() if len(frame) else 0} runs in {file}")


@app.command()
def plot(cells: Annotated[list[str], typer.Argument(help="ids of cells")],
         out: Annotated[Path, typer.Option("--out", "-o", help="curves.svg, .png or .pdf")] = Path("curves.svg"),
         tier: TIER = "full") -> None:
    """Curves of test accuracy and loss over the epochs, a line per seed and a colour per cell."""
    from .judging.ledger import Ledger
    from .showing.figures.curves import save

    ledger = Ledger.read(tier)
    groups = [(cell, ledger.of(cell, tier)) for cell in map(studies.cell, cells)]
    if bare := [cell.id for cell, records in groups if not records]:
        raise UsageError(f"Nothing of the {tier} tier is on record of {', '.join(bare)}: `fm status` says what there is.")
    save(groups, out)
    print(out)


def _table(columns, rows) -> None:
    """Columns of text, as wide as the terminal, the first as wide as it is; a pipe gets whole lines."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for i, name in enumerate(columns):      # ids stand first and are typed again: they are never broken
        table.add_column(name, no_wrap=not i or not sys.stdout.isatty(), overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 1000).print(table)


@app.command()
def data(name: Annotated[str, typer.Argument(help="a data set to fetch; none: list all")] = "") -> None:
    """Which data sets are at hand, where, and how to get the others; with a name, fetch that one (resumable, checked)."""
    from .datasets import DATASETS, get, where

    if name:
        get(name)
    print(f"looking in {paths.raw()} (FM_DATA_DIR moves it)")
    for name in DATASETS:
        try:
            at_hand, text = where(name)
        except (FMError, OSError) as error:         # the others are listed all the same
            at_hand, text = False, f"can't be looked at: {error}"
        print(f"  {name:20} {'found:  ' if at_hand else 'missing:'} {text}")


@app.command()
def doctor() -> None:
    """Versions, device, threads, disk, and whether two equal trainings give equal bits here."""
    import os
    import shutil

    import torch

    from .records import provenance
    from .training.engine import pick_device
    from .training.loop import repeats

    device = pick_device("auto")
    print(" · ".join(f"{name} {version}" for name, version in provenance.versions().items()))
    print(f"device       {device.type}: {provenance.device_name(device)}; {torch.get_num_threads()} threads of {os.cpu_count()}")
    for name, folder in (("data", paths.raw()), ("records", paths.runs()), ("build", paths.build())):
        there = next(p for p in (folder, *folder.parents) if p.exists())
        free = shutil.disk_usage(there).free / 2**30
        print(f"{name:12} {folder}  {free:.1f} GiB free" + ("" if os.access(there, os.W_OK) else ", not writable"))
    commit = provenance.commit()
    print(f"commit       {commit['commit'] or 'not a git checkout'}{', with uncommitted changes' if commit['dirty'] else ''}")
    equal = repeats(device)
    print(f"determinism  two equal trainings {'give equal bits' if equal else 'DIFFER: records made here are not repeatable'}")
    if not equal:
        raise FMError("Equal trainings differ on this machine; please check its memory, drivers and torch build.")


def main() -> None:
    """Errors are one sentence: exit 2 for words that don't fit, 1 for everything that went wrong outside of them. Files that were
    left out are named at the end, and then the exit is 1."""
    for stream in (sys.stdout, sys.stderr):         # what a terminal can't show is replaced
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    with left_out() as found:
        code = _carry_out()
    files = list(dict.fromkeys(found))
    for said in files[:SHOWN]:
        print(f"fm: left out: {said}", file=sys.stderr)
    if len(files) > SHOWN:
        print(f"fm: and {len(files) - SHOWN} more; `fm fsck` names all.", file=sys.stderr)
    sys.exit(code or int(bool(files)))


def _carry_out() -> int | str | None:
    try:
        app()
    except SystemExit as done:
        return done.code
    except FMError as error:
        print(f"fm: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except OSError as error:        # a folder that can't be written, a disk that is full where nothing more precise is known
        print(f"fm: {error}.{_advice(error)}", file=sys.stderr)
        return 1


def _advice(error: OSError) -> str:
    """Which variable moves the folder that something is wrong with, if it is one of ours."""
    at = Path(error.filename).absolute() if isinstance(error.filename, str) else None
    for variable, folder in (("FM_DATA_DIR", paths.raw()), ("FM_RUNS_DIR", paths.runs()), ("FM_BUILD_DIR", paths.build())):
        if at and folder.absolute() in (at, *at.parents):
            return f" {variable} names another folder than {folder}."
    return ""


if __name__ == "__main__":
    main()
