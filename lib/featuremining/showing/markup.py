"""Values as HTML and Markdown: numbers, badges, tables, links that save. What is more than a phrase is a template of the folder
``templates``. No state, no torch."""

import re
from collections.abc import Iterable
from functools import cache
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

    __html__ = _repr_html_          # a template leaves it as it is


@cache
def _templates():
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(loader=PackageLoader(__package__), autoescape=True, trim_blocks=True, lstrip_blocks=True,
                        undefined=StrictUndefined)
    found.filters |= {"badge": badge, "signed": stats.signed, "counted": counted, "standing": standing,
                      "percent": lambda v: f"{v:.4g}%"}
    return found


def render(name: str, **values) -> Html:
    """``templates/<name>.html`` with these values; what is not `Html` is escaped, what is missing is an error. Without empty
    lines and indents, which would end a piece of HTML in a page of Markdown."""
    return Html(re.sub(r"\n\s*", "\n", _templates().get_template(f"{name}.html").render(values)).strip() + "\n")


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


WORDS = {"what", "data", "map", "activations", "claim", "network", "method", "training", "verdict", "gain", "device", "commit",
         "table", "check", "planted", "recipe", "experiment", "setting", "comparison", "in truth", "outcome", "higher", "lower",
         "stands in", "read as", "own numbers", "on this paper", "file", "seeds"}       # read as words
EARLY, KEYS = ("verdict", "gain"), ("cell", "run")      # columns that come second; that come last, small and grey


def html(frame: pd.DataFrame, caption: str, tier: str | None = None, style: str = "") -> Html:
    """A table for the book: as rows where it fits, as cards, whose lines say what they are, on a narrow screen. Statuses become
    badges; ``style`` is a class of the book's style sheet. A table of cells names them (``data-cell``), so that a page can open
    their `cards`, and has its plain values beside its caption as CSV."""
    if frame.empty:
        return Html(f'<p class="fm-caption">{escape(caption)}</p>\n<p class="empty">Nothing on record yet'
                    + (f", {tier} tier" if tier else "") + ".</p>")
    frame = arranged(frame)
    entries = frame.map(lambda value: Html(stacked(standing(value))))
    ids = list(frame["cell"]) if "cell" in frame else [""] * len(frame)
    for key in set(KEYS) & set(entries):
        entries[key] = [Html(f"<code>{broken(entry)}</code>") for entry in frame[key]]
    kinds = ["key" if column in KEYS else "text note" if column == "note" else "text" if column in WORDS else ""
             for column in entries]
    csv = save_link(for_csv(frame).to_csv(index=False), "CSV", "csv", caption)
    rows = [[(value, f"{kind}{_short(value, kind)}".strip()) for value, kind in zip(row, kinds, strict=True)]
            for row in entries.itertuples(index=False, name=None)]
    return render("table", caption=caption, tier=tier, style=style, columns=list(zip(entries, kinds, strict=True)),
                  rows=list(zip(ids, rows, strict=True)),
                  csv=csv if any(ids) or "data-cell=" in "".join(map(str, frame.to_numpy().ravel())) else "")


def _short(entry: str, kind: str) -> str:
    """The class of an entry that says nothing, or that says words in a column of numbers."""
    return " fm-nothing" if entry == DASH else " fm-said" if entry[:1].isalpha() and not kind else ""


def arranged(frame: pd.DataFrame) -> pd.DataFrame:
    """The same columns in the order of a table: what a row is about, verdict and gain, all else as given, the key of a row last.

    >>> list(arranged(pd.DataFrame(columns=["cell", "method", "paper", "verdict"])))
    ['method', 'verdict', 'paper', 'cell']
    """
    first = next((column for column in frame if column not in KEYS), None)
    return frame[sorted(frame, key=lambda c: 3 if c in KEYS else 0 if c == first else 1 if c in EARLY else 2)]


def stacked(entry: str) -> str:
    """What stands in brackets after a number comes below it, small.

    >>> stacked("+1.00 (−1.00 to +3.00), r = 0.5"), stacked("FM (2 layers)")
    ('+1.00<br><small>(−1.00 to +3.00), r = 0.5</small>', 'FM (2 layers)')
    """
    return re.sub(r"^((?:× )?[+−-]?\d[^()<]*) (\([^<]*)\Z", r"\1<br><small>\2</small>", entry)


def broken(key: str) -> str:
    """A key may be broken after its dots and underscores.

    >>> broken("T1.resnet56.fm2_mixup")
    'T1.<wbr>resnet56.<wbr>fm2_<wbr>mixup'
    """
    return re.sub(r"([._])(?=[a-z])", r"\1<wbr>", escape(key))


def says(text: str) -> Html:
    """What a table or a figure comes to, as a sentence of the page."""
    return Html(f"<p><strong>In short:</strong> {text}</p>\n")


def plain(value) -> str:
    """What a table's entry says, without its HTML.

    >>> plain('<b>73.71 ± 0.28</b><br><span class="verdict">not run</span>')
    '73.71 ± 0.28; not run'
    """
    return unescape(re.sub(r"<[^>]+>", "", str(value).replace("<br>", "; ")))


NUMBER = r"([+−-]?\d[\d,]*\.?\d*)"
SHAPES = ((("",), NUMBER), (("", " spread", " n"), rf"{NUMBER}(?: ± {NUMBER})?(?: \(n = {NUMBER}\))?"),
          ((" low", " high"), f"{NUMBER} to {NUMBER}"),
          (("", " low", " high"), rf"{NUMBER}(?: \({NUMBER} to {NUMBER}\))?"))       # of a column's entries -> columns of numbers


def for_csv(frame: pd.DataFrame) -> pd.DataFrame:
    """Plain values. A column whose entries are all numbers, with a spread or an interval, becomes columns of numbers, empty where
    there is none.

    >>> frame = pd.DataFrame({"ours": ["75.35 ± 0.07", "60.10", "–"], "95 %": ["−1.00 to +0.20", "needs 2 seeds", "–"]})
    >>> for_csv(frame).to_csv(index=False)
    'ours,ours spread,95 % low,95 % high\\n75.35,0.07,-1.00,+0.20\\n60.10,,,\\n,,,\\n'
    """
    parts = []
    for name, values in frame.map(plain).items():
        texts = ["" if text == DASH or text.startswith("needs 2 seeds") else text for text in values]
        for ends, shape in SHAPES if any(texts) else ():
            found = [re.fullmatch(shape, text) for text in texts if text]
            if all(found):
                groups = iter([[(g or "").replace("−", "-").replace(",", "") for g in match.groups()] for match in found])
                columns = [f"{name}{end}" for end in ends]
                made = pd.DataFrame([next(groups) if text else [""] * len(columns) for text in texts], columns=columns)
                parts.append(made.loc[:, made.any()])
                break
        else:
            parts.append(pd.DataFrame({name: texts if not any(texts) else list(values)}))
    return pd.concat(parts, axis=1)


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
