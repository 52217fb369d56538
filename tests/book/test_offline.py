"""The built book is complete in itself: nothing comes from the network, all it loads is there, every link and anchor resolves."""

import re
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from helpers import book_build

from featuremining import paths

LOADS = {"src", "srcset", "poster", "data", "xlink:href", "background", "action", "formaction"}     # attributes, of any element
LINKS = {"a", "area"}                       # elements whose href waits for a click; all others' is loaded
URL = re.compile(r"""url\(\s*['"]?([^'")]+)['"]?\s*\)|@import\s+['"]([^'"]+)['"]""")
CALLS = r"""\b(?:fetch|importScripts|getScript|getJSON|get|ajax|new\s+Worker|new\s+WebSocket|new\s+EventSource)\("""
FETCH = re.compile(rf"""(?:\bimport\s*\(?|\bfrom|\b(?:src|href|action)\s*[=:]|{CALLS}|\.open\(\s*['"]\w+['"],)"""
                   r"""\s*['"`]((?:\w+:)?//[^'"`]+)""")


class Page(HTMLParser):
    """Anchors, links, what a browser loads, and the text of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loads, self.scripts, self.within = set(), [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.within = tag
        for name, value in attributes:
            if name == "id" or (tag == "a" and name == "name"):
                self.ids.add(value)
            elif name == "href" and tag in LINKS:
                self.links.append(value or "")
            elif name in LOADS or name == "href":
                self.loads += [part.split()[0] for part in value.split(", ")] if name == "srcset" else [value]
            elif name == "style":
                self.loads += css(value)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.within = ""

    def handle_endtag(self, tag):
        self.within = ""

    def handle_data(self, data):
        if self.within == "style":
            self.loads += css(data)
        elif self.within == "script":
            self.scripts.append(data)


def css(text):
    """What a style sheet loads."""
    return [url or imported for url, imported in URL.findall(re.sub(r"/\*.*?\*/", "", text, flags=re.S))]


def remote(url):
    """Whether a browser would ask another machine for it; what stands in the page itself, as ``data:``, is not asked for."""
    parts = urlsplit(url.strip())
    return bool(parts.netloc) or parts.scheme in ("http", "https", "ws", "wss", "ftp")


def targets(file, url):
    """The file that a local address means, seen from ``file``; None where it stands in the page itself."""
    parts = urlsplit(url.strip())
    if parts.scheme or not parts.path:
        return None
    return (file.parent / unquote(parts.path)).resolve()


@pytest.fixture(scope="module")
def pages(html):
    """All pages but the theme's templates."""
    root = html.resolve()
    return {p: Page(p.read_text()) for p in sorted(root.rglob("*.html")) if "_static" not in p.relative_to(root).parts}


def test_all_kinds_of_loads_are_seen():
    """A page with one of each: this file's own eyes."""
    page = Page("""<link rel="stylesheet" href="//a/1"><script src="https://a/2"></script><img srcset="x.png 1x, https://a/3 2x">
        <style>@import "https://a/4"; p { background: url(https://a/5) }</style><p style="background:url('//a/6')"></p>
        <svg><image xlink:href="https://a/7"/><use href="https://a/8"/></svg><a href="https://a/no">x</a>
        <video poster="//a/9"><object data="https://a/10"></object>
        <script>import x from "https://a/11"; s.src = "//a/12"; fetch("https://a/13")</script>""")
    found = [url for url in page.loads if remote(url)] + [url for text in page.scripts for url in FETCH.findall(text)]
    assert [url.rpartition("/")[2] for url in found] == [str(i) for i in range(1, 14)] and page.links == ["https://a/no"]
    assert not remote("data:text/csv,a//b") and not remote("../x.css") and not remote("#a")


def test_pages_load_nothing_from_the_network(pages):
    assert len(pages) > 30
    found = [(p.name, url) for p, page in pages.items() for url in page.loads if remote(url)]
    found += [(p.name, url) for p, page in pages.items() for text in page.scripts for url in FETCH.findall(text)]
    assert not found


def test_styles_and_scripts_load_nothing_from_the_network(html):
    sheets, scripts = list(html.rglob("*.css")), list(html.rglob("*.js"))
    assert len(sheets) > 5 and len(scripts) > 10
    found = [(p.name, url) for p in sheets for url in css(p.read_text()) if remote(url)]
    found += [(p.name, url) for p in scripts for url in FETCH.findall(p.read_text(errors="replace"))]
    assert not [url for url in found if url[1] != "https://www.mathjax.org"]            # a link in the menu of MathJax
    hosts = re.compile(r"https?://[^'\"\s]*(?:cdn|unpkg|jsdelivr|cloudflare|googleapis|gstatic)")
    assert not [p for p in scripts if "mathjax" not in p.parts and hosts.search(p.read_text(errors="replace"))]


def test_mathjax_has_no_menu(pages):
    """Its menu can switch on a reader of formulas that is fetched from a network."""
    with_formulas = [page for page in pages.values() if any("mathjax" in url for url in page.loads)]
    assert with_formulas
    for page in with_formulas:
        assert any('"enableMenu": false' in text for text in page.scripts)


def test_what_pages_and_styles_load_is_there(html, pages):
    missing = [(p.name, url) for p, page in pages.items() for url in page.loads
               if (target := targets(p, url)) is not None and not target.exists()]
    missing += [(p.name, url) for p in html.rglob("*.css") for url in css(p.read_text())
                if (target := targets(p, url)) is not None and not target.exists()]
    assert not missing
    assert list((html / "_static/mathjax").rglob("*.woff"))


def test_every_link_and_anchor_resolves(pages):
    broken = []
    for path, page in pages.items():
        for link in page.links:
            url = urlsplit(link)
            if url.scheme or url.netloc:
                continue
            target = targets(path, link) or path
            fragment = unquote(url.fragment)
            filters = "=" in fragment           # of the scoreboard
            if not target.is_file() or (fragment and not filters and target in pages and fragment not in pages[target].ids):
                broken.append((path.name, link))
    assert not broken


def test_external_links_are_addresses(pages):
    """No other scheme than the web's, e-mail's and what stands in the page; none to this machine."""
    for path, page in pages.items():
        for link in page.links:
            url = urlsplit(link)
            assert url.scheme in ("", "https", "http", "mailto", "data"), (path.name, link)
            assert not re.search(r"localhost|127\.0\.0\.1|^/", url.netloc + url.path if url.scheme != "data" else ""), link


def test_every_page_can_be_reached(html, pages):
    """From the front page, by links alone."""
    html = html.resolve()
    start = html / "index.html"
    seen, new = {start}, [start]
    while new:
        page = new.pop()
        for link in pages[page].links:
            target = None if urlsplit(link).netloc else targets(page, link)
            if target in pages and target not in seen:
                seen.add(target)
                new.append(target)
    toc = yaml.safe_load((paths.ROOT / "book/_toc.yml").read_text())
    listed = [html / f"{book_build.address(entry['file'])}.html" for part in toc["parts"] for entry in part["chapters"]]
    assert set(listed) <= seen
