"""A minute of random kills over all methods; `make chaos` takes twenty."""

import subprocess
import sys

from featuremining import paths


def test_a_minute_of_random_kills():
    """Every training that was killed ends with the record, bit for bit, of one that nothing disturbed. The seed is printed."""
    result = subprocess.run([sys.executable, str(paths.ROOT / "tests/chaos.py"), "1"], capture_output=True, text=True)
    print(result.stdout)
    assert result.returncode == 0 and "bit for bit what it was" in result.stdout, result.stdout + result.stderr[-3000:]
    assert " 0 kills" not in result.stdout
