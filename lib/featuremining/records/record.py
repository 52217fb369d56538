"""Records: one small JSON per training, written once, never edited. No torch here."""

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Collection, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from statistics import median

from .. import paths
from ..errors import FMError

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
    curves: dict            # one list per quantity, one number per epoch
    weights: str            # sha256 of the trained network's state
    provenance: dict        # commit, versions, device, data hash, seconds, memory
    right: dict = field(default_factory=dict)       # classifiers, from schema 2 on: best, last: which test images were right

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


def all_metrics(log: dict[str, list[float]], n_test: int) -> dict:
    """`metrics` of the network alone, and under ``others`` of what else was evaluated (``test_acc.<name>``)."""
    others = {name.removeprefix("test_acc."): metrics(log[name], n_test) for name in log if name.startswith("test_acc.")}
    return {**metrics(log["test_acc"], n_test), **({"others": others} if others else {})}


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

    return np.unpackbits(np.frombuffer(_bytes(text, n), np.uint8))[:n].astype(bool)


def _bytes(text: str, n: int) -> bytes:
    packed = b64decode(text, validate=True)
    if len(packed) != -(-n // 8) or int.from_bytes(packed) % 2 ** (-n % 8):
        raise ValueError(f"{8 * len(packed)} bits are not those of {n} images")
    return packed


def check_images(record: Record) -> None:
    """A `ValueError` unless a classifier's record of schema 2 says of each evaluation which images were right in its last and
    best epoch, as many as its accuracy says."""
    if (record.schema >= 2 and record.spec.get("task") != "detection") != bool(record.right):
        raise ValueError(f"which images were right is {'stated' if record.right else 'missing'} in schema {record.schema}")
    for name in ["", *record.metrics.get("others", {})] if record.right else ():
        n = record.metrics["n_test"]
        where, accuracies = (part["others"][name] if name else part for part in (record.right, record.metrics))
        for rule in IMAGES:
            count = int.from_bytes(_bytes(where[rule], n)).bit_count()
            if round(100 * count / n, 4) != accuracies[rule]:
                raise ValueError(f"{count} of {n} images are right in its {rule} epoch{f' of {name}' * bool(name)}, "
                                 f"but the accuracy is {accuracies[rule]}")


def write(record: Record, path: Path) -> None:
    """Write under a temporary name and rename into place, so that a record that exists is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        raise FMError(f"{path} exists already; records are never overwritten.")
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with written(path, temporary):
        temporary.write_text(dumps(as_dict(record)) + "\n")
        os.replace(temporary, path)


def as_dict(record: Record) -> dict:
    """What a record's file holds: `right` only where there is something in it."""
    return {name: value for name, value in asdict(record).items() if name != "right" or value}


@contextmanager
def written(path: Path, temporary: Path):
    """A failure leaves no half a file and says in one sentence what to do."""
    try:
        yield
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise FMError(f"Could not write {path} ({error}): free some disk space and give the same command again.") from None


def dumps(content: dict) -> str:
    """JSON with one line per curve, so that a record reads well and differs well."""
    curves = ",\n  ".join(f"{json.dumps(name)}: {json.dumps(values)}" for name, values in content["curves"].items())
    return json.dumps({**content, "curves": "@"}, indent=1).replace('"@"', f"{{\n  {curves}\n }}", 1)


def read(path: Path) -> Record:
    """One record; a damaged or foreign file raises an `FMError` that names it. A file that was read before is not read again
    unless it has changed: the pages of the book ask for the same records many times."""
    here = path.stat()
    return _read(path.absolute(), here.st_mtime_ns, here.st_size)


@cache
def _read(path: Path, *_) -> Record:
    return parse(path, Record, READABLE, "record", "move it away and run its cell again", check_images)


def parse(path: Path, make: type, schemas: tuple[int, ...], what: str, then: str, check=lambda made: None):
    """The object that a JSON file of these schemas holds, if it passes ``check``; an `FMError` that names the file and says what
    to do otherwise."""
    try:
        content = json.loads(path.read_text())
        if content.get("schema") not in schemas:
            raise ValueError(f"schema {content.get('schema')}, expected {' or '.join(map(str, schemas))}")
        made = make(**content)
        check(made)
        return made
    except (ValueError, TypeError, AttributeError, KeyError, ArithmeticError, RecursionError) as error:
        raise FMError(f"{path} is not a valid {what} ({error}): {then}.") from None


def read_records(tier: str | None = None, keys: Collection[str] | None = None) -> list[Record]:
    """All records, or those of one tier, or of these trainings, in the order of their paths."""
    files = sorted(_files(tier or "*"), key=lambda path: path.parts[-3:])
    return [read(path) for path in files if keys is None or path.parent.name in keys]


def _files(tier: str) -> list[Path]:
    """Those of records; what was set aside under another name is none."""
    by_name = {path.relative_to(runs): path for runs in reversed(paths.all_runs()) for path in runs.glob(f"{tier}/*/seed*.json")}
    return [path for path in by_name.values() if path.stem.removeprefix("seed").isdecimal()]


def seeds() -> dict[tuple[str, str], list[int]]:
    """(tier, key) -> the seeds on record, from the names of the files alone."""
    by_training: dict[tuple[str, str], list[int]] = {}
    for path in _files("*"):
        by_training.setdefault((path.parent.parent.name, path.parent.name), []).append(int(path.stem.removeprefix("seed")))
    return {key: sorted(numbers) for key, numbers in by_training.items()}


def by_key(records: list[Record]) -> dict[str, list[Record]]:
    """Records of one training side by side, in the order of their seeds."""
    groups: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda r: r.seed):
        groups.setdefault(record.key, []).append(record)
    return groups
