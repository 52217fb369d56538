"""What can be said of a claim: one list, each outcome with one meaning. Whether it is said is computed in `judging`; pages take
the words from here."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class State(IntEnum):
    """How far a claim is with that; also its place in a list of claims."""

    DECIDED = 0
    BEGUN = 1           # something is on record that does not settle it: open
    UNTESTABLE = 2
    WAITING = 3         # nothing is on record: open


class Status(StrEnum):
    """An outcome in words, as pages and JSON have it, with its state and what it means."""

    state: State
    meaning: str

    def __new__(cls, words: str, state: State, meaning: str):
        status = str.__new__(cls, words)
        status._value_, status.state, status.meaning = words, state, meaning
        return status

    REPRODUCED = "reproduced", State.DECIDED, (
        "Our number equals the printed one within a margin, or our runs rank the methods as claimed, and the interval is narrow "
        "enough to say so.")
    CONSTRUCTION = "holds by construction", State.DECIDED, (
        "It follows from how the method is made, and no training could show otherwise. Verified for every network; it is no "
        "evidence for any number.")
    DIRECTION = "direction only", State.DECIDED, (
        "Of a gain or a ranking: it is there with the sign that is claimed, but its size differs, is unclear, or is too small to "
        "matter.")
    NOT_REPRODUCED = "not reproduced", State.DECIDED, (
        "The interval lies wholly outside the margin; of a gain or a ranking, the difference is nil or has the other sign.")
    OWN_TEXT = "contradicted by the paper's own text", State.DECIDED, (
        "Another sentence of the paper says the contrary; no experiment is needed.")
    CONTRADICTED = "contradicted by the paper's own numbers", State.DECIDED, (
        "A printed number says the contrary, whatever we measure.")
    AS_PRINTED = "as printed", State.DECIDED, (
        "Of a cost: our ratio to the baseline agrees with the printed ratio. Between devices only ratios can be compared.")
    CHEAPER = "cheaper here", State.DECIDED, (
        "Of a cost: our ratio to the baseline lies below the printed ratio, or below the limit that we read a word as.")
    DEARER = "dearer here", State.DECIDED, (
        "Of a cost: our ratio to the baseline lies above the printed ratio, or above the limit that we read a word as.")
    INCONCLUSIVE = "inconclusive", State.BEGUN, (
        "Open: something is on record, but too few seeds, or too much spread between them, to tell.")
    NOT_RUN = "not run", State.WAITING, "Open: no full run that counts is on record."
    UNTESTABLE = "not testable", State.UNTESTABLE, (
        "No measurement here could decide it, or (seconds of a baseline) the number belongs to one device.")
    NOT_JUDGED = "not judged", State.BEGUN, "Open: measured in a shorter run than decides."
    SUPPORTED = "supported", State.DECIDED, "By the paper's own numbers alone: they say so, beyond their spread."
    NOT_ESTABLISHED = "not established", State.DECIDED, (
        "By the paper's own numbers alone: they are printed so, but the spread leaves room for chance.")
    ABOVE = "above its baseline", State.DECIDED, (
        "Of a comparison of our own: significantly so, by its rule, or by itself where it has none.")
    BELOW = "below its baseline", State.DECIDED, (
        "Of a comparison of our own: significantly so, by its rule, or by itself where it has none.")
    NO_CLEAR_DIFFERENCE = "no clear difference", State.DECIDED, (
        "Of a comparison of our own: all its seeds are on record, and the difference may be chance.")
    UNFINISHED = "unfinished", State.BEGUN, "Open: of a comparison of our own, seeds are missing."

    @property
    def open(self) -> bool:
        """Whether more runs may decide it."""
        return self.state in (State.BEGUN, State.WAITING)

    @property
    def css(self) -> str:
        """Its class in the book's style sheet."""
        return f"verdict-{self.replace(' ', '-')}"


FAILED = (Status.NOT_REPRODUCED, Status.OWN_TEXT, Status.CONTRADICTED)
OF_CLAIMS = tuple(Status)[:tuple(Status).index(Status.UNTESTABLE) + 1]     # what a claim of a paper can come to
TOLD = tuple(s for s in OF_CLAIMS if s.state in (State.DECIDED, State.BEGUN))     # a sentence can have a paragraph for them


@dataclass(frozen=True)
class Standing:
    """How a claim stands: its status, for what that holds, and what else is to be said.

    >>> print(Standing(Status.CHEAPER, scope="CPU, ratios only"), Standing(Status.NOT_RUN), sep="; ")
    cheaper here: CPU, ratios only; not run
    """

    status: Status
    detail: str = ""        # seeds that would decide, a tier, what is missing
    scope: str = ""         # what the status holds for, where not for the claim as printed

    @property
    def rest(self) -> str:
        """Everything but the status."""
        return "; ".join(filter(None, (self.scope, self.detail)))

    def __str__(self) -> str:
        return self.status + (f": {self.rest}" if self.rest else "")
