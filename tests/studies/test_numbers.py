"""Printed numbers that are no cells: read with their digits and sources, and refused in a sentence where they are wrong."""

import os
import re
import tomllib
from pathlib import Path

import pytest

from featuremining import UsageError, load_cells, studies
from featuremining.judging import listing
from featuremining.judging.ledger import Ledger
from featuremining.studies import papers
from featuremining.studies.claims import load_claims
from featuremining.studies.numbers import numbers
from featuremining.studies.outcomes import Status

FAMILY = "covariance_pooling"


def test_the_familys_numbers_have_digits_and_sources():
    tables = numbers(FAMILY)
    raw = tomllib.loads((papers()[FAMILY].folder / "numbers.toml").read_text())
    assert {name: dict(t.rows) for name, t in tables.items()} == {name: t["rows"] for name, t in raw.items()}
    assert all("github.com/" in t.source and re.search("percent|K_ij", t.title) for t in tables.values())
    assert numbers("feature_mining") == {}
    with pytest.raises(UsageError, match="paper"):
        numbers("none")


def test_they_are_no_claims():
    """And the paper's own tally does not count the other's sentences."""
    assert not [c for c in load_cells().values() if c.table.startswith("GCP")]
    first = {row["claim"] for row in listing.of_first(Ledger())}
    assert first and not [id_ for id_ in first if id_.startswith("GCP")]
    listed = {row["claim"] for row in listing.rows(Ledger())} - first
    assert {id_ for id_ in listed if id_.startswith("GCP.")} == {c.id for c in load_claims().values() if c.paper == FAMILY}


def test_our_own_runs_are_judged_as_the_paper_whose_question_they_ask():
    """Once, when all seeds of the rule are there."""
    rule = studies.rules()["X4"]
    assert {c.looks.seeds for pair in rule.pairs for c in pair} == {(len(rule.seeds),)}
    decided_by_runs = [c for c in load_claims().values() if c.paper == FAMILY and c.kind == "order"]
    assert {cell.table for c in decided_by_runs for cell in c.needs} == {"X4", "X4s"}


def test_what_no_cell_decides_says_what_would():
    rows = {row["claim"]: row for row in listing.rows(Ledger()) if row["of"] == FAMILY}
    asked = [c for c in load_claims().values() if c.paper == FAMILY and c.kind == "to_run"]
    assert asked and all(c.why and rows[c.id]["note"] == c.why and rows[c.id]["verdict"].status == Status.NOT_RUN for c in asked)


@pytest.mark.skipif("FM_PAPERS" not in os.environ, reason="FM_PAPERS names no folder with the papers' texts")
def test_quotes_are_the_abstracts():
    (file,) = Path(os.environ["FM_PAPERS"]).glob(papers()[FAMILY].text)
    text, places = " ".join(file.read_text().split()), []
    for one in (c for c in load_claims().values() if c.paper == FAMILY):
        assert one.quote in text, one.id
        places.append(text.index(one.quote))
    assert places == sorted(places)
