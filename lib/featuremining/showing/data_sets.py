"""Data sets with their files and terms, and the licences of what the project needs. No torch before data sets are described."""

import re
import tomllib
from importlib import import_module
from importlib.metadata import metadata

from .. import paths
from ..datasets import DATASETS


def data_sets() -> str:
    """Each published data set: what it is, its names here, its files with their checksums, its terms, how to get it."""
    modules: dict[str, list[str]] = {}
    for name, (module, options) in DATASETS.items():
        if not options.get("generated"):
            modules.setdefault(module, []).append(name)
    return "\n\n".join(_data_set(module, names) for module, names in modules.items()) + "\n"


def _data_set(module: str, names: list[str]) -> str:
    """From the constants and the docstring of the data set's module, which begins with its title."""
    code = import_module(f"..datasets.{module}", __package__)
    title = re.match(r"[^(:]+", code.__doc__)[0].strip()
    files = [f"`{url}`" + (f", {size:,} bytes" if size else "") + f", md5 `{md5}`" for url, size, md5 in archives(module)]
    get = f"`fm data {names[0]}`" if files else "by hand; `fm data` says how" if hasattr(code, "get") else "nothing to get"
    lines = [("name" if len(names) == 1 else "names", ", ".join(f"`{name}`" for name in names)), ("to get it", get),
             ("terms", code.TERMS), *[("file", file) for file in files]]
    return "\n\n".join([f"## {title}", code.__doc__.replace("``", "`").strip(), "\n".join(f"- {k}: {v}" for k, v in lines)])


def archives(module: str) -> list[tuple[str, int | None, str]]:
    """Address, bytes (None: not known) and md5 of each file that ``fm data`` downloads."""
    code = import_module(f"..datasets.{module}", __package__)
    if module == "cifar100":
        from torchvision.datasets import CIFAR100

        return [(CIFAR100.url, None, CIFAR100.tgz_md5)]
    if module == "voc":
        from torchvision.datasets.voc import DATASET_YEAR_DICT as KNOWN

        return [(KNOWN[name]["url"], size, KNOWN[name]["md5"]) for name, size in code.ARCHIVES.values()]
    return [(code.URL, code.BYTES, code.MD5)] if hasattr(code, "MD5") else []


def licences() -> str:
    """The project's own and those that its dependencies state in their metadata, in one sentence each."""
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    stated = ", ".join(f"{name} ({licence(name)})" for name in (re.match(r"[\w.-]+", d)[0] for d in project["dependencies"]))
    return f"The project is under {project['license']}. What it needs to run states of itself: {stated}.\n"


def licence(package: str) -> str:
    """What an installed package states: its SPDX expression, else its classifier, else the first line of its licence.

    >>> licence("typer")
    'MIT'
    """
    stated = metadata(package)
    classified = [c.rpartition(" :: ")[2] for c in stated.get_all("Classifier", []) if c.startswith("License ::")]
    return stated.get("License-Expression") or ", ".join(classified) or (stated.get("License") or "not stated").splitlines()[0]
