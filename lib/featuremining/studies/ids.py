"""What a cell's id says: ``table.network.method``, ``T1.resnet56.fm2``, or with a condition, ``T8.resnet110.fm2.pair20``; those
of another paper begin with its prefix, ``GCP.T1.resnet50.mpn_cov``. Ids are parsed here and nowhere else."""

import re
from dataclasses import dataclass, replace

TABLE = re.compile(r"(?:(?P<paper>[A-Z]+)\.)?(?P<kind>[A-Z])(?P<number>\d+)(?P<small>s?)(?=\.|$)")
KINDS = {"T": "Table", "F": "Figure"}       # of the paper's; the other letters are ours


@dataclass(frozen=True)
class Table:
    """``T10``, ``F6``, of our own ``X3``; ``small``: the same question on what a CPU can carry, as in ``T4s``.

    >>> [Table.at_start_of(id_).title for id_ in ("T10.inference", "F6", "X3.resnet20.fm2", "T4s.resnet20.fm2", "GCP.T1")]
    ['Table 10', 'Figure 6', 'X3', 'T4s', 'Table 1']
    >>> sorted(("T10", "T2", "GCP.T1", "F6"), key=lambda t: Table.at_start_of(t).order)
    ['F6', 'T2', 'T10', 'GCP.T1']
    """

    paper: str
    kind: str
    number: int
    small: bool

    @classmethod
    def at_start_of(cls, id_: str) -> "Table | None":
        """The table that an id begins with; None where it begins with none."""
        match = TABLE.match(id_)
        if not match:
            return None
        return cls(match["paper"] or "", match["kind"], int(match["number"]), bool(match["small"]))

    def __str__(self) -> str:
        return f"{self.paper}{'.' * bool(self.paper)}{self.kind}{self.number}{'s' * self.small}"

    @property
    def own(self) -> bool:
        """Whether it is ours: no table and no figure of a paper."""
        return self.small or self.kind not in KINDS

    def may_be_of(self, prefix: str) -> bool:
        """Whether it may stand in the folder of the paper with this prefix: a table of our own is of no paper, and is judged as
        the paper in whose folder it lies."""
        return self.paper == prefix or (self.own and not self.paper)

    @property
    def title(self) -> str:
        return str(self) if self.own else f"{KINDS[self.kind]} {self.number}"

    @property
    def order(self) -> tuple:
        return self.paper, self.kind, self.number, self.small

    @property
    def place(self) -> tuple:
        """In a list that goes from the paper's tables over its figures to what is ours: Table 2 before Table 10."""
        return self.paper, self.own, self.kind != "T", self.kind, self.number, self.small


@dataclass(frozen=True)
class CellId:
    """
    >>> id_ = CellId.parse("T8.resnet110.fm2.pair20")
    >>> str(id_.table), id_.network, id_.method, id_.condition, str(id_.beside("baseline"))
    ('T8', 'resnet110', 'fm2', 'pair20', 'T8.resnet110.baseline.pair20')
    """

    table: Table
    network: str
    method: str
    condition: str = ""

    @classmethod
    def parse(cls, id_: str) -> "CellId":
        """A `ValueError` says what an id looks like."""
        table = Table.at_start_of(id_)
        rest = id_[len(str(table)):].split(".")[1:] if table else []
        if not 2 <= len(rest) <= 3 or not all(rest):
            raise ValueError(f"{id_} is no id; one reads table.network.method or table.network.method.condition, T1.resnet56.fm2")
        return cls(table, *rest)

    def __str__(self) -> str:
        return ".".join(filter(None, (str(self.table), self.network, self.method, self.condition)))

    def beside(self, method: str) -> "CellId":
        """The same table, network and condition with another method."""
        return replace(self, method=method)
