"""What readers do on the pages of the book: move the box, follow an address, go back, filter, print; by mouse and by keyboard."""

import json
import re

import pytest
from browsing import axe_faults
from helpers import book_build
from playwright.sync_api import expect

from featuremining import paths
from featuremining.judging import listing, multiverse
from featuremining.judging.ledger import Ledger
from featuremining.judging.setting import OFFERED, Setting
from featuremining.methods.boxes import interval, one_cell
from featuremining.showing import demonstration
from featuremining.studies.claims import load_claims

DATA = json.loads(book_build.DEMONSTRATION.read_text())
ID = "T1.resnet56.fm2"
BOX = """root => [...root.querySelectorAll('[data-edge]')].map(e => Number(e.value))"""
FIRST = demonstration.IMAGE
ROOT = "document.getElementById('demonstration').featureMining"


@pytest.fixture
def idea(page, html):
    page.goto((html / "feature_mining.html").as_uri())
    yield page
    assert not page.faults


@pytest.fixture
def board(page, html):
    page.goto((html / "scoreboard.html").as_uri())
    yield page
    assert not page.faults


def box(page):
    return page.locator("#demonstration").evaluate(BOX)


def said(page, image, at):
    """Whether the page shows what Python computes of this box."""
    for part in demonstration.pooled(DATA, DATA["images"][image], at):
        row = page.locator(f'[data-part="{part["name"]}"]')
        expect(row.locator('[data-demo="loss"]')).to_have_text(f"{part['loss']:.2f}")
        expect(row.locator('[data-demo="p"]')).to_have_text(re.compile(rf"^{round(100 * part['p'])} %$"))


def at(page, x, y):
    """Where a place of the map is on the screen."""
    map_ = page.locator(".fm-demo-map svg")
    map_.scroll_into_view_if_needed()
    area = map_.bounding_box()
    return area["x"] + area["width"] * (x + 0.1) / 8.2, area["y"] + area["height"] * (y + 0.1) / 8.2


def drag(page, start, end):
    page.mouse.move(*at(page, *start))
    page.mouse.down()
    page.mouse.move(*at(page, *end), steps=4)
    page.mouse.up()


def test_the_box_is_moved_resized_and_drawn_by_the_mouse(idea):
    said(idea, FIRST, demonstration.BOX)
    drag(idea, (3.5, 3.5), (4.5, 2.5))
    assert box(idea) == [3, 1, 8, 6]
    said(idea, FIRST, (3, 1, 8, 6))
    drag(idea, (8, 6), (7, 8))
    assert box(idea) == [3, 1, 7, 8]
    drag(idea, (0.5, 0.5), (1.5, 6.5))
    assert box(idea) == [0, 0, 2, 7]
    said(idea, FIRST, (0, 0, 2, 7))
    idea.locator(".fm-demo-pick input").nth(2).check(force=True)
    said(idea, 2, (0, 0, 2, 7))
    expect(idea.locator('.fm-demo-image [data-demo="truth"]')).to_have_text(DATA["classes"][DATA["images"][2]["label"]])


def test_the_box_is_moved_by_keys_and_sliders(idea):
    idea.locator(".fm-demo-map svg").focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowUp", "Shift+ArrowRight", "Shift+ArrowUp"):
        idea.keyboard.press(key)
    assert box(idea) == [0, 1, 6, 5]        # it stops at the border
    said(idea, FIRST, (0, 1, 6, 5))
    idea.get_by_label("bottom").focus()
    idea.keyboard.press("End")
    assert box(idea) == [0, 1, 6, 8]
    idea.get_by_label("right").focus()
    idea.keyboard.press("Home")
    assert box(idea) == [0, 1, 0, 8]
    said(idea, FIRST, (0, 1, 0, 8))             # an empty box
    expect(idea.locator("#fm-demo-said")).to_contain_text("This box is empty")


