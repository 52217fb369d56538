"""What ``fm`` prints: tables as wide as the terminal and sentences, of what other rooms found. No torch here."""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from textwrap import wrap

from ..judging.listing import tally
from ..judging.planning import OVER
from ..recipes import TIERS
from ..records.durations import words
from ..records.findings import Finding
from ..studies import Cell

NARROW = 14         # characters of a column, below which most lines hold half a word


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns of text, as wide as the terminal, the first as wide as it is; in a terminal that is too narrow for that each row is
    a paragraph. A pipe gets whole lines."""
    from rich.console import Console
    from rich.table import Table

    terminal, rows = sys.stdout.isatty(), [*rows]
    console = Console(file=sys.stdout, width=None if terminal else 1000)
    ids, *others = zip(columns, *rows, strict=True)
    least = [max(map(len, ids)), *map(_least, others)]
    if terminal and sum(least) + 2 * len(least) > console.width:
        for row in rows:
            print("\n".join(paragraph(columns, row, console.width or 80)))
        return
    shown = Table(box=None, padding=(0, 2, 0, 0))
    for i, name in enumerate(columns):      # ids stand first and are typed again: they are never broken
        shown.add_column(name, no_wrap=not i or not terminal, overflow="fold", min_width=least[i])
    for row in rows:
        shown.add_row(*row)
    console.print(shown)


def _least(column: Sequence[str]) -> int:
    """Characters that a column needs: none of its words is broken."""
    return min(max(map(len, column)), max(NARROW, *(len(word) for text in column for word in text.split())))


def paragraph(columns: Sequence[str], row: Sequence[str], width: int) -> list[str]:
    """A row in lines of at most ``width`` characters, if no word is longer: what stands first, and below it by name all that is
    not empty.

    >>> paragraph(("claim", "verdict", "paper", "ours"), ("T1.resnet56.fm2", "not run", "75.35 ± 0.09", ""), 40)
    ['T1.resnet56.fm2', '    verdict: not run', '    paper: 75.35 ± 0.09']
    """
    return [row[0]] + [line for name, text in zip(columns[1:], row[1:], strict=True) if text
                       for line in wrap(f"{name}: {text}", max(width, 20), initial_indent="    ", subsequent_indent="      ",
                                        break_long_words=False, break_on_hyphens=False)]


@contextmanager
def silence(wanted: bool) -> Iterator[None]:
    """Nothing is printed meanwhile, if that is ``wanted``; errors are."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere if wanted else sys.stdout):
        yield


def recorded(cell: Cell, record, before: bool) -> None:
    """What a run reached, under three selection rules; ``before``: it was on record already."""
    best, last, middle = (record.value(rule, cell.reported) for rule in ("best", "last", "median10"))
    print(f"{cell.id} {record.tier} seed {record.seed} is {'already ' if before else ''}recorded: best {best:.2f} % (epoch "
          f"{record.value('best_epoch', cell.reported)}), last {last:.2f} %, median of the last ten {middle:.2f} %"
          f"{f' ({cell.reported})' if cell.reported else ''}")


def costs(measured: Iterable[Finding]) -> None:
    for finding in measured:
        print(f"{finding.key} on {finding.name}: "
              + ", ".join(f"{k} {v:.4g}" for k, v in finding.values.items() if isinstance(v, float)))


def status(rows: list[dict]) -> None:
    """Of `listing.cells`."""
    table(("cell", "paper", *TIERS, "verdict"), [
        (row["cell"], row["paper"], *(f"{len(t['seeds'])}/{len(t['seeds']) + t['missing']}" for t in row["tiers"].values()),
         f"lacks {row['lacks']}" if row["lacks"] else row["verdict"] or "") for row in rows])
    done = {t: sum(len(r["tiers"][t]["seeds"]) for r in rows) for t in TIERS}
    print(f"\n{len(rows)} cells; runs recorded (a run that answers two cells counts in both): "
          + ", ".join(f"{t} {n}" for t, n in done.items()) + ".")
    if mixed := [f"  {row['cell']}: {row['full_tier_on']}" for row in rows if row["full_tier_on"].startswith("seed ")]:
        print("Full-tier seeds that differ in device or engine:", *mixed, sep="\n")


