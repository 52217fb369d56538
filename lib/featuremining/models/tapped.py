"""Any classifier as methods see it, without changing it: forward hooks on the modules that end its stages."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from operator import index
from types import CodeType

import torch
from torch import Tensor, nn
from torch.utils import checkpoint

from ..errors import UsageError, nearest, said
from ..files import short
from ..protocol import Edit, Pooling, Trace, pool_maps
from .probing import check_layout, check_pooled, classifier, ends, first_channels, noise, observe


class View(nn.Module):
    """A module around ``net`` whose parameters and state dict have the names that they have in ``net``."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net, self.training = net, net.training
        self.register_load_state_dict_pre_hook(self._renamed)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def named_parameters(self, *args, **kwargs):
        return self.net.named_parameters(*args, **kwargs)

    def state_dict(self, *args, **kwargs):
        return self.net.state_dict(*args, **kwargs)

    def load_state_dict(self, *args, **kwargs):
        return self.net.load_state_dict(*args, **kwargs)

    @staticmethod
    def _renamed(_module: nn.Module, state: dict, prefix: str, *_) -> None:
        """Where a larger module is loaded, torch asks this one for the names that it has as a part of it."""
        for name in [name for name in state if name.startswith(prefix)]:
            state[f"{prefix}net.{name.removeprefix(prefix)}"] = state.pop(name)


class Tapped(View):
    """A view of ``net`` whose `trace` keeps the outputs of the modules named in ``stages`` (shallow to deep).

    ``net`` is any classifier from (B, C, H, W) images to (B, K) logits whose stages give (B, C, H, W) maps, the last of them the
    map that is pooled for a linear layer: torchvision's and timm's ResNets, for example, with ``["layer3", "layer4"]``. Its
    parameters, its state dict and ``net(images)`` stay what they were; ``train``, ``to`` and the like are passed on.

    ``image_size``, one number or (height, width) in pixels, and ``in_channels`` (by default what the first convolution reads)
    are those of a probing pass that checks all this; ``head`` names the classifier where it is not the layer that gives the
    logits. Whatever methods could not see rightly is a `UsageError`: see `probing`.
    """

    mean_pooled = True

    def __init__(self, net: nn.Module, stages: Sequence[str], image_size: int | tuple[int, int] = 224, *,
                 head: str | None = None, in_channels: int | None = None):
        check_network(net)
        self.names = checked_names(net, stages)
        super().__init__(net)
        self.image_size = pixels(image_size)
        (self.in_channels,) = numbers("in_channels", [first_channels(net) if in_channels is None else in_channels])
        try:
            image = noise(net, self.in_channels, *self.image_size)
            calls, logits = observe(net, image)
        except Exception as error:
            raise UsageError(f"This network can't be probed with an image of {(1, self.in_channels, *self.image_size)} "
                             f"({said(error)}): say what its images are, image_size= and in_channels=.") from error
        check_logits(logits)
        found = ends(calls, self.names)
        check_layout(found, image, self._larger())
        check_pooled(calls, found[-1])
        self._views = (classifier(net, calls, logits, head), [call.module for call in found])   # registered once, within ``net``
        self.channels, self.classes = tuple(call.out.shape[1] for call in found), logits.shape[1]
        self._written_over = {i for i, call in enumerate(found) if call.written_over}

    head = property(lambda self: self._views[0])
    stages = property(lambda self: self._views[1])

    def _larger(self):
        """The stages' calls with a larger image; None where the network takes no other size."""
        try:
            calls, _ = observe(self.net, noise(self.net, self.in_channels, *(size + 64 for size in self.image_size)))
        except Exception:
            return None
        return ends(calls, self.names)

    def trace(self, x: Tensor, pools: Mapping[int, Pooling] = {}, edits: Mapping[int, Edit] = {}) -> Trace:
        """``net(x)`` with what it computed on the way; it pools its last map for itself. The hooks live only as long as this
        call. A map into which a later layer writes is kept as a copy."""
        seen: list[tuple[int, Tensor, int]] = []
        read: list[Tensor] = []
        learning, here = torch.is_grad_enabled(), sys._getframe().f_code

        def tap(i: int, out: Tensor) -> Tensor:
            if learning and (i in edits or not torch.is_grad_enabled()) and in_checkpoint(here):
                raise UsageError(f"{self.names[i]} runs within gradient checkpointing, whose second pass would not be the first: "
                                 "switch it off around this stage.")
            out = edits[i](out) if i in edits else out
            kept = out.clone() if i in self._written_over else out
            seen.append((i, kept, 0 if kept.is_inference() else kept._version))
            return out

        hooks = [stage.register_forward_hook(lambda _m, _i, out, i=i: tap(i, out)) for i, stage in enumerate(self.stages)]
        hooks.append(self.head.register_forward_pre_hook(lambda _m, inputs: read.append(inputs[0])))
        try:
            logits = self.net(x)
        finally:
            for hook in hooks:
                hook.remove()
        check_logits(logits)
        if [i for i, *_ in seen] != list(range(len(self.stages))) or len(read) != 1:
            raise UsageError(f"The stages {', '.join(self.names)} and the classifier did not run once each and in this order. "
                             "torch.compile and gradient checkpointing pass over them, so hand over a network without; and where "
                             "a module was replaced since, make a new Tapped.")
        for i, kept, version in seen:
            if not kept.is_inference() and kept._version != version:
                raise UsageError(f"In this mode a later layer writes over the map of {self.names[i]}: name that layer instead.")
        maps = tuple(kept for _, kept, _ in seen)
        return Trace(maps, read[0], logits, pool_maps(maps, pools)[1])


