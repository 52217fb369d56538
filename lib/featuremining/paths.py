"""Where everything lives. No other file builds a path; three environment variables move what is big or temporary."""

import os
from pathlib import Path

from .errors import FMError

ROOT = Path(__file__).resolve().parents[2]


def _dir(variable: str, default: Path) -> Path:
    return Path(os.environ[variable]).expanduser() if os.environ.get(variable) else default


def raw() -> Path:
    """Data sets as their publishers lay them out: ``FM_DATA_DIR``, else ``data/raw``."""
    return _dir("FM_DATA_DIR", ROOT / "data" / "raw")


def runs() -> Path:
    """Records, one JSON per training: ``FM_RUNS_DIR``, else ``data/runs``."""
    return _dir("FM_RUNS_DIR", ROOT / "data" / "runs")


def build() -> Path:
    """What can be made again (checkpoints, weights, executed notebooks): ``FM_BUILD_DIR``, else ``build``."""
    return _dir("FM_BUILD_DIR", ROOT / "build")


def studies() -> Path:
    """The published numbers, one TOML per family of experiments."""
    folder = ROOT / "data" / "studies"
    if not folder.is_dir():
        raise FMError(f"{folder} is missing: install from a checkout (`pip install -e .`), which holds the studies and records.")
    return folder


def ambiguities() -> Path:
    """What the paper leaves open."""
    return ROOT / "data" / "ambiguities.toml"


def audit() -> Path:
    """Test sets, slips of the paper's text, and accuracies of others."""
    return ROOT / "data" / "audit.toml"


def benchmarks() -> Path:
    """Measured costs, one JSON per device."""
    return ROOT / "data" / "benchmarks"


def record(tier: str, key: str, seed: int) -> Path:
    return runs() / tier / key / f"seed{seed}.json"


def checkpoint(tier: str, key: str, seed: int) -> Path:
    return build() / "checkpoints" / tier / key / f"seed{seed}.pt"


def weights(tier: str, key: str, seed: int) -> Path:
    return build() / "weights" / tier / key / f"seed{seed}.pt"
