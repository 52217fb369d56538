"""Costs of iterations: turns, ratios and intervals with clocks of our own, memory against other ways to count it. No test depends
on how fast a machine is."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made_costs import BASE, COUNTS, FM1, FM2, SMALL
from scipy import stats

from featuremining import FMError, UsageError, studies
from featuremining.judging import cost
from featuremining.measuring import iterations
from featuremining.records import findings

CPU = torch.device("cpu")


def smoke(*cells):
    return [cell.run("smoke", 0) for cell in cells]


@pytest.fixture
def clock(scratch, monkeypatch):
    """Trainings that only say how long they took: an iteration of a method with L layers takes 1 + L / 10 s, the first 5 s more,
    and every round twice as long as the one before. Gives the calls in their order, as numbers of layers."""
    calls = []

    def layers(run):
        return run.methods[0]["layers"] if run.methods else 0

    def prepared(run, device, data, engine_name="auto"):
        return SimpleNamespace(engine="eager", recipe=run.recipe, run=run), iter(())

    def timed(training, steps):
        before = calls.count(layers(training.run))
        calls.append(layers(training.run))
        return 2**before * (1 + layers(training.run) / 10) + (5 if before == 0 else 0)

    monkeypatch.setattr(iterations, "prepared", prepared)
    monkeypatch.setattr(iterations, "timed", timed)
    monkeypatch.setattr(iterations, "images", lambda run: SimpleNamespace(name="none"))
    monkeypatch.setattr(iterations, "counted", lambda run, *_: COUNTS | {"saved_mib": 100.0 + layers(run)})
    for name in ("deterministic", "keep_freed_memory"):
        monkeypatch.setattr(iterations, name, lambda: None)
    return calls


def test_works_take_turns_and_every_round_begins_with_the_next():
    order, done = [], []
    works = {name: lambda n=name: order.append(n) or 10 * "abc".index(n) + len(order) for name in "abc"}
    took = iterations.interleaved(works, 4, done.append)
    assert "".join(order) == "abc" + "bca" + "cab" + "abc" and done == [1, 2, 3, 4]
    assert took == {"a": [1, 6, 8, 10], "b": [12, 14, 19, 21], "c": [23, 25, 27, 32]}


def test_the_ratio_is_the_t_interval_of_the_logarithms():
    g = np.random.default_rng(0)
    base = g.uniform(1, 3, 40)
    ours = base * np.exp(g.normal(0.05, 0.1, 40))
    found = iterations.ratio(list(ours), list(base), settled=4)
    logs = np.log(ours[4:] / base[4:])
    interval = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    assert found == pytest.approx({"time_ratio": np.exp(logs.mean()), "low": np.exp(interval.low), "high": np.exp(interval.high),
                                   "rounds": 36}, rel=1e-5)
    assert iterations.ratio(list(base), list(base)) == {"time_ratio": 1.0, "low": 1.0, "high": 1.0, "rounds": 39}


def test_the_papers_mean_counts_the_first_iteration():
    took = [9.0, *np.random.default_rng(1).uniform(1, 2, 20)]
    low, middle, high = np.percentile(took, [25, 50, 75])
    assert iterations.summary(took) == pytest.approx(
        {"seconds": np.mean(took), "median": middle, "q1": low, "q3": high, "first": 9.0}, rel=1e-5)


def test_what_is_measured_side_by_side(clock, capsys):
    base, one, two = iterations.measure(smoke(BASE, FM1, FM2), "cpu")
    assert clock == [0, 1, 2, 1, 2, 0, 2, 0, 1]
    assert base.values["seconds"] == pytest.approx((6 + 2 + 4) / 3) and base.values["first"] == 6
    assert "time_ratio" not in base.values
    assert [float(t) for t in two.values["each"].split()] == [6.2, 2.4, 4.8] and two.values["iterations"] == 3
    for values, layers in ((one.values, 1), (two.values, 2)):
        assert [values[name] for name in ("time_ratio", "low", "high")] == pytest.approx([1 + layers / 10] * 3)
        assert (values["rounds"], values["memory_ratio"], values["operations_ratio"]) == (2, 1 + layers / 100, 1)
    assert [two.provenance[name] for name in ("engine", "beside", "threads")] == ["eager", 2, torch.get_num_threads()]
    assert "3/3 rounds" in capsys.readouterr().out


@pytest.mark.parametrize(("tier", "rounds"), [("short", 30), ("full", 300)])
def test_iterations_of_a_tier_and_the_recipes_batch(clock, tier, rounds):
    (found,) = iterations.measure([FM2.run(tier, 0)], "cpu")
    assert (found.values["iterations"], found.values["rounds"], found.values["batch"]) == (rounds, rounds - 1, 128)


def test_a_graph_is_captured_before_rounds_count(clock, monkeypatch):
    """Three ordinary steps, then the one that captures: two rounds more than that at least, even in the smoke tier."""
    plain = iterations.prepared

    def graphed(run, *rest):
        training, steps = plain(run, *rest)
        training.engine = "graph"
        return training, steps

    monkeypatch.setattr(iterations, "prepared", graphed)
    (found,) = iterations.measure(smoke(FM1), "cpu")
    assert (found.values["iterations"], found.values["rounds"]) == (6, 2)


def test_the_baseline_is_measured_along_but_not_written(clock, scratch):
    (found,) = iterations.measure(smoke(FM1), "cpu")
    assert clock == [0, 1, 1, 0, 0, 1]
    assert [path.parent.name for path in scratch.rglob("*.json")] == [found.key] == [FM1.run("smoke", 0).key]


def test_a_layer_is_measured_beside_the_plain_network(clock):
    cell = studies.cell("CM.X3.resnet56.convmix")
    (found,) = iterations.measure(smoke(cell), "cpu")
    assert len(clock) == 6 and found.values["rounds"] == 2 and {"time_ratio", "memory_ratio"} <= found.values.keys()
    assert iterations.baseline(cell.run("full", 0)).key == studies.baseline(cell).run("full", 0).key


def test_networks_are_measured_one_after_the_other(clock):
    found = iterations.measure(smoke(FM1, SMALL[1], FM2), "cpu")
    assert [f.key for f in found] == [c.run("smoke", 0).key for c in (FM1, SMALL[1], FM2)]
    assert clock[:9] == [0, 1, 2, 1, 2, 0, 2, 0, 1] and len(clock) == 9 + 6


def test_a_finding_is_kept_and_seeds_share_it(clock, capsys):
    (first,) = iterations.measure(smoke(FM1), "cpu")
    del clock[:]
    capsys.readouterr()
    again = iterations.measure([FM1.run("smoke", 1), FM1.run("smoke", 0)], "cpu")
    assert again == [first] and clock == []
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "move" in said and str(findings.path("cost", FM1.run("smoke", 0), first.name)) in said
    both = iterations.measure(smoke(FM1, FM2), "cpu")
    assert both[0] == first and clock == [0, 2, 2, 0, 0, 2]


def test_another_number_of_threads_is_another_finding(clock, monkeypatch):
    (first,) = iterations.measure(smoke(FM1), "cpu")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    (second,) = iterations.measure(smoke(FM1), "cpu")
    assert first.name != second.name and second.name.endswith(".64t")
    assert len(cost.found([FM1], "smoke")) == 2 and cost.found([FM1], "full") == []


def test_names_are_those_of_files(monkeypatch):
    monkeypatch.setattr("featuremining.records.provenance.processor", lambda: "Intel(R) Xeon(R) CPU @ 2.20GHz")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert iterations.finding_name(CPU, "eager") == "intel-r-xeon-r-cpu-2-20ghz.2t"
    assert iterations.finding_name(CPU, "compile") == "intel-r-xeon-r-cpu-2-20ghz.2t.compile"


@pytest.mark.parametrize("at", [0, 4, 8])
def test_nothing_is_written_when_it_is_stopped(clock, scratch, monkeypatch, at):
    whole = iterations.timed

    def stopped(training, steps):
        if len(clock) == at:
            raise KeyboardInterrupt
        return whole(training, steps)

    monkeypatch.setattr(iterations, "timed", stopped)
    with pytest.raises(KeyboardInterrupt):
        iterations.measure(smoke(BASE, FM1, FM2), "cpu")
    assert not [path for path in scratch.rglob("*") if path.is_file()]
    monkeypatch.setattr(iterations, "timed", whole)
    del clock[:]
    assert len(iterations.measure(smoke(BASE, FM1, FM2), "cpu")) == 3 and len(clock) == 9


def test_what_cannot_be_measured_is_one_sentence(clock):
    with pytest.raises(UsageError, match="no device 'nowhere'"):
        iterations.measure(smoke(FM1), "nowhere")
    with pytest.raises(UsageError, match="CUDA graph needs a GPU"):
        iterations.measure(smoke(FM1), "cpu", "graph")
    assert clock == []
    (found,) = iterations.measure(smoke(FM1), "cpu")
    findings.path("cost", FM1.run("smoke", 0), found.name).write_text("{}")
    with pytest.raises(FMError, match="measure again"):
        iterations.measure(smoke(FM1), "cpu")


def test_saved_bytes_of_a_small_network_by_hand():
    """A linear layer saves its input, ReLU its result, which is also the next layer's input, the square its argument."""
    net = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.ReLU(), torch.nn.Linear(7, 3))
    x = torch.randn(11, 5)
    work = lambda: net(x).square().sum().backward()     # noqa: E731
    assert iterations.saved_bytes(work, net.parameters()) == 4 * 11 * (5 + 7 + 3)
    assert iterations.saved_bytes(work, [*net.parameters(), x]) == 4 * 11 * (7 + 3)
    assert iterations.saved_bytes(work, []) == 4 * 11 * (5 + 7 + 3) + 4 * 7 * 3       # of the weights the second alone is needed


