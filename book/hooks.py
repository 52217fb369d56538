"""What the book asks of Sphinx beyond its settings: addresses that readers can share, scripts only on the pages that use them,
and what a page says of itself to a search engine or where its address is pasted."""

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


def setup(app: Sphinx) -> dict:
    moved()
    app.connect("html-page-context", scripts)
    app.connect("html-page-context", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
