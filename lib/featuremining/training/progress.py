"""What one sees of a training: a bar with the time that is left in a terminal, elsewhere a line per epoch, and one a minute in
long ones."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

BESIDE = 36         # columns for the bar, epoch, accuracy and time beside a title; a terminal of fewer, and below 80, gets lines
MINUTE = 60.0           # seconds between two lines, where an epoch takes longer


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
        self.began = self.said = time.monotonic()
        self.bar = None
        if silent:
            return
        if alone and sys.stdout.isatty() and Console(file=sys.stdout).width >= min(80, len(title) + BESIDE):
            self.bar = Progress(TextColumn("{task.description}"), BarColumn(bar_width=None), TextColumn("{task.fields[epoch]}"),
                                TextColumn("{task.fields[tested]}"), TextColumn("{task.fields[left]}"),
                                console=Console(file=sys.stdout), expand=True)
            self.task = self.bar.add_task(title, total=epochs * steps, completed=done * steps,
                                          epoch=f"{done}/{epochs}", tested="", left="")
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
            self.bar.update(self.task, completed=epoch * self.steps + step, left=f"{clock(self.left(epoch, step))} left")
        elif not self.silent and time.monotonic() - self.said > MINUTE:
            self.say(f"after {epoch} epochs and {step} of {self.steps} steps", epoch, step)

    def epoch(self, epoch: int, row: dict) -> None:
        """``row`` holds this epoch's means; epoch counts from 0."""
        value = row.get("test_acc", row.get("test_map"))        # neither where an epoch is not tested
        if self.silent:
            return
        if self.bar:
            tested = {} if value is None else {"tested": f"{value:.2f} %"}
            self.bar.update(self.task, epoch=f"{epoch + 1}/{self.epochs}", **tested)
        else:
            text = f"epoch {epoch + 1}/{self.epochs}  loss {row['loss']:.3f}" + ("" if value is None else f"  test {value:.2f} %")
            self.say(text, epoch + 1, 0)

    def say(self, text: str, epoch: int, step: int) -> None:
        who = "" if self.alone else f"{self.title}: "
        self.said = time.monotonic()
        print(f"{who}{text}  {clock(self.left(epoch, step))} left", flush=True)

    def close(self) -> None:
        if self.bar:
            self.bar.stop()