@pytest.mark.parametrize("cell", SMALL, ids=lambda c: c.method)
def test_saved_bytes_of_a_step_are_those_found_in_the_graph(cell):
    """The nodes of the graph name what they saved; a walk through them needs no hooks."""
    data = iterations.images(cell.run("smoke", 0))
    with torch.random.fork_rng():
        training, steps = iterations.prepared(cell.run("smoke", 0), CPU, data)
        one = next(steps)
        loss = training.task.forward(*training.loader.images(one.shown), one.drawn)["loss"]
        held = [*training.model.parameters(), *training.model.buffers(), *training.methods.parameters(), *one.tensors()]
        kept, todo, seen = {}, [loss.grad_fn], set()
        while todo:
            node = todo.pop()
            seen.add(node)
            todo += [other for other, _ in node.next_functions if other is not None and other not in seen]
            saved = [getattr(node, name) for name in dir(node) if name.startswith("_saved_")]
            tensors = [t for value in saved for t in (value if isinstance(value, tuple) else (value,))]
            kept |= {t.untyped_storage().data_ptr(): t.untyped_storage() for t in tensors
                     if isinstance(t, torch.Tensor) and t.dtype != torch.float64}       # Python's numbers are wrapped as these
        for tensor in held:
            kept.pop(tensor.untyped_storage().data_ptr(), None)
        found = iterations.saved_bytes(lambda: training.task.forward(*training.loader.images(one.shown), one.drawn), held)
    assert found == sum(storage.nbytes() for storage in kept.values()) > 2**20


