"""Records side by side: which runs a cell has in a tier, and what they say of its number. Made once for a page or a command. No
torch here."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from math import sqrt
from statistics import fmean

from .. import stats, studies
from ..records import Record, by_key, once, read_records
from ..stats import Summary
from ..studies import Cell, Look, Looks
from ..studies.outcomes import Status
from . import chances
from .setting import OURS, Setting
from .verdicts import Verdict, judge, judge_gain, latest, pooled_spread, printed


def epoch(cell: Cell) -> str:
    """Which epoch of a run decides: the best one, as in the paper; in a table of our own with a rule, the one that the rule
    names."""
    rule = studies.rules().get(cell.table)
    return rule.outcome if rule else "best"


class Ledger:
    """Records of any tiers, grouped by their training, and the setting under which they are judged. A cell's key is worked out
    once."""

    def __init__(self, records: Iterable[Record] = (), setting: Setting = OURS):
        self.setting = setting
        self.records = once(records)
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

    def deciding(self, cell: Cell, look: Look | None = None) -> Summary | None:
        """Our runs that count, by the epoch that `epoch` says; at a look as many as it takes, those of the lowest seeds. None
        without any, or with too few for the look."""
        runs = self.counting(cell)
        if look and len(runs) < look.n:
            return None
        return self._summary(runs[:look.n] if look else runs, cell, self.epoch(cell))

    def values(self, cell: Cell) -> tuple[float, ...]:
        """Of the runs that count, by the epoch that decides."""
        return tuple(r.value(self.epoch(cell), cell.reported) for r in self.counting(cell))

    def epoch(self, cell: Cell) -> str:
        """The selection rule that decides."""
        return self.setting.selection or epoch(cell)

    def looks(self, cell: Cell) -> Looks:
        """When runs of the cell's paper are looked at, with the setting's error rate."""
        return replace(cell.looks, error=self.setting.error)

    def margin(self, cell: Cell) -> float:
        """Within which two results count as equal."""
        return self.setting.margin * stats.margin(pooled_spread(cell), cell.n)

    def seeds(self, cells: Iterable[Cell]) -> int:
        """How many counting runs each of these cells has at least."""
        return min(len(self.counting(cell)) for cell in cells)

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

    def paired(self, cell: Cell, tier: str = "full", rule: str = "best") -> stats.BySeed | None:
        """The difference of `difference` over the seeds that both have, where all but the methods is the same of both: then equal
        seeds share first weights and, unless a method chooses its batches, the order of the data. It decides nothing."""
        base = studies.baseline(cell)
        if base is None or {**cell.run(tier, 0).spec(), "methods": []} != {**base.run(tier, 0).spec(), "methods": []}:
            return None
        a, b = ({r.seed: r.value(rule, c.reported) for r in self.of(c, tier)} for c in (cell, base))
        return stats.paired_by_seed(a, b)

    def verdict(self, cell: Cell) -> Verdict | None:
        """Full-tier records against the printed number, by the paper's own rule (best epoch); None where nothing is printed."""
        if cell.published is None:
            return None
        seeds, on_record = self.seeds([cell]), len(self.of(cell))
        if not seeds:
            return Verdict(Status.NOT_RUN, left_out=on_record)
        found = latest(self.looks(cell), seeds, partial(self._number, cell))
        asked = found.status.open and self.setting == OURS
        needed = chances.enough(chances.number(cell.id, self.values(cell))) if asked else None
        return replace(found, left_out=on_record - seeds, seeds_needed=needed)

    def _number(self, cell: Cell, look: Look) -> Verdict:
        return replace(judge(self.deciding(cell, look), printed(cell), self.margin(cell), look.level), look=look)

    def gain(self, cell: Cell) -> Verdict | None:
        """The verdict on the gain over the baseline of the same table and network; None where there is no such pair."""
        base = studies.baseline(cell)
        if base is None or None in (cell.published, base.published):
            return None
        seeds = self.seeds([cell, base])
        if not seeds:
            return Verdict(Status.NOT_RUN)
        found, values = latest(self.looks(cell), seeds, partial(self.gain_at, cell, base)), (self.values(cell), self.values(base))
        asked = found.status.open and self.setting == OURS
        needed = chances.enough(chances.gain((cell.id, base.id), values)) if asked else None
        return replace(found, seeds_needed=needed)

    def gain_at(self, cell: Cell, base: Cell, look: Look) -> Verdict:
        """The verdict on the gain at one look."""
        ours = self.deciding(cell, look), self.deciding(base, look)
        return replace(judge_gain(ours, (printed(cell), printed(base)), self.margin(cell), look.level), look=look)
