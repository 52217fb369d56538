"""How long the book takes from its records, and with a thousand records more."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import Row, main, synthetic_records

from featuremining import paths

ROUNDS = 2
MORE = 1000


def build(records: Path) -> float:
    """Seconds of a whole build. Its pages lie in a folder that the next build writes anew; what is made of them goes to a
    scratch folder."""
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        subprocess.run([sys.executable, str(paths.ROOT / "book" / "build.py"), out], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, env={**os.environ, "FM_RUNS_DIR": str(records)})
        return time.perf_counter() - began


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        many = Path(name) / "runs"
        synthetic_records(many, MORE)
        shutil.copytree(paths.runs(), many, dirs_exist_ok=True)
        pairs = [(build(many), build(paths.runs())) for _ in range(ROUNDS)]       # last as it is, so that its pages stay
    own, ratios = sorted(few for _, few in pairs), sorted(more / few for more, few in pairs)
    return [Row("book", "the book, from what is on record", sum(own) / ROUNDS, "s", own[0], own[-1], "<= 60",
                f"{os.cpu_count()} cores"),
            Row("book", f"with {MORE:,} records more, over that", sum(ratios) / ROUNDS, "×", ratios[0], ratios[-1], "<= 2")]


if __name__ == "__main__":
    main(measure)