def test_boxes_are_drawn_as_training_draws_them(idea):
    """Under each reading of the paper, against the method's own code."""
    import torch

    from featuremining.measuring.boxes import READINGS

    for reading, (settings, _) in READINGS.items():
        rule, exact = settings.get("box", "center_clip"), settings.get("exact_width", False)
        for lam, ux, uy in ((0.3, 0.95, 0.1), (0.995, 0.5, 0.5), (0.01, 0.02, 0.99), (0.6, 0.4, 0.7)):
            side = torch.tensor([1 - lam]).sqrt()
            x, y = (interval(8, side, torch.tensor([u]), rule, exact) for u in (ux, uy))
            if settings.get("min_box"):
                x, y = one_cell(*x, 8), one_cell(*y, 8)
            expected = [int(v) for v in (x[0], y[0], x[1], y[1])]
            found = idea.evaluate(f"([r, l, x, y]) => {ROOT}.draw(r, l, x, y)", [reading, lam, ux, uy])
            if found != expected:           # min_box leaves the outside a place, too
                assert settings.get("min_box") and expected == [0, 0, 8, 8] and found == [0, 0, 8, 7]
    idea.get_by_role("button", name="Draw a box").click()
    expect(idea.locator('[data-demo="lambda"]')).to_contain_text("It was drawn with λ = ")
    for name in DATA["readings"]:
        idea.locator('[data-demo="reading"]').select_option(name)
        often = f"{100 * DATA['boxes']['8'][name]['empty']:.2f} % of the draws"
        expect(idea.locator('[data-demo="empty"]')).to_contain_text(often)


def test_without_scripts_a_picture_stands(browser, html):
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto((html / "feature_mining.html").as_uri())
        expect(page.locator(".fm-demo-map .fm-place")).to_have_count(64)
        expect(page.locator(".fm-demo-controls")).to_be_hidden()
        said(page, FIRST, demonstration.BOX)


def again(page, address):
    """As from another page; a bare change of the fragment would load nothing."""
    page.goto("about:blank")
    page.goto(address)


def test_every_claim_is_a_tile_with_an_address(board):
    once = [row for row in listing.rows(Ledger.read()) if not row["same_as"]]
    tiles = board.locator(".fm-tile").evaluate_all("all => all.map(t => [t.id, t.getAttribute('href')])")
    assert sorted(tiles) == sorted([row["claim"], f"#{row['claim']}"] for row in once)
    sentence = next(c for c in load_claims().values() if not c.same_as and c.kind == "order")
    for id_, text in ((ID, "ResNet-56, FM (2 layers)"), (sentence.id, sentence.quote)):
        again(board, f"{board.url.partition('#')[0]}#{id_}")
        card = board.get_by_role("dialog")
        expect(card).to_be_visible()
        expect(card).to_contain_text(text)
        assert axe_faults(board, within="dialog") == []
        card.get_by_role("button", name="Close").click()
        expect(card).to_be_hidden()
        assert not board.url.partition("#")[2]


@pytest.mark.parametrize("way", ["mouse", "keyboard"])
def test_back_closes_a_card(board, way):
    tile = board.locator(f'[id="{ID}"]')
    if way == "mouse":
        tile.click()
    else:
        tile.focus()
        board.keyboard.press("Enter")
    card = board.get_by_role("dialog")
    expect(card).to_be_visible()
    assert board.url.endswith(f"#{ID}")
    board.go_back()
    expect(card).to_be_hidden()
    board.go_forward()
    expect(card).to_be_visible()
    board.keyboard.press("Escape")
    expect(card).to_be_hidden()
    assert ID not in board.url


def test_filters_stand_in_the_address(board):
    board.get_by_role("combobox", name="table").select_option("T8")
    board.get_by_label("find").fill("pair")
    rows = board.locator("table.fm-grid tbody tr:visible")
    shown = rows.count()
    assert 0 < shown < 20 and "table=T8" in board.url and "find=pair" in board.url
    again(board, board.url)
    expect(rows).to_have_count(shown)
    rows.first.locator("td").nth(3).click()
    expect(board.get_by_role("dialog")).to_be_visible()
    board.go_back()
    expect(board.get_by_role("dialog")).to_be_hidden()
    expect(rows).to_have_count(shown)
    board.locator(".fm-legend-link").first.click()
    assert board.get_by_role("combobox", name="verdict").input_value() and not board.get_by_label("find").input_value()


