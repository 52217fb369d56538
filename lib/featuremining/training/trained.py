"""Networks that were trained: read back for their runs, held against their records image by image, published."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from .. import paths, records
from ..datasets import load
from ..errors import FMError, UsageError
from ..models import build, weights
from ..records import provenance
from ..studies import Run, cell
from .engine import deterministic, pick_device
from .evaluation import evaluate

ROUNDED = 0.005         # share of the test images that another device's rounding may turn


def file_of(run: Run) -> Path | None:
    """Where the weights of a run lie: of a training here, else those that are published; None where neither is at hand."""
    at = (run.tier, run.key, run.seed)
    return next((path for path in (paths.weights(*at), paths.published(*at)) if path.is_file()), None)


def weights_of(run: Run) -> dict[str, torch.Tensor]:
    """The weights of a finished run, on the CPU; an `FMError` where they are not at hand, damaged, or not those of its record."""
    path, record = file_of(run), paths.record(run.tier, run.key, run.seed)
    then = f"move {record} away and train it here, then they are kept"
    if not (path and record.exists()):
        raise FMError(f"There are no weights of {run.id}: {then}.")
    try:
        state = weights.read(path)
    except (ValueError, OSError) as error:
        raise FMError(f"{path} can't be used ({error}): {then}.") from None
    if weights.digest(state) != records.read(record).weights:
        raise FMError(f"{path} are not the weights that {run.id} recorded: {then}.")
    return state


def network(run: Run) -> nn.Module:
    """The network of a finished classification, on the CPU, in evaluation mode; errors as `weights_of`."""
    state = weights_of(run)
    with torch.random.fork_rng(devices=[]):
        model = build(run.network, weights.classes_of(state), **run.options)
    model.load_state_dict(state)
    return model.eval()


def load_pretrained(id_: str, seed: int = 0, tier: str = "full") -> nn.Module:
    """The trained network of a cell, on the CPU and in evaluation mode; no data set is needed.

    Images are (B, 3, H, W), normalised as the run's data set is (`datasets.augment.normalise`). `UsageError` for no such cell or
    one that trains no classifier, `FMError` where no weights are at hand: ``data/weights`` lists those that are published.
    """
    run = cell(id_).runnable(tier, seed)
    _classifies(run)
    return network(run)


def _classifies(run: Run) -> None:
    if run.task != "classification":
        raise UsageError(f"{run.title} is no classification, so no images of it are right or wrong.")


class Check(NamedTuple):
    """Which test images a network has right (n,) now, and which it had when it was recorded; None: only their number is known."""

    run: Run                    # whose network it is
    record: records.Record      # of the run
    now: np.ndarray             # (n,) bool, in the order of the data set
    then: np.ndarray | None     # the same of the record's last epoch; None where it is older than schema 2
    here: str                   # the device

    @property
    def recorded(self) -> int:
        """How many images the record has right in its last epoch."""
        return round(self.record.value("last") * len(self.now) / 100) if self.then is None else int(self.then.sum())

    @property
    def differing(self) -> list[int]:
        """Positions in the test set of images that are right in one of the two."""
        return [] if self.then is None else np.flatnonzero(self.now != self.then).tolist()

    @property
    def same(self) -> bool:
        """Whether it has right what it had, image by image where that is known."""
        return int(self.now.sum()) == self.recorded and not self.differing

    @property
    def close(self) -> bool:
        """Whether so few images differ, on another device, that its rounding may be why (`ROUNDED`)."""
        off = len(self.differing) or abs(int(self.now.sum()) - self.recorded)
        return bool(self.elsewhere) and off <= ROUNDED * len(self.now)

    @property
    def elsewhere(self) -> str:
        """The device of the record, where it is of another name; arithmetic may round otherwise there."""
        there = self.record.environments[-1]["device"]
        return "" if there == self.here else there


def check(run: Run, device: str = "auto") -> Check:
    """Test the network of a finished run again, in its precision. `FMError` where weights or data are not those of the record."""
    _classifies(run)
    model, target = network(run), pick_device(device)
    record, data = records.read(paths.record(run.tier, run.key, run.seed)), load(run.dataset, **run.data)
    if data.digest() != record.provenance["data_sha256"]:
        raise FMError(f"The images of {run.dataset} at hand are not those that {run.id} was trained and tested on.")
    deterministic()
    model.to(target, memory_format=torch.channels_last)
    right = evaluate(model, data, target, run.recipe.precision).right["test_acc"]
    return Check(run, record, right.numpy(), record.images("last"), provenance.device_name(target))


def publish(run: Run, card: str) -> Path:
    """Put the run's weights into the project, with a card beside them."""
    path = paths.published(run.tier, run.key, run.seed)
    weights.publish(path, weights_of(run), {"run": run.id, "card": f"{path.stem}.md"})
    path.with_suffix(".md").write_text(card, encoding="utf-8")
    return path
