"""``fm``: train a cell, see what holds and what to run next, find data. ``python -m featuremining`` is the same."""

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from . import measuring, paths, studies, training
from .errors import FMError, UsageError
from .recipes import TIERS
from .records import left_out
from .showing import terminal

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__.replace("``", "`") if __doc__ else None,
                  context_settings={"help_option_names": ["-h", "--help"]})


def _cells(incomplete: str) -> list[str]:
    """What a shell completes an id to."""
    return [id_ for id_ in studies.load_cells() if id_.startswith(incomplete)]


def _claims(incomplete: str) -> list[str]:
    from .studies import claims

    return [id_ for id_ in claims.load_claims() if id_.startswith(incomplete)] + _cells(incomplete)


CELL = Annotated[str, typer.Argument(help="id of a cell, as `fm status` lists them, for example T1.resnet56.fm2",
                                     autocompletion=_cells)]
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
        threads: Annotated[int, typer.Option(min=0, max=1024, help="of a CPU; 0: as FM_THREADS says, or all that are idle")] = 0,
        wait: Annotated[bool, typer.Option("--wait", help="for another process that is at the same run")] = False,
        quiet: Annotated[bool, typer.Option("--quiet", "-q", help="say only where the records lie")] = False) -> None:
    """Train one cell, once per seed, and measure what its notebook shows of the network. The same command resumes after any
    interruption; a finished run says so at once."""
    wanted = studies.cell(cell)
    runs = [wanted.runnable(tier, number) for number in dict.fromkeys(seed)]
    files = [paths.record(r.tier, r.key, r.seed) for r in runs]
    done = [path.exists() for path in files]
    try:
        with training.stopped_by_signals(), terminal.silence(quiet):
            if wanted.task == "cost":
                return terminal.costs(measuring.measure(_beside(wanted, tier), device, engine, threads))
            records = training.train_all(runs, device, engine, threads, wait=wait)
            for r in runs:
                if paths.weights(r.tier, r.key, r.seed).is_file():
                    measuring.look(wanted, r)
    except KeyboardInterrupt as stop:
        then = "measures anew" if wanted.task == "cost" else "goes on from the last finished epoch"
        with suppress(OSError):         # a terminal that is gone
            print(f"\nfm: stopped; the same command {then}.", file=sys.stderr)
        raise typer.Exit(128 + next(iter(stop.args), signal.SIGINT)) from None
    for record, path, before in zip(records, files, done, strict=True):
        if not quiet:
            terminal.recorded(wanted, record, before)
        print(path)


def _beside(wanted: studies.Cell, tier: str) -> list[studies.Run]:
    """A cost means something beside its baseline's: both are measured together."""
    return [c.run(tier, 0) for c in (studies.baseline(wanted), wanted) if c]


@app.command()
def status(prefix: Annotated[str, typer.Argument(help="only cells whose id begins so, for example T1.resnet56",
                                                autocompletion=_cells)] = "",
           as_json: Annotated[bool, typer.Option("--json", help="for programs: one object per cell")] = False) -> None:
    """Per cell and tier: runs done, runs missing, verdict (full tier against the printed number); seeds that differ in device or
    engine."""
    from .judging import listing

    paths.tell_missing_records()
    rows = listing.status(prefix)
    print(json.dumps(rows, indent=1)) if as_json else terminal.status(rows)


@app.command()
def verdict(claim: Annotated[str, typer.Argument(help="id of a claim or a cell: T1.one_layer, T1.resnet56.fm2",
                                                autocompletion=_claims)] = "",
            as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False) -> None:
    """Does it hold? All claims of the paper, its sentences and its numbers, or one of them with what its verdict rests on."""
    from .judging import listing
    from .judging.ledger import Ledger
    from .studies import claims

    paths.tell_missing_records()
    chosen = claims.claim(claim) if claim else None
    ledger = Ledger.read()
    found = listing.detail(chosen, ledger) if chosen else listing.rows(ledger)
    if as_json:
        return print(listing.as_json(found))
    terminal.verdict(found) if chosen else terminal.verdicts(found)


@app.command()
def verify() -> None:
    """Is the network of test time the plain one? Every form of Feature Mining that the paper prints is built, trained for two
    steps and compared, without data: a few minutes."""
    from .studies import claims

    asked = [cell for claim_ in claims.load_claims().values() if claim_.kind == "construction" for cell in claim_.built]
    for cell in {c.id: c for c in asked}.values():
        terminal.construction(cell, measuring.verify(cell.run("full", 0)))


@app.command()
def check(cell: Annotated[str, typer.Argument(help="id of a cell; none: all weights that come with the project",
                                              autocompletion=_cells)] = "",
          seed: Annotated[int, typer.Option(help="of the training")] = 0, tier: TIER = "full",
          device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1")] = "auto",
          publish: Annotated[bool, typer.Option("--publish", help="put what proves right into data/weights")] = False,
          ) -> None:
    """Are the trained networks what their records say? Each is tested again, image by image; on CIFAR-100 a minute."""
    from .showing import weights
    from .training import trained

    paths.tell_missing_records()
    runs = [studies.cell(cell).runnable(tier, seed)] if cell else [weights.run_of(*at) for at in paths.all_published()]
    if not runs:
        raise UsageError("No weights come with this version: name a cell that was trained here.")
    wrong = 0
    for run in runs:
        found = trained.check(run, device)
        print(weights.said(found), flush=True)
        wrong += not (found.same or found.close)
        if publish and found.same:
            print(trained.publish(run, weights.card(run, found.record)))
    if wrong:
        raise typer.Exit(1)


