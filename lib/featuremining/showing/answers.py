"""What is known of one experiment, at the top of its page: its claims by verdict, our differences, what is left to run. Every
number from data. No torch."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from .. import studies
from ..judging import comparisons, listing
from ..judging.ledger import Ledger
from ..records import durations, findings
from ..stats import LEVEL
from ..studies import Cell
from ..studies.claims import about
from . import why
from .forest import Line, forest
from .markup import Html, render
from .start import data_words, difference_line

LENGTHS = {"full": "full schedule", "short": "a tenth of the schedule, which decides nothing"}


def answer(study: str, ledger: Ledger) -> Html:
    """Claims of the study by verdict, the missing runs with what they take, and our differences to plain training as a figure."""
    cells = [c for c in studies.load_cells().values() if c.study == study]
    sentences = [claim for claim in about(study) if not claim.same_as]
    claims = {claim.id for claim in sentences} | {c.id for c in cells if c.paper}
    needed = {c.id: c for c in (*(c for c in cells if c.paper or c.table in studies.rules()), *(
        c for claim in sentences for c in claim.needs if c.study == study))}
    counts = Counter(row["verdict"].status for row in listing.rows(ledger) if row["claim"] in claims)
    ruled = [studies.rules()[table] for table in dict.fromkeys(c.table for c in cells) if table in studies.rules()]
    groups = differences([c for c in cells if c.table not in studies.rules()], ledger)
    figure = forest(groups, "Our differences to the same network trained plainly, in percentage points, with "
                    f"{100 * LEVEL:.0f} % intervals where both sides have two seeds.") if groups else Html("")
    found = groups or any(findings.read("*", c.run("full", 0)) for c in cells if c.task == "cost")
    return render("answer", claims=sorted(counts.items(), key=lambda item: (item[0].state, -item[1])), total=sum(counts.values()),
                  papers=len({claim.paper for claim in sentences}), rule=_progress(ruled, ledger) if ruled else None,
                  seen=why.on_the_part(cells), found=bool(found), figure=figure, missing=missing(needed.values(), ledger))


def _progress(rules: list[studies.Rule], ledger: Ledger) -> dict:
    outcomes = [o for rule in rules for o in comparisons.compare(rule, ledger)]
    done, wanted = map(sum, zip(*(comparisons.progress(rule, ledger) for rule in rules), strict=True))
    return {"done": done, "wanted": wanted, "compared": len(outcomes), "finished": [o for o in outcomes if o.p is not None]}


def differences(cells: Iterable[Cell], ledger: Ledger) -> dict[str, list[Line]]:
    """Of each training over its baseline, by how long it was and by data and network, which all of a group share; each training
    once."""
    found: dict[str, list[Line]] = {}
    for tier, title in LENGTHS.items():
        for cell in {ledger.key(c, tier): c for c in cells if ledger.difference(c, tier)}.values():
            line = replace(difference_line(cell, ledger, tier), label=cell.labels[1])
            found.setdefault(f"{data_words(cell)}, {cell.labels[0]}: {title}", []).append(line)
    return found


def missing(cells: Iterable[Cell], ledger: Ledger) -> dict | None:
    """How many full runs these cells still want, and how long they take on the device on which most of them can be told."""
    trainings = {ledger.key(c): c for c in cells if c.task != "cost"}
    wanted = [(c, n) for c in trainings.values() if (n := studies.wanted(c, "full") - len(ledger.counting(c))) > 0]
    on = {device: [cost for c, n in wanted if (cost := durations.hours(c, "full", ledger.records, device)) for _ in range(n)]
          for device in durations.devices(ledger)}
    device, known = max(on.items(), key=lambda item: len(item[1]), default=("", []))
    runs = sum(n for _, n in wanted)
    return {"runs": runs, "time": durations.about(known) if known else "", "device": device,
            "unmeasured": runs - len(known)} if wanted else None