def check_network(net: nn.Module) -> None:
    """A `UsageError` unless ``net`` is a network that hooks can see into and that has something to train."""
    if not isinstance(net, nn.Module):
        raise UsageError(f"Tapped takes a network, an nn.Module that is made already, got {short(net)}.")
    if isinstance(net, nn.DataParallel):
        raise UsageError("Tapped can't see into DataParallel's copies: use DistributedDataParallel around network and method.")
    if isinstance(net, torch.jit.ScriptModule) or any(
            hasattr(m, "_orig_mod") or getattr(m, "_compiled_call_impl", None) is not None for m in net.modules()):
        raise UsageError("torch.compile and torch.jit pass over the hooks of Tapped: hand over the network that is not compiled.")
    if next(net.parameters(), None) is None:
        raise UsageError("This network has no parameters, so nothing of it can be trained.")


def checked_names(net: nn.Module, stages: Sequence[str]) -> tuple[str, ...]:
    """``stages`` as a tuple; a `UsageError` unless they are names of different modules."""
    if isinstance(stages, str):
        raise UsageError(f"stages is a list of names: stages=[{stages!r}].")
    names = tuple(stages) if isinstance(stages, Iterable) else (stages,)
    top, known = ", ".join(name for name, _ in net.named_children()), dict(net.named_modules())
    if not names or not all(isinstance(name, str) for name in names):
        raise UsageError(f"stages is a list of names of the modules that end stages, got {short(stages)}. At the top: {top}.")
    if unknown := [name for name in names if name not in known or not name]:
        near = nearest(unknown[0], known, 1)
        raise UsageError(f"Tapped needs the names of the modules that end stages; {unknown} are none."
                         f"{f' Did you mean {near[0]!r}?' if near else ''} At the top: {top}.")
    if len({known[name] for name in names}) < len(names):
        raise UsageError(f"stages={list(names)} names a module twice.")
    return names


def pixels(image_size) -> tuple[int, int]:
    """(height, width) of one number or two."""
    sides = tuple(image_size) if isinstance(image_size, Sequence) and not isinstance(image_size, str) else (image_size,) * 2
    if len(sides) != 2:
        raise UsageError(f"image_size is one number of pixels or (height, width), got {image_size!r}.")
    return numbers("image_size", sides)


def numbers(what: str, values: Sequence) -> tuple[int, ...]:
    """Whole numbers from 1, those of numpy and torch too."""
    try:
        found = tuple(map(index, values))
    except TypeError:
        found = ()
    if not found or min(found) < 1:
        raise UsageError(f"{what} is made of whole numbers, 1 or more, got {', '.join(map(repr, values))}.")
    return found


def check_logits(logits) -> None:
    """A `UsageError` unless a network gave (B, K) numbers and nothing beside them."""
    if not isinstance(logits, Tensor) or logits.dim() != 2:
        what = tuple(logits.shape) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise UsageError(f"The network must give (B, K) logits alone, but it gives {what}: build it without auxiliary "
                         "classifiers, or put a module around it that picks the logits.")


def in_checkpoint(below: CodeType) -> bool:
    """Whether torch's checkpointing is among the callers, up to the function with this code."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code is not below:
        if frame.f_code.co_filename == checkpoint.__file__:
            return True
        frame = frame.f_back
    return False
