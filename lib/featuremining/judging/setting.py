"""The three things in a verdict that others might have chosen otherwise. `Ledger` takes them, so that every verdict can be had
under each; what the book says is said under the defaults, which were fixed beforehand. No torch here."""

from dataclasses import dataclass
from itertools import product

from ..errors import UsageError
from ..stats import LEVEL
from ..studies.forms import SELECTION

LEVELS, MARGINS = (0.9, LEVEL, 0.99), (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Setting:
    """``level``: of confidence, one less the error rate over all looks; ``margin``: a multiple of the margin within which two
    results count as equal; ``selection``: which epoch's accuracy counts, that of the cell's paper where it is empty."""

    level: float = LEVEL
    margin: float = 1.0
    selection: str = ""

    def __post_init__(self):
        if not 0 < self.level < 1 or self.margin <= 0 or self.selection not in ("", *SELECTION):
            raise UsageError(f"A level lies between 0 and 1, a margin is above 0, a selection is one of {', '.join(SELECTION)}; "
                             f"got {self.level}, {self.margin}, {self.selection!r}.")

    @property
    def error(self) -> float:
        return 1 - self.level


OURS = Setting()
OFFERED = tuple(Setting(*one) for one in product(LEVELS, MARGINS, SELECTION))       # what a reader can switch between
