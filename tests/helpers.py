"""What several tests use."""

import torch

from featuremining import Batch


def batch(n=6, classes=10, size=32, dtype=torch.float32, seed=0):
    """Random normalised images and one-hot targets."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, size, size, generator=g, dtype=torch.float64).to(dtype)
    return Batch(x, torch.eye(classes, dtype=dtype)[torch.randint(classes, (n,), generator=g)])
