"""Table 10 of the paper (section 4.5 B), seconds of a training iteration and memory without and with Feature Mining, beside what
`measuring.iterations` measured. No torch here.

The paper prints means of the first 300 iterations at batch 128 on a Tesla M40. Ours are of other devices: only ratios compare.
"""

from dataclasses import dataclass
from itertools import pairwise

from .. import studies
from ..records import findings
from ..records.findings import COST, Finding
from ..studies import Cell
from ..studies.outcomes import Standing, Status

PAPERS_DEVICE = "Tesla M40"
UNDECIDED = "memory undecided"          # where no allocator counted it


def found(cells: list[Cell], tier: str) -> list[Finding]:
    """The cells' findings in a tier, of all devices, each once."""
    every = [finding for cell in cells for finding in findings.read(COST, cell.run(tier, 0))]
    return list({(finding.key, finding.name): finding for finding in every}.values())


def printed_ratio(cell: Cell) -> tuple[float, float, float] | None:
    """The paper's time over its baseline's, and the lowest and highest that its rounding allows; None without a pair.

    >>> [round(v, 3) for v in printed_ratio(studies.cell("T10.resnet56.fm1"))]
    [1.043, 1.032, 1.053]
    """
    base = studies.baseline(cell)
    if base is None or None in (cell.seconds, base.seconds):
        return None
    a, b = cell.seconds, base.seconds
    return a / b, (a - a.half) / (b + b.half), (a + a.half) / (b - b.half)


def nearest(costs: list[Finding]) -> Finding | None:
    """The finding that speaks most to the printed number: of the paper's device, else of a GPU, else the first."""
    return max(costs, key=lambda f: (PAPERS_DEVICE in f.provenance["device"], "allocated_mib" in f.values), default=None)


def verdict(cell: Cell, finding: Finding | None) -> Standing | None:
    """Our interval of the time ratio against the printed ratio, as wide as its rounding. An interval that holds both the printed
    ratio and 1, no cost at all, decides nothing; nor do the seconds of the baseline, which are the device's. None where nothing
    is printed."""
    if cell.seconds is None:
        return None
    if finding is None:
        return Standing(Status.NOT_RUN)
    if finding.tier != "full":
        return Standing(Status.NOT_JUDGED, f"{finding.tier} tier")
    printed = printed_ratio(cell)
    if printed is None:
        return Standing(Status.UNTESTABLE)
    ours, (_, low, high) = finding.values, printed
    if ours["high"] < low:
        status = Status.CHEAPER
    elif ours["low"] > high:
        status = Status.DEARER
    else:
        status = Status.INCONCLUSIVE if ours["low"] <= 1 <= ours["high"] else Status.AS_PRINTED
    return Standing(status, memory(cell, finding), scope([finding]))


def scope(costs: list[Finding]) -> str:
    """On what a verdict rests, where not on the paper's device: every device that is not named here is a CPU, since a GPU's
    allocator counts what it holds."""
    if not all("allocated_mib" in f.values or PAPERS_DEVICE in f.provenance["device"] for f in costs):
        return "CPU, ratios only"
    return "" if all(PAPERS_DEVICE in f.provenance["device"] for f in costs) else "another GPU, ratios only"


def memory(cell: Cell, finding: Finding) -> str:
    """What is to be said of the memory beside a verdict on the time."""
    if "allocated_mib" not in finding.values:
        return UNDECIDED
    return f"memory × {finding.values['memory_ratio']:.2f}, printed × {cell.mib / studies.baseline(cell).mib:.2f}"


@dataclass(frozen=True)
class Word:
    """A word of cost, read as a limit for ratios to the baseline, over all cells it is of: the highest ratio that the printed
    numbers allow for no less, and the highest lower and upper bound of ours; None where they say nothing. ``gpu``: whether all of
    ours is a GPU's, as the paper's is. ``above``: the sentence claims that the limit is exceeded."""

    printed: float | None
    low: float | None
    high: float | None
    gpu: bool = True
    above: bool = False

    def status(self, limit: float) -> Status:
        """With this limit. What a CPU says of its own is no repetition of a GPU's number."""
        if self.printed is not None and not self.above and self.printed > limit:
            return Status.CONTRADICTED
        if self.low is None or self.high is None:
            return Status.NOT_RUN
        if self.low <= limit < self.high:
            return Status.INCONCLUSIVE
        below = self.high <= limit
        if not self.gpu:
            return Status.CHEAPER if below else Status.DEARER
        return Status.REPRODUCED if below != self.above else Status.NOT_REPRODUCED

    def by_limit(self) -> list[tuple[float, Status]]:
        """From which limit on, beginning with none, the sentence comes to what."""
        edges = sorted({1.0, *(edge for edge in (self.printed, self.low, self.high) if edge is not None and edge > 1)})
        steps = [(edge, self.status(edge)) for edge in edges]
        return steps[:1] + [b for a, b in pairwise(steps) if a[1] != b[1]]

    def sensitivity(self) -> str:
        """`by_limit` in words.

        >>> Word(1.19, 0.99, 1.004, gpu=False).sensitivity()
        "below 1.190 contradicted by the paper's own numbers, from 1.190 on cheaper here"
        >>> Word(None, None, None).sensitivity()
        'not run with any limit'
        """
        steps = self.by_limit()
        if len(steps) == 1:
            return f"{steps[0][1]} with any limit"
        first, *others = steps
        return ", ".join([f"below {others[0][0]:.3f} {first[1]}", *(f"from {edge:.3f} on {status}" for edge, status in others)])


def words(finding: Finding) -> str:
    """Mean seconds of an iteration, and their ratio to the baseline's where it was measured."""
    v = finding.values
    return f"{v['seconds']:.3g} s" + (f", {v['time_ratio']:.3f} of the baseline's" if "time_ratio" in v else "")


def ratios(v: dict) -> str:
    """A finding's ratios to the baseline in words: of time with its interval; of the allocator's peak on a GPU, elsewhere of what
    autograd saves, which is not all of the memory.

    >>> ratios({"time_ratio": 1.02, "low": 1.01, "high": 1.03, "memory_ratio": 1.001})
    'time × 1.020 (1.010 to 1.030), saved for backward × 1.001'
    """
    what = "memory" if "allocated_mib" in v else "saved for backward"
    return f"time × {v['time_ratio']:.3f} ({v['low']:.3f} to {v['high']:.3f}), {what} × {v['memory_ratio']:.3f}"
