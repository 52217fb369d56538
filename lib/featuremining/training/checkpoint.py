"""Checkpoints: everything a killed training needs to go on bit for bit. The last two are kept, each under its own sum."""

import io
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import torch

from ..errors import FMError
from ..files import put, read

LARGEST = 2**35         # bytes
SEAL = b"featuremining checkpoint\n"        # then the sha256 of what follows, then what torch.save writes


def random_state(device: torch.device) -> dict:
    """Of the CPU and, where the training is on a GPU, of that one: another machine may have more of them, or fewer."""
    return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else []}


def set_random_state(state: dict, device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and len(state["cuda"]):
        torch.cuda.set_rng_state(state["cuda"], device)


def before(path: Path) -> Path:
    """The checkpoint before the last."""
    return path.with_suffix(".before.pt")


def save(path: Path, content: dict) -> None:
    """Write beside and rename, the last one becoming the one before: a kill or a full disk leaves one of them whole."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    data = buffer.getbuffer()

    def keep() -> None:
        if path.exists():
            os.replace(path, before(path))

    put(path, b"".join((SEAL, sha256(data).digest(), data)), keep, "free some disk space or set FM_BUILD_DIR")


def load(path: Path, check: Callable[[dict], None] = lambda state: None) -> dict | None:
    """The last checkpoint that is whole and passes ``check``, which raises a `ValueError` for one that is not to be used, or None
    where there is none. Where the last is damaged, the one before goes on, and says so."""
    faults = []
    for file in (path, before(path)):
        try:
            state = _read(file)
            check(state)
        except FileNotFoundError:
            continue
        except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, OSError) as error:
            faults.append(f"{file} can't be used ({error})")
            continue
        if faults:
            print(f"{faults[0]}: the training goes on from the checkpoint before it.", flush=True)
            os.replace(file, path)      # else the next one saved would put the bad one in the place of this
        return state
    if faults:
        raise FMError(f"{'; '.join(faults)}: delete {'it' if len(faults) == 1 else 'both'} to start this run over.")
    return None


def remove(path: Path) -> None:
    """Both checkpoints of a finished run."""
    for file in (path, before(path)):
        file.unlink(missing_ok=True)


def _read(path: Path) -> dict:
    data = read(path, LARGEST)
    head, rest = data[:len(SEAL)], data[len(SEAL) + 32:]
    if head != SEAL:
        raise ValueError("another version of the companion wrote it" if data[:4] == b"PK\x03\x04" else "it is no checkpoint")
    if sha256(rest).digest() != data[len(SEAL):len(SEAL) + 32]:
        raise ValueError("it is not what was written: its sum differs")
    try:
        state = torch.load(io.BytesIO(rest), map_location="cpu", weights_only=True)
    except Exception as error:          # torch raises what it meets
        raise ValueError(type(error).__name__) from None
    if not isinstance(state, dict):
        raise ValueError("it holds no state of a training")
    return state
