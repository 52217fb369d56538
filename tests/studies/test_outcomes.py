"""Outcomes: one list, one meaning each, and everything that sorts or counts them follows from it."""

from featuremining.judging import listing
from featuremining.judging.ledger import Ledger
from featuremining.showing import pages
from featuremining.studies.outcomes import OF_CLAIMS, TOLD, State, Status


def test_each_outcome_has_one_meaning():
    words = [status.meaning for status in Status if status not in (Status.ABOVE, Status.BELOW)]
    assert len(set(words)) == len(words) and all(text.endswith(".") for text in words)
    assert Status("not run") is Status.NOT_RUN and f"{Status.OWN_TEXT}" == "contradicted by the paper's own text"


def test_nothing_is_both_open_and_decided():
    assert all(status.open == (status.state in (State.BEGUN, State.WAITING)) for status in Status)
    assert all(status.open == status.meaning.startswith("Open: ") for status in Status)
    assert Status.INCONCLUSIVE.open and Status.INCONCLUSIVE.state != State.DECIDED and not Status.CONSTRUCTION.open


def test_what_claims_come_to_is_listed_on_the_front_page():
    table = pages.outcomes()
    assert all(row["verdict"].status in OF_CLAIMS for ledger in (Ledger(), Ledger.read()) for row in listing.rows(ledger))
    assert all(f">{status}</span> | {status.meaning} |" in table for status in OF_CLAIMS)
    assert set(TOLD) < set(OF_CLAIMS) and Status.NOT_RUN not in TOLD


def test_what_is_begun_is_not_called_decided():
    ledger = Ledger.read()
    begun = [row["claim"] for row in listing.of_first(ledger)
             if row["verdict"].status == Status.INCONCLUSIVE and not row["same_as"]]
    decided = set(pages.decided(ledger).claim)
    assert not {f"`{id_}`" for id_ in begun} & decided and all(f"(`{id_}`, " in pages.on_record(ledger) for id_ in begun)
    assert "`P.test_unchanged`" in decided and "`T10.inference`" not in decided         # the same evidence is no second success
