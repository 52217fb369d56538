"""Trained weights of a network, and what identifies them."""

from hashlib import sha256

import torch
from torch import Tensor


def digest(state: dict[str, Tensor]) -> str:
    """sha256 of a state dict: names, then bytes."""
    h = sha256()
    for name, tensor in state.items():
        h.update(name.encode())
        h.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return h.hexdigest()
