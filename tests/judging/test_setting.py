"""Verdicts under other settings: equal to the book's at ours, and stricter or milder where the setting is."""

import pytest
from made_records import ID, decided

from featuremining import UsageError
from featuremining.judging import multiverse
from featuremining.judging.ledger import Ledger
from featuremining.judging.setting import OFFERED, OURS, Setting
from featuremining.studies import cell
from featuremining.studies.outcomes import Status


@pytest.mark.parametrize("records", [None, decided], ids=["on record", "made"])
def test_our_own_setting_says_what_the_book_says(records):
    ledger = Ledger(records()) if records else Ledger.read()
    assert multiverse.agrees(ledger)
    at = OFFERED.index(Setting(OURS.level, OURS.margin, "best"))        # the first paper's own rule
    found = multiverse.rows(ledger)
    assert found and all(row.statuses[at] == row.ours for row in found)


def test_a_wider_level_settles_less():
    """Of the paper's own numbers nothing becomes supported, of our runs no interval shorter, as the level rises."""
    for row in multiverse.rows(Ledger.read()):
        if row.kind == multiverse.KINDS[0]:
            by_level = {o.level: s for s, o in zip(row.statuses, OFFERED, strict=True)}
            supported = [by_level[level] == Status.SUPPORTED for level in sorted(by_level)]
            assert supported == sorted(supported, reverse=True)


def test_level_margin_and_selection_reach_the_verdict():
    made = decided()
    ours = Ledger(made).verdict(cell(ID))
    strict, narrow = (Ledger(made, s).verdict(cell(ID)) for s in (Setting(level=0.99), Setting(margin=0.5)))
    assert strict.difference.half > ours.difference.half and narrow.margin == pytest.approx(ours.margin / 2)
    last = Ledger(made, Setting(selection="last")).verdict(cell(ID))
    mine = [r.value("last") for r in made if r.key == cell(ID).run("full", 0).key]
    assert last.ours.mean == pytest.approx(sum(mine) / len(mine))
    for wrong in ({"level": 1.0}, {"margin": 0.0}, {"selection": "worst"}):
        with pytest.raises(UsageError, match="A level lies between"):
            Setting(**wrong)
