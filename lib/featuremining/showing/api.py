"""The public functions and classes with their docstrings, as Markdown: the book's page. Importing what it shows takes torch."""

import ast
import inspect
import re
import tokenize
from importlib import import_module
from io import StringIO
from types import ModuleType

from typing_extensions import is_typeddict

from ..methods import METHODS

PACKAGE = __package__.partition(".")[0]
MODULES = ("protocol", "methods", "models", "models.tapped", "datasets", "studies.cells", "recipes", "records.record",
           "records.reading", "records.findings", "stats", "judging.verdicts", "studies.claims", "training",
           "training.trained", "measuring", "errors")
SPECIAL = re.compile(r"([\\*_<>\[\]{}$#|~^])")      # of Markdown
PAGES = {cls: f"methods/{name}.md" for name, (_, cls) in METHODS.items()} | {"FeatureMining": "feature_mining.md"}


def markdown() -> str:
    """A section per module: what it is for, then its public functions and classes in the order of the file."""
    return "\n\n".join(_module(import_module(f".{name}", PACKAGE)) for name in MODULES) + "\n"


def public(module: ModuleType) -> dict[str, object]:
    """The functions and classes that a module defines itself; of `methods` also the classes that it names."""
    members = {name: member for name, member in vars(module).items() if getattr(member, "__module__", "") == module.__name__}
    if module.__name__ == f"{PACKAGE}.methods":
        members |= {cls: getattr(import_module(f".{home}", module.__name__), cls) for home, cls in METHODS.values()}
    return {name: member for name, member in members.items()
            if not name.startswith("_") and not is_typeddict(member)       # the form of a file
            and (inspect.isclass(member) or inspect.isfunction(inspect.unwrap(member)))}


def _module(module: ModuleType) -> str:
    parts = [f"## {module.__name__}", text(module.__doc__)]
    for name, member in public(module).items():
        call = f"{name}(**settings)" if name in PAGES else signature(name, member)
        parts += [f"### {name}", f"```python\n{call}\n```", text(member.__doc__)]
        if name in PAGES:
            parts.append(f"[Its settings and its page]({PAGES[name]}).")
        elif inspect.isclass(member):
            parts.append("\n".join([*_fields(member), *_members(member)]))
    return "\n\n".join(filter(None, parts))


def _fields(cls: type) -> list[str]:
    """What the comments beside the fields of a class say, a line each."""
    return [f"- `{name}`: {text(comment)}" for name, (_, comment) in field_lines(inspect.getsource(cls)).items() if comment]


def _members(cls: type) -> list[str]:
    """The public methods that a class defines itself, a line each."""
    lines = []
    for name, member in vars(cls).items():
        is_value = isinstance(member, property)
        member = member.fget if is_value else getattr(member, "__func__", member)
        if not name.startswith("_") and inspect.isfunction(member) and member.__doc__:
            first = " ".join(inspect.cleandoc(member.__doc__).split("\n\n")[0].split())
            lines.append(f"- `{name if is_value else signature(name, member)}`: {text(first)}")
    return lines


def field_lines(source: str) -> dict[str, tuple[str, str]]:
    """Field -> (default, comment), from the lines ``name: type = default   # comment`` of a class's source; "–" without a
    default."""
    comments = {token.start[0]: token.string.lstrip("# ") for token in tokenize.generate_tokens(StringIO(source).readline)
                if token.type == tokenize.COMMENT}
    return {node.target.id: (ast.unparse(node.value) if node.value else "–", comments.get(node.end_lineno, ""))
            for node in ast.parse(source).body[0].body if isinstance(node, ast.AnnAssign)}


def signature(name: str, member) -> str:
    """As one would call it, without types.

    >>> from featuremining.recipes import hours
    >>> signature("hours", hours)
    'hours(r, step, test, train=50000)'
    >>> signature("f", lambda score=hours: None)            # a function by its name, not by where it lies in memory
    'f(score=hours)'
    """
    if inspect.isclass(member) and issubclass(member, Exception):
        return f"{name}(message)"
    parameters = [p for p in inspect.signature(member).parameters.values() if p.name not in ("self", "cls", "args", "kwargs")]
    stated = ", ".join(str(p.replace(annotation=p.empty)) for p in parameters)
    stated = re.sub(r"<function (?:[^ ]*[.])?(\w+) at 0x[0-9a-f]+>", r"\1", stated)
    return f"{name}({stated})"


def text(docstring: str) -> str:
    """A docstring as Markdown: names in backticks as code, examples and formulas as blocks.

    >>> text("Takes ``x`` * 2, see `y`.")
    'Takes `x` \\\\* 2, see `y`.'
    """
    return "\n\n".join(map(_block, re.split(r"\n[ ]*\n", inspect.cleandoc(docstring))))


def _block(block: str) -> str:
    if block.startswith(">>>"):
        return f"```python\n{block}\n```"
    if block.startswith("    "):
        return f"```text\n{inspect.cleandoc(block)}\n```"
    parts = re.split(r"(``.+?``|`.+?`)", block, flags=re.S)
    return "".join(f"`{part.strip('`')}`" if i % 2 else SPECIAL.sub(r"\\\1", part) for i, part in enumerate(parts))
