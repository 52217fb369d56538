"""Any classifier as methods see it, without changing it: forward hooks on the modules that end its stages."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..protocol import Edit, Pooling, Trace, pool_maps


class Tapped:
    """A view of ``net`` whose `trace` keeps the outputs of the modules named in ``stages`` (shallow to deep).

    ``net`` is any classifier from (B, 3, H, W) images to (B, K) logits whose stages give (B, C, H, W) maps and whose last
    linear layer reads the pooled last map: torchvision's and timm's ResNets, for example, with ``["layer3", "layer4"]``.
    Its parameters, its state dict and ``net(images)`` stay what they were. ``image_size`` is that of one probing pass,
    in pixels. The device and the training mode are those of ``net``.
    """

    mean_pooled = True

    def __init__(self, net: nn.Module, stages: Sequence[str], image_size: int = 224):
        modules = dict(net.named_modules())
        unknown = [name for name in stages if name not in modules]
        if unknown or not stages:
            top = ", ".join(name for name, _ in net.named_children())
            raise UsageError(f"Tapped needs the names of the modules that end stages; {unknown} are none. At the top: {top}.")
        linears = [module for module in modules.values() if isinstance(module, nn.Linear)]
        if not linears:
            raise UsageError("Tapped needs a network that ends in a linear classifier; this one has no nn.Linear.")
        self.net, self.head, self.stages = net, linears[-1], [modules[name] for name in stages]
        self.channels, self.classes = self._probe(image_size)

    def _probe(self, size: int) -> tuple[tuple[int, ...], int]:
        first, modes = next(self.net.parameters()), {m: m.training for m in self.net.modules()}
        self.net.eval()
        with torch.no_grad():
            trace = self.trace(torch.zeros(1, 3, size, size, device=first.device, dtype=first.dtype))
        for module, training in modes.items():
            module.training = training
        wrong = [tuple(m.shape) for m in trace.maps if m.dim() != 4]
        if wrong:
            raise UsageError(f"Stages must give (B, C, H, W) maps; one of these gives {wrong[0]}.")
        return tuple(m.shape[1] for m in trace.maps), trace.logits.shape[1]

    def __call__(self, x: Tensor) -> Tensor:
        return self.net(x)

    def trace(self, x: Tensor, pools: Mapping[int, Pooling] = {}, edits: Mapping[int, Edit] = {}) -> Trace:
        """``net(x)`` with what it computed on the way; it pools its last map for itself. The hooks live only as long as this
        call."""
        maps: list[Tensor] = []
        read: list[Tensor] = []

        def tap(i: int, out: Tensor) -> Tensor:
            maps.append(edits[i](out) if i in edits else out)
            return maps[-1]

        hooks = [stage.register_forward_hook(lambda _m, _i, out, i=i: tap(i, out)) for i, stage in enumerate(self.stages)]
        hooks.append(self.head.register_forward_pre_hook(lambda _m, inputs: read.append(inputs[0])))
        try:
            logits = self.net(x)
        finally:
            for hook in hooks:
                hook.remove()
        return Trace(tuple(maps), read[-1], logits, pool_maps(maps, pools)[1])