def test_counts_of_the_papers_training():
    """ResNet-56 at a batch of 8: the inputs of every convolution and of every normalisation are kept, and small
    change. FM has two heads a stage and copies no map."""
    counts = {}
    for cell in (BASE, FM1, FM2):
        run = cell.run("full", 0)
        run = replace(run, recipe=replace(run.recipe, batch=8))
        with torch.random.fork_rng():
            counts[cell.method] = iterations.counted(run, CPU, iterations.images(run, 2400))
    stages = ((16, 32, 19), (32, 16, 18), (64, 8, 18))                  # channels, size, convolutions of 3 x 3
    maps = sum(2 * n * c * size * size for c, size, n in stages) + 3 * 32 * 32 + 32 * 16 * 16 + 64 * 8 * 8     # and two of 1 x 1
    assert counts["baseline"]["saved_mib"] == pytest.approx(8 * maps * 4 / 2**20, rel=2e-3)
    saved = [counts[name]["saved_mib"] for name in ("baseline", "fm1", "fm2")]
    assert saved[0] < saved[1] < saved[2] < 1.002 * saved[0]
    heads = {"baseline": 0, "fm1": 2 * (64 + 1) * 100, "fm2": 2 * (64 + 1 + 32 + 1) * 100}
    assert {name: found["train_only_mib"] for name, found in counts.items()} == pytest.approx(
        {name: 4 * n / 2**20 for name, n in heads.items()}, rel=1e-5)
    assert counts["baseline"]["operations"] < counts["fm1"]["operations"] < counts["fm2"]["operations"]


