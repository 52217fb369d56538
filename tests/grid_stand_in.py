"""In place of `python -m featuremining run CELL ...`: a word about it in STARTS, and a file where the record would be. The cell
and seed that FAILS names end in a traceback. With REAL the run is trained."""

import os
import sys

if __name__ == "__main__":
    _, run, cell, _, tier, _, seed, *_ = sys.argv
    assert run == "run"
    with open(os.environ["STARTS"], "a", encoding="utf-8") as starts:
        starts.write(f"{cell} {seed}\n")
    if os.environ.get("FAILS") == f"{cell} {seed}":
        raise RuntimeError("on purpose")
    if os.environ.get("REAL"):
        from featuremining.cli import main

        main()
    else:
        from featuremining import paths, studies

        key = studies.cell(cell).run(tier, 0).key
        paths.record(tier, key, int(seed)).write_text("a record\n", encoding="utf-8")
