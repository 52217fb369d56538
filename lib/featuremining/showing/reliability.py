"""What ``make chaos`` came to when it was last run, for the page on what can be relied on. No torch here."""

import json

from .. import paths
from .methods import measured_on


def path():
    """Of what the page shows; `tests/chaos.py` writes it."""
    return paths.benchmarks() / "reliability" / "chaos.json"


def markdown() -> str:
    """One paragraph with the numbers of the file, or that there is none."""
    if not path().exists():
        return "`make chaos` on this version: not run.\n"
    found = json.loads(path().read_text(encoding="utf-8"))
    return (f"When `tests/chaos.py` was last kept ({measured_on(found['provenance']['device'], found['provenance'])}), in "
            f"{found['minutes']:g} minutes {found['runs']} trainings of {len(found['methods'])} kinds (methods, heads, layers) "
            f"were killed {found['kills']} times and went on from a checkpoint {found['resumed']} times; {found['cut']} "
            f"checkpoints were cut short and {found['flipped']} had a bit flipped. {found['equal']} of {found['runs']} records "
            f"were bit for bit those of trainings that nothing disturbed (seed {found['seed']}).\n")
