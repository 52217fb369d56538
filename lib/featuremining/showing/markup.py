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
    """HTML that a notebook shows as such, and that is never escaped again."""

    def _repr_html_(self) -> str:
        return self

    __html__ = _repr_html_          # a template leaves it as it is


BREAK = Html("<br>")


def text(value) -> Html:
    """HTML as it is, all else escaped."""
    return value if isinstance(value, Html) else Html(escape(str(value), quote=False))


def join(parts: Iterable, between: str = "") -> Html:
    """
    >>> join([code("a"), "b < c"], ", ")
    '<code>a</code>, b &lt; c'
    """
    return Html(text(between).join(map(text, parts)))


def tag(name: str, *content, **attributes: str) -> Html:
    """
    >>> tag("p", "a < ", code("b"), class_="fm-took")
    '<p class="fm-took">a &lt; <code>b</code></p>'
    """
    stated = "".join(f' {key.rstrip("_")}="{escape(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{stated}>{join(content)}</{name}>")


def code(value) -> Html:
    return tag("code", value)


def link(href: str, *content) -> Html:
    return tag("a", *content, href=href)


def below(value, small) -> Html:
    """A value with a smaller line below it."""
    return join([value, BREAK, tag("small", small)])


def empty(*said) -> Html:
    """In place of what there is nothing to show of."""
    return tag("p", *said, class_="empty")


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


def badge(status: Status, words: str = "") -> Html:
    """The status as it is marked on every page; ``words`` say it otherwise."""
    return tag("span", words or status, class_=f"verdict {status.css}")


def standing(value: Standing) -> Html:
    """A badge, and below it what else is to be said."""
    return below(badge(value.status), value.rest) if value.rest else badge(value.status)


def tier_badge(tier: str) -> Html:
    return tag("span", tier, class_=f"tier tier-{tier}")


WORDS = {"what", "data", "map", "activations", "claim", "network", "method", "training", "verdict", "gain", "device", "commit",
         "table", "check", "planted", "recipe", "experiment", "setting", "comparison", "in truth", "outcome", "higher", "lower",
         "stands in", "read as", "own numbers", "on this paper", "file", "seeds"}       # read as words
EARLY, KEYS = ("verdict", "gain"), ("cell", "run")      # columns that come second; that come last, small and grey


def html(rows: pd.DataFrame | list[dict], caption: str, tier: str | None = None, style: str = "") -> Html:
    """A table for the book: as rows where it fits, as cards, whose lines say what they are, on a narrow screen. Statuses become
    badges, `Html` stays, all else is escaped; ``style`` is a class of the book's style sheet. A table of cells names them
    (``data-cell``), so that a page can open their `cards`, and has its plain values beside its caption as CSV."""
    frame = rows if isinstance(rows, pd.DataFrame) else as_frame(rows)
    if frame.empty:
        return join([tag("p", caption, class_="fm-caption"), Html("\n"),
                     empty("Nothing on record yet", f", {tier} tier" if tier else "", ".")])
    frame = arranged(frame)
    ids = list(frame["cell"]) if "cell" in frame else [""] * len(frame)
    kinds = ["key" if column in KEYS else "text note" if column == "note" else "text" if column in WORDS else ""
             for column in frame]
    csv = save_link(for_csv(frame).to_csv(index=False), "CSV", "csv", caption)
    entries = [[(_entry(value, kind), _class(str(value), kind)) for value, kind in zip(row, kinds, strict=True)]
               for row in frame.itertuples(index=False, name=None)]
    return render("table", caption=caption, tier=tier, style=style, columns=list(zip(frame, kinds, strict=True)),
                  rows=list(zip(ids, entries, strict=True)),
                  csv=csv if any(ids) or "data-cell=" in "".join(map(str, frame.to_numpy().ravel())) else "")


def as_frame(rows: list[dict]) -> pd.DataFrame:
    """A frame whose entries stay what they are: pandas may take those that are `Html` for plain texts otherwise."""
    return pd.DataFrame(rows, dtype=object)


def _entry(value, kind: str) -> Html:
    if kind == "key":
        return code(broken(value))
    if isinstance(value, Standing):
        return standing(value)
    return value if isinstance(value, Html) else stacked(str(value))


def _class(entry: str, kind: str) -> str:
    """That of its column, and of an entry that says nothing, or that says words in a column of numbers."""
    nothing = entry in (DASH, "")
    return f"{kind}{' fm-nothing' if nothing else ' fm-said' if entry[:1].isalpha() and not kind else ''}".strip()


def arranged(frame: pd.DataFrame) -> pd.DataFrame:
    """The same columns in the order of a table: what a row is about, verdict and gain, all else as given, the key of a row last.

    >>> list(arranged(pd.DataFrame(columns=["cell", "method", "paper", "verdict"])))
    ['method', 'verdict', 'paper', 'cell']
    """
    first = next((column for column in frame if column not in KEYS), None)
    return frame[sorted(frame, key=lambda c: 3 if c in KEYS else 0 if c == first else 1 if c in EARLY else 2)]


def stacked(entry: str) -> Html:
    """What stands in brackets after a number comes below it, small.

    >>> stacked("+1.00 (−1.00 to +3.00), r = 0.5"), stacked("FM (2 layers)")
    ('+1.00<br><small>(−1.00 to +3.00), r = 0.5</small>', 'FM (2 layers)')
    """
    found = re.fullmatch(r"((?:× )?[+−-]?\d[^()]*) (\(.*)", entry)
    return below(*found.groups()) if found else text(entry)


def broken(key: str) -> Html:
    """A key may be broken after its dots and underscores.

    >>> broken("T1.resnet56.fm2_mixup")
    'T1.<wbr>resnet56.<wbr>fm2_<wbr>mixup'
    """
    return Html(re.sub(r"([._])(?=[a-z])", r"\1<wbr>", text(key)))


def says(*words) -> Html:
    """What a table or a figure comes to, as a sentence of the page."""
    return join([tag("p", tag("strong", "In short:"), " ", *words), "\n"])


def plain(value) -> str:
    """What a table's entry says, without its HTML.

    >>> plain(Html('<b>73.71 ± 0.28</b><br><span class="verdict">not run</span>')), plain("a < b > c")
    ('73.71 ± 0.28; not run', 'a < b > c')
    """
    return unescape(re.sub(r"<[^>]+>", "", value.replace("<br>", "; "))) if isinstance(value, Html) else str(value)


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


def save_link(content: str, word: str, ending: str, of: str) -> Html:
    """A link that saves ``content`` under a name made from ``of``, from the page alone: it works without a server."""
    name = re.sub(r"[^a-z0-9]+", "-", of.lower()).strip("-")[:60].strip("-")
    return tag("a", word, class_="fm-save", download=f"{name}.{ending}", **{"aria-label": f"{word}: {of}"},
               href=f"data:text/{ending};charset=utf-8,{quote(content, safe='/,:;()=')}")


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
