"""A second paper is a second folder: its cells, sentences and choices are read, judged and shown beside the first's."""

import tomllib

import pytest
import yaml

from featuremining import FMError, load_cells, paths, studies
from featuremining.judging import listing
from featuremining.judging.ledger import Ledger
from featuremining.showing import cards, pages
from featuremining.showing.choices import markdown
from featuremining.studies import choices, papers
from featuremining.studies.claims import load_claims
from featuremining.studies.ids import CellId, Table
from featuremining.studies.outcomes import Standing, Status

PAPER = '''title = "Another Paper"
short = "Another"
authors = ["A. Uthor"]
year = 2023
venue = "A Journal"
prefix = "AP"
[looks]
seeds = [2, 3, 6]
planned = 3
share = 0.6
'''
CELLS = '''title = "Another: Table 1"
section = "4"
dataset = "cifar100"
[tables]
"AP.T1" = "Table 1. Another table"
[recipes]
"AP.T1" = { epochs = 60 }
[methods]
baseline = []
mixup = [{ name = "mixup" }]
[networks]
resnet20 = {}
[labels]
baseline = "Baseline"
mixup = "Mixup"
resnet20 = "ResNet-20"
[cells]
"AP.T1.resnet20.baseline" = { published = "70.00", spread = "0.20", n = 3 }
"AP.T1.resnet20.mixup" = { published = "71.00", spread = "0.20", n = 3 }
'''
SENTENCES = '''["AP.T1.better"]
section = "4"
quote = "better"
kind = "order"
tables = ["AP.T1"]
higher = ["mixup"]
lower = ["baseline"]
'''
CHOICES = "[AP1]\ntitle = 'x'\nquestion = 'y?'\nevidence = 'z'\nours = 'a'\nothers = 'b'\n"
FILES = {"paper.toml": PAPER, "cells/another.toml": CELLS, "sentences.toml": SENTENCES, "choices.toml": CHOICES}


@pytest.fixture
def another(studies_copy):
    folder = studies_copy / "another"
    (folder / "cells").mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def test_a_second_paper_is_a_second_folder(another):
    first, second = papers()["feature_mining"], papers()["another"]
    assert next(iter(papers())) == "feature_mining"
    assert (first.name, first.prefix, second.name, second.prefix) == ("feature_mining", "", "another", "AP")
    cell = studies.cell("AP.T1.resnet20.mixup")
    assert (cell.table, cell.network, cell.method, cell.at.table.title) == ("AP.T1", "resnet20", "mixup", "Table 1")
    assert studies.baseline(cell).id == "AP.T1.resnet20.baseline" and cell.run("full", 0).recipe.epochs == 60
    claim = load_claims()["AP.T1.better"]
    assert claim.named_pairs() == [("AP.T1.resnet20.mixup", "AP.T1.resnet20.baseline")]
    rows = {row["claim"]: row for row in listing.rows(Ledger())}
    assert rows["AP.T1.better"]["verdict"] == rows["AP.T1.resnet20.mixup"]["verdict"] == Standing(Status.NOT_RUN)
    assert "AP1" in markdown("AP") and "AP1" in [c.id for c in choices.choices()]
    assert "AP.T1.better" in pages.sentences(Ledger()) and cards.cards([cell.id], Ledger())[cell.id]["n"] == 3
    assert next(iter(load_cells())).startswith("T9")           # the first paper's come first


