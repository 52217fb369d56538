"""Files, read and written whole or not at all."""

import json
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from .errors import FMError

LARGEST = 16 * 2**20            # bytes of JSON; records have tens of thousands, findings hundreds of thousands


class Content(NamedTuple):
    """What a JSON file holds, and the sha256 of its bytes."""

    values: Any
    sha256: str


def put(path: Path, data: bytes, before: Callable[[], None] = lambda: None, then: str = "free some disk space") -> None:
    """Write beside, onto the disk, and rename into place: a kill, a full disk or a power cut leaves what was there or all of
    ``data``. ``before`` is done in between. One sentence, with what to do ``then``, where the disk fails."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        before()
        os.replace(temporary, path)
    except OSError as error:
        raise FMError(f"Could not write {path} ({error}): {then} and give the same command again.") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def load(path: Path) -> Content:
    """A JSON file without doubts: a regular file of a sensible size, each name given once, nothing but numbers for numbers. A
    `ValueError` or an `OSError` otherwise."""
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise ValueError("it is no regular file")
    if state.st_size > LARGEST:
        raise ValueError(f"it has {state.st_size / 2**20:.0f} MiB, more than any of its kind")
    data = path.read_bytes()
    return Content(json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_no_number), sha256(data).hexdigest())


def _once(pairs: list[tuple[str, Any]]) -> dict:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is given twice")
    return values


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")
