"""Where everything lives. No other file builds a path; three environment variables move what is big or temporary.

In a checkout all lies in it. An installed wheel brings the studies, records and benchmarks of its version along and only
reads them; what is trained then goes below the folder that one works in.
"""

import os
import sys
from pathlib import Path

from .errors import FMError, UsageError

ROOT = Path(__file__).resolve().parents[2]          # of a checkout
PACKED = Path(__file__).resolve().parent / "data"   # in a wheel (pyproject.toml: sources)


def _dir(variable: str, *default: str) -> Path:
    if os.environ.get(variable, "").strip():
        try:
            return Path(os.environ[variable]).expanduser()
        except RuntimeError as error:           # ~somebody who has no home
            raise FMError(f"{variable}={os.environ[variable]} can't be understood as a folder: {error}") from None
    return (Path.cwd() if PACKED.is_dir() else ROOT).joinpath(*default)


def raw() -> Path:
    """Data sets as their publishers lay them out: ``FM_DATA_DIR``, else ``data/raw``."""
    return _dir("FM_DATA_DIR", "data", "raw")


def runs() -> Path:
    """Where records are written, one JSON per training: ``FM_RUNS_DIR``, else ``data/runs``."""
    return _dir("FM_RUNS_DIR", "data", "runs")


def tell_missing_records() -> None:
    """Where FM_RUNS_DIR names no folder, nothing is on record, and that is worth a word."""
    if runs().is_file():
        raise UsageError(f"{runs()} is a file: FM_RUNS_DIR names the folder of records.")
    if not any(folder.exists() for folder in all_runs()):
        print(f"fm: {runs()} is not there, so nothing is on record in it (FM_RUNS_DIR names the place).", file=sys.stderr)


def advice(error: OSError) -> str:
    """Which variable moves the folder that something is wrong with, if it is one of ours."""
    at = Path(error.filename).absolute() if isinstance(error.filename, str) else None
    for variable, folder in (("FM_DATA_DIR", raw()), ("FM_RUNS_DIR", runs()), ("FM_BUILD_DIR", build())):
        if at and folder.absolute() in (at, *at.parents):
            return f" {variable} names another folder than {folder}."
    return ""


def all_runs() -> list[Path]:
    """Where records are read, what lies in an earlier folder first: `runs`, and what came with a wheel unless ``FM_RUNS_DIR``
    names the only folder."""
    packed = [PACKED / "runs"] if PACKED.is_dir() and not os.environ.get("FM_RUNS_DIR", "").strip() else []
    return [runs(), *packed]


def build() -> Path:
    """What can be made again (checkpoints, weights, executed notebooks): ``FM_BUILD_DIR``, else ``build``."""
    return _dir("FM_BUILD_DIR", "build")


def index() -> Path:
    """What was read of the records already (`records.reading`)."""
    return build() / "records.index"


def _shipped(name: str) -> Path:
    """What belongs to this version of the code."""
    return (PACKED if PACKED.is_dir() else ROOT / "data") / name


def studies() -> Path:
    """What the papers printed and said, a folder each."""
    folder = _shipped("studies")
    if not folder.is_dir():
        raise FMError(f"{folder} is missing: install a wheel of the project, or a checkout (`pip install -e .`).")
    return folder


def benchmarks() -> Path:
    """Measured costs, one JSON per device."""
    return _shipped("benchmarks")


def record(tier: str, key: str, seed: int) -> Path:
    """Of a training: where its record lies, else where it is to be written."""
    return beside_records(tier, key, f"seed{seed}.json")


def beside_records(tier: str, key: str, name: str) -> Path:
    """A file in the folder of a training's records: where it lies, else where it is to be written."""
    places = [folder / tier / key / name for folder in all_runs()]
    return next((path for path in places if path.exists()), places[0])


def checkpoint(tier: str, key: str, seed: int) -> Path:
    return build() / "checkpoints" / tier / key / f"seed{seed}.pt"


def weights(tier: str, key: str, seed: int) -> Path:
    """Of a network that was trained here."""
    return build() / "weights" / tier / key / f"seed{seed}.pt"


def published(tier: str, key: str, seed: int) -> Path:
    """Weights that come with the project, a card beside them."""
    return _shipped("weights") / tier / key / f"seed{seed}.safetensors"


def weights_at(name: str) -> Path:
    """A file of weights by its name: absolute, or relative to the build folder, where each training leaves its own; those of the
    same run that come with the project serve where it is not there."""
    here = build() / Path(name).expanduser()
    shipped = here if Path(name).is_absolute() else _shipped(name).with_suffix(".safetensors")
    return shipped if shipped.is_file() and not here.is_file() else here


def all_published() -> list[tuple[str, str, int]]:
    """(tier, key, seed) of each."""
    found = sorted(_shipped("weights").glob("*/*/seed*.safetensors"))
    return [(path.parents[1].name, path.parent.name, int(path.stem.removeprefix("seed"))) for path in found]