def verdicts(rows: list[dict]) -> None:
    """Of `listing.rows`."""
    table(("claim", "verdict", "by its own numbers", "paper", "ours"), [
        (row["claim"], str(row["verdict"]), row["own_numbers"], row["paper"],
         row["ours"] + (f" ({row['tier']}, n = {row['n']})" if row["n"] else "")) for row in rows])
    print(f"\n{tally(rows)}")


def verdict(detail: dict) -> None:
    """Of `listing.detail`."""
    print(f"{detail['claim']} (section {detail['section']}): {detail['says']}\n\nverdict             {detail['verdict']}")
    for name, text in (("by its own numbers", detail["own_numbers"]), ("paper", detail["paper"]), ("ours", detail["ours"]),
                       ("compared", detail["compared"]), ("limit", detail["limit"]), ("look", detail["look"]),
                       ("note", detail["note"]), ("reading", detail.get("reading"))):
        if text:
            print(f"{name:19} {text}")
    if detail["pairs"]:
        print()
        table(("higher", "lower", "paper: difference", "p (Holm)", "ours: difference", "p (Holm)", "n"),
              [tuple(pair.values()) for pair in detail["pairs"]])


def construction(cell: Cell, found: Finding) -> None:
    """Of `measuring.verify`, as soon as it is known."""
    v = found.values
    equal = ", ".join(f"{what} {'equal' if v[f'same_{what}'] else 'DIFFERS'}" for what in ("state", "outputs", "cost"))
    print(f"{cell.id}: {equal}; {v['multiply_adds']:,} multiply-adds, {v['train_only_parameters']:,} parameters of the training "
          "alone", flush=True)


def plan(planned: dict) -> None:
    """Of `planning.plan`."""
    rows = []
    for step in planned["steps"]:
        first, *more = step["may_decide"]
        for i, run in enumerate(step["runs"]):
            rows.append((run["cell"], ", ".join(map(str, run["seeds"])), words(run["hours"]),
                         *(("", "") if i else (first["claim"] + (f" and {len(more)} more" if more else ""), first["odds"]))))
    if rows:
        table(("run (full tier)", "seeds", "takes", "may decide", "if the paper is right, or runs stay as ours are"), rows)
        print(f"\nFor example: {planned['steps'][0]['runs'][0]['command']}")
    able = [question["claim"] for step in planned["steps"] for question in step["may_decide"]]
    every = able + [question["claim"] for question in planned["open"]]
    gains = sum(id_.endswith(OVER) for id_ in every)
    print(f"{words(planned['hours']) if rows else 'Nothing'} of {words(planned['budget_hours'])} on {planned['device']}: of "
          f"{len(every)} open questions ({len(every) - gains} claims, as `fm verdict` counts them, and {gains} printed gains over"
          f" a baseline) {len(able)} may be decided, and {planned['expected']:.1f} of them are expected to be.")
    for why, n in Counter(question["why"] for question in planned["open"]).most_common():
        hours = [question["hours"] for question in planned["open"] if question["why"] == why and question["hours"]]
        print(f"  {n:4} open: {why}" + (f"; the cheapest takes {words(min(hours))}" if hours else ""))


def data_sets(found: Iterable[tuple[str, bool, str]]) -> None:
    """Of `datasets.at_hand`, a line each. How to get what is missing is long, and is said by the command that gets it; what is
    wrong with what is there is said here, once."""
    said: dict[str, str] = {}
    for name, at_hand, text in found:
        first = said.setdefault(text, name)
        if not at_hand and text.startswith("not in "):
            text = f"`fm data {first}` gets it or says how"
        elif not at_hand and first != name:
            text = f"as {first}"
        print(f"  {name:20} {'found:  ' if at_hand else 'missing:'} {text}")


def left_out(files: Iterable[str], most: int = 8) -> int:
    """Files that did not count, named once each, of many the first; how many there are."""
    once = list(dict.fromkeys(files))
    for said in once[:most]:
        print(f"fm: left out: {said}", file=sys.stderr)
    if len(once) > most:
        print(f"fm: and {len(once) - most} more; `fm fsck` names all.", file=sys.stderr)
    return len(once)
