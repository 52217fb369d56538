"""Every figure: an image with a name, words for those who do not see it, and its values as CSV, all of them from the data."""

import csv
import io
import re
from dataclasses import replace
from html import unescape
from urllib.parse import unquote

import numpy as np
import pytest

from featuremining import paths, read_records, studies
from featuremining.datasets.mean_precision import Found, Objects
from featuremining.records.findings import Finding
from featuremining.showing import figures
from featuremining.showing.figures.cost import cost_figure
from featuremining.showing.figures.detections import grid
from featuremining.showing.figures.maps import class_activation
from featuremining.showing.figures.parts import part_losses


def record(seed, test_acc, ce):
    return replace(read_records()[0], seed=seed, curves={"test_acc": test_acc, "ce": ce})


def curves():
    cell = studies.cell("X1.resnet20.fm2")
    return figures.curves([(cell, [record(0, [10.0, None, 30.25], [2, 1.5, 1]), record(1, [11, 12, 31], [3, 2, 1])])], "short")


def over():
    return figures.accuracy_over([50, 100], {"baseline": [[40.0, 41.0], [50.0]], "FM": [[42.5], []]}, "images per class", "full")


def histogram():
    return figures.activation_histogram([0.5, 0.6], {"baseline": [[4, 1]], "FM": [[5, 2]]}, 64)


def maps():
    return class_activation(np.zeros((1, 8, 8, 3), np.uint8), {"CAM": [[[0.5, -1.25]]]}, names=["disc"])


def detections():
    objects = Objects(np.array([[0, 0, 4, 4.0]]), np.array([1]), np.zeros(1, bool))
    out = Found(np.array([[0, 0, 4, 5.0], [1, 1, 2, 2]]), np.array([1, 0]), np.array([0.9, 0.25]))
    return grid([np.zeros((8, 8, 3), np.uint8)], [objects], {"FM": [out]}, ["disc", "square"], "full")


def losses():
    one = replace(read_records()[0], curves={"ce": [2.0, 1.25], "fm.stage3.inside": [3.0, 2.5]})
    return part_losses([("X", one, 4.605)])


def cost():
    cell = studies.cell("T10.resnet56.fm2")
    values = {"time_ratio": 1.125, "low": 1.1, "high": 1.15, "rounds": 300}
    found = Finding(1, "cost", "x", cell.run("full", 0).key, "full", values, {"device": "A", "threads": 1, "engine": "eager"})
    return cost_figure([studies.cell("T10.resnet56.baseline"), cell], [found])


SEEDS = "X1.resnet20.fm2 seed"
EXPECTED = {    # figure -> what its description says, and its CSV
    losses: ("X: whole 1.25, inside, last stage 2.50, a guess 4.6", """
training,epoch,ce,fm.stage3.inside
X,1,2.0,3.0
X,2,1.25,2.5
"""),
    curves: ("at the end, by seed: ResNet-20 · FM (2 layers) 30.25, 31.00", f"""
epoch,{SEEDS} 0: test top-1 (%),{SEEDS} 1: test top-1 (%),\
"{SEEDS} 0: training loss, term of the main head","{SEEDS} 1: training loss, term of the main head"
1,10.0,11.0,2.0,3.0
2,,12.0,1.5,2.0
3,30.25,31.0,1.0,1.0"""),
    over: ("Means: baseline 40.50 at 50, 50.00 at 100; FM 42.50 at 50", """
images per class,method,run,test top-1 (%)
50,baseline,0,40.0
50,baseline,1,41.0
100,baseline,0,50.0
50,FM,0,42.5"""),
    histogram: ("mean over 64 images. In all, stage by stage: baseline 5; FM 7", """
stage,above,up to,baseline,FM
1,0.5,0.6,4.0,5.0
1,0.6,inf,1.0,2.0"""),
    maps: ("1 image (disc), each beside its maps of CAM", """
image,row,column,CAM
1,1,1,0.5
1,1,2,-1.25"""),
    detections: ("FM, image 1: right: square 0.90", """
detector,image,box,class,score,x0,y0,x1,y1
FM,1,true,square,,0.0,0.0,4.0,4.0
FM,1,found,square,0.9,0.0,0.0,4.0,5.0
FM,1,found,disc,0.25,1.0,1.0,2.0,2.0"""),
    cost: ("ResNet-56, FM (2 layers) 1.125 (1.100 to 1.150)", """
cell,network,method,device,tier,time_ratio,low,high,rounds,printed ratio
T10.resnet56.fm2,ResNet-56,FM (2 layers),"A, 1 thread",full,1.125,1.1,1.15,300,1.202"""),
}


