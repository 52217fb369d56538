"""Is everything on record what was added, and nothing else? Every byte is read again. No torch here."""

import os
from collections import defaultdict
from collections.abc import Iterator
from json import dumps
from pathlib import Path
from typing import NamedTuple

from .. import paths, studies
from ..errors import FMError
from ..recipes import TIERS
from . import findings, manifest, reading
from .record import Record

PASSING = (".lock", ".tmp")             # of a process under way, or one that was killed


class Checked(NamedTuple):
    """How many files were read, what is wrong, and which lines of the manifest were added or dropped."""

    files: int
    faults: list[str]
    added: list[str]
    dropped: list[str]


def fsck(add: bool = False, drop: bool = False) -> Checked:
    """Check all folders of records. ``add`` lists what is good and not listed yet, ``drop`` takes out the lines of files that are
    gone; both in the folder where records are written."""
    runs = paths.runs()
    added = {str(at): sha for at, sha in _unlisted(runs)} if add else {}
    dropped = {name: None for name in _gone(runs)} if drop else {}
    if added or dropped:
        manifest.change(runs, added | dropped)
    faults, records, count = [], {}, 0
    for folder in paths.all_runs():
        faults += [*manifest.listed(folder).faults, *(manifest.gone(folder / name, folder) for name in _gone(folder))]
        for path in _files(folder):
            count += 1
            try:
                found = _check(path)
            except FMError as error:
                faults.append(str(error).removesuffix("."))
                continue
            if isinstance(found, Record):
                records[path] = found
    return Checked(count, [*faults, *_orphans(records), *_twins(records)], [*added], [*dropped])


def _files(runs: Path) -> list[Path]:
    found = (Path(folder, name) for folder, _, names in os.walk(runs) for name in names if not name.endswith(PASSING))
    return sorted(path for path in found if path != runs / manifest.NAME)


def _check(path: Path) -> Record | findings.Finding:
    at = manifest.place(path)
    if at is None or at.folder.partition("/")[0] not in TIERS:
        raise FMError(f"{path} lies in no folder of a tier and a training: move it away.")
    if reading.seed_of(path.name) is not None:
        return reading.read(path)
    found = findings.check(path)
    if path.name != f"{found.kind}.{found.name}.json":
        raise FMError(f"{path} is the finding {found.kind}.{found.name}.json under another name: move it away.")
    return found


def _unlisted(runs: Path) -> Iterator[tuple[manifest.Place, str]]:
    """Files that are good, but for not being listed, and their sums."""
    for path in _files(runs):
        at = manifest.place(path)
        if at and at.kept and at.name not in manifest.listed(runs).sums.get(at.folder, {}):
            with manifest.unlisted():
                try:
                    _check(path)
                except FMError:
                    continue            # named afterwards, as all that is wrong
            yield at, manifest.sum_of(path)


def _gone(runs: Path) -> list[str]:
    """What is listed and no file."""
    return [f"{folder}/{name}" for folder, names in manifest.listed(runs).sums.items() for name in names
            if not os.path.lexists(runs / folder / name) or (runs / folder / name).is_dir()]


def _orphans(records: dict[Path, Record]) -> list[str]:
    """Records that no cell asks for."""
    cells, tiers = studies.load_cells().values(), {r.tier for r in records.values()}
    keys = {(tier, cell.run(tier, 0).key) for tier in tiers for cell in cells}
    return [f"{path} answers no cell: name it in a study, or move it away"
            for path, r in records.items() if (r.tier, r.key) not in keys]


def _twins(records: dict[Path, Record]) -> list[str]:
    """Records that two seeds can't have: equal weights, or equal curves."""
    faults = []
    for what, of in (("weights", lambda r: r.weights), ("curves", lambda r: dumps(r.curves))):
        same = defaultdict(list)
        for path, record in records.items():
            same[of(record)].append(path)
        faults += [f"{' and '.join(map(str, twins))} have equal {what}: at most one of them is what it says"
                   for twins in same.values() if len(twins) > 1]
    return faults
