"""What pages of the book say of the papers' sentences and of what is decided, from studies and records, as Markdown with inline
HTML."""

import re
from textwrap import shorten

import pandas as pd

from .. import stats, studies
from ..judging import comparisons, listing, planning
from ..judging.ledger import Ledger
from ..records import durations
from ..studies import claims
from ..studies.outcomes import OF_CLAIMS, State, Status
from . import markup
from .api import SPECIAL
from .cards import facts
from .markup import Html, anchor, counted, join, listed, some, tag

HEADING = 72            # signs of a quote that fit into a heading


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
        parts += [f"({anchor(claim.id)})=\n### {_title(claim)} [{claim.id}]{{.fm-key}}",
                  _judged(detail, cost, quoted=len(claim.quote) > HEADING, linked=True), _pairs(detail)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _title(claim: claims.Claim) -> str:
    """How its quote begins, for a heading in Markdown."""
    return SPECIAL.sub(r"\\\1", f"“{shorten(claim.quote, HEADING, placeholder=' …')}”")


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
        title = f"Not run: {counted(len(waiting), 'sentence')}"
        parts.append(markup.render("folded", title=title, body=Html("".join(waiting)), open=False))
    return Html("\n".join(filter(None, parts)))


def _judged(detail: dict, cost: str = "", quoted: bool = True, linked: bool = False) -> Html:
    """A sentence's quote, its verdict, what is to be made of it and what it rests on; ``cost``: of deciding it, in words;
    ``linked``: on the page that has all sentences, where the key of another leads to it."""
    said = {name: _with_links(words, detail["claim"]) if linked else words for name, words in facts(detail, cost).items()}
    reading = _with_links(detail["reading"], detail["claim"]) if linked else detail["reading"]
    return markup.render("sentence", detail=detail, reading=reading, facts=said, quoted=quoted)


def _with_links(words: str, own: str) -> Html:
    """Keys of other sentences, as links to their places on the page.

    >>> _with_links("See T1.one_layer < T9.two_layers", "T9.two_layers")
    'See <a href="#t1-one-layer"><code>T1.one_layer</code></a> &lt; T9.two_layers'
    """
    parts = re.split(rf"\b({'|'.join(map(re.escape, sorted(claims.load_claims(), key=len, reverse=True)))})\b", words)
    return join(markup.link(f"#{anchor(part)}", markup.code(part)) if i % 2 and part != own else part
                for i, part in enumerate(parts))


def _pairs(detail: dict) -> str:
    """The comparisons of an order, folded where they are many."""
    if not detail["pairs"]:
        return ""
    rows = [{**{side: _named(p[side]) for side in ("higher", "lower")},
             "paper": p["printed"] or markup.DASH,
             "p (Holm)": p["printed_p"] or markup.DASH, "ours": p["ours"] or markup.DASH, "our p (Holm)": p["p"] or markup.DASH,
             "n": p["n"] or markup.DASH} for p in detail["pairs"]]
    n = len(rows)
    table = markup.html(rows, f"{detail['claim']}: differences in {detail['unit']}, 95 % intervals")
    return markup.render("folded", title=counted(n, "comparison"), body=table, open=n <= 6)


def _named(side: str) -> Html:
    """A side of a pair as readers know it, over its key; what is measured of it stands behind a comma.

    >>> _named("T1.resnet56.fm2_mixup")      # a cell that there is not
    '<code>T1.<wbr>resnet56.<wbr>fm2_<wbr>mixup</code>'
    """
    key, cell = markup.code(markup.broken(side)), studies.load_cells().get(side.partition(", ")[0])
    return markup.below(": ".join(cell.labels), key) if cell else key


def rule(rule_: studies.Rule, ledger: Ledger) -> Html:
    """A study of our own: its question, the rule that was fixed beforehand, in a sentence and folded as it stands, and how many
    of its runs are on record."""
    done, wanted = comparisons.progress(rule_, ledger)
    return markup.render("rule", rule=rule_, done=done, wanted=wanted)


def grid_rows(ledger: Ledger) -> list[dict]:
    """The first paper's sentences as rows of the scoreboard's grid, without those that say another again; each leads to its place
    on the page of claims."""
    def begun(words: str) -> Html | None:         # the whole stands there
        return tag("span", words, class_="fm-clamp") if words else None

    def said(row: dict) -> Html:
        whole = tag("a", row["says"], class_="fm-clamp", href=f"claims.html#{anchor(row['claim'])}")
        return join([whole, tag("small", row["limit"])]) if row["limit"] else whole

    return [{"cell": row["claim"], "claim": said(row),
             "paper": begun(row["paper"]), "ours": begun(row["ours"]), "n": row["n"],
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
    undecided = ", ".join(f"“{shorten(row['says'], HEADING, placeholder=' …')}” (`{row['claim']}`, {_concerns(row)})"
                          for row in begun)
    return (f"Of the {len(printed)} printed accuracies, {some(len(runs))} {'has' if len(runs) < 2 else 'have'} runs under the "
            f"paper's protocol{'' if runs else ' yet'} and {some(sum(n > 1 for n in runs))} an interval; for {known} we know how "
            f"long a run takes. The decided claims are about {listed(map(_concerns, ended)) or 'nothing yet'}"
            + (f"; begun and open: {undecided}" if begun else "")
            + f". Full runs on record: {counted(theirs, 'run')} of the paper's experiments and {len(full) - theirs} of our own "
            "small ones.")


def _concerns(row: dict) -> str:
    if row["verdict"].status == Status.CONTRADICTED:
        return "the paper's own numbers"
    cell = studies.load_cells().get(row["claim"])
    return "accuracy" if cell and cell.published is not None else ABOUT.get(row["kind"], "accuracy")


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
