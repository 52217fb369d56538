"""How long one waits for the first step of ``fm run``, and for ``fm status`` with a thousand records."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import Row, main

from featuremining import load_cells, paths

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


def thousand_records(folder: Path) -> None:
    """Copies of the committed records as full-tier ones of 300 epochs: four for every listed cell, the rest under other keys."""
    found = sorted(paths.runs().glob("*/*/seed*.json"))
    keys = list(dict.fromkeys(cell.run("full", 0).key for cell in load_cells().values()))
    for i in range(1000):
        content = json.loads(found[i % len(found)].read_text())
        content["curves"] = {name: (values * 300)[:300] for name, values in content["curves"].items()}
        key = (keys + [f"{content['key'][:-8]}{j:08x}" for j in range(250)])[i // 4]
        content["key"], content["spec"]["tier"] = key, "full"
        target = folder / "full" / key / f"seed{i % 4}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps({**content, "seed": i % 4}))


def status(folder: Path) -> float:
    began = time.perf_counter()
    subprocess.run([*FM, "status"], stdout=subprocess.DEVNULL, check=True, env={**os.environ, "FM_RUNS_DIR": str(folder)})
    return time.perf_counter() - began


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        starts = sorted(first_step(folder / "start") for _ in range(ROUNDS))
        imports = sorted(torch_alone() for _ in range(ROUNDS))
        thousand_records(folder / "many")
        looks = sorted(status(folder / "many") for _ in range(ROUNDS))
    return [Row("start", "fm run, to its first step", starts[ROUNDS // 2], "s", starts[0], starts[-1], "<= 5"),
            Row("start", "import torch alone", imports[ROUNDS // 2], "s", imports[0], imports[-1]),
            Row("start", "fm status with 1,000 records of 300 epochs", looks[ROUNDS // 2], "s", looks[0], looks[-1], "<= 1")]


if __name__ == "__main__":
    main(measure)
