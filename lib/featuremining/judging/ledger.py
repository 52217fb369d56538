"""Records side by side: which runs a cell has in a tier, and what they say of its number. Made once for a page or a command. No
torch here."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import sqrt
from statistics import fmean

from .. import stats, studies
from ..records import Record, by_key, read_records
from ..stats import Summary
from ..studies import Cell
from ..studies.outcomes import Status
from .verdicts import Verdict, judge, judge_gain, pooled_spread, printed


class Ledger:
    """Records of any tiers, grouped by their training. A cell's key is worked out once."""

    def __init__(self, records: Iterable[Record] = ()):
        self.records = list(records)
        self.trainings = by_key(self.records)           # key -> records in the order of their seeds
        self._keys: dict[tuple[str, str], str] = {}

    @classmethod
    def read(cls, tier: str | None = None) -> "Ledger":
        """All that is on record, or one tier of it."""
        return cls(read_records(tier))

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def key(self, cell: Cell, tier: str = "full") -> str:
        """Of the cell's training in a tier."""
        if (cell.id, tier) not in self._keys:
            self._keys[cell.id, tier] = cell.run(tier, 0).key
        return self._keys[cell.id, tier]

    def of(self, cell: Cell, tier: str = "full") -> list[Record]:
        """The cell's runs in a tier, in the order of their seeds."""
        return self.trainings.get(self.key(cell, tier), [])

    def counting(self, cell: Cell) -> list[Record]:
        """The cell's full-tier runs that may decide something: of clean commits, and each trained network once."""
        return list({r.weights: r for r in reversed(self.of(cell)) if r.clean}.values())[::-1]

    def ours(self, cell: Cell, tier: str = "full", rule: str = "best") -> Summary | None:
        """Our seeds of a cell in one tier under one selection rule; None without any."""
        return self._summary(self.of(cell, tier), cell, rule)

    def deciding(self, cell: Cell) -> Summary | None:
        """Our runs that count, by the paper's rule, the best epoch; None without any."""
        return self._summary(self.counting(cell), cell, "best")

    @staticmethod
    def _summary(runs: list[Record], cell: Cell, rule: str) -> Summary | None:
        """Equal runs have the spread that the draw of the test images alone would give them."""
        if not runs:
            return None
        values = [r.value(rule, cell.reported) for r in runs]
        share = fmean(values) / 100
        return Summary.of(values, least=100 * sqrt(share * (1 - share) / runs[0].metrics.get("n_test", 1)))

    def difference(self, cell: Cell, tier: str = "full", rule: str = "best") -> stats.Interval | None:
        """Of the means of the cell and of its baseline; None where either has no run."""
        base = studies.baseline(cell)
        pair = (self.ours(cell, tier, rule), self.ours(base, tier, rule)) if base else (None, None)
        return None if None in pair else stats.welch(*pair)

    def verdict(self, cell: Cell) -> Verdict | None:
        """Full-tier records against the printed number, by the paper's own rule (best epoch); None where nothing is printed."""
        if cell.published is None:
            return None
        summary = self.deciding(cell)
        if summary is None:
            return Verdict(Status.NOT_RUN, left_out=len(self.of(cell)))
        spreads, left_out = pooled_spread(cell), len(self.of(cell)) - summary.n
        found = judge(summary, printed(cell), stats.margin(spreads, cell.n), sqrt(fmean(s * s for s in spreads)))
        return replace(found, left_out=left_out)

    def gain(self, cell: Cell) -> Verdict | None:
        """The verdict on the gain over the baseline of the same table and network; None where there is no such pair."""
        base = studies.baseline(cell)
        if base is None or None in (cell.published, base.published):
            return None
        pair = self.deciding(cell), self.deciding(base)
        if None in pair:
            return Verdict(Status.NOT_RUN)
        return judge_gain(pair, (printed(cell), printed(base)), stats.margin(pooled_spread(cell), cell.n))
