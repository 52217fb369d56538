"""What the book asks of Sphinx beyond its settings: addresses that readers can share, scripts only on the pages that use them,
words that lead to the glossary, and what a page says of itself to a search engine or where its address is pasted."""

import re
from html import escape, unescape

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.search import IndexBuilder

FOLDERS = (("build/book/", "experiments/"), ("book/", ""))      # of sources -> of addresses
SCRIPTS = {"cards.js": "data-cell=", "tables.js": "data-cell=", "settings.js": 'id="fm-settings"',
           "demonstration.js": 'id="demonstration"', "formulas.js": 'class="math'}      # a script -> what its pages hold
ABOUT = ("Feature Mining trains a convolutional network to name the class from a random box of its feature map and from all that "
         "is outside. This companion reruns the paper, number by number, and says how far each claim stands.")


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
    for name, mark in SCRIPTS.items():
        if mark in context.get("body", ""):
            app.add_js_file(name, defer="defer")


def describe(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """The first paragraph of the page, in its meta description and its social card."""
    title = unescape(re.sub("<[^>]+>", "", context.get("title") or app.config.project))
    texts = [p.astext() for p in doctree.findall(nodes.paragraph)] if doctree else []
    words = re.sub(r"\s+", " ", next((t for t in texts if len(t) > 60), ABOUT) if pagename != app.config.root_doc else ABOUT)
    words = words if len(words) < 200 else words[:197].rsplit(" ", 1)[0] + " …"
    tags = {"description": words, "twitter:card": "summary"}
    shared = {"og:title": title, "og:description": words, "og:type": "article", "og:site_name": app.config.project}
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


def setup(app: Sphinx) -> dict:
    moved()
    app.connect("html-page-context", scripts)
    app.connect("html-page-context", describe)
    app.connect("doctree-resolved", gloss)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
