"""What the book asks of Sphinx beyond its settings: addresses that readers can share, scripts and icons only where they are used,
words that lead to the glossary, what a page says of itself to a search engine or where its address is pasted, texts for the
results of the search, and the cards of the cells that a page's tables name."""

import json
import re
from collections import Counter
from functools import cache
from html import escape, unescape
from pathlib import Path

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.search import IndexBuilder

FOLDERS = (("build/book/", "experiments/"), ("book/", ""))      # of sources -> of addresses
SCRIPTS = {"cards.js": "data-cell=", "tables.js": "data-cell=", "settings.js": 'id="fm-settings"',
           "demonstration.js": 'id="demonstration"', "formulas.js": 'class="math'}      # a script -> what its pages hold
ABOUT = ("Feature Mining trains a convolutional network to name the class from a random box of its feature map and from all that "
         "is outside. This companion reruns the paper, number by number, and says how far each claim stands.")
CARD = "_static/social.png"             # the picture beside a shared address; `build.py` draws it
TEXTS: dict[str, list[list[str]]] = {}  # a page's address -> anchor and text of each of its sections


def address(docname: str) -> str:
    """
    >>> address("build/book/cifar"), address("book/methods/byot"), address("search")
    ('experiments/cifar', 'methods/byot', 'search')
    """
    return next((new + docname.removeprefix(old) for old, new in FOLDERS if docname.startswith(old)), docname)


def moved() -> None:
    """Pages lie, and are linked and found, where `address` says."""
    target, file, freeze = StandaloneHTMLBuilder.get_target_uri, StandaloneHTMLBuilder.get_outfilename, IndexBuilder.freeze

    def frozen(self) -> dict:
        index = freeze(self)
        return {**index, "docnames": tuple(map(address, index["docnames"]))}

    StandaloneHTMLBuilder.get_target_uri = lambda self, docname, typ=None: target(self, address(docname), typ)
    StandaloneHTMLBuilder.get_outfilename = lambda self, pagename: file(self, address(pagename))
    IndexBuilder.freeze = frozen


