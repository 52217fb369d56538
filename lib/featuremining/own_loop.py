"""What people hand over to a method in a training loop of their own, checked: labels, criteria and processes. Whatever doesn't
fit is one sentence."""

import warnings
from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import UsageError

Criterion = Callable[[Tensor, Tensor], Tensor]      # logits (B, K) of one classifier, labels as they are given -> scalar
Score = Callable[[Tensor, Tensor], Tensor]          # logits (..., B, K) of one or several, targets (B, K) -> (...)

ROUNDED = 0.01      # of a row's sum: what half precision leaves of 1


def class_rows(images: Tensor, labels: Tensor, classes: int, strict: bool) -> Tensor:
    """Labels of either form as (B, K) probability rows; labels that only a criterion of the caller's understands are zeros."""
    for what, given in (("images", images), ("labels", labels)):
        if not isinstance(given, Tensor):
            raise UsageError(f"The {what} are a tensor, got a {type(given).__name__}: torch.as_tensor({what}).")
    if not len(images):
        raise UsageError("A batch has one image or more, and this one has none.")
    if strict and classes == 1:
        raise UsageError("Of one logit the cross-entropy is always 0: give criterion=torch.nn.BCEWithLogitsLoss(), for example.")
    if labels.device != images.device:
        raise UsageError(f"The labels are on {labels.device}, the images on {images.device}: labels.to(images.device).")
    n, number = len(images), not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
    dtype = torch.promote_types(images.dtype, torch.float32)
    if labels.shape == (n, classes) and labels.is_floating_point():
        rows = labels.to(dtype)
        if strict and not ((rows >= 0).all() and ((rows.sum(1) - 1).abs() <= ROUNDED).all()):
            raise UsageError("Labels of one row per image are probabilities: 0 or more, with a sum of 1. For labels that are "
                             "none, such as several classes at once, give criterion=.")
        return rows
    if labels.shape == (n,) and number:
        known = (labels >= 0) & (labels < classes)
        if strict and not known.all():
            raise UsageError(f"Labels are class numbers from 0 to {classes - 1}; for labels to be ignored give criterion=.")
        return F.one_hot(labels.long().clamp(0, classes - 1), classes).to(dtype) * known[:, None]
    if strict or not len(labels) == n:
        raise UsageError(f"Labels are ({n},) class numbers or ({n}, {classes}) floating class probabilities, got "
                         f"{tuple(labels.shape)} of {labels.dtype}.")
    return torch.zeros(n, classes, dtype=dtype, device=images.device)


def scoring(criterion: Criterion, labels: Tensor, rows: Tensor) -> Score:
    """A criterion in the form that a batch wants."""
    if not callable(criterion) or isinstance(criterion, type):
        raise UsageError(f"criterion is a function of logits and labels, such as torch.nn.CrossEntropyLoss(), got {criterion!r}.")

    def one(logits: Tensor) -> Tensor:
        value = criterion(logits, labels)
        if not isinstance(value, Tensor) or value.dim():
            raise UsageError("criterion(logits, labels) must give one number: reduction='mean', for example.")
        return value

    def score(logits: Tensor, y: Tensor) -> Tensor:
        if y is not rows:
            raise UsageError("A criterion is given the labels as they are, but this method changes them or the batch: leave "
                             "criterion out, or give the method probability rows.")
        return one(logits) if logits.dim() == 2 else torch.stack([one(each) for each in logits])
    return score


def warn_of_replicas(parameters: Sequence[Tensor]) -> None:
    """In a process group nobody averages the gradients of what no DistributedDataParallel holds that is running right now."""
    if not (dist.is_available() and dist.is_initialized()):
        return
    running = nn.parallel.DistributedDataParallel._get_active_ddp_module()
    covered = {id(p) for p in running.module.parameters()} if running else set()
    if any(id(p) not in covered for p in parameters if p.requires_grad):
        warnings.warn("A process group exists, but DistributedDataParallel does not hold all that is trained here, so processes "
                      "drift apart unless you average the gradients yourself: wrap network, method and loss in one module and "
                      "that in DistributedDataParallel (the book's page on use in your own code shows it).", stacklevel=3)
