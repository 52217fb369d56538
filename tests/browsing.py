"""Debian's Chromium, and what is asked of every page in it."""

import os
import shutil

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import expect

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync"]
NARROW, WIDE = {"width": 360, "height": 740}, {"width": 1280, "height": 900}


def chromium():
    """The path of Chromium. Without one the tests are skipped, but never in CI."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None and os.environ.get("CI"):
        pytest.fail("The tests of the book need Chromium: apt-get install chromium.")
    return found or pytest.skip("no Chromium here (apt-get install chromium)")


def opened(browser):
    """A page in a fresh profile without a network; errors, and what fails or leaves the files, go into ``page.faults``."""
    context = browser.new_context(viewport=WIDE, offline=True, reduced_motion="reduce", color_scheme="light")
    page = context.new_page()
    page.set_default_timeout(20_000)
    faults = page.faults = []
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "about:")) else faults.append(r.url))
    page.on("requestfailed", lambda r: faults.append(f"failed: {r.url}"))
    page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: faults.append(str(e)))
    return page


def axe_faults(page, *rules, within="html"):
    """Moderate, serious and critical faults that axe-core finds, with where they are; of all its rules or of some."""
    options = {"resultTypes": ["violations"], "preload": False} | ({"runOnly": rules} if rules else {})
    if not page.evaluate("'axe' in window"):
        page.add_style_tag(content="*, ::before, ::after { transition: none !important; }")     # no colours in between
        page.evaluate(AXE_SCRIPT)
    return [(v["id"], node["target"], node["failureSummary"])
            for v in page.evaluate("([within, options]) => axe.run(within, options)", [within, options])["violations"]
            if v["impact"] in ("moderate", "serious", "critical") for node in v["nodes"]]


def dark(page):
    """The reader's system turns dark, and the page with it."""
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


WIDTHS = (360, 768, 1280, 1920)
CUT = """() => {
    document.querySelectorAll("details").forEach(e => { e.open = true; });
    const article = document.querySelector(".bd-article");
    const parts = "table, figure, svg, img, pre, .fm-table, .fm-forest, .fm-demo, .fm-answers, .fm-map";
    const edge = article?.getBoundingClientRect().right + 1;
    const wider = e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== "visible";
    const beyond = e => e.checkVisibility() && (e.getBoundingClientRect().right > edge || wider(e));
    return [...article?.querySelectorAll(parts) ?? []].filter(beyond).map(e => e.outerHTML.slice(0, 100));
}"""
LOST = """() => {
    const higher = e => e.scrollHeight > e.clientHeight + 1 && getComputedStyle(e).overflowY !== "visible";
    const all = which => [...document.querySelectorAll(which)];
    return [...all(".bd-article tr:not([hidden])").filter(e => !e.checkVisibility() && !e.closest("thead")),
            ...all(".bd-article .fm-table").filter(higher),
            ...all("form, input, select, button:not(.fm-open, .fm-sort)").filter(e => e.checkVisibility())]
        .map(e => e.outerHTML.slice(0, 100));
}"""


def cut(page):
    """Tables, figures and code that reach over the edge of the text, or of which a part is only seen by scrolling sideways."""
    return page.evaluate(CUT)


def lost_on_paper(page):
    """Rows that are not printed, tables of which a part is hidden, and what waits for a click."""
    page.emulate_media(media="print", color_scheme="light")
    found = page.evaluate(LOST)
    page.emulate_media(media="screen")
    return found


def overflow(page, width=360):
    """Pixels by which a page is wider than the screen."""
    page.set_viewport_size({"width": width, "height": 740})
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
