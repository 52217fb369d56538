"""The one interface that all methods share: a method wraps the training step, and composing methods is nesting.

A step takes a model and a `Batch` and gives an `Outcome`. `plain_step` is ordinary training; ``Method.step`` receives
the step it wraps as ``inner``. What must be remembered between before and after is a local variable.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import reduce, wraps
from typing import NamedTuple, get_type_hints

import torch
from torch import Tensor, nn

from .errors import UsageError, check_setting
from .own_loop import Criterion, Score, class_rows, scoring, warn_of_replicas

Pooling = Callable[[Tensor], Tensor]    # (B, C, H, W) -> (B, R, C), R poolings at once; the last map's: see `pool_maps`
Edit = Callable[[Tensor], Tensor]       # (B, C, H, W) -> the same shape


def soft_cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of (..., B, K) logits with (B, K) probability rows, averaged over the batch: shape (...).

    Computed in the precision of ``y``, also where the logits are bfloat16.
    """
    return (y * logits.to(y.dtype).log_softmax(-1)).sum((-2, -1)) * (-1 / len(y))


class Batch(NamedTuple):
    """Images with targets, as the model is about to see them."""

    x: Tensor                           # (B, 3, H, W), normalised
    y: Tensor                           # (B, K), class probabilities: one-hot rows unless a method mixed them
    pools: Mapping[int, Pooling] = {}   # stage -> how to pool that stage's map, where a method asks for more than the mean
    edits: Mapping[int, Edit] = {}      # stage -> what is done to its map before anything reads it
    drawn: Mapping[str, Tensor] = {}    # this step's share of what `Method.draw` drew ahead; empty: methods draw for themselves
    score: Score = soft_cross_entropy       # how a classifier's logits are held against ``y``


class Trace(NamedTuple):
    """What one forward pass computed on its way to the logits."""

    maps: tuple[Tensor, ...]            # one (B, C, H, W) feature map per stage, shallow to deep
    pooled: Tensor                      # (B, D), what the classifier reads
    logits: Tensor                      # (B, K)
    parts: Mapping[int, Tensor] = {}    # stage -> (B, R, C), the poolings that the batch asked for, without the mean

    @property
    def averaged(self) -> bool:
        """Whether the classifier reads the average of the last stage's map, to rounding."""
        last, pooled = self.maps[-1], self.pooled
        near = torch.finfo(pooled.dtype).eps ** 0.5
        return (pooled.shape == last.shape[:2]
                and bool((pooled - last.mean((2, 3))).abs().max() <= near * (1 + pooled.abs().max())))


RESERVED = ("loss", "train_acc", "lr")        # what a training logs itself


class Outcome(NamedTuple):
    """The batch the model really saw, its trace, named losses, and what is only worth logging."""

    batch: Batch
    trace: Trace
    losses: dict[str, Tensor]           # scalars; their sum is minimised
    logs: Mapping[str, Tensor] = {}     # scalars without gradient, averaged over an epoch

    def plus(self, losses: Mapping[str, Tensor] = {}, logs: Mapping[str, Tensor] = {}, *, ce: Tensor | None = None) -> "Outcome":
        """This outcome with more losses and logs. Only ``ce``, the classifier's own, may be replaced, and only by that name."""
        taken = {*self.losses, *self.logs, *RESERVED, *(losses.keys() & logs.keys())}
        if twice := [name for name in dict.fromkeys((*losses, *logs)) if name in taken]:
            raise UsageError(f"{', '.join(twice)} is given already; every loss and log needs a name of its own.")
        kept = self.losses if ce is None else {**self.losses, "ce": ce}
        return self._replace(losses={**kept, **losses}, logs={**self.logs, **logs})


Step = Callable[[nn.Module, Batch], Outcome]


