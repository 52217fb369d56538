"""The built book in Debian's Chromium, from files, without a network: errors, requests, accessibility, width, cards, search."""

import csv
import json
import shutil
from urllib.parse import unquote

import pytest
from browsing import NARROW, WIDE, WIDTHS, axe_faults, chromium, cut, dark, lost_on_paper, overflow
from helpers import book_build
from made_records import ID, decided, recorded
from playwright.sync_api import expect

from featuremining import paths, read_records
from featuremining.judging import listing
from featuremining.judging.ledger import Ledger
from featuremining.showing import cards, markup
from featuremining.studies import cell, load_cells
from featuremining.studies.outcomes import Standing, Status

TOC = list(map(book_build.address, book_build.toc()))
expect.set_options(timeout=20_000)
STATIC = paths.ROOT / "book/_static"
OWN = "X1.resnet20.fm2"
SHORT = [r for r in read_records("short") if r.key == cell(OWN).run("short", 0).key]


def test_without_a_browser_only_ci_fails(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Chromium"):
        chromium()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        chromium()


@pytest.fixture
def front(page, html):
    page.goto((html / "scoreboard.html").as_uri())
    yield page
    assert not page.faults


@pytest.mark.parametrize("name", [*TOC, "search", "genindex"])
def test_a_page(name, reader, html):
    """No error, no request, no serious fault in light or dark; on no screen anything that is wider or has a part cut off, nothing
    lost on paper."""
    reader.faults.clear()
    reader.set_viewport_size(WIDE)
    reader.emulate_media(color_scheme="light")
    reader.goto((html / f"{name}.html").as_uri())
    expect(reader.locator("html")).to_have_attribute("data-theme", "light")
    assert axe_faults(reader) == []
    dark(reader)
    assert axe_faults(reader, "color-contrast", within="main") == []       # what is around is the front page's
    assert lost_on_paper(reader) == []
    for width in WIDTHS:
        assert (overflow(reader, width), cut(reader)) == (0, []), width
    assert reader.faults == []


@pytest.mark.parametrize(("name", "whole"), [("feature_mining", True), ("methods/attention", False), ("methods/byot", False)])
def test_formulas_fit_a_narrow_screen_and_only_wide_ones_are_smaller(name, whole, page, html):
    """``whole``: some of the page's have room as they are."""
    page.set_viewport_size(NARROW)
    page.goto((html / f"{name}.html").as_uri())
    formulas = page.locator('mjx-container[display="true"]')
    expect(formulas.first).to_have_attribute("tabindex", "0")
    sizes = formulas.evaluate_all("all => all.map(e => [e.scrollWidth - e.clientWidth, +(e.style.zoom || 1)])")
    assert all(beyond <= 1 and 0.6 <= zoom <= 1 for beyond, zoom in sizes) and any(zoom == 1 for _, zoom in sizes) == whole
    page.set_viewport_size(WIDE)
    expect(formulas.first).to_have_js_property("style.zoom", "")
    assert set(formulas.evaluate_all("all => all.map(e => e.style.zoom)")) == {""}


def test_faults_are_found(page, tmp_path):
    """The checks of `test_a_page` see what they are there for."""
    (tmp_path / "bad.html").write_text('<html lang="en"><title>t</title><main style="background: #fff"><img src="no.png">'
                                       '<p style="color: #ddd; width: 900px">pale</p>'
                                       '<article class="bd-article"><pre style="overflow: auto; width: 50px">a long line</pre>'
                                       '<table style="width: 2000px"><tr><td>1</td></tr></table>'
                                       '<table><tr style="display: none"><td>2</td></tr></table></article><button>go</button>'
                                       '<script>nothing()</script>'
                                       '<script src="https://example.org/a.js"></script></main></html>')
    page.goto((tmp_path / "bad.html").as_uri())
    assert {"image-alt", "color-contrast"} <= {fault for fault, *_ in axe_faults(page)} and overflow(page) > 500
    assert len(cut(page)) == 2
    assert [found[:7] for found in lost_on_paper(page)] == ["<tr sty", "<button"]
    assert any("nothing is not defined" in fault for fault in page.faults)
    assert {"https://example.org/a.js"} <= set(page.faults) and any("no.png" in fault for fault in page.faults)


@pytest.fixture
def ours(page, html):
    page.goto((html / "experiments/cifar.html").as_uri())
    yield page
    assert not page.faults


def column(page, name, table="table.fm-grid"):
    """The entries of a column of the grid, or of another table, from the rows that are shown."""
    return page.evaluate("""([name, table]) => {
        table = document.querySelector(table);
        const i = [...table.tHead.rows[0].cells].findIndex(c => c.innerText.trim() === name);
        return [...table.tBodies[0].rows].filter(r => !r.hidden).map(r => r.cells[i].innerText.trim());
    }""", [name, table])


def printed(page):
    """The printed numbers in the order that the grid shows them."""
    rows = zip(column(page, "cell"), column(page, "paper"), strict=True)
    return [float(value.split()[0]) for id_, value in rows if id_ in load_cells()]


def test_the_grid_is_sorted_by_mouse_and_keyboard(front):
    before = column(front, "cell")
    head = front.locator("table.fm-grid th", has_text="paper")
    expect(head).to_have_attribute("aria-sort", "none")
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    values = printed(front)
    assert values == sorted(values) and len(values) == sum(bool(c.paper) for c in load_cells().values())
    head.get_by_role("button").press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    assert printed(front) == sorted(values, reverse=True)
    head.get_by_role("button").press("Space")
    assert column(front, "cell") == before
    other = front.locator("table.fm-grid th", has_text="cell")
    other.get_by_role("button").click()
    assert [c.split(".")[0] for c in column(front, "cell")][-1] == "T10"
    assert front.locator("table.fm-grid [aria-sort=ascending]").count() == 1


def test_what_is_missing_of_our_runs_is_sorted_last(ours):
    ours.evaluate("""document.querySelectorAll('th').forEach(
        th => th.innerText.startsWith('gain (best)') && th.closest('table').classList.add('own'))""")
    own = "table.own"
    ours.locator(f"{own} th", has_text="gain").get_by_role("button").click()
    *gains, last = column(ours, "gain (best), 95 %", own)
    gains = [float(v.partition("\n")[0].replace("−", "-")) for v in gains]          # an interval stands below
    assert gains == sorted(gains) and len(gains) > 2 and last == "–"


def test_the_grid_is_filtered_by_mouse_and_keyboard(front):
    total = len(column(front, "cell"))
    front.get_by_label("find").focus()
    front.keyboard.type("DenseNet fm")
    shown = column(front, "cell")
    assert 0 < len(shown) < total and all("densenet" in c and ".fm" in c for c in shown)
    expect(front.locator(".fm-filter [role=status]")).to_have_text(f"{len(shown)} of {total} rows")
    front.get_by_role("button", name="Show all").click()
    expect(front.locator(".fm-filter [role=status]")).to_have_text(f"{total} of {total} rows")
    front.get_by_role("combobox", name="table").select_option("T8")
    assert {c.split(".")[0] for c in column(front, "cell")} == {"T8"}
    front.get_by_role("combobox", name="verdict").select_option("not run")
    shown = column(front, "verdict")
    assert shown and set(shown) == {"not run"} and {c.split(".")[0] for c in column(front, "cell")} == {"T8"}


def test_a_card_opens_by_mouse_on_a_number(front):
    row = front.locator(f'table.fm-grid tr[data-cell="{ID}"]')
    row.locator("td", has_text="75.35").click()
    card = front.get_by_role("dialog")
    expect(card).to_be_visible()
    assert card.get_attribute("aria-labelledby") == "fm-card-title"
    expect(card.get_by_role("heading", level=2)).to_have_text("ResNet-56, FM (2 layers)")
    text = card.inner_text()
    assert "75.35 ± 0.07 (n = 4)" in text and f"fm run {ID} --tier full --seed 0" in text and "not run" in text
    card.get_by_role("button", name="Close").click()
    expect(card).to_be_hidden()
    expect(row.get_by_role("button")).to_be_focused()


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_a_card_opens_by_keyboard_and_gives_the_focus_back(ours, key):
    button = ours.locator(f'tr[data-cell="{OWN}"]').first.get_by_role("button", name=OWN)
    button.focus()
    ours.keyboard.press(key)
    card = ours.get_by_role("dialog")
    expect(card).to_be_visible()
    for _ in range(12):         # the page behind is out of reach
        ours.keyboard.press("Tab")
        assert ours.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    ours.keyboard.press("Escape")
    expect(card).to_be_hidden()
    expect(button).to_be_focused()


def test_a_card_shows_what_the_record_holds(ours):
    record = SHORT[0]
    ours.locator(f'tr[data-cell="{OWN}"]').first.get_by_role("button", name=OWN).click()
    card = ours.get_by_role("dialog")
    full, short = card.locator("section").all()
    assert "not run" in full.inner_text() and short.locator(".tier-short").count() == 1 and full.locator("svg").count() == 0
    assert short.locator("circle.seed").count() == len(SHORT) and short.locator("circle.paper").count() == 0
    text, p = short.inner_text(), record.provenance
    for value in (f"{record.metrics['best']:.2f} (epoch {record.metrics['best_epoch']})", f"{record.metrics['last']:.2f}",
                  p["commit"][:12], p["data_sha256"][:12], f"torch {p['versions']['torch']}", p["device"], p["finished"],
                  f"{p['seconds'] / 60:.1f}", str(p["peak_memory_mib"]), f"fm run {OWN} --tier short --seed 0"):
        assert value in text, value
    short.locator("summary").click()
    assert "box center_clip" in short.inner_text() and "weight_decay 0.0005" in short.inner_text()
    table = short.get_by_role("table")
    expect(table.get_by_role("columnheader", name="seed 0")).to_be_visible()
    assert table.get_by_role("rowheader").count() > 8
    assert axe_faults(ours) == []
    dark(ours)
    assert axe_faults(ours, "color-contrast") == []
    assert overflow(ours) == 0 and card.bounding_box()["width"] <= NARROW["width"]
    assert card.evaluate("e => e.scrollWidth - e.clientWidth") == 0


@pytest.mark.parametrize("clipboard", ["{writeText: t => { window.copied = t; return Promise.resolve(); }}", "undefined",
                                       "{writeText: () => Promise.reject()}"], ids=["clipboard", "none", "refused"])
def test_a_command_is_copied(front, clipboard):
    """By the clipboard where a browser lends it, else from a selection; never without a word."""
    front.evaluate(f"Object.defineProperty(navigator, 'clipboard', {{value: {clipboard}}})")
    front.evaluate("document.addEventListener('copy', () => { window.copied = getSelection().toString(); })")
    front.locator(f'table.fm-grid tr[data-cell="{ID}"]').get_by_role("button").click()
    front.get_by_role("dialog").get_by_role("button", name="Copy").first.click()
    expect(front.get_by_role("dialog").get_by_role("status").first).to_have_text("copied")
    assert front.evaluate("window.copied") == f"fm run {ID} --tier full --seed 0"


def test_numbers_of_a_printed_table_open_too(page, html):
    """Where a table stands as the paper prints it, each number is a button."""
    page.goto((html / "experiments/noisy_labels.html").as_uri())
    *others, last = [c for c in load_cells().values() if c.table == "T8" and c.paper]
    expect(page.locator("table.matrix td .fm-open")).to_have_count(len(others) + 1)
    number = page.locator(f'table.matrix [data-cell="{last.id}"] button')
    assert last.paper in number.inner_text()
    number.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").locator(".fm-of code")).to_have_text(last.id)
    page.keyboard.press("Escape")
    expect(number).to_be_focused()
    assert not page.faults


def test_a_table_is_saved_as_csv_and_json(front, tmp_path):
    caption = front.locator("p.fm-caption").first
    for word in ("CSV", "JSON"):
        with front.expect_download() as download:
            caption.get_by_role("link", name=word).click()
        download.value.save_as(tmp_path / download.value.suggested_filename)
    (csv_file,), (json_file,) = tmp_path.glob("*.csv"), tmp_path.glob("*.json")
    with csv_file.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["cell"] for r in rows] == column(front, "cell") and rows[0]["paper"] == column(front, "paper")[0]
    found = json.loads(json_file.read_text())
    assert found == json.loads(json.dumps(list(cards.cards([r["cell"] for r in rows], Ledger.read()).values())))


