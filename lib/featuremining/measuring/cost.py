"""What a training step costs: operations, memory and time, of any callable. Counts are exact, times need a quiet machine."""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from statistics import median

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

Work = Callable[[], object]


class _Operations(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation.namespace == "aten" and not operation.is_view:
            self.seen[str(operation)] += 1
        return operation(*args, **(kwargs or {}))


def operations(work: Work) -> Counter:
    """ATen operations that ``work`` carries out, views left out, each with how often: what a GPU has to launch."""
    with _Operations() as mode:
        work()
    return mode.seen


def multiply_adds(work: Work) -> int:
    """Of the convolutions and matrix products that ``work`` carries out.

    >>> a, b = torch.ones(2, 3), torch.ones(3, 5)
    >>> multiply_adds(lambda: a @ b)
    30
    """
    with FlopCounterMode(display=False) as counted:
        work()
    return counted.get_total_flops() // 2


def peak_memory(work: Work, device: torch.device) -> int:
    """Bytes that ``work`` has allocated on top of what was there, at its peak."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    events = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def seconds(work: Work, device: torch.device, clock: Callable[[], float] = time.perf_counter) -> float:
    """Wall time of one call, the device's work included; with another ``clock`` what that counts."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - began


def side_by_side(works: Mapping[str, Work], device: torch.device, rounds: int = 15, warm: int = 3,
                 clock: Callable[[], float] = time.perf_counter) -> dict[str, list[float]]:
    """Seconds of every call of several works that take turns, each round in another order: a machine's drift hits all alike, and
    so does what one work leaves to the next, such as memory that has to be had anew after a large one."""
    names = list(works)
    for name in names * warm:
        works[name]()
    took: dict[str, list[float]] = {name: [] for name in names}
    draw = random.Random(0)
    for _ in range(rounds):
        for name in draw.sample(names, len(names)):
            took[name].append(seconds(works[name], device, clock))
    return took


def ratio(took: Mapping[str, list[float]], name: str, other: str) -> tuple[float, float, float]:
    """Median, lower and upper quartile of one work's time over another's, round by round."""
    ratios = sorted(a / b for a, b in zip(took[name], took[other], strict=True))
    return median(ratios), ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
