"""What is asked. Every paper is a folder of ``data/studies``: its cells (one number of a table each, with the training that would
answer it), its sentences, the choices it leaves open. In come TOML files, out go frozen objects with checked fields. Nothing here
looks at what came out, and nothing here needs torch."""

from .cells import Cell, baseline, cell, load_cells, plan, read_studies, teachers, titles, wanted
from .looks import Look, Looks
from .papers import Paper, papers
from .rules import Rule, rules
from .runs import Run

__all__ = ["Cell", "Look", "Looks", "Paper", "Rule", "Run", "baseline", "cell", "load_cells", "papers", "plan", "read_studies",
           "rules", "teachers", "titles", "wanted"]
