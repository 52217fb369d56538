"""Which records and findings are those that were added: their sha256 sums in one file, ``MANIFEST``, of each folder of records.

It is written when a file is added, by a training, a measurement or ``fm fsck --add``, and when ``fm fsck --drop`` takes lines of
lost files out; never by reading. A line is replaced by a measurement that is made again, and by a training whose record is gone:
one that is there is not overwritten. In the form of ``sha256sum``: ``cd data/runs && sha256sum -c MANIFEST`` checks it too. What
runs of the smoke tier leave is not kept, and not listed.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from .. import files, paths
from ..errors import FMError, said
from ..files import put

NAME = "MANIFEST"
LARGEST = 2**28         # bytes; a million lines have half of that
KEPT = ("short", "full")                # tiers
LINE = re.compile(r"([0-9a-f]{64})  ((?:short|full)/[^/]+)/([^/]+\.json)")


class Place(NamedTuple):
    """Where a file lies: in a folder of records, its tier and training as ``tier/key``, its name."""

    runs: Path
    folder: str
    name: str

    @property
    def kept(self) -> bool:
        return self.folder.partition("/")[0] in KEPT

    def __str__(self) -> str:
        return f"{self.folder}/{self.name}"


class Listed(NamedTuple):
    """The sums of a folder's files, ``tier/key`` -> name -> sha256, and what is wrong with the file that lists them."""

    sums: dict[str, dict[str, str]]
    faults: tuple[str, ...] = ()


def place(path: Path) -> Place | None:
    """Where the file lies if that is a folder of records; it need not exist."""
    path = path.absolute()
    runs = path.parent.parent.parent
    known = any(runs == folder.absolute() for folder in paths.all_runs())
    return Place(runs, f"{path.parent.parent.name}/{path.parent.name}", path.name) if known else None


def listed(runs: Path) -> Listed:
    """What the manifest of a folder of records says; nothing where there is none."""
    file = runs / NAME
    try:
        here = file.stat()
        return _listed(file, here.st_mtime_ns, here.st_ctime_ns, here.st_size, here.st_ino)
    except FileNotFoundError:
        return Listed({})
    except (OSError, ValueError) as error:
        raise FMError(f"{file} can't be read ({said(error)}).") from None


@lru_cache(maxsize=8)
def _listed(file: Path, *_) -> Listed:
    sums: dict[str, dict[str, str]] = {}
    faults = []
    for number, line in enumerate(files.read(file, LARGEST).decode("utf-8", "replace").removesuffix("\n").split("\n"), 1):
        if not (found := LINE.fullmatch(line)):
            faults.append(f"{file}, line {number}, is not a sum and a path: restore it with `git checkout`")
        elif found[3] in sums.setdefault(found[2], {}):
            faults.append(f"{file}, line {number}, lists {found[2]}/{found[3]} again: take it out")
        else:
            sums[found[2]][found[3]] = found[1]
    return Listed(sums, tuple(faults))


_ADDING: ContextVar[bool] = ContextVar("adding", default=False)


@contextmanager
def unlisted() -> Iterator[None]:
    """What is checked inside need not be listed: it is about to be."""
    token = _ADDING.set(True)
    try:
        yield
    finally:
        _ADDING.reset(token)


def fault(at: Place | None, sha: str, manifest: Listed | None = None) -> str:
    """Why a file with this sum is not the one that was added; empty if it is, or if nothing is listed of its kind. ``manifest``:
    that of its folder, where it is at hand."""
    if at is None or not at.kept or _ADDING.get():
        return ""
    known = (manifest or listed(at.runs)).sums.get(at.folder, {}).get(at.name)
    if known is None:
        return f"it is not in {at.runs / NAME}: `fm fsck --add` checks it and adds it"
    return "" if known == sha else (f"it is not the file whose sum stands in {at.runs / NAME}: restore it with `git checkout`, "
                                    "or move it away and make it again")


def gone(path: Path, runs: Path) -> str:
    """What is said of a file that is listed and not there."""
    return f"{path} is gone, though {runs / NAME} lists it: restore it with `git checkout`; `fm fsck --drop` takes its line out"


def change(runs: Path, changes: Mapping[str, str | None]) -> None:
    """Add these sums by path (``tier/key/name``), in place of older ones; None takes a line out. One process at a time."""
    with FileLock(runs / f"{NAME}.lock"):
        found = listed(runs)
        if found.faults:
            raise FMError(f"{found.faults[0]}.")
        lines: dict[str, str | None] = {f"{folder}/{name}": sha
                                        for folder, names in found.sums.items() for name, sha in names.items()}
        lines |= changes
        for old in runs.glob(f"{NAME}.*.tmp"):         # left by a kill, since nobody else has the lock
            old.unlink(missing_ok=True)
        put(runs / NAME, "".join(f"{sha}  {path}\n" for path, sha in sorted(lines.items()) if sha).encode())


def sum_of(path: Path) -> str:
    """The sha256 of a file."""
    return sha256(path.read_bytes()).hexdigest()


def add(path: Path, content: bytes) -> None:
    """List what is about to be written to ``path``, where such files are listed. A kill before it is written leaves a line
    without a file, and the same command makes both good."""
    if (at := place(path)) and at.kept:
        change(at.runs, {str(at): sha256(content).hexdigest()})
