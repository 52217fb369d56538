"""Errors a person can act on: one sentence that says what is wrong and what to do."""

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
    from difflib import get_close_matches

    near = get_close_matches(str(name), map(str, known), 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"There is no {what} {name!r}.{hint} Known: {', '.join(map(str, known))}.")
