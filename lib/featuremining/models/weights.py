"""Trained weights of a network, and what identifies them. Beside each file that is kept here lies its sha256, in the form of
``sha256sum``; those that are published are safetensors, which hold no code."""

import io
import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from .. import files
from ..files import put

ORDER = "order"         # of the names: safetensors sorts them, a digest does not
LARGEST = 2**35         # bytes


def digest(state: Mapping[str, Tensor]) -> str:
    """sha256 of a state dict: names, then bytes."""
    h = sha256()
    for name, tensor in state.items():
        h.update(name.encode())
        h.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return h.hexdigest()


def classes_of(state: Mapping[str, Tensor]) -> int:
    """How many a classifier of this state tells apart: rows of the classifier, which in networks of other libraries is the last
    matrix. Layers between stages may have matrices of their own behind it."""
    return len(state["head.weight"]) if "head.weight" in state else [len(w) for w in state.values() if w.dim() == 2][-1]


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


def publish(path: Path, state: Mapping[str, Tensor], said: Mapping[str, str]) -> None:
    """As safetensors, with what is ``said`` of them in the file's own metadata."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    put(path, safetensors.torch.save(tensors, {**said, ORDER: json.dumps(list(tensors))}))


def read(path: Path) -> dict[str, Tensor]:
    """The state of a trained network, on the CPU. A `ValueError` where it is none, has values that are not finite, or is not the
    file whose sum lies beside it; a file without a sum, such as one from elsewhere, is taken as it is."""
    data = files.read(path, LARGEST)
    if beside(path).exists() and beside(path).read_text(encoding="utf-8").split()[:1] != [sha256(data).hexdigest()]:
        raise ValueError(f"it is not the file whose sum lies in {beside(path).name}")
    try:
        state = _published(data) if path.suffix == ".safetensors" else torch.load(io.BytesIO(data), "cpu", weights_only=True)
    except Exception as error:          # torch raises what it meets: of pickles, archives, shapes
        raise ValueError(type(error).__name__) from None
    if not (isinstance(state, dict) and state and all(isinstance(t, Tensor) for t in state.values())):
        raise ValueError("it holds no named tensors")
    if name := not_finite(state):
        raise ValueError(f"{name} has values that are not finite")
    return {name: tensor.detach() for name, tensor in state.items()}


def _published(data: bytes) -> dict[str, Tensor]:
    """In the order in which they were given to `publish`."""
    state = safetensors.torch.load(data)
    size = int.from_bytes(data[:8], "little")
    order = json.loads(data[8:8 + size])["__metadata__"][ORDER]
    return {name: state[name] for name in json.loads(order)}
