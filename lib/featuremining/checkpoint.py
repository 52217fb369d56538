"""Checkpoints: everything a killed training needs to go on bit for bit."""

import os
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from .errors import FMError


def random_state() -> dict:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_random_state(state: dict) -> None:
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


def save(path: Path, content: dict) -> None:
    """Write beside and rename: a kill or a full disk leaves the previous checkpoint whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        torch.save(content, temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise FMError(f"Could not write {path} ({error}): free some disk space or set FM_BUILD_DIR, then give the same "
                      "command again; it goes on from the last checkpoint.") from None


def load(path: Path) -> dict | None:
    """The checkpoint, or None where there is none."""
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise FMError(f"The checkpoint {path} can't be read ({type(error).__name__}): delete it to start over.") from None


def digest(state: dict[str, Tensor]) -> str:
    """sha256 of a state dict: names, then bytes."""
    h = sha256()
    for name, tensor in state.items():
        h.update(name.encode())
        h.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return h.hexdigest()
