"""Trained weights of a network, and what identifies them. Beside each file lies its sha256, in the form of ``sha256sum``."""

import io
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from ..files import put


def digest(state: Mapping[str, Tensor]) -> str:
    """sha256 of a state dict: names, then bytes."""
    h = sha256()
    for name, tensor in state.items():
        h.update(name.encode())
        h.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return h.hexdigest()


def not_finite(state: Mapping[str, Tensor]) -> str:
    """The name of the first tensor with a value that is NaN or infinite; empty if there is none."""
    return next((name for name, t in state.items() if t.is_floating_point() and not t.isfinite().all()), "")


def beside(path: Path) -> Path:
    """The file that holds the sum of ``path``."""
    return path.with_name(f"{path.name}.sha256")


def write(path: Path, state: Mapping[str, Tensor]) -> None:
    """The sum first: a kill in between leaves a file that is refused, not one that is believed."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    data, then = buffer.getvalue(), "free some disk space or set FM_BUILD_DIR"
    put(beside(path), f"{sha256(data).hexdigest()}  {path.name}\n".encode(), then=then)
    put(path, data, then=then)


def read(path: Path) -> dict[str, Tensor]:
    """The state of a trained network, on the CPU. A `ValueError` where it is none, has values that are not finite, or is not the
    file whose sum lies beside it; a file without a sum, such as one from elsewhere, is taken as it is."""
    data = path.read_bytes()
    if beside(path).exists() and beside(path).read_text(encoding="utf-8").split()[:1] != [sha256(data).hexdigest()]:
        raise ValueError(f"it is not the file whose sum lies in {beside(path).name}")
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:          # torch raises what it meets: of pickles, archives, shapes
        raise ValueError(type(error).__name__) from None
    if not (isinstance(state, dict) and state and all(isinstance(t, Tensor) for t in state.values())):
        raise ValueError("it holds no named tensors")
    if name := not_finite(state):
        raise ValueError(f"{name} has values that are not finite")
    return {name: tensor.detach() for name, tensor in state.items()}
