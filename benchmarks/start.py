"""How long one waits for the first step of ``fm run``, and for ``fm status`` with a thousand records."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import Row, main, synthetic_records

FM = [sys.executable, "-m", "featuremining"]
ROUNDS = 5


def first_step(folder: Path) -> float:
    """Seconds from the command to the line that says the first step is about to be taken."""
    began = time.perf_counter()
    with subprocess.Popen([*FM, "run", "T1.resnet56.fm2", "--tier", "smoke", "--device", "cpu"], stdout=subprocess.PIPE,
                          text=True, env={**os.environ, "FM_RUNS_DIR": str(folder), "FM_BUILD_DIR": str(folder)}) as process:
        for line in process.stdout:
            if "epochs of" in line:
                took = time.perf_counter() - began
                process.kill()
    return took


def torch_alone() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.perf_counter() - began


def status(folder: Path) -> float:
    began = time.perf_counter()
    subprocess.run([*FM, "status"], stdout=subprocess.DEVNULL, check=True, env={**os.environ, "FM_RUNS_DIR": str(folder)})
    return time.perf_counter() - began


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        starts = sorted(first_step(folder / "start") for _ in range(ROUNDS))
        imports = sorted(torch_alone() for _ in range(ROUNDS))
        synthetic_records(folder / "many", 1000)
        looks = sorted(status(folder / "many") for _ in range(ROUNDS))
    return [Row("start", "fm run, to its first step", starts[ROUNDS // 2], "s", starts[0], starts[-1], "<= 5"),
            Row("start", "import torch alone", imports[ROUNDS // 2], "s", imports[0], imports[-1]),
            Row("start", "fm status with 1,000 records of 300 epochs", looks[ROUNDS // 2], "s", looks[0], looks[-1], "<= 1")]


if __name__ == "__main__":
    main(measure)
