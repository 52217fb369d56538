"""Recipes: what a study may set otherwise, by type and range, where it is read."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featuremining import FMError, UsageError, studies
from featuremining.recipes import Recipe, recipe

BAD = [("lr", v) for v in (-0.1, 0, math.nan, math.inf, "0.1", True, None)] + [
    ("epochs", v) for v in (0, -1, 1.5, "300", True, None)] + [("batch", v) for v in (0, -64, 128.0)] + [
    ("momentum", v) for v in (7, -0.1, 1.0, "0.9")] + [("gamma", v) for v in (0.0, 2.0, -1.0)] + [
    ("weight_decay", v) for v in (-1e-4, math.nan)] + [("pad", v) for v in (-4, 1.5)] + [
    ("flip", v) for v in ("yes", 1, None)] + [("nesterov", "no"), ("milestones", (0.5, 1.5)), ("milestones", 0.5),
    ("milestones", ("0.5",)), ("steps", 0), ("steps", 2.5), ("warmup", -1), ("test_every", 0), ("precision", 16)]


@pytest.mark.parametrize(("field", "value"), BAD, ids=[f"{f}={v!r}" for f, v in BAD])
def test_a_field_of_another_type_or_out_of_its_range_is_one_sentence(field, value):
    with pytest.raises(UsageError, match=rf"^A recipe's {field} can't be .+\.$"):
        recipe("resnet20", "full", **{field: value})


def test_a_field_that_there_is_not():
    with pytest.raises(UsageError, match="A recipe has no 'leaning_rate'; it has epochs"):
        recipe("resnet20", "full", leaning_rate=0.1)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(vars(Recipe()))), st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.floats(), max_size=3)))
def test_whatever_is_set_is_a_recipe_or_one_sentence(field, value):
    """And a recipe that is let through has a finite rate in its epochs."""
    try:
        made = recipe("resnet20", "full", **{field: value})
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert all(math.isfinite(made.rate(epoch)) for epoch in range(min(made.epochs, 400)))


def test_a_study_with_such_a_recipe_is_named(studies_copy):
    path = studies_copy / "feature_mining/cells/cifar.toml"
    head, mark, rest = path.read_text().partition("[recipes]")
    assert mark and "\nT1 = " not in rest.partition("\n[")[0]
    path.write_text(head + mark + rest.replace("\n", "\nT1 = {momentum = 7}\n", 1))
    with pytest.raises(FMError, match=r"cifar\.toml is not a valid study.*momentum can't be 7"):
        studies.load_cells()
