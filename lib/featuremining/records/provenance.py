"""Where a number comes from: code, versions, device."""

import os
import platform
import resource
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

from .. import paths

WATCHED = ("lib", "data/studies", "notebooks", "pyproject.toml")        # what can change a result


def git(*words: str) -> str | None:
    """Output of a git command in the checkout, whose top level is the project's; None outside of one, even where another
    repository lies around it or git's variables name one. Named outright, a checkout of another user, as in a container, is no
    "dubious ownership" to git."""
    ours = ["git", "-C", str(paths.ROOT), "--git-dir", ".git", "--work-tree", "."]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        return subprocess.run([*ours, *words], capture_output=True, check=True, env=plain, encoding="utf-8",
                              errors="replace").stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def commit() -> dict:
    """The commit, and whether code or studies differ from it."""
    changed = git("status", "--porcelain", "--", *WATCHED)
    return {"commit": git("rev-parse", "HEAD"), "dirty": bool(changed) if changed is not None else None}


def versions() -> dict:
    """Versions of what computes; torch's own word names its CUDA too."""
    import torch

    packages = {"python": platform.python_version(), "torch": str(torch.__version__)}
    for name in ("featuremining", "torchvision", "timm", "numpy"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    return packages | ({"cudnn": str(torch.backends.cudnn.version())} if torch.cuda.is_available() else {})


def processor() -> str:
    """The CPU's own name."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def device_name(device) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor()


def environment(device) -> dict:
    """Code, versions and machine of this process."""
    import torch

    return {**commit(), "versions": versions(), "device": device_name(device), "threads": torch.get_num_threads(),
            "deterministic": torch.are_deterministic_algorithms_enabled()}


def peak_memory_mib(device) -> int:
    """Of the allocator on a GPU since it was reset; on a CPU of the whole process so far. In MiB."""
    import torch

    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20)
    unit = 1 if sys.platform == "darwin" else 2**10         # macOS counts bytes, Linux KiB
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)