def scripts(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Those that a page needs. Sphinx gives MathJax to a page, too, whose table of contents leads to one with formulas."""
    for name, mark in SCRIPTS.items():
        if mark in context.get("body", ""):
            app.add_js_file(name, defer="defer")
    if SCRIPTS["formulas.js"] not in context.get("body", ""):
        context["script_files"][:] = [js for js in context["script_files"] if "mathjax" not in str(js).lower()]
    if pagename == "search":
        app.add_js_file("texts.js", defer="defer")
        app.add_js_file("search.js", defer="defer")


def without_thebe(app: Sphinx) -> None:
    """Thebe is off, but its extension gives every page scripts that declare their constants twice, an error in every browser."""
    for listeners in app.events.listeners.values():
        listeners[:] = [one for one in listeners if one.handler.__module__ != "sphinx_thebe"]


def launch(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Buttons lead to the notebooks of the repository, not to their executed copies, which it does not hold."""
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if "url" in button:
                button["url"] = button["url"].replace("/build/book/", "/notebooks/")


@cache
def known() -> dict[str, dict]:
    """The card of everything that a table can name."""
    from featuremining import studies
    from featuremining.judging.ledger import Ledger
    from featuremining.showing import cards
    from featuremining.studies.claims import load_claims

    return cards.cards([*studies.load_cells(), *load_claims()], Ledger.read())


def named(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """The page's cards, once each, as data for ``cards.js``."""
    ids = dict.fromkeys(re.findall(r'data-cell="([^"]+)"', context.get("body", "")))
    if found := {id_: known()[id_] for id_ in ids if id_ in known()}:
        content = json.dumps(found, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
        context["body"] += f'<script type="application/json" id="fm-cards">{content}</script>\n'


REGION = re.compile(r'(role="region" aria-label=")([^"]*)"')


def roles(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """To a screen reader no two regions of a page have one name, and what a list of references holds are items."""
    if "body" in context:
        context["body"] = told_apart(context["body"].replace('role="doc-biblioentry"', 'role="listitem"'))


def told_apart(text: str) -> str:
    """Regions of one name are numbered, for readers who go from one to the next.

    >>> told_apart('<div role="region" aria-label="a"><div role="region" aria-label="a">')
    '<div role="region" aria-label="a"><div role="region" aria-label="a (2)">'
    """
    seen: Counter = Counter()

    def name(region: re.Match) -> str:
        seen[region[2]] += 1
        return region[1] + region[2] + (f" ({seen[region[2]]})" if seen[region[2]] > 1 else "") + '"'

    return REGION.sub(name, text)


TABLE = re.compile(r'<div class="pst-scrollable-table-container">\s*<table .*?</table>\s*</div>', re.S)


def tables(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Tables of prose look, and become cards on a narrow screen, as those of results do (``showing/templates/table.html``)."""
    if "pst-scrollable-table-container" in context.get("body", ""):
        context["body"] = TABLE.sub(lambda found: as_of_results(found[0]), context["body"])


def as_of_results(html: str) -> str:
    """
    >>> head, row = "<tr><th>a</th><th>b</th></tr>", '<tr><td class="x">1</td><td>2</td></tr>'
    >>> as_of_results(f'<div class="c"><table class="table"><thead>{head}</thead><tbody>{row}</tbody></table></div>')[-93:]
    '<tr><td class="x text">1</td><td class="text" data-head="b">2</td></tr></tbody></table></div>'
    """
    soup = BeautifulSoup(html, "html.parser")
    soup.div["class"] = ["fm-table"]
    soup.table["class"] = [*soup.table.get("class", []), "dataframe"]
    heads = [cell.get_text(" ", strip=True) for cell in soup.table.tr.find_all(["th", "td"])]
    for row in soup.table.find_all("tr"):
        for i, cell in enumerate(row.find_all(["th", "td"])):
            cell["class"] = [*cell.get("class", []), *(["text"] if "text-right" not in cell.get("class", []) else [])]
            if cell.name == "td" and i:
                cell["data-head"] = heads[i]
    return str(soup)


def describe(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """The first paragraph of the page, in its meta description and its social card."""
    title = unescape(re.sub("<[^>]+>", "", context.get("title") or app.config.html_title))
    texts = [p.astext() for p in doctree.findall(nodes.paragraph)] if doctree else []
    words = re.sub(r"\s+", " ", next((t for t in texts if len(t) > 60), ABOUT) if pagename != app.config.root_doc else ABOUT)
    words = words if len(words) < 200 else words[:197].rsplit(" ", 1)[0] + " …"
    base = app.config.html_baseurl
    picture = f"{base.rstrip('/')}/{CARD}" if base else context["pathto"](CARD, 1)
    tags = {"description": words, "twitter:card": "summary_large_image"}
    shared = {"og:title": title, "og:description": words, "og:type": "article", "og:site_name": app.config.html_title,
              "og:image": picture, "og:image:width": "1200", "og:image:height": "630", "og:image:alt": ABOUT}
    context["metatags"] = context.get("metatags", "") + "".join(
        [f'\n<meta name="{name}" content="{escape(text)}" />' for name, text in tags.items()]
        + [f'\n<meta property="{name}" content="{escape(text)}" />' for name, text in shared.items()])


GLOSSARY = "book/glossary"
UNGLOSSED = {"book/glossary", "book/api", "book/references"}
EVERYDAY = {"run", "look", "claim", "box", "stage", "head", "finding", "verdict"}       # clear from where they stand


def meanings(app: Sphinx) -> dict[str, tuple[str, str]]:
    """Each word of the glossary that pages explain: its anchor, and the first sentences that say what it is."""
    found = {}
    for item in app.env.get_doctree(GLOSSARY).findall(nodes.definition_list_item):
        text = re.sub(r"\s+", " ", item.children[-1].children[0].astext())
        for term in (child for child in item.children if isinstance(child, nodes.term)):
            if term.astext().lower() not in EVERYDAY and "," not in term.astext():
                found[term.astext()] = term["ids"][0], text
    return found


def gloss(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """The first time that a page uses a word of the glossary, it leads there and has its meaning as a title."""
    if docname in UNGLOSSED or app.builder.format != "html" or GLOSSARY not in app.env.found_docs:
        return
    waiting = meanings(app)
    for text in list(doctree.findall(nodes.Text)):
        if waiting and _is_prose(text):
            pieces = glossed(str(text), waiting, app.builder.get_relative_uri(docname, GLOSSARY))
            if any(isinstance(piece, nodes.reference) for piece in pieces):
                text.parent.replace(text, pieces)


def _is_prose(text: nodes.Text) -> bool:
    """Within a paragraph, and no part of a link, a heading, code or a formula."""
    node, prose = text.parent, False
    while node is not None:
        if isinstance(node, nodes.reference | nodes.literal | nodes.title | nodes.math | nodes.raw | nodes.term | nodes.caption):
            return False
        prose, node = prose or isinstance(node, nodes.paragraph), node.parent
    return prose


def glossed(text: str, waiting: dict[str, tuple[str, str]], page: str) -> list[nodes.Node]:
    """``text`` with links in place of those words that are still waiting, which wait no more.

    >>> waiting = {"tier": ("term-tier", "How long."), "cell": ("term-cell", "One number.")}
    >>> [node.astext() for node in glossed("cells of a tier, a tiered cell", waiting, "glossary.html")]
    ['cells', ' of a ', 'tier', ', a tiered cell']
    >>> waiting
    {}
    """
    pieces: list[nodes.Node] = []
    while waiting:
        words = "|".join(sorted(map(re.escape, waiting), key=len, reverse=True))
        found = re.search(rf"(?<![\w-])({words})(s?)(?![\w-])", text)
        if not found:
            break
        anchor, meaning = waiting.pop(found[1])
        if found.start():
            pieces.append(nodes.Text(text[:found.start()]))
        pieces.append(nodes.reference("", found[0], internal=True, refuri=f"{page}#{anchor}", reftitle=meaning,
                                      classes=["fm-term"]))
        text = text[found.end():]
    return [*pieces, nodes.Text(text)] if text else pieces


def read(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """The text of each section, for the excerpts of the search: a page of files can't fetch another."""
    if doctree:
        texts = (((section["ids"] or [""])[0], " ".join(map(plain, section.children)).strip())
                 for section in doctree.findall(nodes.section))
        TEXTS[address(pagename)] = [[id_, text] for id_, text in texts if text]


def plain(node: nodes.Node) -> str:
    """What a reader sees of a node; of a section inside nothing, as it has a text of its own.

    >>> plain(nodes.raw("", "<p>one <b>two</b></p><svg><title>three</title></svg>", format="html"))
    'one two'
    """
    if isinstance(node, nodes.section):
        return ""
    if isinstance(node, nodes.raw):
        text = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", node.astext(), flags=re.S) if node.get("format") == "html" else ""
        text = unescape(re.sub(r"<[^>]+>", " ", text))
    elif isinstance(node, nodes.Text):
        text = node.astext()
    else:
        text = " ".join(map(plain, node.children))
    return " ".join(text.split())


def save_texts(app: Sphinx, failure: Exception | None) -> None:
    text = json.dumps(TEXTS, ensure_ascii=False, separators=(",", ":"))
    if not failure:
        (Path(app.outdir) / "_static/texts.js").write_text(f"window.featureMiningTexts = {text};\n", encoding="utf-8")


ICON = re.compile(r'class="[^"]*\bfa-(?:solid|regular)[^"]*"')
SIZES = ("solid", "regular", "brands", "lg", "fw", "sm", "xs")


def save_icons(app: Sphinx, failure: Exception | None) -> None:
    """The shapes of the icons that pages show, as masks of a style sheet, in place of the theme's script with all of them."""
    out = Path(app.outdir)
    script = out / "_static/scripts/fontawesome.js"
    if failure or not script.is_file():
        return
    shapes = script.read_text(encoding="utf-8")
    pages = (page.read_text(encoding="utf-8") for page in out.rglob("*.html") if "_static" not in page.relative_to(out).parts)
    used = {name for page in pages for classes in ICON.findall(page) for name in re.findall(r"\bfa-([a-z0-9-]+)", classes)}
    (out / "_static/icons.css").write_text(icons(sorted(used - {*SIZES}), shapes), encoding="utf-8")
    for unused in script.parent.glob("fontawesome.js*"):
        unused.unlink()


def icons(names: list[str], shapes: str) -> str:
    """A style sheet with a mask for each; a `KeyError` where the theme's icons have no such shape.

    >>> icons(["bars"], '{bars:[448,512,["navicon"],"f0c9","M0 96z"]}').splitlines()[-1][-37:]
    '%3Cpath d=\\'M0 96z\\'/%3E%3C/svg%3E"); }'
    """
    rules = [".fa-solid { display: inline-block; width: 1em; height: 1em; vertical-align: -0.125em; background: currentColor; "
             "mask: var(--fm-icon) center / contain no-repeat; }", ".fa-solid::before { content: none !important; }",
             ".fa-lg { font-size: 1.25em; }"]
    for name in names:
        found = re.findall(rf'[{{,]"?{name}"?:\[(\d+),(\d+),\[[^\]]*\],"[0-9a-f]+","([^"]+)"\]', shapes)
        if not found:
            raise KeyError(name)
        width, height, path = found[-1]         # of the solid ones, which come last
        rules.append(f".fa-{name} {{ --fm-icon: url(\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' "
                     f"viewBox='0 0 {width} {height}'%3E%3Cpath d='{path}'/%3E%3C/svg%3E\"); }}")
    return "\n".join(rules) + "\n"


def setup(app: Sphinx) -> dict:
    moved()
    app.connect("builder-inited", without_thebe)
    app.connect("html-page-context", scripts, priority=900)         # after MathJax's own
    app.connect("html-page-context", launch, priority=900)          # after the theme's
    app.connect("html-page-context", tables)
    app.connect("html-page-context", roles)
    app.connect("html-page-context", named)
    app.connect("html-page-context", describe)
    app.connect("html-page-context", read)
    app.connect("doctree-resolved", gloss)
    app.connect("build-finished", save_texts)
    app.connect("build-finished", save_icons)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
