"""The list of mutants: each can be made of the code as it is; whether tests notice them, `make mutants` finds out."""

import pytest
from mutants import MUTANTS, ROOT, Mutant, mutated


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.where} {m.old}")
def test_a_mutant_can_be_made(mutant):
    text = (ROOT / mutant.path).read_text()
    changed = mutated(text, mutant)
    compile(changed, mutant.path, "exec")
    assert changed != text and (ROOT / "tests/methods" / mutant.tests).exists()


@pytest.mark.parametrize("name", ["x", "été"])
def test_names_and_layout_do_not_matter(name):
    before, after = f"class K:\n    def f(self, {name}):\n        return (", ")  # why\n"
    mutant = Mutant("m:K.f", "A - 1", "A + 1", "")
    assert mutated(f"{before}{name}\n                - 1{after}", mutant) == f"{before}({name} + 1){after}"


@pytest.mark.parametrize("old", ["A - 2", "A"])
def test_a_change_has_one_place(old):
    with pytest.raises(SystemExit, match="exactly once"):
        mutated("def f(x):\n    return x - 1\n", Mutant("m:f", old, "0", ""))
