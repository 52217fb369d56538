"""A notebook's parameters: which names in a kernel are meant as such, and their values. No torch."""

import ast
import json
from difflib import get_close_matches
from types import ModuleType

from ..errors import UsageError, choose


def given(names: dict, parameters: tuple[str, ...], page: type) -> dict:
    """A notebook's parameters among its ``globals()``. What its parameters cell or papermill sets and what is no parameter is an
    error, and so is one that is missing; of other names in the kernel nothing is asked. Where it is not known which cells ran,
    a name that is nearly a parameter's is an error. ``page`` is what the check makes of them, when a cell runs twice."""
    suspects = declared(names.get("In", []), parameters)
    if suspects is None:
        suspects = [name for name, value in names.items() if get_close_matches(name, parameters, 1, 0.7)
                    and not isinstance(value, ModuleType | page)]
    for name in suspects:
        choose("parameter", name, parameters)
    for name in parameters:
        if name not in names:
            raise UsageError(f"The parameter {name} is missing.")
    return {name: names[name] for name in parameters}


def declared(history: list[str], parameters: tuple[str, ...]) -> list[str] | None:
    """What the parameters cell set when it last ran, and after it the cells that papermill puts in; None where none has run.

    >>> declared(["", "x = 1", "tier: str = 'smoke'", "y = 2", "# Parameters\\nteir = 'full'"], ("tier",))
    ['tier', 'teir']
    """
    found = None
    for source in history:
        try:
            body = ast.parse(source).body
        except SyntaxError:         # a line for the shell
            continue
        typed = [node.target.id for node in body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
        if set(typed) & set(parameters):
            found = typed
        elif source.startswith("# Parameters") and found is not None:
            targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
            found = [*found, *(target.id for target in targets if isinstance(target, ast.Name))]
    return found


def parsed(value):
    """Papermill's ``-p`` hands lists and ``false`` over as text; ``-y`` and another cell hand over values."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def is_list_of(kind: type, value) -> bool:
    return isinstance(value, list) and all(isinstance(v, kind) and not isinstance(v, bool) for v in value)