@pytest.mark.parametrize(("file", "old", "new", "says"), [
    ("paper.toml", "year = 2023\n", "", "another/paper.toml is not valid"),
    ("paper.toml", "[2, 3, 6]", "[3, 3, 6]", "looks rise from two seeds on"),
    ("paper.toml", "planned = 3", "planned = 4", "the planned one is among them"),
    ("paper.toml", "share = 0.6", "share = 1.1", "its share is above 0"),
    ("paper.toml", '"AP"', '""', "Two papers have the prefix"),
    ("cells/another.toml", '"AP.T1.resnet20.mixup"', '"T1.resnet20.mixup"', "another prefix than its paper"),
    ("cells/another.toml", '"AP.T1.resnet20.mixup"', '"AP.T1.mixup"', "is no id"),
    ("paper.toml", '"AP"', "7", "another/paper.toml is not valid"),
    ("paper.toml", '"AP"', '"T"', "two capital letters or more"),
    ("cells/another.toml", 'section = "4"\n', "", "it has no section"),
    ("cells/another.toml", '"AP.T1" = "Table 1', '"T1" = "Table 1', "T1 is no table of this paper"),
    ("sentences.toml", '"AP.T1.better"', '"P.parameter_free"', "the id of another sentence or of a cell"),
    ("sentences.toml", '"AP.T1.better"', '"AP.T1.resnet20.mixup"', "the id of another sentence or of a cell"),
    ("sentences.toml", '["AP.T1"]', '"AP.T1"', "tables must be a list"),
    ("sentences.toml", "kind = ", "kind ", "another/sentences.toml is not valid")])
def test_what_is_wrong_with_a_paper_is_one_sentence(another, file, old, new, says):
    (another / file).write_text(FILES[file].replace(old, new))
    with pytest.raises(FMError, match=says):
        load_claims()


def test_two_choices_of_one_id_are_refused(another):
    (another / "choices.toml").write_text(CHOICES.replace("[AP1]", "[A1]"))
    with pytest.raises(FMError, match="an open choice A1"):
        choices.choices()


RULE = '''
[rules."AP.T1"]
question = "?"
words = "w"
outcome = "last"
beside = "best"
level = 0.95
seeds = [0, 1]
family = ["AP.T1.resnet20.mixup"]
'''


def test_a_rule_of_another_paper_stands_beside_the_first(another):
    (another / "cells/another.toml").write_text(CELLS + RULE)
    assert "X3" in studies.rules() and studies.rules()["AP.T1"].seeds == (0, 1)


@pytest.mark.parametrize(("old", "new"), [('"AP.T1"]', '"X3"]'), ('"last"', '"median"'), ("0.95", "2"), ("[0, 1]", "[0]"),
                                          ("[0, 1]", "[0, 0]"), ("mixup", "baseline"), ('["AP.T1.resnet20.mixup"]', "[]"),
                                          ('"AP.T1.resnet20.mixup"', '"X3.resnet20.fm2"'), ("level", "levle")])
def test_what_is_wrong_with_a_rule_is_one_sentence(another, old, new):
    (another / "cells/another.toml").write_text(CELLS + RULE.replace(old, new))
    with pytest.raises(FMError, match=r"another\.toml: the rule of"):
        studies.rules()


def test_two_studies_of_one_name_are_refused(another):
    (another / "cells/cifar.toml").write_text(CELLS.replace("AP.T1", "AP.T2"))
    with pytest.raises(FMError, match="two papers have a study of this name"):
        load_cells()


@pytest.mark.parametrize("id_", ["", "T1", "T1.resnet56", "resnet56.fm2", "T1.resnet56.fm2.a.b", "t1.resnet56.fm2", "T1..fm2"])
def test_what_is_no_id(id_):
    with pytest.raises(ValueError, match="is no id"):
        CellId.parse(id_)


def test_every_id_comes_back_as_it_was():
    for id_, cell in load_cells().items():
        assert str(CellId.parse(id_)) == id_ and str(Table.at_start_of(id_)) == cell.table


def test_the_paper_is_named_alike_everywhere():
    """What cites it says what its folder says."""
    paper = papers()["feature_mining"]
    cited = yaml.safe_load((paths.ROOT / "CITATION.cff").read_text())["references"][0]
    assert (cited["title"], cited["year"], cited["doi"]) == (paper.title, paper.year, paper.doi)
    assert [f"{a['given-names']} {a['family-names']}" for a in cited["authors"]] == list(paper.authors)
    assert f"@article{{{paper.cite}," in (paths.ROOT / "book/references.bib").read_text()
    assert paper.arxiv in (paths.ROOT / "README.md").read_text()
    assert tomllib.loads((paper.folder / "paper.toml").read_text())["title"] == paper.title
