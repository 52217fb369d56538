"""``make bench``: every benchmark, each in its own process, one after the other. Leave the machine alone meanwhile."""

import subprocess
import sys
from pathlib import Path

import torch

FILES = ["error_rates", "loop", "augmentation", "methods", "roots", "tiers", "start", "book",
         *(["gpu"] if torch.cuda.is_available() else [])]


def run_all() -> int:
    here, failed = Path(__file__).parent, 0
    for name in FILES:
        failed |= subprocess.run([sys.executable, str(here / f"{name}.py")]).returncode
    if "gpu" not in FILES:
        print("gpu: not measured, there is none here")
    return failed


if __name__ == "__main__":
    sys.exit(run_all())
