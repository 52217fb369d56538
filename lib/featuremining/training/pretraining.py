"""Which classifier a detector starts from: the run of another cell with the same network, methods, tier and seed."""

from dataclasses import fields

from torch import Tensor

from .. import records
from ..errors import FMError, UsageError, choose
from ..models.retinanet import Detector, detector
from ..studies import Cell, Run, load_cells
from . import loop
from .trained import weights_of

SOURCES = {"resnet50": "T5", "resnet20": "F2s"}     # network -> the table whose trainings pre-train it


def split_options(run: Run) -> tuple[dict, dict]:
    """The run's options of the detector, and those of the network."""
    names = {f.name for f in fields(Detector)}
    return ({k: v for k, v in run.options.items() if k in names}, {k: v for k, v in run.options.items() if k not in names})


def detector_of(run: Run) -> Detector:
    """The named detector of the run's network and data set with the run's options."""
    return detector(run.network, run.dataset, **split_options(run)[0])


def source(run: Run) -> Cell:
    """The cell whose training pre-trains the run's backbone: the same network and methods; `UsageError` where none is listed."""
    table, options = SOURCES[choose("pre-trained network", run.network, SOURCES)], split_options(run)[1]
    for cell in load_cells().values():
        if (cell.table, cell.network, cell.methods, cell.options) == (table, run.network, run.methods, options):
            return cell
    raise UsageError(f"{run.id} needs a pre-training, and table {table} has no cell of these methods: add one to its study.")


def pretraining(run: Run) -> Run:
    """The classification run whose weights the detector of ``run`` starts from."""
    return source(run).run(run.tier, run.seed)


def pretrained(run: Run, device: str = "auto") -> tuple[records.Record, dict[str, Tensor]]:
    """Record and weights of the run's pre-training. On the embedded data it is trained now where it has not been.

    Raises `FMError` where weights for VOC are missing, because making them takes days, and where they are not the record's.
    """
    before, cell = pretraining(run), source(run)
    record = loop.recorded(before)
    if record is None and run.dataset == "voc":
        raise FMError(f"{run.id} starts from the weights of {before.id}, which are not at hand: make them first with `fm run "
                      f"{cell.id} --tier {run.tier} --seed {run.seed}` (days on {cell.dataset}).")
    return record or loop.train(before, device), weights_of(before)