def test_switches_show_what_python_computed(page, html):
    """By mouse and by keys; back at our own setting nothing is marked."""
    rows = multiverse.rows(Ledger.read())
    page.goto((html / "does_it_hold.html").as_uri())
    page.get_by_role("radio", name="99 %").check()
    page.get_by_role("radio", name="last", exact=True).focus()
    page.keyboard.press("Space")
    at = OFFERED.index(Setting(0.99, 1.0, "last"))
    shown = dict(page.locator("#fm-settings [data-row]").evaluate_all(
        "all => all.map(row => [row.dataset.row, row.querySelector('.verdict').textContent])"))
    assert shown == {f"{row.kind}: {row.id}": row.statuses[at] for row in rows}
    changed = sum(row.statuses[at] != row.ours for row in rows)
    expect(page.locator("#fm-settings [role=status]")).to_contain_text(f"{changed} of {len(rows)} verdicts are others")
    assert page.locator(".fm-changed").count() == changed > 0
    page.get_by_role("radio", name="95 %").check()
    page.get_by_role("radio", name="best on the test images").check()
    expect(page.locator(".fm-changed")).to_have_count(0)
    assert not page.faults


def test_a_printed_page_has_all_rows(board, tmp_path):
    """The region of the grid, which scrolls on a screen, is as high as the grid on paper; what waits for a click is left out."""
    region = board.locator(".fm-table:has(table.fm-grid)")
    higher = "e => e.scrollHeight - e.clientHeight"
    assert region.evaluate(higher) > 500
    board.emulate_media(media="print", color_scheme="light")
    assert region.evaluate(higher) <= 1
    expect(board.locator(".fm-filter")).to_be_hidden()
    board.pdf(path=tmp_path / "board.pdf")
    assert (tmp_path / "board.pdf").stat().st_size > 50_000


def test_pages_say_what_they_are(html):
    """Title, description and social card; no address names a folder of the sources; scripts only where they are used."""
    seen, icons = set(), (html / "_static/icons.css").read_text()
    for path in html.rglob("*.html"):
        text = path.read_text()
        if "_static" in path.parts or "http-equiv" in text:
            continue
        description = re.findall(r'<meta name="description" content="([^"]+)"', text)
        assert len(description) == 1 and len(description[0]) > 40, path
        assert len(re.findall(r'<meta property="og:(?:title|description)" content="[^"]+"', text)) == 2
        assert "build/book" not in " ".join(re.findall(r'(?:href|src)="([^"]*)"', text)), path
        assert ("demonstration.js" in text) == ('id="demonstration"' in text)
        assert ("cards.js" in text) == ("data-cell=" in text)
        assert ("mathjax/tex" in text) == ('class="math' in text), path
        assert "fontawesome.js" not in text and ("searchindex.js" in text) == (path.name == "search.html"), path
        assert (path.parent / re.search(r'<meta property="og:image" content="([^"]+)"', text)[1]).is_file()
        assert all(f".fa-{name} " in icons for name in re.findall(r'<i class="[^"]*fa-solid\s+fa-([a-z-]+)', text)), path
        seen.add(description[0])
    assert len(seen) > 30
    index = (html / "searchindex.js").read_text()
    assert '"experiments/cifar"' in index and "build/book" not in index.partition('"envversion"')[0]


def test_the_demonstration_is_of_a_network_that_was_trained():
    """Its settings are those of the cell that it names; the table of empty boxes is what the method's code gives."""
    from featuremining import studies
    from featuremining.measuring.boxes import shares as boxes

    of_tier = {studies.cell(DATA["cell"]).run(tier, 0).id: tier for tier in ("smoke", "full")}
    tier = of_tier[DATA["run"]]
    assert DATA["top1"] > 2 * 100 / len(DATA["classes"])
    assert tier == "smoke" or paths.record(tier, DATA["run"].rpartition(".")[0], 0).exists()
    assert DATA["boxes"]["8"] == boxes(8)
