"""What a network gets right: on the test images as at deployment, and in training on images whose labels are wrong."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..datasets import DataSet
from ..protocol import Method
from .engine import arithmetic
from .replicas import Replicas


def percent(which: Tensor) -> Tensor:
    return 100 * which.float().mean()


def memorisation(predicted: Tensor, labelled: Tensor, true: Tensor) -> dict[str, Tensor]:
    """Percent of all images of a batch that carry a wrong label and are classified as ``labelled`` (memorised) or as they
    should be (recovered). Divided by the share of wrong labels they are rates."""
    wrong = labelled != true
    return {"memorised": percent(wrong & (predicted == labelled)), "recovered": percent(wrong & (predicted == true))}


class Tested(NamedTuple):
    """What a test on all test images gave."""

    values: dict[str, float]        # ``test_loss``, ``test_acc`` and ``test_acc.<name>``
    right: dict[str, Tensor]        # by the accuracy's name: (n,) bool, which test images were right


@torch.no_grad()
def evaluate(model: nn.Module, data: DataSet, device: torch.device, precision: str = "fp32", methods: Sequence[Method] = (),
             replicas: Replicas = Replicas()) -> Tested:        # noqa: B008
    """Top-1 in percent (``test_acc``) and mean cross-entropy (``test_loss``) of the model alone, as at deployment; and top-1
    of what else the methods predict with (``test_acc.<name>``)."""
    model.eval()
    hits: dict[str, list[Tensor]] = {}
    loss = torch.zeros((), device=device)
    more = any(type(method).predictions is not Method.predictions for method in methods)
    for x, y in data.tests(device, replicas.share):
        with arithmetic(device, precision):
            trace = model.trace(x) if more else None
            logits = {"test_acc": trace.logits if trace else model(x)}
            if trace:
                for method in methods:
                    logits |= {f"test_acc.{name}": z for name, z in method.predictions(model, trace).items()}
        for name, z in logits.items():
            hits.setdefault(name, []).append(z.argmax(1) == y)
        loss += nn.functional.cross_entropy(logits["test_acc"].float(), y, reduction="sum")
    n = len(data.test_y)
    right = {name: replicas.whole(torch.cat(batches), n).cpu() for name, batches in hits.items()}
    values = {name: round(100 * images.sum().item() / n, 4) for name, images in right.items()}
    return Tested({"test_loss": float(f"{replicas.total(loss).item() / n:.6g}"), **values}, right)
