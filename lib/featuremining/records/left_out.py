"""Files of the records that are not believed: named, left out, and everything else still counts."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class LeftOut(UserWarning):
    """A file that was not believed: which, why, and what to do."""


@contextmanager
def left_out() -> Iterator[list[str]]:
    """What is left out inside, in place of warnings."""
    found: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", LeftOut)
        show = warnings.showwarning
        warnings.showwarning = lambda message, category, *more, **named: (
            found.append(str(message)) if issubclass(category, LeftOut) else show(message, category, *more, **named))
        yield found
