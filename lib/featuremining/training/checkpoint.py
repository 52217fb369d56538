"""Checkpoints: everything a killed training needs to go on bit for bit."""

import os
from pathlib import Path

import torch

from ..errors import FMError


def random_state(device: torch.device) -> dict:
    """Of the CPU and, where the training is on a GPU, of that one: another machine may have more of them, or fewer."""
    return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else []}


def set_random_state(state: dict, device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and len(state["cuda"]):
        torch.cuda.set_rng_state(state["cuda"], device)


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