def test_without_scripts_everything_is_there(browser, html):
    with browser.new_context(java_script_enabled=False, viewport=WIDE) as context:
        page = context.new_page()
        page.goto((html / "scoreboard.html").as_uri())
        once = [row for row in listing.of_first(Ledger.read()) if not row["same_as"]]     # what says another again is not shown
        expect(page.locator("table.fm-grid tbody tr")).to_have_count(len(once))
        expect(page.locator("table.fm-grid tbody tr").last).to_be_visible()
        expect(page.get_by_role("link", name="CSV").first).to_be_visible()


def test_the_switch_of_the_theme(front):
    ground = "getComputedStyle(document.body).backgroundColor"
    light = front.evaluate(ground)
    front.locator("button.theme-switch-button:visible").click()         # from what the system says to the other
    expect(front.locator("html")).to_have_attribute("data-theme", "dark")
    assert front.evaluate(ground) != light
    front.reload()
    expect(front.locator("html")).to_have_attribute("data-theme", "dark")


def test_search_finds_dropblock(front):
    front.locator("button[aria-label=Search]:visible").click()
    field = front.locator("input[type=search][name=q]:visible")
    assert axe_faults(front, "color-contrast") == []
    dark(front)
    assert axe_faults(front, "color-contrast") == []
    field.fill("DropBlock")
    field.press("Enter")
    expect(front.locator("#search-results li a", has_text="DropBlock").first).to_be_visible()
    links = front.locator("#search-results li a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert "methods/dropblock.html" in unquote(links[0])
    expect(front.locator("#search-results li .fm-excerpt mark").first).to_have_text("DropBlock")
    assert front.locator("#search-results li:not(:has(.fm-excerpt))").count() == 0


@pytest.fixture
def small(page, tmp_path, scratch):
    """The grid with a decided number, whose seeds the project's records do not hold yet, under the book's own scripts."""
    found = decided() + recorded(ID, 60.0, tier="short")
    sentence = {"cell": "P.above", "claim": markup.link("#there", "higher than other methods"), "paper": "2 of 2 pairs",
                "verdict": Standing(Status.INCONCLUSIVE)}
    ids = [ID, "T1.resnet56.baseline"]
    grid = cards.grid([cell("T10.resnet56.fm1"), *map(cell, ids)], Ledger(found), [sentence])
    data = json.dumps(cards.cards(ids, Ledger(found)))
    scripts = "".join(f"<script>{(STATIC / name).read_text()}</script>" for name in ("cards.js", "tables.js"))
    (tmp_path / "small.html").write_text(
        f'<html lang="en"><meta charset="utf-8"><title>t</title><main>{markup.html(grid, "small", "full", "fm-grid")}</main>'
        f'<script type="application/json" id="fm-cards">{data}</script>{scripts}</html>')
    page.goto((tmp_path / "small.html").as_uri())
    yield page
    assert not page.faults


def test_a_decided_number_is_drawn(small):
    """Dots where the seeds are, the interval around their mean, the printed mean and spread on the same axis."""
    small.locator(f'tr[data-cell="{ID}"]').get_by_role("button").click()
    verdict = small.get_by_role("dialog").locator("dd").nth(1).inner_text()
    assert "reproduced" in verdict and "97.09 % interval" in verdict        # the level of the look of four seeds
    card, short = small.get_by_role("dialog").locator("section").all()
    assert short.locator("circle.seed").count() == 1 and short.locator(".paper").count() == 0      # tiers never mix
    x = {kind: card.locator(f"circle.{kind}").evaluate_all("all => all.map(c => c.cx.baseVal.value)")
         for kind in ("seed", "paper")}
    values = [75.3, 75.5, 75.2, 75.4]
    per_percent = (x["seed"][1] - x["seed"][0]) / 0.2
    assert x["seed"] == pytest.approx([x["seed"][0] + per_percent * (v - 75.3) for v in values])
    assert x["paper"] == pytest.approx([x["seed"][0] + per_percent * (75.35 - 75.3)])
    best = cards.cards([ID], Ledger(decided()))[ID]["tiers"][0]["rules"]["best"]
    ends = card.locator("line.interval").first.evaluate("e => [e.x1.baseVal.value, e.x2.baseVal.value]")
    assert ends == pytest.approx([x["seed"][0] + per_percent * (best[k] - 75.3) for k in ("low", "high")], abs=0.1)
    spread = card.locator("line.paper").evaluate("e => [e.x1.baseVal.value, e.x2.baseVal.value]")
    assert spread == pytest.approx([x["paper"][0] - 0.07 * per_percent, x["paper"][0] + 0.07 * per_percent])
    assert "paper: 75.35 ± 0.07" in card.get_by_role("img").get_attribute("aria-label")
    assert "75.35 ± 0.13 (n = 4), 95 % interval" in card.inner_text()


def test_what_is_missing_is_sorted_last(small):
    head = small.locator("th", has_text="ours")
    for order in (["73.67", "75.35", "–", "–"], ["75.35", "73.67", "–", "–"]):
        head.get_by_role("button").click()
        assert [v[:5] for v in column(small, "ours")] == order


def test_a_row_without_a_card_keeps_its_link(small):
    row = small.locator('tr[data-cell="P.above"]')
    row.get_by_role("link", name="higher than other methods").click()
    assert small.url.endswith("#there") and row.get_by_role("button").count() == 0
    assert small.get_by_role("dialog").count() == 0