def parts(html):
    """The attributes of the figure's SVG, its title, its description, and the rows of its CSV. The form for narrow screens has
    the same words, and type that can be read there."""
    svg, narrow = re.findall(r"<svg.*?</svg>", html, re.S)
    assert re.findall("<desc>.*?</desc>", svg, re.S) == re.findall("<desc>.*?</desc>", narrow, re.S)
    assert smallest(narrow) >= 7.9, smallest(narrow)
    svg = re.match("<svg[^>]*>", svg)[0]
    title, description = (unescape(re.search(rf"<{tag}>(.*?)</{tag}>", html, re.S)[1]) for tag in ("title", "desc"))
    below = re.search(r"<figcaption>(.+?)<a ", html, re.S)[1]
    assert re.search(r"[^.]\. $", below) and not re.search(r"\b[A-Z]\d+s?\.\w", below)        # words, not keys
    (link,) = re.findall(r'<a [^>]*download="([^"]+\.csv)"[^>]*href="data:text/csv;charset=utf-8,([^"]*)"', html)
    return svg, title, description, list(csv.reader(io.StringIO(unquote(link[1])))), link[0]


def smallest(svg, room=328):
    """Pixels of the smallest type on a screen that leaves the figure this many."""
    width = float(re.search(r'viewBox="0 0 ([\d.]+) ', svg)[1])
    sizes = [float(size) for size in re.findall(r"<text style=\"font[^;]*?([\d.]+)px", svg)]
    assert sizes
    return min(sizes) * room / width


@pytest.mark.parametrize("draw", EXPECTED, ids=lambda f: f.__name__)
def test_a_figure_has_words_and_values(draw):
    svg, title, description, rows, name = parts(draw())
    said, values = EXPECTED[draw]
    assert 'role="img"' in svg and f'aria-label="{title}"' in unescape(svg) and title
    assert said in description and re.fullmatch(r"[a-z0-9-]+\.csv", name)
    assert rows == list(csv.reader(io.StringIO(values.lstrip())))


def test_every_figure_of_the_library_is_tested():
    """A new one has to be drawn by `inline`, and to stand in the table above or in its own test."""
    lib = paths.ROOT / "lib/featuremining"
    source = {str(p.relative_to(lib)): p.read_text() for p in lib.rglob("*.py") if p.stem != "style"}
    assert {name for name, text in source.items() if re.search(r"\binline\(figure", text)} == {
        f"showing/figures/{kind}.py" for kind in ("activations", "audit", "boxes", "cost", "curves", "detections", "differences",
                                                  "error_rates", "heat", "maps", "neighbours", "parts", "samples")} | {
        "showing/pooling.py"}
    assert {name for name, text in source.items() if "savefig" in text} == {"showing/figures/social.py"}     # see test_start


def test_every_image_of_the_book_has_words(html):
    """Inline figures have a name, a description and a CSV; pictures an alternative text."""
    drawn = 0
    for page in (p for p in html.rglob("*.html") if "_static" not in p.parts):
        text = page.read_text()
        for figure in re.findall(r'<figure class="plot">.*?</figure>', text, re.S):
            _, title, description, rows, _ = parts(figure)
            assert len(description) > 40 and title and len(rows) > 1, page.name
            assert "var(--pst-color-text-base" in figure and figures.INK not in figure
            drawn += 1
        for image in re.findall(r"<img\b[^>]*>", text):
            assert re.search(r'alt="[^"]+"|alt=""|aria-hidden', image), (page.name, image[:100])
        depth = 0                                       # what lies inside a drawing needs no name of its own
        for tag in re.findall(r"<svg\b[^>]*>|</svg>", text):
            assert depth or re.search(r'role="img"|role="group"[^>]* aria-label=|aria-hidden="true"', tag), (page.name, tag[:100])
            depth += -1 if tag == "</svg>" else 1
    assert drawn >= 5