class Method(nn.Module):
    """A change to how a classifier is trained. Its own parameters are train-only heads.

    Subclasses are dataclasses (``@dataclass(eq=False, repr=False)``); their fields are the settings, checked against
    their declared types and written into every record.
    """

    whole_batch = False     # True: what becomes of an image depends on the others of its batch, or on its place among them
    prepared = True             # False until `prepare`, where a method has one
    prepared_for: str | None = None     # what `_form` says of the network that it was prepared with

    def __init_subclass__(cls, **words):
        super().__init_subclass__(**words)
        if "prepare" in vars(cls):
            cls.prepare, cls.prepared = _noted(cls.prepare), False

    def __post_init__(self):
        super().__init__()
        hints = get_type_hints(type(self))
        for name, value in self.settings().items():
            check_setting(f"{type(self).__name__} setting {name}", hints[name], value)

    def ready(self, model: nn.Module) -> None:
        """A `UsageError` unless ``model`` is a network as methods see it and this method was prepared and lies where it does."""
        _seen(model)
        if not self.prepared:
            raise UsageError(f"{type(self).__name__} is not prepared: call its prepare(model) before the first step.")
        if self.prepared_for not in (None, _form(model)):
            raise UsageError(f"{type(self).__name__} was prepared for {self.prepared_for}, and this is {_form(model)}: prepare "
                             "another for it.")
        like = next(model.head.parameters())
        for own in self.parameters():
            if own.device != like.device or (own.dtype != like.dtype and not torch.is_autocast_enabled(like.device.type)):
                raise UsageError(f"The network is {like.dtype} on {like.device}, but {type(self).__name__} is {own.dtype} on "
                                 f"{own.device}: move the method along with .to(device, dtype).")

    def load_state_dict(self, *args, **words):
        if not self.prepared:
            raise UsageError(f"{type(self).__name__} is not prepared, so nothing can be loaded: call its prepare(model) first.")
        return super().load_state_dict(*args, **words)

    def settings(self) -> dict:
        """All settings with their values, defaults included."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def sampler(self, labels: Tensor, batch_size: int):
        """Which images share a batch: a function from a `torch.Generator` to one epoch's index tensors, or None."""

    def prepare(self, model: nn.Module) -> "Method":
        """Once, before training: build heads from ``model.channels`` and ``model.classes``. Returns self."""
        return self

    def suits(self, sizes: Sequence[tuple[int, int]]) -> None:
        """Once, before training on images that make the stages' maps of these (H, W): a `UsageError` or a warning where a map is
        too small for what is asked."""

    def at(self, progress: float) -> None:
        """Each epoch, with progress in [0, 1): schedules."""

    def draw(self, steps: int, batch: int, sizes: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
        """Random numbers of many steps at once, on the CPU: name -> (steps, ...). One step's share comes back in
        ``Batch.drawn``. ``batch`` is the largest batch, ``sizes`` the (H, W) of every stage's map.

        What is drawn here costs a step nothing, is equal on every device and follows from (seed, epoch) alone. Noise as
        large as activations is drawn within the step instead.
        """
        return {}

    def drawn(self, batch: Batch, name: str) -> Mapping[str, Tensor]:
        """What `draw` drew ahead for this step if ``name`` is among it; else, in a loop of your own, a fresh draw."""
        if name in batch.drawn:
            return batch.drawn
        return {key: t[0].to(batch.x.device) for key, t in self.draw(1, len(batch.x), ()).items()}

    def step(self, inner: Step, model: nn.Module, batch: Batch) -> Outcome:
        """Wrap one training step."""
        return inner(model, batch)

    def predictions(self, model: nn.Module, trace: Trace) -> dict[str, Tensor]:
        """Further logits (B, K) to evaluate beside the network's own, by name: an ensemble of heads, for example."""
        return {}

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, criterion: Criterion | None = None,
             return_logits: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """The whole training loss in a loop of your own, a scalar of the dtype that `F.cross_entropy` gives; on request also
        the (B, K) logits of the network itself.

        ``model`` is a network of this package or any network wrapped by `Tapped`; images are (B, 3, H, W), labels (B,) class
        numbers or (B, K) class probabilities. ``criterion(logits, labels)`` is taken for every classifier in place of the
        cross-entropy: label smoothing, class weights, ignored labels; it gives a scalar.
        """
        self.ready(model)
        warn_of_replicas([*model.parameters(), *self.parameters()])
        batch = Batch(images, class_rows(images, labels, model.classes, strict=criterion is None))
        if criterion is not None:
            batch = batch._replace(score=scoring(criterion, labels, batch.y))
        out = self.step(plain_step, model, batch)
        logits, total = out.trace.logits, sum(out.losses.values())
        if criterion is None:
            wide = torch.is_autocast_enabled(logits.device.type)
            total = total.to(torch.promote_types(logits.dtype, torch.float32) if wide else logits.dtype)
        return (total, logits) if return_logits else total


def _noted(prepare: Callable) -> Callable:
    @wraps(prepare)
    def noted(self: Method, model: nn.Module) -> Method:
        _seen(model)
        made = prepare(self, model)
        self.prepared, self.prepared_for = True, _form(model)
        return made
    return noted


def _form(model: nn.Module) -> str:
    """What heads have to fit."""
    return f"a network with stages of {', '.join(map(str, model.channels))} channels and {model.classes} classes"


def _seen(model: nn.Module) -> None:
    if not callable(getattr(model, "trace", None)):
        raise UsageError(f"Methods can't see into a plain {type(model).__name__}: wrap it, Tapped(net, stages=[...]), and hand "
                         "that over.")


def pool_maps(maps: Sequence[Tensor], pools: Mapping[int, Pooling], mean: bool = True) -> tuple[Tensor | None, dict[int, Tensor]]:
    """What a batch's poolings make of all maps: the last map's mean (B, C), None if that map is not asked for, and stage ->
    (B, R, C). Row 0 of the last map's pooling is its mean and not among the parts: so that map is read once for the
    classifier and a method together. Not so where the classifier reads something else than the ``mean``: all rows are parts."""
    parts, last = {stage: pooling(maps[stage]) for stage, pooling in pools.items()}, len(maps) - 1
    if last not in parts or not mean:
        return None, parts
    mean, parts[last] = parts[last].split([1, parts[last].shape[1] - 1], dim=1)     # its backward is one concatenation
    return mean.squeeze(1), parts


def soft_kl(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """KL(softmax(teacher / T) || softmax(student / T)), summed over classes and averaged over the batch: (..., B, K) logits of
    the student, (B, K) or as many of the teacher -> (...). Without the factor T^2. Both sides carry gradient: callers detach.

    Computed in fp32 at least.

    >>> soft_kl(torch.zeros(1, 2), torch.tensor([[9.0, 3.0]]).log(), 2.0).item() == soft_kl(
    ...     torch.zeros(1, 2), torch.tensor([[9.0, 3.0]]).log() / 2, 1.0).item()
    True
    >>> round(soft_kl(torch.zeros(1, 2), torch.tensor([[3.0, 1.0]]).log(), 1.0).item(), 4)      # 3/4 log 3/2 + 1/4 log 1/2
    0.1308
    """
    wide = torch.promote_types(student_logits.dtype, torch.float32)
    student = (student_logits.to(wide) / temperature).log_softmax(-1)
    teacher = (teacher_logits.to(wide) / temperature).log_softmax(-1)
    return (teacher.exp() * (teacher - student)).sum((-2, -1)) / teacher.shape[-2]


def plain_step(model: nn.Module, batch: Batch) -> Outcome:
    """Ordinary training: the cross-entropy of the model's own classifier."""
    trace = model.trace(batch.x, batch.pools, batch.edits)
    return Outcome(batch, trace, {"ce": batch.score(trace.logits, batch.y)})


def compose(methods) -> Step:
    """One step out of a list of methods; the first is outermost. Only the first may choose the batches, and none comes twice."""
    names = [type(method).__name__ for method in methods]
    if len(set(names)) < len(names):
        raise UsageError(f"A method can be used once, got {', '.join(names)}.")
    for method in methods[1:]:
        if type(method).sampler is not Method.sampler:
            raise UsageError(f"{type(method).__name__} chooses which images share a batch, so it must be the first method.")
    return reduce(_around, reversed(methods), plain_step)


def _around(inner: Step, method: Method) -> Step:
    def step(model: nn.Module, batch: Batch) -> Outcome:
        method.ready(model)
        return method.step(inner, model, batch)
    return step