def test_a_timed_step_is_a_step_of_the_training(monkeypatch):
    """The optimiser has moved the weights, one batch is gone, and the random state around it is as it was."""
    monkeypatch.setattr("featuremining.measuring.cost.time.perf_counter", iter([3.0, 5.5]).__next__)
    run = SMALL[2].run("smoke", 0)
    with torch.random.fork_rng():
        training, steps = iterations.prepared(run, CPU, iterations.images(run))
        before = [p.clone() for p in (*training.model.parameters(), *training.methods.parameters())]
        assert training.model.training and training.methods.training
        assert iterations.timed(training, steps) == 2.5
    after = [*training.model.parameters(), *training.methods.parameters()]
    assert training.loader.position == 1 and not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_steps_go_on_past_an_epoch_in_whole_batches():
    run = SMALL[0].run("smoke", 0)
    run = replace(run, data={"train": 20, "test": 2})
    with torch.random.fork_rng():
        training, steps = iterations.prepared(run, CPU, iterations.images(run))
        sizes = [next(steps).size for _ in range(5)]
    assert sizes == [8] * 5 and training.loader.epoch == 2       # 20 images: 8, 8, and 4 that are left out


def test_no_data_set_is_needed_beyond_the_smoke_tier(monkeypatch, tmp_path):
    monkeypatch.setenv("FM_DATA_DIR", str(tmp_path))
    data = iterations.images(BASE.run("short", 0), 300)
    assert data.train_x.shape == (300, 32, 32, 3) and data.train_x.dtype == torch.uint8 and len(data.classes) == 100
    assert data.train_x.float().std() > 70 and data.train_y.max() > 90
    assert iterations.images(BASE.run("smoke", 0)).name == "parts"


def test_a_real_measurement_of_a_small_network(scratch, monkeypatch):
    for name in ("deterministic", "keep_freed_memory"):
        monkeypatch.setattr(iterations, name, lambda: None)
    with torch.random.fork_rng():
        base, two = iterations.measure(smoke(SMALL[0], SMALL[2]), "cpu")
    assert (two.values["iterations"], two.values["batch"], two.values["images"]) == (3, 8, "parts")
    assert two.values["low"] <= two.values["time_ratio"] <= two.values["high"] and min(two.values["q1"], base.values["first"]) > 0
    assert two.values["memory_ratio"] == pytest.approx(two.values["saved_mib"] / base.values["saved_mib"], rel=1e-4)
    assert cost.found(SMALL, "smoke") == [base, two]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_gpus_memory(scratch):
    (found,) = iterations.measure(smoke(SMALL[2]), "cuda")
    assert found.provenance["engine"] == "graph" and found.values["iterations"] == 6
    assert 0 < found.values["saved_mib"] < found.values["allocated_mib"] <= found.values["reserved_mib"] + 1
