"""Train-only linear classifiers of several parts, stages or branches: Feature Mining's and BYOT's."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Heads(nn.Module):
    """Linear heads as one batched product: parts (B, n, C) -> logits (n, B, K). ``use[i]`` is the head that part i reads."""

    def __init__(self, use: Sequence[int], width: int, classes: int, init: str):
        super().__init__()
        n, bound = max(use) + 1, width**-0.5 if init == "linear" else 0.0    # nn.Linear's own bound
        self.weight = nn.Parameter(torch.empty(n, width, classes).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n, 1, classes).uniform_(-bound, bound))
        self.use = None if list(use) == list(range(n)) else list(use)

    def forward(self, parts: Tensor) -> Tensor:
        weight, bias = self.weight, self.bias
        if self.use:            # a list as index would be copied to the device, which a CUDA graph can't capture
            weight, bias = (torch.stack([p[i] for i in self.use]) for p in (weight, bias))
        return torch.baddbmm(bias, parts.transpose(0, 1), weight)
