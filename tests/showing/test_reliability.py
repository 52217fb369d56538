"""The figures of `make chaos` on the page are those that the program wrote."""

import json

from featuremining import paths
from featuremining.showing import reliability

FOUND = {"seed": 5, "minutes": 20, "runs": 40, "methods": {"fm": 30, "mixup": 10}, "kills": 77, "resumed": 33, "cut": 4,
         "flipped": 6, "equal": 40, "provenance": {"device": "a CPU", "threads": 1, "dirty": False, "commit": "c" * 40,
                                                   "versions": {"torch": "2"}, "measured": "2026-01-01T00:00:00"}}


def test_the_page_has_the_programs_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "benchmarks", lambda: tmp_path)
    assert "not run" in reliability.markdown()
    reliability.path().parent.mkdir()
    reliability.path().write_text(json.dumps(FOUND), encoding="utf-8")
    said = reliability.markdown()
    for part in ("20 minutes 40 trainings of 2 kinds (methods, heads, layers) were killed 77 times",
                 "checkpoint 33 times", "4 checkpoints",
                 "6 had a bit", "40 of 40 records", "seed 5", "a CPU, 1 thread", "commit cccccccccc"):
        assert part in said


def test_the_page_shows_what_make_chaos_keeps():
    make = (paths.ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"--keep {reliability.path().relative_to(paths.ROOT)}" in make
    assert "../build/book/chaos.md" in (paths.ROOT / "book/reliability.md").read_text(encoding="utf-8")
