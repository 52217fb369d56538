"""Recipes: what a study may set otherwise, by type and range, where it is read."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from featuremining import UsageError
from featuremining.recipes import Recipe, recipe


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