@app.command()
def plan(budget: Annotated[str, typer.Option(help="minutes, hours or days: 90m, 40h, 2d")],
         device: Annotated[str, typer.Option(help="how its name begins, where costs were measured on several")] = "",
         any_data: Annotated[bool, typer.Option("--any-data", help="also runs on data that are not at hand here")] = False,
         as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False) -> None:
    """What to run next: the runs with the best chance per hour to decide a claim, from measured costs and simulated verdicts."""
    from .judging import planning
    from .judging.ledger import Ledger
    from .records import durations

    paths.tell_missing_records()
    hours, ledger = planning.budget(budget), Ledger.read()
    on = durations.device(device, ledger)
    planned = planning.plan(hours, planning.questions(ledger), ledger, on, any_data)
    print(json.dumps(planned, indent=1)) if as_json else terminal.plan(planned)


@app.command()
def compare(files: Annotated[list[Path], typer.Argument(help="records, as `fm run` writes them")],
            as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False) -> None:
    """Could these records be further runs of what is printed, or of what we have on record?"""
    from .judging import compare
    from .records import read_records

    paths.tell_missing_records()
    on_record = read_records()
    comparisons = [compare.compare(path, on_record) for path in files]
    print(json.dumps(comparisons, indent=1) if as_json else "\n\n".join(map(compare.text, comparisons)))


@app.command()
def fsck(add: Annotated[bool, typer.Option("--add", help="list good files that are not in MANIFEST yet: copied ones")] = False,
         drop: Annotated[bool, typer.Option("--drop", help="take out the lines of files that are gone")] = False) -> None:
    """Is everything on record what was added? Reads every byte of the records and findings again."""
    from .records.fsck import fsck

    paths.tell_missing_records()
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
    from .judging import listing
    from .records import read_records, tidy

    paths.tell_missing_records()
    keys = {c.run(t, 0).key for c in listing.cells(prefix) for t in TIERS} if prefix else None
    frame = (tidy.metrics if metrics else tidy.curves)(read_records(keys=keys))
    tidy.write(frame, file)
    print(f"{len(frame)} rows of {frame['run'].nunique() if len(frame) else 0} runs in {file}")


@app.command()
def plot(cells: Annotated[list[str], typer.Argument(help="ids of cells", autocompletion=_cells)],
         out: Annotated[Path, typer.Option("--out", "-o", help="curves.svg, .png or .pdf")] = Path("curves.svg"),
         tier: TIER = "full") -> None:
    """Curves of test accuracy and loss over the epochs, a line per seed and a colour per cell."""
    os.environ["MPLBACKEND"] = "agg"        # a file is drawn, whatever shows figures elsewhere
    from .judging.ledger import Ledger
    from .showing.figures.curves import save

    paths.tell_missing_records()
    ledger = Ledger.read(tier)
    groups = [(cell, ledger.of(cell, tier)) for cell in map(studies.cell, cells)]
    if bare := [cell.id for cell, records in groups if not records]:
        raise UsageError(f"Nothing of the {tier} tier is on record of {', '.join(bare)}: `fm status` says what there is.")
    save(groups, out)
    print(out)


@app.command()
def data(name: Annotated[str, typer.Argument(help="a data set to fetch; none: list all")] = "") -> None:
    """Which data sets are at hand, where, and how to get the others; with a name, fetch that one (resumable, checked)."""
    from . import datasets

    if paths.raw().is_file():
        raise UsageError(f"{paths.raw()} is a file: FM_DATA_DIR names the folder of data sets.")
    if name:
        datasets.get(name)
    print(f"looking in {paths.raw()} (FM_DATA_DIR moves it)")
    terminal.data_sets(datasets.at_hand())


@app.command()
def doctor() -> None:
    """Versions, device, threads, disk, and whether two equal trainings give equal bits here."""
    for fact in measuring.facts():
        print(fact)


def main() -> None:
    """Errors are one sentence: exit 2 for words that don't fit, 1 for everything that went wrong outside of them. Files that were
    left out are named at the end, and then the exit is 1."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:              # closed by whoever started this
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))     # noqa: SIM115
        if hasattr(stream := getattr(sys, name), "reconfigure"):
            stream.reconfigure(errors="replace")    # what a terminal can't show is replaced
    with left_out() as found:
        code = _carry_out()
    sys.exit(code or int(terminal.left_out(found) > 0))


def _carry_out() -> int | str | None:
    try:
        app(prog_name="fm")         # also as `python -m featuremining`, of whose words no shell completion could be made
    except SystemExit as done:
        return done.code
    except FMError as error:
        print(f"fm: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except OSError as error:        # a folder that can't be written, a disk that is full where nothing more precise is known
        print(f"fm: {error}.{paths.advice(error)}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    main()
