"""Findings: what was measured of a trained network, or of its training, beside its record: cost, class activation, activations.

One small JSON per finding, ``<kind>.<name>.json`` in the folder of the training's records; ``name`` says what the finding
depends on besides the training: a seed, a device. No torch here.
"""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from .. import files, paths
from ..errors import FMError, said
from ..recipes import TIERS
from ..studies import Run
from . import kinds, manifest
from .left_out import LeftOut
from .reading import WRONG

SCHEMA = 1
COST = "cost"                       # the kind of what `measuring.iterations` measures
CONSTRUCTION = "construction"       # and of what `measuring.construction` compares


@dataclass(frozen=True)
class Finding:
    """``values`` are plain JSON; ``provenance`` says on which machine, commit and weights they were measured."""

    schema: int
    kind: str
    name: str
    key: str            # of the training
    tier: str
    values: dict
    provenance: dict


@files.closed
class Form(TypedDict):
    """The fields of a `Finding`."""

    schema: Literal[1]
    kind: str
    name: str
    key: str
    tier: Literal[TIERS]        # type: ignore[valid-type]
    values: dict[str, Any]
    provenance: dict[str, Any]


FORM = TypeAdapter(Form)


def path(kind: str, run: Run, name: str) -> Path:
    """Where a finding of this training lies, else where it is to be written."""
    return paths.beside_records(run.tier, run.key, f"{kind}.{name}.json")


def write(kind: str, run: Run, name: str, values: dict, provenance: dict) -> Finding:
    """Write the finding; an older one of the same name is replaced: unlike a training, a measurement can be had again."""
    finding, target = Finding(SCHEMA, kind, name, run.key, run.tier, values, provenance), path(kind, run, name)
    data = (json.dumps(asdict(finding), indent=1, allow_nan=False) + "\n").encode()
    files.put(target, data, before=lambda: manifest.add(target, data))
    return finding


def read(kind: str, run: Run) -> list[Finding]:
    """All findings of a kind of this training, in the order of their names. What was set aside under another name is none; what
    is not to be believed, or is listed and gone, is left out with a `LeftOut` warning."""
    good, folder = {}, f"{run.tier}/{run.key}"
    there = {file.name: file for runs in reversed(paths.all_runs()) for file in (runs / folder).glob(f"{kind}.*.json")}
    for name in sorted(there):
        try:
            good[name] = check(there[name])
        except FMError as error:
            warnings.warn(LeftOut(str(error).removesuffix(".")), stacklevel=2)
    for runs in paths.all_runs():
        for name in manifest.listed(runs).sums.get(folder, ()):
            if fnmatchcase(name, f"{kind}.*.json") and name not in there:
                warnings.warn(LeftOut(manifest.gone(runs / folder / name, runs)), stacklevel=2)
    return [finding for name, finding in good.items() if name == f"{finding.kind}.{finding.name}.json"]


def check(file: Path) -> Finding:
    """The finding in a file; one that is damaged, foreign, misplaced or not the one that was added raises an `FMError`."""
    at = manifest.place(file)
    try:
        content = files.load(file)
        files.fits(FORM, content.values)
        json.dumps(content.values, allow_nan=False)
        finding = Finding(**content.values)
        for part in ("values", "provenance"):
            if asked := kinds.form_of(finding.kind, part):
                with _within(part):
                    files.fits(asked, content.values[part])
        if at and at.folder != f"{finding.tier}/{finding.key}":
            raise ValueError(f"it is of {finding.tier}/{finding.key}, but lies at {at}")
    except WRONG as error:
        raise FMError(f"{file} is not a valid finding ({said(error)}): move it away and measure again.") from None
    own = file.name == f"{finding.kind}.{finding.name}.json"       # else it was set aside
    if own and (fault := manifest.fault(at, content.sha256)):
        raise FMError(f"{file} does not count: {fault}.")
    return finding


@contextmanager
def _within(part: str) -> Iterator[None]:
    """A `ValueError` inside is of this part."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{part}.{error}") from None
