"""The grid on a real SLURM. Runs where `sbatch` finds a node with GPUs; they may be stand-ins that SLURM only counts, since the
trainings stay on the CPU."""

import shutil
import signal
import subprocess
import time

import pytest
from grids import FLOW, PAIR, command, environment, log

from featuremining import records, studies

SEEDS = range(6)
FAILS = f"{PAIR.split()[1]} 5"


def gpus() -> str:
    if not shutil.which("sbatch"):
        return ""
    return subprocess.run(["sinfo", "-h", "-o", "%G"], capture_output=True, text=True).stdout


pytestmark = pytest.mark.skipif("gpu" not in gpus(), reason="SLURM with GPUs is not here: no sbatch, or nodes without")


def jobs() -> dict[str, tuple[str, str]]:
    """Those that wait or run: number -> state and run."""
    lines = subprocess.run(["squeue", "-h", "-o", "%i|%T|%k"], capture_output=True, text=True, check=True).stdout.splitlines()
    return {number: (state, run) for number, state, run in (line.split("|") for line in lines)}


def until(what, seconds=400):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.5)
    return found


def job_with_checkpoint(folder):
    """(number, run) of a running job that could go on from an epoch."""
    begun = [f"{path.parent.name}_{path.stem.removeprefix('seed')}" for path in folder.rglob("checkpoints/**/seed?.pt")]
    return next(((number, run) for number, (state, run) in jobs().items()
                 if state == "RUNNING" and any(name in run for name in begun)), None)


def test_twelve_runs_through_cancelling_killing_and_failing(tmp_path):
    """A cancelled job is submitted again and goes on from its last epoch; the controller is killed and the same command goes on;
    what fails keeps its traceback and stops nothing. In the end there is one record of each run."""
    profile = ["--profile", str(FLOW / "profiles/slurm"), "--slurm-status-command", "squeue", "--slurm-no-account",
               "--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "2",
               "--default-resources", "mem_mb=1500", "runtime=60"]
    words = command(tmp_path, *profile, gpus=1, seeds="0-5")
    here = environment(tmp_path, REAL="1")
    with (tmp_path / "out").open("w") as out:
        controller = subprocess.Popen(words, env=here | {"FAILS": FAILS}, stdout=out, stderr=out)
        try:
            number, cancelled = until(lambda: job_with_checkpoint(tmp_path))
            assert sum(state == "RUNNING" for state, _ in jobs().values()) == 2       # one on each GPU
            subprocess.run(["scancel", number], check=True)
            until(lambda: any(run == cancelled and other != number for other, (_, run) in jobs().items()))
        finally:
            controller.send_signal(signal.SIGKILL)
            controller.wait()
    left = jobs()
    assert any(state == "RUNNING" for state, _ in left.values())            # they outlive it
    again = subprocess.run(words, env=here | {"FAILS": FAILS}, capture_output=True, text=True, timeout=2400)
    assert again.returncode != 0, again.stderr
    kept = log(tmp_path, *FAILS.split()).read_text(encoding="utf-8")
    assert "Traceback" in kept and "RuntimeError: on purpose" in kept
    found = {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*.json")}
    assert len(found) == 11
    last = subprocess.run(words, env=here, capture_output=True, text=True, timeout=600)
    assert last.returncode == 0, last.stderr
    assert all(path.read_bytes() == content for path, content in found.items())       # nothing was trained twice
    made = [records.read(path) for path in (tmp_path / "runs").rglob("*.json")]
    assert {r.id for r in made} == {studies.cell(cell).run("smoke", seed).id for cell in PAIR.split() for seed in SEEDS}
    assert len(made) == 12 == len({r.weights for r in made})
    assert {f"{r.key}_{r.seed}" for r in made if r.provenance["resumed"]} == {
        f"{r.key}_{r.seed}" for r in made if f"{r.key}_{r.seed}" in cancelled}
    assert not jobs()
