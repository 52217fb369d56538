"""A second paper is a second folder: its cells, sentences and choices are read, judged and shown beside the first's."""

import tomllib

import pytest
import yaml
from another_paper import CELLS, CHOICES, FILES, RULE

from featuremining import FMError, load_cells, paths, studies
from featuremining.judging import listing
from featuremining.judging.ledger import Ledger
from featuremining.showing import cards, pages
from featuremining.showing.choices import markdown
from featuremining.studies import choices, papers
from featuremining.studies.claims import load_claims
from featuremining.studies.ids import CellId, Table
from featuremining.studies.outcomes import Standing, Status


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
    ("paper.toml", '"AP"', '""', "Two papers have the prefix"),
    ("sentences.toml", '"AP.T1.better"', '"P.parameter_free"', "the id of another sentence or of a cell"),
    ("sentences.toml", 'same_as = "AP.T1.better"', 'same_as = "AP.T1.worse"', "AP.again must be the same as a sentence")])
def test_what_is_wrong_with_a_paper_is_one_sentence(another, file, old, new, says):
    (another / file).write_text(FILES[file].replace(old, new))
    with pytest.raises(FMError, match=says):
        load_claims()


def test_two_choices_of_one_id_are_refused(another):
    (another / "choices.toml").write_text(CHOICES.replace("[AP1]", "[A1]"))
    with pytest.raises(FMError, match="an open choice A1"):
        choices.choices()


def test_a_rule_of_another_paper_stands_beside_the_first(another):
    (another / "cells/another.toml").write_text(CELLS + RULE)
    assert "X3" in studies.rules() and studies.rules()["AP.T1"].seeds == (0, 1)


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
