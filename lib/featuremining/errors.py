"""Errors a person can act on: one sentence that says what is wrong and what to do."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from inspect import signature
from typing import Literal, get_args, get_origin, get_type_hints


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
    if not kinds <= PLAIN or (value is None and type(None) in kinds):
        return
    one = isinstance(hint, type)
    called = hint.__name__ if one else f"a list of {next(iter(kinds)).__name__}" if several_of_one(hint) else hint
    if several != any(get_origin(h) in (tuple, Sequence) for h in (hint, *get_args(hint))):
        raise UsageError(f"{what} is {f'one {called}' if several and one else called}, got {value!r}.")
    each = value if several else [value]
    if not all(any(is_of(v, kind) for kind in kinds) for v in each):
        raise UsageError(f"{what} is {called}, got {value!r}.")
    if any(v in (float("inf"), -float("inf")) for v in each):
        raise UsageError(f"{what} must be finite, got {value!r}.")


def check_effect(what: str, name: str, value, default, acts, needs: str) -> None:
    """A `UsageError` where a setting is given that has no effect here: a reader of the record would take it for one that has."""
    if value != default and not acts:
        raise UsageError(f"{what}: {name} = {value!r} would change nothing here; it needs {needs}.")


def check_maps(what: str, x, channels: int | None = None) -> None:
    """A `UsageError` unless these are feature maps (B, C, H, W), of so many channels."""
    if x.dim() != 4 or channels not in (None, x.shape[1]):
        raise UsageError(f"{what}: takes feature maps (B, {'C' if channels is None else channels}, H, W), got {tuple(x.shape)}.")


def check_settings(what: str, function: Callable, settings: Mapping) -> None:
    """`check_setting` of what a function is given by name."""
    hints = _hints(function)
    for name in settings.keys() & hints.keys():
        check_setting(f"{what} {name}", hints[name], settings[name])


_hints = cache(get_type_hints)


def checked(what: str) -> Callable:
    """For a function, or the ``__init__`` of a class, whose arguments of plain types are settings of ``what``: they are checked
    before it runs."""
    def decorate(function: Callable) -> Callable:
        @wraps(function)
        def run(*given, **settings):
            check_settings(f"{what} setting", function, signature(function).bind(*given, **settings).arguments)
            return function(*given, **settings)
        return run
    return decorate


def several_of_one(hint) -> bool:
    """Whether it stands for any number of values of one type."""
    return get_origin(hint) is Sequence or (get_origin(hint) is tuple and ... in get_args(hint))


PLAIN = {bool, int, float, str, type(None)}


def leaves(hint) -> set:
    """The plain types that a hint is made of.

    >>> leaves(tuple[float, ...] | None) == {float, type(None)}
    True
    """
    return set().union(*map(leaves, get_args(hint))) - {...} if get_args(hint) else {hint}


def is_of(value, kind) -> bool:
    """Whether a value is of a plain type. A whole number is a float, too; True is no number.

    >>> [is_of(value, float) for value in (1, 0.5, None, True, "1")]
    [True, True, False, False, False]
    """
    return isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool))


def said(error: Exception) -> str:
    """Its words on one line, without a full stop."""
    text = f"there is no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
    return " ".join(text.split()).removesuffix(".")
