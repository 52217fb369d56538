"""What is asked. Every paper is a folder of ``data/studies``: its cells (one number of a table each, with the training that would
answer it), its sentences, the choices it leaves open. In come TOML files, out go frozen objects with checked fields. Nothing here
looks at what came out, and nothing here needs torch."""

from .cells import (
    CLAIMS,
    Cell,
    Rule,
    Run,
    baseline,
    cell,
    files,
    load_cells,
    plan,
    rules,
    sections,
    titles,
    wanted,
)

__all__ = ["CLAIMS", "Cell", "Rule", "Run", "baseline", "cell", "files", "load_cells", "plan", "rules", "sections", "titles",
           "wanted"]
