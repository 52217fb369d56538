"""Run a command on a GPU that nobody else here has: `gpu.py GPUS PACK command ...`. One lock for each of the PACK places on a
GPU, held by the command itself until it is gone, however it ends. Of the GPUs that CUDA_VISIBLE_DEVICES names, if it does. A GPU
that SLURM gave to this job alone needs no lock, and has none: each job may call its own GPU 0."""

import fcntl
import os
import sys
import tempfile
import time
from pathlib import Path


def take(gpus: list[str], pack: int, every: float = 1.0) -> str:
    """The GPU of the first free place, emptiest GPU first; waits until there is one. The lock stays with this process."""
    while True:
        for place in range(pack):
            for gpu in gpus:
                path = Path(tempfile.gettempdir()) / f"fm-{os.getuid()}-gpu{gpu}-{place}.lock"
                lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(lock)
                else:
                    os.set_inheritable(lock, True)
                    return gpu
        time.sleep(every)


if __name__ == "__main__":
    count, pack, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    given = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if len(given) != 1 or "SLURM_JOB_ID" not in os.environ:
        os.environ["CUDA_VISIBLE_DEVICES"] = take((given or list(map(str, range(count))))[:count], pack)
    os.environ["FM_BESIDE"] = str(pack - 1)         # places for others: so many trainings at most share the GPU; into the record
    os.execvp(command[0], command)
