"""How long one waits for the first step of ``fm run``, and for what ten thousand records say."""

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


COMMANDS = {"fm status": 1.5, "fm verdict T1.resnet56.fm2": 1.5, "fm plan --budget 40h": 3.0}       # and their goals in seconds


def asked(command: str, folder: Path) -> tuple[float, float]:
    """Seconds of a command and the GiB that it takes at most."""
    began = time.perf_counter()
    process = subprocess.Popen([*FM, *command.split()[1:]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env={**os.environ, "FM_RUNS_DIR": str(folder / "runs"), "FM_BUILD_DIR": str(folder / "build")})
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{command} failed")
    return time.perf_counter() - began, used.ru_maxrss / 2**20


def with_records(n: int) -> list[Row]:
    """Commands that read the records. The first reads all of them; the others what it kept of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        synthetic_records(folder / "runs", n)
        (folder / "build").mkdir()
        rows = [Row("start", f"fm status with {n:,} records, never read before", asked("fm status", folder)[0], "s")]
        for command, goal in COMMANDS.items():
            took, sizes = zip(*(asked(command, folder) for _ in range(ROUNDS)), strict=True)
            took = sorted(took)
            rows += [Row("start", f"{command} with {n:,} records", took[ROUNDS // 2], "s", took[0], took[-1], f"<= {goal}"),
                     Row("start", f"{command} with {n:,} records, memory", max(sizes), "GiB", goal="<= 0.3")]
    return rows


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        starts = sorted(first_step(Path(name) / "start") for _ in range(ROUNDS))
        imports = sorted(torch_alone() for _ in range(ROUNDS))
    return [Row("start", "fm run, to its first step", starts[ROUNDS // 2], "s", starts[0], starts[-1], "<= 5"),
            Row("start", "import torch alone", imports[ROUNDS // 2], "s", imports[0], imports[-1]), *with_records(10_000)]


if __name__ == "__main__":
    main(measure)
