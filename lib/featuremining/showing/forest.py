"""Differences with their intervals, a line each, as HTML for narrow screens, readers of screens and printers. No torch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil, floor, isfinite

import pandas as pd

from ..stats import Interval, signed
from .markup import Html, bounds, empty, render, save_link

STEPS = (0.5, 1, 2, 5, 10, 20, 50)


@dataclass(frozen=True)
class Line:
    """One difference in percentage points. ``hollow``: not ours; ``claim``: the id under which the scoreboard has it."""

    label: str
    interval: Interval
    claim: str = ""
    hollow: bool = False
    note: str = ""
    says: str = ""          # in place of the numbers

    @property
    def bounded(self) -> bool:
        return isfinite(self.interval.half)

    @property
    def words(self) -> str:
        if self.says:
            return self.says
        between = f" ({bounds(self.interval, signed=True)})" if self.bounded else ""
        return f"{signed(self.interval.value)}{between}" + (f", {self.note}" if self.note else "")


def forest(groups: Mapping[str, Sequence[Line]], caption: str, scoreboard: str = "", signs: bool = True) -> Html:
    """Groups of lines under their titles on one axis; a line leads to its claim where ``scoreboard`` names that page.
    ``signs``: the axis is of differences."""
    lines = [line for group in groups.values() for line in group]
    if not lines:
        return empty("No differences on record yet: nothing to draw.")
    low, high, ticks = axis(v for line in lines for v in (line.interval.value, line.interval.low, line.interval.high))
    drawn = pd.DataFrame([{"group": title} | {k: v for k, v in asdict(line).items() if k != "interval"} | asdict(line.interval)
                          for title, group in groups.items() for line in group])
    return render("forest", groups=groups, caption=caption, scoreboard=scoreboard, ticks=ticks, signs=signs,
                  at=lambda value: 100 * (value - low) / (high - low),
                  csv=save_link(drawn.round(6).to_csv(index=False), "CSV", "csv", caption))


def axis(values: Iterable[float]) -> tuple[float, float, list[float]]:
    """Ends that hold zero and all finite values, and some round marks between them.

    >>> axis([0.4, 10.07, float("inf")])
    (-0.5, 10.6, [0, 2, 4, 6, 8, 10])
    """
    found = [0.0, *(v for v in values if isfinite(v))]
    step = next((s for s in STEPS if (max(found) - min(found)) / s <= 6), STEPS[-1])
    ends = floor(min(found) / step), ceil(max(found) / step)
    room = 0.05 * (max(found) - min(found))
    return round(min(found) - room, 1), round(max(found) + room, 1), [k * step for k in range(ends[0], ends[1] + 1)
                                                                      if min(found) - room <= k * step <= max(found) + room]
