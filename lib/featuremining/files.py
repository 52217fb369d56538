"""Files, read and written whole or not at all, and what they hold held against its form."""

import json
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from .errors import FMError

LARGEST = 16 * 2**20            # bytes of JSON; records have tens of thousands, findings hundreds of thousands
OWN_WORDS = {"missing": "it is missing", "extra_forbidden": "there is no such field"}


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


def read(path: Path, largest: int = LARGEST) -> bytes:
    """What a regular file of a sensible size holds: no pipe that never ends. A `ValueError` or an `OSError` otherwise."""
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise ValueError("it is no regular file")
    if state.st_size > largest:
        raise ValueError(f"it has {state.st_size / 2**20:.0f} MiB, more than any of its kind")
    return path.read_bytes()


def load(path: Path) -> Content:
    """A JSON file without doubts: `read`, each name given once, nothing but numbers for numbers. A `ValueError` or an `OSError`
    otherwise."""
    data = read(path)
    return Content(json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_no_number), sha256(data).hexdigest())


def _once(pairs: list[tuple[str, Any]]) -> dict:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is given twice")
    return values


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


closed = with_config(ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))      # a form with these fields and no others
open_ = with_config(ConfigDict(extra="allow", strict=True, allow_inf_nan=False))        # with these fields at least


finite = with_config(ConfigDict(allow_inf_nan=False))       # out of text, and other fields are passed over


def fits(form: TypeAdapter, content: Any) -> None:
    """A `ValueError` that names the first field that does not fit."""
    try:
        form.validate_python(content)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None


def first_fault(error: ValidationError) -> str:
    """The first field that does not fit and what is wrong with it, without a full stop."""
    first = error.errors(include_url=False)[0]
    at, what = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ").removesuffix(".")
    if first["type"] in OWN_WORDS:
        return f"{at}: {OWN_WORDS[first['type']]}"
    got = "" if first["type"] == "value_error" else f", got {short(first['input'])}"
    return f"{at}: {what}{got}" if at else f"{what}{got}"


def short(value: Any) -> str:
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 60 else f"{text[:57]}..."
