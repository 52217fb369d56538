"""Records of a folder: written once, counted only where they vouch for themselves and are listed, read as far as is asked for.

What was read of a file is kept in an index in the build folder, without curves, until the file changes: ten thousand records take
a second. No torch here.
"""

import json
import os
import time
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import MISSING, fields
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from .. import files, paths, recipes
from ..errors import FMError, said
from ..studies import runs as studies_runs
from . import form, manifest
from .left_out import LeftOut
from .manifest import Place
from .record import READABLE, Record, as_dict, dumps

LARGEST = 2**28                         # bytes of the index; of ten thousand records it has twenty millions
LATER = ("curves", "right")             # read when they are asked for
THEN = "move it away and run its cell again"
WRONG = (ValueError, TypeError, AttributeError, KeyError, ArithmeticError, RecursionError, OSError)


def write(record: Record, path: Path) -> None:
    """Check the record, list its sum, and write it; a record that exists is whole. Nothing is overwritten."""
    if path.exists():
        raise FMError(f"{path} exists already; records are never overwritten.")
    try:
        form.check(record)
        _check_place(record, manifest.place(path))
    except WRONG as error:
        raise FMError(f"{record.id} is not recorded, since the record would contradict itself ({said(error)}). The checkpoint is "
                      "kept.") from None
    data = f"{dumps(as_dict(record))}\n".encode()
    files.put(path, data, before=lambda: manifest.add(path, data))


def read(path: Path, then: str = THEN) -> Record:
    """One record, with all its curves; an `FMError` that names a file which is damaged, foreign, contradicts itself or its
    place, or is not the one that was added."""
    at = manifest.place(path)
    try:
        content = files.load(path)
        record = _checked(content.values, at)
    except WRONG as error:
        raise FMError(f"{path} is not a valid record ({said(error)}): {then}.") from None
    if fault := manifest.fault(at, content.sha256):
        raise FMError(f"{path} does not count: {fault}.")
    return record


def _checked(content: dict, at: Place | None) -> Record:
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, and a record has fields by name")
    if content.get("schema") not in READABLE:
        raise ValueError(f"schema {content.get('schema')!r}, expected {' or '.join(map(str, READABLE))}")
    if lacks := [f.name for f in fields(Record) if f.default is f.default_factory is MISSING and f.name not in content]:
        raise ValueError(f"it lacks {', '.join(lacks)}")
    if more := content.keys() - {f.name for f in fields(Record)}:
        raise ValueError(f"a record has no {', '.join(sorted(more))}")
    record = Record(**content)
    form.check(record)
    _check_place(record, at)
    return record


def _check_place(record: Record, at: Place | None) -> None:
    """A record lies in the folders of its tier and key, under the name of its seed."""
    own = f"{record.tier}/{record.key}/seed{record.seed}.json"
    if at and str(at) != own:
        raise ValueError(f"it is the record {own}, but lies at {at}")


class Entry(NamedTuple):
    """What was read of a file: when, its sum, why it is no record (else empty), and all but its curves and images as JSON."""

    stamp: str
    sha256: str
    fault: str
    head: str


class Later(Mapping):
    """The curves or images of a record, read from its file when they are first asked for."""

    def __init__(self, path: str, name: str):
        self.path, self.name = path, name

    @cached_property
    def values_(self) -> dict:
        return getattr(read(Path(self.path)), self.name)

    def __bool__(self) -> bool:         # what is empty is not put off
        return True

    def __getitem__(self, name: str):
        return self.values_[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)


def read_records(tier: str | None = None, keys: Collection[str] | None = None) -> list[Record]:
    """All records, or those of one tier, or of these trainings, in the order of their paths. What is not to be believed, or is
    listed and gone, is left out with a `LeftOut` warning."""
    good: list[Record] = []
    shared: dict[str, dict] = {}
    for path, at, entry in _counting(tier, keys):
        content = json.loads(entry.head)
        spec = shared.setdefault(at.folder, content["spec"])        # equal, since its hash is the key
        later = {name: Later(path, name) for name in LATER if name not in content}
        good.append(Record(**{**content, "spec": spec, **later}))
    return good


def seeds() -> dict[tuple[str, str], list[int]]:
    """(tier, key) -> the seeds on record; nothing else is read. Left out is what `read_records` leaves out."""
    by_training: dict[tuple[str, str], list[int]] = {}
    for _, at, _ in _counting():
        tier, key = at.folder.split("/")
        by_training.setdefault((tier, key), []).append(seed_of(at.name))
    return {training: sorted(numbers) for training, numbers in by_training.items()}


def _counting(tier: str | None = None, keys: Collection[str] | None = None) -> Iterator[tuple[str, Place, Entry]]:
    """The files that count; a warning for each of the others."""
    found = _files(tier, keys)
    listed = {runs.absolute(): manifest.listed(runs) for runs in paths.all_runs()}
    for path, entry in _entries(found).items():
        at = found[path][0]
        if fault := entry.fault or manifest.fault(at, entry.sha256, listed[at.runs]):
            what = "is not a valid record" if entry.fault else "does not count"
            warnings.warn(LeftOut(f"{path} {what}: {fault}"), stacklevel=3)
        else:
            yield path, at, entry
    for text in _gone(found, tier, keys):
        warnings.warn(LeftOut(text), stacklevel=3)


