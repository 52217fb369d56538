"""The studies against the text of paper 004: its tables digit for digit, its sentences word for word.

`paper_tables.txt` holds the lines of its tables. Where FM_PAPERS names a folder with the papers' texts, these lines and all
quotes are looked up in it too.
"""

import os
import re
from pathlib import Path

import pytest

from featuremining import paths
from featuremining.studies import cell, load_cells, papers
from featuremining.studies.claims import load_claims

LINES = (paths.ROOT / "tests/paper_tables.txt").read_text()
T1 = ("resnet56", "resnet110", "resnet164", "densenet_bc_100_12", "wrn_28_10", "pyramidnet_110_270")
PLUS = {"baseline": "", "byot": "+BYOT", "cs_kd": "+CS-KD", "fm2": "+FM", "fm2_byot": "+FM+BYOT", "fm2_cs_kd": "+FM+CS-KD",
        "mixup": "+Mixup", "fm2_mixup": "+FM+Mixup"}
TINY = {"dropout": "+Dropout", "spatial_dropout": "+Spatial Dropout", "dropblock": "+DropBlock"}
VOC = {"baseline": "RetinaNet", "fm2": "RetinaNet+FM pre-trained"}
LAYERS = {"fm1": "+FM(1layer)", "fm2": "+FM(2layers)", "fm3": "+FM(3layers)"}
ABLATIONS = {"baseline": "", **LAYERS, "dropout_fm": "+Dropout-FM", "spatial_dropout_fm": "+SpatialDropout-FM",
             "noncomplementary_fm": "+non-complementary FM"}
NOISE = {"symmetric50": "Symmetric Filp 0.5 ", "symmetric20": "0.2 ", "pair50": "Pair Filp 0.5 ", "pair20": "0.2 "}


def value(id_):
    return cell(id_).paper.replace(" ", "")


def column(table, network, title, methods):
    """A table of one column: a line per printed method of the network, in the order of the study."""
    own = [c for c in load_cells().values() if (c.table, c.network) == (table, network) and c.published is not None]
    return [f"{title}{methods[c.method]} {value(c.id)}" for c in own]


def regenerated():
    """Every line of the paper's tables, made from the cells and claims alone."""
    rows = {"Baseline": "baseline", "Dropout": "dropout", "SpatialDropout": "spatial_dropout", "DropBlock": "dropblock",
            "FM(1layer)": "fm1", "FM(2layers)": "fm2"}
    noise = []
    for condition, title in NOISE.items():
        gain = load_claims()[f"T8.{condition}_gain"].difference
        noise += [f"{title}ResNet-110 {value(f'T8.resnet110.baseline.{condition}')}",
                  f"ResNet-110+FM {value(f'T8.resnet110.fm2.{condition}')}(+{gain:.2f})"]
    costs = [f"{title} {c.mib:.0f} {c.seconds:.3f}" for method, title in {"baseline": "ResNet-56", "fm1": LAYERS["fm1"],
             "fm2": LAYERS["fm2"]}.items() for c in [cell(f"T10.resnet56.{method}")]]
    return {1: [f"{name} " + " ".join(value(f"T1.{n}.{method}") for n in T1) for name, method in rows.items()],
            2: column("T2", "resnet110", "ResNet-110", PLUS),
            3: column("T3", "resnet110", "ResNet-110", PLUS) + column("T3", "resnet164", "ResNet-164", PLUS),
            4: column("T4", "resnet110", "ResNet110", PLUS | TINY), 5: column("T5", "resnet50", "ResNet-50", PLUS),
            6: column("T6", "resnet50", "ResNet-50", PLUS), 7: column("T7", "resnet50", "", VOC), 8: noise,
            9: column("T9", "resnet56", "ResNet56", ABLATIONS), 10: costs}


def test_the_papers_tables_from_the_studies():
    made = "\n\n".join("\n".join([*lines, f"Table {number}"]) for number, lines in regenerated().items())
    assert made + "\n" == LINES
    printed = [c for c in load_cells().values() if c.published is not None]
    assert len(printed) == 80 and all(c.n == 4 for c in printed)


@pytest.mark.skipif("FM_PAPERS" not in os.environ, reason="FM_PAPERS names no folder with the papers' texts")
@pytest.mark.parametrize("paper", [paper for paper in papers().values() if paper.prefix and paper.text], ids=lambda p: p.name)
def test_the_quotes_of_other_papers_are_theirs(paper):
    (file,) = Path(os.environ["FM_PAPERS"]).glob(paper.text)
    text = " ".join(file.read_text(encoding="utf-8").split())
    assert paper.title in text or paper.authors[0] in text           # of some only authors and abstract are at hand
    for one in (c for c in load_claims().values() if c.paper == paper.name):
        assert one.quote in text, one.id


@pytest.mark.skipif("FM_PAPERS" not in os.environ, reason="FM_PAPERS names no folder with the papers' texts")
def test_lines_and_quotes_are_the_papers():
    (file,) = Path(os.environ["FM_PAPERS"]).glob(papers()["feature_mining"].text)
    text = " ".join(file.read_text().split())
    text = text.replace("plus-or-minus\\pm", "").replace("ϵitalic-ϵ\\epsilon ", "")        # left over from its formulas
    for line in re.split(r"\n+", LINES.strip()):
        assert line in text, line
    reached = 0
    for one in (c for c in load_claims().values() if c.paper == "feature_mining"):
        places = [found.start() for found in re.finditer(re.escape(one.quote), text)]
        assert places, one.id
        assert not one.against or one.against in text, one.id
        assert max(places) >= reached, f"{one.id} stands before the sentence that it follows"
        reached = min(place for place in places if place >= reached)


def test_numbers_in_words_are_printed_ones():
    """What is said beside a sentence takes its numbers from the tables."""
    printed = {c.published.text for c in load_cells().values() if c.published is not None}
    for one in (c for c in load_claims().values() if c.paper == "feature_mining"):
        assert set(re.findall(r"\d+\.\d\d", one.why)) <= printed, one.id
    fm1, byot, cs_kd = (cell(f"{table}.resnet110.{m}").published for table, m in (("T1", "fm1"), ("T2", "byot"), ("T2", "cs_kd")))
    assert fm1 < cs_kd < byot and all(n.text in load_claims()["P.above_others"].why for n in (fm1, byot, cs_kd))


def test_kinds_of_networks_and_data_sets():
    """`P.kinds`: four kinds on CIFAR-100, one on Tiny ImageNet and on ImageNet."""
    cells = load_cells().values()
    kinds = {table: {re.match("[a-z]+", c.network)[0] for c in cells if c.table == table} for table in ("T1", "T4", "T5")}
    assert len(kinds["T1"]) == 4 and kinds["T4"] == kinds["T5"] == {"resnet"}
