"""Values as HTML and Markdown: numbers, badges, tables, links that save. No files, no state, no torch."""

import re
from collections.abc import Iterable
from html import escape, unescape
from urllib.parse import quote

import pandas as pd

from .. import stats
from ..studies.outcomes import Standing, Status

DASH = "–"


class Html(str):
    """HTML that a notebook shows as such."""

    def _repr_html_(self) -> str:
        return self


def percent(s: stats.Summary | None) -> str:
    """
    >>> percent(stats.Summary(4, 75.35, 0.07)), percent(stats.Summary(1, 50.0, float("nan")))
    ('75.35 ± 0.07', '50.00')
    """
    if s is None:
        return DASH
    return f"{s.mean:.2f}" + (f" ± {s.sd:.2f}" if s.n > 1 else "")


def bounds(i: stats.Interval | None, signed: bool = False) -> str:
    """
    >>> none = stats.Interval(50, float("-inf"), float("inf"))
    >>> bounds(stats.Interval(0, -1, 1), signed=True), bounds(none, signed=True), bounds(none)
    ('−1.00 to +1.00', 'needs 2 seeds each', 'needs 2 seeds')
    """
    if i is None:
        return DASH
    if i.half == float("inf"):
        return "needs 2 seeds" + " each" * signed
    return " to ".join(stats.signed(v) if signed else f"{v:.2f}" for v in (i.low, i.high))


def badge(status: Status, text: str = "") -> str:
    """The status as it is marked on every page; ``text`` says it in other words."""
    return f'<span class="verdict {status.css}">{escape(text or status)}</span>'


def standing(value: Standing | str) -> str:
    """A badge, and below it what else is to be said; texts stay."""
    if not isinstance(value, Standing):
        return str(value)
    return badge(value.status) + (f"<br><small>{escape(value.rest)}</small>" if value.rest else "")


def tier_badge(tier: str) -> str:
    return f'<span class="tier tier-{tier}">{tier}</span>'


WORDS = {"what", "data", "map", "activations", "cell", "claim", "network", "method", "verdict", "gain", "run", "device", "commit",
         "table", "check", "planted"}           # read as words


def html(frame: pd.DataFrame, caption: str, tier: str | None = None, style: str = "") -> Html:
    """A table for the book, in a region that scrolls by itself on a narrow screen. Statuses become badges; ``style`` is a
    class of the book's style sheet. A table of cells names them (``data-cell``), so that a page can open their `cards`, and
    has its plain values beside its caption as CSV."""
    if frame.empty:
        return Html(f'<p class="fm-caption">{escape(caption)}</p>\n<p class="empty">Nothing on record yet'
                    + (f", {tier} tier" if tier else "") + ".</p>")
    entries = frame.map(standing)
    opens = [f' data-cell="{escape(c)}"' for c in entries["cell"]] if "cell" in entries else [""] * len(entries)
    if "cell" in entries:
        entries["cell"] = [f"<code>{c}</code>" for c in entries["cell"]]
    kinds = [' class="text note"' if column == "note" else ' class="text"' if column in WORDS else "" for column in entries]
    head = "".join(f"<th{kind}>{escape(column)}</th>" for column, kind in zip(entries, kinds, strict=True))
    rows = "\n".join(f"<tr{cell}>" + "".join(f"<td{kind}>{v}</td>" for v, kind in zip(row, kinds, strict=True)) + "</tr>"
                     for cell, row in zip(opens, entries.itertuples(index=False), strict=True))
    mark, classes = f"{tier_badge(tier)} " if tier else "", f"dataframe {style}".strip()
    label = escape(f"{caption} ({tier} tier)" if tier else caption)
    csv = f" {save_link(frame.map(plain).to_csv(index=False), 'CSV', 'csv', caption)}" if "data-cell=" in rows else ""
    return Html(f'<p class="fm-caption">{mark}{escape(caption)}{csv}</p>\n'
                f'<div class="fm-table" role="region" aria-label="{label}" tabindex="0"><table class="{classes}">\n'
                f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>")


def says(text: str) -> Html:
    """What a table or a figure comes to, as a sentence of the page."""
    return Html(f"<p><strong>It says:</strong> {text}</p>\n")


def plain(value) -> str:
    """What a table's entry says, without its HTML.

    >>> plain('<b>73.71 ± 0.28</b><br><span class="verdict">not run</span>')
    '73.71 ± 0.28; not run'
    """
    return unescape(re.sub(r"<[^>]+>", "", str(value).replace("<br>", "; ")))


def save_link(text: str, word: str, ending: str, of: str) -> Html:
    """A link that saves ``text`` under a name made from ``of``, from the page alone: it works without a server."""
    name = re.sub(r"[^a-z0-9]+", "-", of.lower()).strip("-")[:60].strip("-")
    return Html(f'<a class="fm-save" download="{name}.{ending}" aria-label="{word}: {escape(of)}" '
                f'href="data:text/{ending};charset=utf-8,{quote(text, safe="/,:;()=")}">{word}</a>')


def markdown(frame: pd.DataFrame) -> str:
    """A plain Markdown table, for the README."""
    lines = [list(map(str, frame.columns)), ["---"] * len(frame.columns), *frame.astype(str).values.tolist()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def counted(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def listed(words_: Iterable[str]) -> str:
    """
    >>> listed(["cost", "accuracy", "cost"]), listed(["a", "b", "c"])
    ('cost and accuracy', 'a, b and c')
    """
    *first, last = dict.fromkeys(words_) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def some(n: int) -> str:
    return str(n or "none")


def anchor(id_: str) -> str:
    """
    >>> anchor("T1.one_layer")
    't1-one-layer'
    """
    return re.sub(r"[^a-z0-9]+", "-", id_.lower())