def seed_of(name: str) -> int | None:
    """Of a record's file; None for a finding, and for what was set aside under another name."""
    number = name.removeprefix("seed").removesuffix(".json")
    return int(number) if number.isdecimal() and name == f"seed{int(number)}.json" else None


def _files(tier: str | None = None, keys: Collection[str] | None = None) -> dict[str, tuple[Place, os.DirEntry]]:
    """The files of records, in the order of their paths; of two with one name that in the earlier folder."""
    chosen: dict[str, tuple[Place, os.DirEntry]] = {}
    for runs in (folder.absolute() for folder in reversed(paths.all_runs())):
        for t in [tier] if tier else recipes.TIERS:
            for folder in _listdir(runs / t):
                if (keys is None or folder.name in keys) and folder.is_dir():
                    for file in _listdir(folder.path):
                        if seed_of(file.name) is not None:
                            at = Place(runs, f"{t}/{folder.name}", file.name)
                            chosen[str(at)] = at, file
    return {chosen[name][1].path: chosen[name] for name in sorted(chosen)}


def _listdir(folder: Path | str) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _gone(found: Collection[str], tier: str | None, keys: Collection[str] | None) -> Iterator[str]:
    """What the manifests list and is not there, and what is wrong with them."""
    for runs in paths.all_runs():
        listed = manifest.listed(runs)
        yield from listed.faults
        for folder, names in listed.sums.items():
            t, key = folder.split("/")
            if tier in (None, t) and (keys is None or key in keys):
                for name in names:
                    if seed_of(name) is not None and f"{runs.absolute()}/{folder}/{name}" not in found:
                        yield manifest.gone(runs / folder / name, runs)


_KNOWN: dict[str, Entry] = {}           # by path; what this process has read, and what the index had
_LOADED: set[Path] = set()


def _entries(found: Mapping[str, tuple[Place, os.DirEntry]]) -> dict[str, Entry]:
    """What is known of these files; those that are new or have changed are read."""
    _load_index(paths.index())
    entries, changed = {}, False
    for path, (at, file) in found.items():
        stamp, entry = _stamp(file), _KNOWN.get(path)
        if entry is None or not stamp or entry.stamp != stamp:
            _KNOWN[path] = entry = _read_entry(Path(path), at, stamp)
            changed = True
        entries[path] = entry
    if changed:
        _save_index(paths.index())
    return entries


def _stamp(file: os.DirEntry) -> str:
    """Changes whenever the file does; empty where that can't be told: it can't be looked at, or it is younger than its clock's
    tick may be."""
    try:
        s = file.stat()
    except OSError:
        return ""
    young = time.time_ns() - max(s.st_mtime_ns, s.st_ctime_ns) < 10**8
    return "" if young else f"{s.st_size}.{s.st_mtime_ns}.{s.st_ctime_ns}.{s.st_ino}"


def _read_entry(path: Path, at: Place, stamp: str) -> Entry:
    try:
        content = files.load(path)
        record = _checked(content.values, at)
        head = {name: value for name, value in vars(record).items() if name not in LATER or not value}
        return Entry(stamp, content.sha256, "", json.dumps(head, allow_nan=False))
    except WRONG as error:
        return Entry(stamp, "", f"{said(error)}; {THEN}", "{}")


def _version() -> str:
    """Of what checks a record: an index of another is none."""
    sources = (*Path(__file__).parent.glob("*.py"), *(Path(module.__file__) for module in (files, recipes, studies_runs)))
    return sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()


def _seal(text: str) -> str:
    """First line of an index that holds this: of another version, or changed since it was written, it does not fit."""
    return f"{_version()} {sha256(text.encode()).hexdigest()}"


def _load_index(file: Path) -> None:
    if file in _LOADED:
        return
    _LOADED.add(file)
    try:
        seal, _, text = files.read(file, LARGEST).decode().partition("\n")
        if seal == _seal(text):
            for line in filter(None, text.split("\n")):
                path, *fields = line.split("\t")
                _KNOWN.setdefault(path, Entry(*fields))
    except (OSError, ValueError, TypeError):
        return                                      # none, or damaged: it is made anew


def _save_index(file: Path) -> None:
    """Where there is a build folder; elsewhere the next process reads the records again."""
    here = tuple(f"{runs.absolute()}{os.sep}" for runs in paths.all_runs())
    text = "\n".join([f"{path}\t" + "\t".join(entry) for path, entry in _KNOWN.items() if path.startswith(here) and entry.stamp])
    if file.parent.is_dir():
        with suppress(FMError):
            files.put(file, f"{_seal(text)}\n{text}".encode())
