"""What one training leaves: its record, and how its numbers follow from its curves. No torch here."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

SCHEMA = 2              # written; 2 added which test images were right
READABLE = (1, 2)
IMAGES = ("best", "last")       # the selection rules that pick one epoch


@dataclass(frozen=True)
class Record:
    """What came out of one training. `tests/record.schema.json` says the same as a JSON schema."""

    schema: int
    id: str                 # key and seed
    key: str                # equal for all seeds of a training
    seed: int
    spec: dict              # as declared: data set, network, methods, recipe, tier
    resolved: dict          # every setting of network and methods with its value, parameter counts
    metrics: dict           # best, best_epoch, last, median10: test top-1 in percent; n_test
    curves: Mapping         # one list per quantity, one number per epoch
    weights: str            # sha256 of the trained network's state
    provenance: dict        # commit, versions, device, data hash, seconds, memory
    right: Mapping = field(default_factory=dict)       # classifiers, from schema 2 on: best, last: which test images were right

    def value(self, rule: str, reported: str = "") -> float:
        """Test top-1 by one selection rule; ``reported`` names an evaluation of a method's, such as an ensemble."""
        return (self.metrics["others"][reported] if reported else self.metrics)[rule]

    def images(self, rule: str, reported: str = ""):
        """Which test images were right in the epoch of a rule, ``best`` or ``last``: a bool array (n_test,) in the order of the
        data set; None where the record is older than schema 2."""
        if not self.right:
            return None
        return unpack((self.right["others"][reported] if reported else self.right)[rule], self.metrics["n_test"])

    @property
    def tier(self) -> str:
        return self.spec["tier"]

    @property
    def clean(self) -> bool:
        """Whether all of it was trained by committed code and studies, so that somebody else can train it again."""
        return all(e.get("commit") and e.get("dirty") is False for e in self.environments)

    @property
    def environments(self) -> list[dict]:
        """Commit, versions, device, threads and engine that it began with, and those that it went on with."""
        return [self.provenance, *self.provenance.get("resumed_elsewhere", [])]


def metrics(test_accuracy: list[float | None], n_test: int) -> dict:
    """Three selection rules from one log of test accuracies in percent, None where an epoch was not tested.

    The paper takes the best epoch on the test set; the last epoch and the median of the last ten do not look at it.

    >>> metrics([10.0, 30.0, 20.0], 100)
    {'best': 30.0, 'best_epoch': 2, 'last': 20.0, 'median10': 20.0, 'n_test': 100}
    """
    best = max(value for value in test_accuracy if value is not None)
    return {"best": best, "best_epoch": test_accuracy.index(best) + 1, "last": test_accuracy[-1],
            "median10": median(test_accuracy[-10:]), "n_test": n_test}


def all_metrics(log: Mapping[str, list], n_test: int, tested: str = "test_acc") -> dict:
    """`metrics` of the curve ``tested``, and under ``others`` of what else was evaluated (``test_acc.<name>``)."""
    others = {name.removeprefix(f"{tested}."): metrics(log[name], n_test) for name in log if name.startswith(f"{tested}.")}
    return {**metrics(log[tested], n_test), **({"others": others} if others else {})}


def by_evaluation(by_accuracy: dict[str, dict[str, str]]) -> dict:
    """What is kept of each accuracy (``test_acc``, ``test_acc.<name>``) in the form of `all_metrics`."""
    others = {name.removeprefix("test_acc."): by_accuracy[name] for name in by_accuracy if name.startswith("test_acc.")}
    return {**by_accuracy.get("test_acc", {}), **({"others": others} if others else {})}


def pack(right: Sequence[bool]) -> str:
    """One bit per image, the first image in the highest bit of the first byte, as base64.

    >>> pack([True, False, False, True, True, False, False, False, True])
    'mIA='
    """
    import numpy as np

    return b64encode(np.packbits(np.asarray(right, bool)).tobytes()).decode()


def unpack(text: str, n: int):
    """The bool array (n,) that `pack` was given; a `ValueError` where the text is not of n images.

    >>> unpack("mIA=", 9).tolist() == [True, False, False, True, True, False, False, False, True]
    True
    """
    import numpy as np

    return np.unpackbits(np.frombuffer(packed(text, n), np.uint8))[:n].astype(bool)


def packed(text: str, n: int) -> bytes:
    """The bytes of n bits; a `ValueError` where the text has more, or fewer."""
    content = b64decode(text, validate=True)
    if len(content) != -(-n // 8) or int.from_bytes(content) % 2 ** (-n % 8):
        raise ValueError(f"{8 * len(content)} bits are not those of {n} images")
    return content


def as_dict(record: Record) -> dict:
    """What a record's file holds: `right` only where there is something in it."""
    content = {name: dict(value) if isinstance(value, Mapping) else value for name, value in vars(record).items()}
    return {name: value for name, value in content.items() if name != "right" or value}


def dumps(content: dict) -> str:
    """JSON with one line per curve, so that a record reads well and differs well."""
    curves = ",\n  ".join(f"{json.dumps(name)}: {json.dumps(values)}" for name, values in content["curves"].items())
    return json.dumps({**content, "curves": "@"}, indent=1).replace('"@"', f"{{\n  {curves}\n }}", 1)


def once(records: Iterable[Record]) -> list[Record]:
    """Each record once, in the order given: a list may name a cell twice, or cells that share a training."""
    kept: list[Record] = []
    groups: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        same = groups.setdefault((record.key, record.seed), [])
        if record not in same:
            same.append(record)
            kept.append(record)
    return kept


def by_key(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Records of one training side by side, in the order of their seeds."""
    groups: dict[str, list[Record]] = {}
    for record in sorted(once(records), key=lambda r: r.seed):
        groups.setdefault(record.key, []).append(record)
    return groups
