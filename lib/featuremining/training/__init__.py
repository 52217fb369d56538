"""How it is trained. In comes a run, out goes its record and the weights, whatever kills the process on the way; devices,
engines, processes and checkpoints are this room's alone. What a method does to a step does not belong here, nor does what is
measured of a trained network."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from .. import paths

TASKS = {"classification": "loop", "detection": "detection"}       # what a cell asks for -> the module that trains it


def train_all(runs, device: str = "auto", engine: str = "auto", threads: int = 0, **settings):
    """The records of these trainings, all of one task; what is missing is trained first. Torch is imported on demand.

    ``wait``: where another process is at one of them, wait for it, and go on if it has left no record. ``threads`` as
    `threads.settle` says.
    """
    if not all(paths.record(run.tier, run.key, run.seed).exists() for run in runs):
        on_gpu = import_module(".engine", __name__).pick_device(device).type == "cuda"
        import_module(".threads", __name__).settle(threads, choose=not on_gpu)
    return import_module(f".{TASKS[runs[0].task]}", __name__).train_all(runs, device, engine, **settings)


def train_each(runs, device: str = "auto") -> list:
    """`train_all` of one run after another, of whatever task; waits for another process that is at one of them."""
    return [train_all([run], device, wait=True)[0] for run in runs]


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """What a cluster or a closed terminal sends stops a run as Ctrl-C does, unless it is ignored, as under nohup."""
    def stop(number, _):
        raise KeyboardInterrupt(number)

    sent = [s for s in map(signal.Signals.__members__.get, ("SIGTERM", "SIGHUP")) if s and signal.getsignal(s) == signal.SIG_DFL]
    for number in sent:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in sent:
            signal.signal(number, signal.SIG_DFL)
