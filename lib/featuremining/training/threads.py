"""How many threads a training on a CPU computes with: as many as are free, unless somebody says a number.

Threads wait for each other at every operation, so one more than there are idle cores makes a training several times slower. And
another number of threads adds sums in another order: results differ in their last digits from the first step on, and after some
epochs in their first. So the number is on record, and a training that goes on keeps that which it began with.
"""

import os
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch

from ..errors import UsageError

MOST = 1024         # threads; more only wait for each other
LOOK = 0.3          # seconds, to see how many cores are idle


def settle(wanted: int = 0, choose: bool = True) -> None:
    """``wanted`` threads from now on, in this process; 0: what ``FM_THREADS`` says, else what OMP_NUM_THREADS does, else, where
    one may ``choose``, what `chosen` gives, and torch's `own` number where not. `UsageError` for an ``FM_THREADS`` that is no
    number."""
    if wanted:
        os.environ["FM_THREADS"] = str(wanted)
    said = os.environ.get("FM_THREADS", "")
    if said:
        if not said.isascii() or not said.isdigit() or not 1 <= int(said[:9]) <= MOST:
            raise UsageError(f"FM_THREADS is a number of threads, 1 or more and at most {MOST}, got {said!r}.")
        torch.set_num_threads(int(said))
    elif choose and not named():
        own()
        torch.set_num_threads(chosen())
    elif not named() and chosen.cache_info().currsize:
        torch.set_num_threads(own())


@cache
def own() -> int:
    """Torch's own number, before another was chosen."""
    return torch.get_num_threads()


@cache
def chosen() -> int:
    """As many as there are idle cores when a process asks first, which is said; later trainings of it have the same number."""
    most, free = usable(), idle()
    number = max(1, min(most, int(free + 0.25)))
    print(f"{number} of {most} threads, as {free:.1f} cores are idle (--threads N or FM_THREADS=N: another number, whose results "
          "differ by rounding)", flush=True)
    return number


def named() -> bool:
    """Whether somebody said how many."""
    return bool(os.environ.get("FM_THREADS") or os.environ.get("OMP_NUM_THREADS"))


def keep(began_with: int) -> None:
    """Go on with the number of threads that a training began with, unless another was named."""
    if not named():
        torch.set_num_threads(began_with)


def usable() -> int:
    """The most threads that are of use: torch's own number, less where a process may use fewer cores (`taskset`, containers)."""
    cores = [torch.get_num_threads()]
    if hasattr(os, "sched_getaffinity"):
        cores.append(len(os.sched_getaffinity(0)))
    with suppress(OSError, ValueError):             # "200000 100000": microseconds in each so many; "max" where there is no limit
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8").split()
        cores.append(int(quota) // int(period))
    return max(1, min(cores))


def idle() -> float:
    """Cores that nobody uses at this moment; where the system doesn't say, all less the mean load of the last minute."""
    try:
        before = _ticks()
        time.sleep(LOOK)
        waiting, passed = (b - a for a, b in zip(before, _ticks(), strict=True))
        return waiting / max(passed, 1) * os.cpu_count()
    except (OSError, ValueError):
        return max(0.0, os.cpu_count() - (os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0))


def _ticks() -> tuple[int, int]:
    """Of all cores together since the start: without work, and altogether."""
    with open("/proc/stat", encoding="utf-8") as file:
        numbers = [int(word) for word in file.readline().split()[1:9]]
    return sum(numbers[3:5]), sum(numbers)
