"""What a step costs, where it can be counted exactly; the benchmarks' own arithmetic."""

import importlib.util
import sys
from collections import Counter
from itertools import pairwise

import pytest
import torch

from featuremining import UsageError, load_cells, paths, read_records
from featuremining.judging.ledger import Ledger
from featuremining.measuring.cost import operations, peak_memory, ratio, side_by_side
from featuremining.recipes import hours, recipe

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def bench():
    """The benchmarks' shared file, as it is when one of them runs."""
    sys.path.insert(0, str(paths.ROOT / "benchmarks"))
    yield importlib.import_module("bench")
    sys.path.remove(str(paths.ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def steps(bench):
    """A training of ResNet-56 at batch 128 per method, past its first step, with the inputs of the next."""
    data, found = bench.random_data(256, 10), {}
    for name, methods in {"baseline": (), "fm1": ({"name": "fm", "layers": 1},), "fm2": ({"name": "fm", "layers": 2},)}.items():
        ready = bench.training(data, *methods)
        inputs = bench.endless(ready)
        ready.update(next(inputs))
        found[name] = ready, next(inputs)
    return found


@pytest.mark.parametrize(("name", "bound"), [("fm1", 1.02), ("fm2", 1.05)])
def test_feature_mining_adds_few_operations(steps, name, bound):
    counts = {key: operations(lambda r=ready, one=one: r.update(one)).total() for key, (ready, one) in steps.items()}
    assert counts["baseline"] < counts[name] <= bound * counts["baseline"]


@pytest.mark.parametrize(("name", "bound"), [("fm1", 1.001), ("fm2", 1.01)])
def test_feature_mining_needs_hardly_more_memory(bench, steps, name, bound):
    needs = {key: bench.step_memory(ready, one) for key, (ready, one) in steps.items()}
    assert 400 * 2**20 < needs["baseline"] <= needs[name] <= bound * needs["baseline"]


def test_operations_leave_views_out():
    x = torch.ones(4, 4)
    seen = operations(lambda: (x.T.unflatten(0, (2, 2))[:, 1] + 1).relu_())
    assert dict(seen) == {"aten.add.Tensor": 1, "aten.relu_.default": 1}


def test_peak_memory_counts_what_is_held_at_once():
    def two_then_one():
        a, b = torch.empty(2**20), torch.empty(2**20)
        del a, b
        torch.empty(2**20)

    assert peak_memory(two_then_one, CPU) == 8 * 2**20


def test_works_take_turns_in_another_order_each_round():
    seen = []
    took = side_by_side({name: lambda n=name: seen.append(n) for name in "abc"}, CPU, rounds=60, warm=1)
    rounds = ["".join(seen[i:i + 3]) for i in range(0, len(seen), 3)]
    assert rounds[0] == "abc" and all(sorted(r) == ["a", "b", "c"] for r in rounds) and all(len(t) == 60 for t in took.values())
    before = Counter(pairwise(seen))         # nobody always follows the same one
    assert len(set(rounds[1:])) == 6 and max(before.values()) < 40
    assert ratio({"a": [2.0, 4.0, 9.0], "b": [1.0, 2.0, 3.0]}, "a", "b") == (2.0, 2.0, 3.0)


def test_rows_know_whether_their_goal_is_met(bench):
    rows = [bench.Row("g", "w", 1.5, goal=goal) for goal in (">= 1.4", "<= 1.4", "")]
    assert [row.met for row in rows] == [True, False, None]


def test_kept_rows_replace_their_group_alone(bench, tmp_path, monkeypatch):
    import json

    monkeypatch.setattr(paths, "benchmarks", lambda: tmp_path)
    for group, value in (("a", 1.0), ("b", 2.0), ("a", 3.0)):
        bench.keep([bench.Row(group, "w", value, goal="<= 2")], CPU)
    (path,) = tmp_path.glob("*.json")
    kept = {name: [(r["value"], r["met"]) for r in g["rows"]] for name, g in json.loads(path.read_text())["groups"].items()}
    assert kept == {"a": [(3.0, False)], "b": [(2.0, True)]}


def test_synthetic_records_answer_cells(bench, tmp_path, monkeypatch):
    """Four valid ones for each training that a cell asks for, then others; every number that a table prints can be read."""
    bench.synthetic_records(tmp_path, 1000)
    monkeypatch.setenv("FM_RUNS_DIR", str(tmp_path))
    found = read_records("full")
    assert len(found) == len({r.id for r in found}) == 1000
    cells = [c for c in load_cells().values() if c.task != "cost"]
    assert all(Ledger(found).ours(c, rule=rule).n == 4 for c in cells for rule in ("best", "last", "median10"))
    assert len({r.key for r in found} - {c.run("full", 0).key for c in cells}) > 20


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_no_gpu_is_one_sentence(bench):
    gpu = importlib.import_module("gpu")
    with pytest.raises(UsageError, match="no GPU here"):
        gpu.measure()


def test_hours_follow_from_measured_seconds():
    """Steps of each epoch, a smaller batch at its end included, and tests: of every epoch, or of every tenth and the last ten."""
    assert hours(recipe("resnet20", "short"), 1.0, 9.0) == pytest.approx(30 * (391 + 9) / 3600)
    small = recipe("resnet56", "full", test_every=10)
    assert hours(small, 1.0, 9.0, train=5000) == pytest.approx((300 * 40 + 39 * 9) / 3600)
    assert hours(recipe("wrn_28_10", "smoke"), 1.0, 9.0) == pytest.approx(2 * (2 + 9) / 3600)      # of two steps each
