"""A linear classifier whose class vectors have length one, without a bias: logits w_i . x, w_i = v_i / ||v_i||. It is the one of
the inter-class angular loss (Hui et al., AAAI 2019, and its code, fpthink/ICAL), and stays at test time.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import checked


def unit_logits(x: Tensor, v: Tensor) -> Tensor:
    """(B, D) features and (K, D) class vectors of any length -> (B, K). Features keep their length.

    >>> unit_logits(torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0], [0.0, -5.0]])).tolist()
    [[3.0, -4.0]]
    """
    return F.linear(x, F.normalize(v, dim=1))


class UnitClassifier(nn.Module):
    """(B, D) -> (B, K). ``renormalise``: while training, the vectors themselves are brought back to length one before each pass,
    as the authors' code does after each step; otherwise their length is free and has no gradient."""

    @checked("unit")
    def __init__(self, width: int, classes: int, renormalise: bool = False):
        super().__init__()
        self.in_features, self.out_features, self.renormalise = width, classes, renormalise
        self.weight = nn.Parameter(F.normalize(torch.randn(classes, width), dim=1))

    def forward(self, x: Tensor) -> Tensor:
        if self.renormalise and self.training:
            # behind autograd's back: in a step with two passes the second finds what the first has saved as it was, to rounding
            self.weight.data.copy_(F.normalize(self.weight.detach(), dim=1))
        return unit_logits(x, self.weight)
