"""Verdicts under other settings: equal to the book's at ours, and stricter or milder where the setting is."""

import pytest
from made_records import ID, decided, recorded

from featuremining import UsageError
from featuremining.judging import listing, multiverse
from featuremining.judging.ledger import Ledger
from featuremining.judging.setting import OFFERED, OURS, Setting
from featuremining.studies import cell
from featuremining.studies.outcomes import Status


@pytest.mark.parametrize("records", [None, decided], ids=["on record", "made"])
def test_our_own_setting_says_what_the_book_says(records):
    ledger = Ledger(records()) if records else Ledger.read()
    real = {row["claim"]: row for row in listing.rows(ledger)}
    for row in multiverse.rows(ledger):
        if row.kind != multiverse.KINDS[2]:
            said = real[row.id]["own_numbers"] if row.kind == multiverse.KINDS[0] else real[row.id]["verdict"].status
            assert row.ours == said, row.id
    at = OFFERED.index(Setting(OURS.level, OURS.margin, "best"))        # the first paper's own rule
    found = multiverse.rows(ledger)
    assert found and all(row.statuses[at] == row.ours for row in found)


def test_a_wider_level_settles_less():
    """Of the paper's own numbers nothing becomes supported as the level rises."""
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


def test_differences_are_of_cells_of_our_own_without_a_rule():
    """Those with one are judged by it, on its page: X3 by the last epoch, after all its seeds."""
    made = [r for id_ in ("X3.resnet20.fm2", "X3.resnet20.baseline", "A9s.resnet20.fm2", "A9s.resnet20.baseline", ID,
                          "T1.resnet56.baseline") for r in recorded(id_, 70.0, 71.0)]
    found = [row.id for row in multiverse.rows(Ledger(made)) if row.kind == multiverse.KINDS[2]]
    assert found == ["A9s.resnet20.fm2"]
