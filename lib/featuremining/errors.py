"""Errors a person can act on: one sentence that says what is wrong and what to do."""

from typing import Literal, get_args, get_origin


class FMError(Exception):
    """Something outside the caller's words went wrong (data, disk, divergence). The command line exits with 1."""

    def _render_traceback_(self):
        """What a notebook shows: the sentence, without the stack above it."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(FMError, ValueError):
    """A name, setting or option that does not exist or does not fit. The command line exits with 2."""


def choose(what: str, name, known):
    """Return ``name`` if it is one of ``known``; else a `UsageError` that lists what there is."""
    if name in known:
        return name
    near = nearest(name, known, 1, 0.6)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"There is no {what} {name!r}.{hint} Known: {', '.join(map(str, known))}.")


def nearest(name, known, n: int = 3, cutoff: float = 0.4) -> list[str]:
    """What ``name`` may have been meant for: what begins so, else what is written nearly so, in capitals or not.

    >>> nearest("t1", ["T10.cost", "T1.one_layer", "T2.gain"]), nearest("T1.ONE_LAYR", ["T1.one_layer", "T2.gain"])
    (['T1.one_layer'], ['T1.one_layer'])
    """
    from difflib import get_close_matches

    written, given = {str(k).lower(): str(k) for k in known}, str(name).lower()
    begin = [key for key in written if given and key.startswith(f"{given}.")]
    return [written[key] for key in begin[:n] or get_close_matches(given, written, n, cutoff)]


def check_setting(what: str, hint, value) -> None:
    """A `UsageError` where a setting is not of its declared type; ranges are its method's to check. True is not 1: it would make
    another record of the same training."""
    if get_origin(hint) is Literal:
        options = get_args(hint)
        choose(f"{what} =", value if type(value) in map(type, options) else repr(value), options)
        return
    kinds, several = leaves(hint), isinstance(value, tuple | list)
    if value is not None and several != any(get_origin(h) is tuple for h in (hint, *get_args(hint))):
        raise UsageError(f"{what} is {f'one {hint.__name__}' if several and kinds == {hint} else hint}, got {value!r}.")
    each = value if several else [value]
    if type(value) is not hint if hint in (bool, int) else kinds & {int, float} and not all(map(is_number, each)):
        raise UsageError(f"{what} is {hint.__name__ if kinds == {hint} else hint}, got {value!r}.")
    if float in kinds and any(v in (float("inf"), -float("inf")) for v in each):
        raise UsageError(f"{what} must be finite, got {value!r}.")


def leaves(hint) -> set:
    """The plain types that a hint is made of.

    >>> leaves(tuple[float, ...] | None) == {float, ..., type(None)}
    True
    """
    return set().union(*map(leaves, get_args(hint))) if get_args(hint) else {hint}


def is_number(value) -> bool:
    """
    >>> [is_number(value) for value in (1, 0.5, None, True, "1")]
    [True, True, True, False, False]
    """
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def said(error: Exception) -> str:
    """Its words on one line, without a full stop."""
    text = f"there is no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
    return " ".join(text.split()).removesuffix(".")
