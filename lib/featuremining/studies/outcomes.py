"""What can be said of a claim, each with one meaning. Whether it is said is computed in `judging`."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """In words, as pages and JSON have it."""

    REPRODUCED = "reproduced"
    DIRECTION = "direction only"                    # the sign stands, the size does not
    NOT_REPRODUCED = "not reproduced"
    INCONCLUSIVE = "inconclusive"                   # runs are on record and do not settle it
    NOT_RUN = "not run"
    CONTRADICTED = "contradicted by the paper's own numbers"
    UNTESTABLE = "not testable"
    AS_PRINTED = "as printed"                       # of a cost's ratio, as are the next three
    CHEAPER = "cheaper here"
    DEARER = "dearer here"
    NOT_JUDGED = "not judged"                       # measured in a tier that decides nothing
    SUPPORTED = "supported"                         # by the paper's own numbers alone, as is the next
    NOT_ESTABLISHED = "not established"
    ABOVE = "above its baseline"                    # of a comparison of our own, as are the next three
    BELOW = "below its baseline"
    NOT_SETTLED = "not settled"
    UNFINISHED = "unfinished"

    @property
    def open(self) -> bool:
        """Whether more runs may decide it."""
        return self in (Status.NOT_RUN, Status.INCONCLUSIVE)

    @property
    def silent(self) -> bool:
        """Whether nothing on record says anything of it; such claims end a list, those that could be run last."""
        return self in (Status.UNTESTABLE, Status.NOT_RUN)

    @property
    def place(self) -> int:
        """In a list of claims."""
        return {Status.UNTESTABLE: 1, Status.NOT_RUN: 2}.get(self, 0)

    @property
    def css(self) -> str:
        """Its class in the book's style sheet."""
        return f"verdict-{self.replace(' ', '-')}"


FAILED = (Status.NOT_REPRODUCED, Status.CONTRADICTED)
TOLD = (Status.REPRODUCED, Status.DIRECTION, *FAILED, Status.INCONCLUSIVE)     # those that a sentence can have a paragraph for


@dataclass(frozen=True)
class Standing:
    """How a claim stands: its status, for what that holds, and what else is to be said.

    >>> print(Standing(Status.CHEAPER, scope="another device, ratios only"), Standing(Status.NOT_RUN), sep="; ")
    cheaper here: another device, ratios only; not run
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
