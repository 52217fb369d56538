"""What a network does with one image of noise: which of its modules run, in which order, what they read and give. Everything is
left as it was, the random state too."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..protocol import Trace


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every module is in the mode it was in."""
    modes = {m: m.training for m in model.modules()}
    for module in modes:
        module.training = False
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def noise(net: nn.Module, channels: int, height: int, width: int) -> Tensor:
    """One image (1, channels, height, width), the same each time, where and in which precision the network is."""
    like, own = next(net.parameters()), torch.Generator().manual_seed(0)
    return torch.randn(1, channels, height, width, generator=own).to(like.device, like.dtype)


@torch.no_grad()
def look(model, height: int, width: int) -> Trace:
    """What methods see of one image. ``model`` is a `StagedNet`, a `LibraryNet` or a `Tapped`."""
    with evaluating(model):
        return model.trace(noise(model, getattr(model, "in_channels", 3), height, width))


class Call(NamedTuple):
    """One call of a module: its first input, its output, and how often the output had been written to by then."""

    name: str
    module: nn.Module
    read: object
    out: object
    version: int | None

    @property
    def written_over(self) -> bool:
        """Whether a later layer wrote into the output."""
        return self.out._version != self.version


@torch.no_grad()
def observe(net: nn.Module, image: Tensor) -> tuple[list[Call], object]:
    """What every module reads and gives for ``image``, in the order in which they end; and what the network gives."""
    calls: list[Call] = []

    def note(module: nn.Module, inputs: tuple, out, name: str) -> None:
        calls.append(Call(name, module, inputs[0] if inputs else None, out, getattr(out, "_version", None)))

    hooks = [module.register_forward_hook(partial(note, name=name)) for name, module in net.named_modules()]
    try:
        with evaluating(net):
            return calls, net(image)
    finally:
        for hook in hooks:
            hook.remove()


def first_channels(net: nn.Module) -> int:
    """Of the images that the network takes: what its first convolution reads."""
    return next((m.in_channels for m in net.modules() if isinstance(m, nn.Conv2d)), 3)


def classifier(net: nn.Module, calls: Sequence[Call], logits: Tensor, name: str | None) -> nn.Linear:
    """The linear layer of this name, else the one that gives the logits."""
    linears = [call for call in calls if isinstance(call.module, nn.Linear)]
    if not any(isinstance(module, nn.Linear) for module in net.modules()):
        raise UsageError("Tapped needs a network that ends in a linear classifier; this one has no nn.Linear.")
    if name is not None:
        named = [call for call in linears if call.name == name]
        if len(named) != 1 or named[0].out.shape != logits.shape:
            raise UsageError(f"head={name!r} is no linear layer that runs once and gives {tuple(logits.shape)}; there are: "
                             f"{', '.join(call.name for call in linears)}.")
        return named[0].module
    same = [call for call in linears if call.out is logits or (call.out.shape == logits.shape and torch.equal(call.out, logits))]
    if not same:
        raise UsageError("What this network gives is not the output of one of its linear layers: name its classifier by head=; "
                         f"there are: {', '.join(call.name for call in linears)}.")
    return same[-1].module


def ends(calls: Sequence[Call], names: Sequence[str]) -> list[Call]:
    """The calls of these modules; a `UsageError` unless each runs once, in this order, and gives a map of its own."""
    order = [call for call in calls if call.name in names]
    for name in names:
        count = sum(call.name == name for call in order)
        if count != 1:
            raise UsageError(f"{name} runs {count or 'not at'}{' times' if count else ' all'} in one pass, and a stage must run "
                             "once: name another module, without torch.compile, torch.fx or gradient checkpointing around it.")
    ran = [call.name for call in order]
    if ran != list(names):
        raise UsageError(f"stages={list(names)} run in another order, {ran}: name them so, from shallow to deep.")
    for call in order:
        if not isinstance(call.out, Tensor) or call.out.dim() != 4:
            what = tuple(call.out.shape) if isinstance(call.out, Tensor) else f"a {type(call.out).__name__}"
            raise UsageError(f"Stages must give (B, C, H, W) maps; {call.name} gives {what}.")
    for one, other in pairwise(order):
        if one.out.data_ptr() == other.out.data_ptr() and one.out.shape == other.out.shape:
            raise UsageError(f"{one.name} and {other.name} give the same map: name one of them.")
    return order


def check_layout(small: Sequence[Call], image: Tensor, large: Sequence[Call] | None) -> None:
    """A `UsageError` where a map is not (B, C, H, W): the channels must stay when the image grows, and height and width either
    grow or are those of the image at one stride. Where the network takes images of one size only, ``large`` is None."""
    for i, call in enumerate(small):
        channels, *places = call.out.shape[1:]
        fits = len({round(whole / part) for whole, part in zip(image.shape[2:], places, strict=True)}) == 1
        if large is not None:
            grown = large[i].out.shape
            fits = channels == grown[1] and (fits or all(a < b for a, b in zip(places, grown[2:], strict=True)))
        if not fits:
            raise UsageError(f"Stages must give (B, C, H, W) maps; {call.name} gives {tuple(call.out.shape)} for an image of "
                             f"{tuple(image.shape)}, whose channels are not in the second place.")


def check_pooled(calls: Sequence[Call], last: Call) -> None:
    """A `UsageError` where the network goes on behind the last stage, whose map is the one that is to be pooled: it convolves
    several places, or its linear layers read tokens, place by place, as those of transformers do."""
    for call in calls[calls.index(last) + 1:]:
        if not isinstance(call.module, nn.Conv2d | nn.Linear) or not isinstance(call.read, Tensor):
            continue
        convolves = isinstance(call.module, nn.Conv2d)
        places = call.read.shape[-2:] if convolves else call.read.shape[1:-1]
        if places.numel() > 1:
            does = "convolves" if convolves else "works on tokens"
            raise UsageError(f"{last.name} is not the last map: behind it the network still {does} ({call.name}). The last of "
                             "the stages must be the module whose map is pooled.")
