"""Findings: what was measured of a trained network, or of its training, beside its record: cost, class activation, activations.

One small JSON per finding, ``<kind>.<name>.json`` in the folder of the training's records; ``name`` says what the finding
depends on besides the training: a seed, a device. No torch here.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from .. import paths
from ..studies import Run
from .record import parse, written

SCHEMA = 1
COST = "cost"           # the kind of what `measuring.iterations` measures


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


def path(kind: str, run: Run, name: str) -> Path:
    """Where a finding of this training lies, else where it is to be written."""
    return paths.beside_records(run.tier, run.key, f"{kind}.{name}.json")


def write(kind: str, run: Run, name: str, values: dict, provenance: dict) -> Finding:
    """Write the finding; an older one of the same name is replaced: unlike a training, a measurement can be had again."""
    finding, target = Finding(SCHEMA, kind, name, run.key, run.tier, values, provenance), path(kind, run, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(f".{os.getpid()}.tmp")
    with written(target, temporary):
        temporary.write_text(json.dumps(asdict(finding), indent=1) + "\n")
        os.replace(temporary, target)
    return finding


def read(kind: str, run: Run) -> list[Finding]:
    """All findings of a kind of this training, in the order of their names; what was set aside under another name is none."""
    folders = [runs / run.tier / run.key for runs in reversed(paths.all_runs())]
    files = {file.name: file for folder in folders for file in folder.glob(f"{kind}.*.json")}
    by_file = {name: check(files[name]) for name in sorted(files)}
    return [finding for name, finding in by_file.items() if name == f"{finding.kind}.{finding.name}.json"]


def check(file: Path) -> Finding:
    """The finding in a file; a damaged or foreign one raises an `FMError` that names it."""
    return parse(file, Finding, (SCHEMA,), "finding", "move it away and measure again")

