"""Whether an executed notebook is whole. A kernel that was killed leaves one whose cells papermill calls completed; only the
kernel's reply to a cell, whose time nbclient notes, says that the cell came to its end.

``python -m featuremining.showing.executed HALF TARGET`` gives ``HALF`` its name ``TARGET`` if it is whole, and else says why not.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path


def unfinished(notebook: Mapping) -> str:
    """What is missing of an executed notebook, given as JSON or as nbformat reads it; empty if it is whole."""
    code = [cell for cell in notebook.get("cells", ()) if cell["cell_type"] == "code"]
    for i, cell in enumerate(code):
        if cell.get("execution_count") is None:
            return f"code cell {i} was not executed"
        if any(out["output_type"] == "error" for out in cell["outputs"]):
            return f"code cell {i} ended in an error"
        if "shell.execute_reply" not in cell["metadata"].get("execution", {}):
            return f"code cell {i} did not come to its end: the kernel was killed"
    return "" if code else "it has no code cell"


def main(half: Path, target: Path) -> None:
    why = unfinished(json.loads(half.read_text(encoding="utf-8")))
    if why:
        sys.exit(f"{half} is not whole: {why}. {target} is as it was before.")
    os.replace(half, target)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
