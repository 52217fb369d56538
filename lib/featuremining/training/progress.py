"""What one sees of a training: a bar with the time that is left in a terminal, one line per epoch elsewhere."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


def clock(seconds: float) -> str:
    """
    >>> clock(75), clock(3725)
    ('1:15', '1:02:05')
    """
    minutes, s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{s:02d}" if hours else f"{minutes}:{s:02d}"


class Report:
    """Follows one training of ``epochs`` epochs of ``steps`` steps, from ``done`` epochs on. ``alone`` it may draw a bar;
    ``silent`` it says nothing, as the second of several processes at one training."""

    def __init__(self, title: str, epochs: int, steps: int, done: int = 0, alone: bool = True, silent: bool = False):
        self.title, self.epochs, self.steps, self.first, self.alone, self.silent = title, epochs, steps, done, alone, silent
        self.began = time.monotonic()
        self.bar = None
        if silent:
            return
        if alone and sys.stdout.isatty():
            self.bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                                TextColumn("{task.fields[note]}"), console=Console(file=sys.stdout))
            self.task = self.bar.add_task(title, total=epochs * steps, completed=done * steps, note="")
            self.bar.start()
        else:
            begins = f"goes on after epoch {done} of {epochs}" if done else f"{epochs} epochs of {steps} steps"
            print(f"{title}: {begins}", flush=True)

    def left(self, epoch: int, step: int) -> float:
        """Seconds to the end at the mean speed since this process began; epoch and step count from 0."""
        did = (epoch - self.first) * self.steps + step
        return (time.monotonic() - self.began) / max(did, 1) * (self.epochs * self.steps - epoch * self.steps - step)

    def step(self, epoch: int, step: int) -> None:
        if self.bar:
            self.bar.update(self.task, completed=epoch * self.steps + step, note=f"{clock(self.left(epoch, step))} left")

    def epoch(self, epoch: int, row: dict) -> None:
        """``row`` holds this epoch's means; epoch counts from 0."""
        value = row.get("test_acc", row.get("test_map"))        # neither where an epoch is not tested
        tested = "" if value is None else f"  test {value:.2f} %"
        text = f"epoch {epoch + 1}/{self.epochs}  loss {row['loss']:.3f}{tested}"
        if self.silent:
            return
        if self.bar:
            self.bar.update(self.task, description=f"{self.title}  {text}")
        else:
            who = "" if self.alone else f"{self.title}: "
            print(f"{who}{text}  {clock(self.left(epoch + 1, 0))} left", flush=True)

    def close(self) -> None:
        if self.bar:
            self.bar.stop()
