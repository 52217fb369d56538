"""The training loop on a handful of images: resuming, evaluation, and everything that can go wrong."""

import importlib
from dataclasses import replace

import pytest
import torch
from helpers import FM2, die_after_one_epoch
from helpers import small_run as run

from featuremining import FMError, UsageError, build, paths, records
from featuremining.layers import LAYERS
from featuremining.measuring.cost import operations
from featuremining.models.heads import HEADS
from featuremining.recipes import recipe
from featuremining.studies import Run
from featuremining.training import engine, evaluation

T = importlib.import_module("featuremining.training.loop")


pytestmark = pytest.mark.usefixtures("few_images")


@pytest.mark.parametrize("methods", [(), FM2, (*FM2, {"name": "mixup"})], ids=["baseline", "fm", "fm+mixup"])
def test_a_resumed_training_equals_an_uninterrupted_one(methods, monkeypatch):
    whole = T.train(run(methods), "cpu")
    paths.record("smoke", whole.key, 0).unlink()
    die_after_one_epoch(T.train, run(methods), monkeypatch)
    assert not paths.record("smoke", whole.key, 0).exists()
    resumed = T.train(run(methods), "cpu")
    assert resumed.provenance["resumed"] == 1 and whole.provenance["resumed"] == 0
    assert resumed.curves == whole.curves and resumed.weights == whole.weights and resumed.metrics == whole.metrics
    assert resumed.right == whole.right
    left = paths.checkpoint("smoke", whole.key, 0)
    assert not left.exists()
    left.touch()                                # as by a kill between the record and the end
    assert T.train(run(methods), "cpu") == resumed and not left.exists()


@pytest.mark.parametrize("options", [
    *({"head": name} for name in HEADS), {"head": {"name": "unit", "renormalise": True}},
    *({"insert": [{"layer": layer, "after": "stage2"}]} for layer in LAYERS),
    *({"insert": [{"layer": "low_rank", "after": "stage2", **settings}]} for settings in (
        {"update_every": 3}, {"mode": "image"}, {"average": "ema"}, {"average": "epoch", "update_every": 2}))], ids=str)
def test_so_does_a_training_of_any_head_and_layer(options, monkeypatch):
    """Some of them keep what they have learnt, in a shape that their first batch gives."""
    one = replace(run(()), options=options)
    whole = T.train(one, "cpu")
    paths.record("smoke", whole.key, 0).unlink()
    for _ in range(2):
        die_after_one_epoch(T.train, one, monkeypatch)
    resumed = T.train(one, "cpu")
    assert resumed.provenance["resumed"] == 2
    assert resumed.curves == whole.curves and resumed.weights == whole.weights and resumed.metrics == whole.metrics


def test_seeds_differ_and_repeat():
    first, other = T.train(run(epochs=1), "cpu"), T.train(run(epochs=1, seed=1), "cpu")
    paths.record("smoke", first.key, 0).unlink()
    assert T.train(run(epochs=1), "cpu").weights == first.weights != other.weights
    assert [r.seed for r in records.read_records("smoke")] == [0, 1]


def test_methods_start_from_the_same_network():
    """Equal seeds share weights and batches, so methods can be compared in pairs."""
    trainings = [T.Training(run(methods), torch.device("cpu")) for methods in ((), FM2)]
    assert len({T.digest(t.model.state_dict()) for t in trainings}) == 1
    (x, _), (other, _) = (next(iter(t.loader)) for t in trainings)
    assert torch.equal(x, other)


def test_the_saved_network_is_the_plain_network(few_images):
    """Weights of an FM training load into the plain network, which evaluates to the recorded accuracy bit for bit."""
    record = T.train(run(), "cpu")
    state = torch.load(paths.weights("smoke", record.key, 0), weights_only=True)
    plain = build("resnet20", 9).to(memory_format=torch.channels_last)
    plain.load_state_dict(state, strict=True)
    assert T.digest(plain.state_dict()) == record.weights
    again, right = evaluation.evaluate(plain, few_images, torch.device("cpu"))
    assert all(record.curves[name][-1] == value for name, value in again.items()) and len(again) == 2
    (x, y), = few_images.tests(torch.device("cpu"))
    assert torch.equal(right["test_acc"], plain(x).argmax(1) == y)
    assert record.images("last").tolist() == right["test_acc"].tolist()


def test_the_images_of_the_best_epoch_are_those_of_the_first_that_reached_it(monkeypatch):
    """1, 2, 2 and 0 of 45 images: the second epoch's are kept as best, the fourth's as last; a resumed training has them too."""
    answers = iter([[0], [1, 2], [3, 4], []])

    def evaluated(*_):
        right = torch.zeros(45, dtype=torch.bool)
        right[next(answers)] = True
        return evaluation.Tested({"test_acc": round(100 * right.sum().item() / 45, 4), "test_loss": 1.0}, {"test_acc": right})

    monkeypatch.setattr("featuremining.training.classification.evaluate", evaluated)
    saves = []
    save = T.checkpoint.save

    def dies_after_two(path, content):
        save(path, content)
        saves.append(path)
        if len(saves) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(T.checkpoint, "save", dies_after_two)
        T.train(run(epochs=4), "cpu")
    record = T.train(run(epochs=4), "cpu")
    assert record.metrics["best_epoch"] == 2 and record.provenance["resumed"] == 1
    assert record.images("best").nonzero()[0].tolist() == [1, 2] and not record.images("last").any()


def test_what_a_method_predicts_with_has_its_images_too():
    record = T.train(run(({"name": "byot"},), epochs=2), "cpu")
    for name, metrics in record.metrics["others"].items():
        assert round(100 * record.images("last", name).mean(), 4) == metrics["last"]
    assert len(record.right["others"]) == len(record.metrics["others"]) > 0


def test_bf16_wants_a_processor_that_has_it(monkeypatch):
    """In the smoke tier anything runs; a number of bf16 is made where the processor computes in it."""
    monkeypatch.setattr(engine, "bf16_instructions", lambda: False)
    emulated = run(precision="bf16")
    T.Training(emulated, torch.device("cpu"))
    with pytest.raises(UsageError, match="no instructions"):
        T.Training(replace(emulated, tier="short"), torch.device("cpu"))


def test_divergence_is_said_and_nothing_is_recorded():
    bad = run(lr=1e30)
    with pytest.raises(FMError, match=r"diverged in epoch 1.*lower learning rate"):
        T.train(bad, "cpu")
    assert not paths.record("smoke", bad.key, 0).exists()


def test_a_network_that_no_longer_evaluates_is_not_recorded(monkeypatch):
    """Running statistics can overflow while the training loss is still finite; NaN must not reach a record."""
    nothing = evaluation.Tested({"test_acc": 11.1, "test_loss": float("nan")}, {})
    monkeypatch.setattr("featuremining.training.classification.evaluate", lambda *_: nothing)
    with pytest.raises(FMError, match=r"diverged in epoch 1.*test images nan"):
        T.train(run(), "cpu")
    assert not paths.record("smoke", run().key, 0).exists()


def test_a_full_disk_keeps_the_last_checkpoint(monkeypatch):
    die_after_one_epoch(T.train, run(), monkeypatch)
    path = paths.checkpoint("smoke", run().key, 0)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FMError, match="free some disk space or set FM_BUILD_DIR"):
        T.checkpoint.save(path, {})
    assert path.read_bytes() == before and not list(path.parent.glob("*.tmp"))


def test_a_record_of_other_defaults_is_refused():
    record = T.train(run(epochs=1), "cpu")
    path = paths.record("smoke", record.key, 0)
    path.write_text(path.read_text().replace('"center_clip"', '"inside"'))
    with pytest.raises(FMError, match="box was 'inside' and is 'center_clip' now"):
        T.train(run(epochs=1), "cpu")


def test_a_training_that_goes_on_elsewhere_says_so(monkeypatch):
    """Another commit, thread count or device may change bits: the record names the first and every later one."""
    monkeypatch.setattr("featuremining.records.provenance.commit", lambda: {"commit": "a" * 40, "dirty": False})
    die_after_one_epoch(T.train, run(), monkeypatch)
    monkeypatch.setattr("featuremining.records.provenance.commit", lambda: {"commit": "b" * 40, "dirty": False})
    origin = T.train(run(), "cpu").provenance
    assert origin["commit"] == "a" * 40
    assert [(e["epoch"], e["commit"]) for e in origin["resumed_elsewhere"]] == [(1, "b" * 40)]


def test_bf16_is_another_arithmetic_and_says_so():
    plain, short = T.train(run(epochs=1), "cpu"), T.train(run(epochs=1, precision="bf16"), "cpu")
    assert short.key != plain.key and short.provenance["precision"] == "bf16" and short.weights != plain.weights
    assert short.curves["loss"][0] == pytest.approx(plain.curves["loss"][0], rel=0.05)
    assert torch.load(paths.weights("smoke", short.key, 0), weights_only=True)["stem.0.0.weight"].dtype == torch.float32
    with pytest.raises(UsageError, match="precision 'fp16'"):
        T.train(run(precision="fp16"), "cpu")


@pytest.mark.parametrize("methods", [FM2, (*FM2, {"name": "mixup"}), ({"name": "fm", "segmentation": "dropout"},)],
                         ids=["fm", "fm+mixup", "draws in the step"])
def test_several_seeds_at_once_equal_each_alone(methods):
    """Steps in turn on one device: every seed's arithmetic is unchanged, also for a method that draws within its step."""
    runs = [run(methods, epochs=2, seed=seed) for seed in (0, 1, 2)]
    alone = [T.train(r, "cpu") for r in runs]
    for record in alone:
        paths.record("smoke", record.key, record.seed).unlink()
    together = T.train_all(runs, "cpu", at_once=True)
    assert [(r.weights, r.curves) for r in together] == [(r.weights, r.curves) for r in alone]
    assert [r.provenance["beside"] for r in together] == [2, 2, 2] and alone[0].provenance["beside"] == 0


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_optimiser_is_torchs(nesterov):
    """Weights after five steps and a resume equal those of torch's fused SGD bit for bit, and of its plain one closely."""
    torch.manual_seed(0)
    nets = [torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last) for _ in range(3)]
    for net in nets[1:]:
        net.load_state_dict(nets[0].state_dict())
    fused, plain = (torch.optim.SGD(net.parameters(), 0.1, 0.9, weight_decay=5e-4, nesterov=nesterov, fused=how)
                    for net, how in ((nets[0], True), (nets[2], False)))
    ours = engine.SGD(nets[1].parameters(), 0.1, 0.9, 5e-4, nesterov)
    for step in range(5):
        for net, optimizer in zip(nets, (fused, ours, plain), strict=True):
            optimizer.zero_grad()
            net(torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(step))).square().sum().backward()
            optimizer.step()
        if step == 2:
            state, ours = ours.state_dict(), engine.SGD(nets[1].parameters(), 0.1, 0.9, 5e-4, nesterov)
            ours.load_state_dict(state)
    for a, b, c in zip(*(net.parameters() for net in nets), strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(b, c, rtol=1e-5, atol=1e-7)


def test_wrong_labels_are_counted_by_hand():
    """Of five images: right and right; wrong and memorised; wrong and recovered; wrong and neither; right and missed."""
    true, given, found = torch.tensor([0, 1, 2, 3, 4]), torch.tensor([0, 9, 9, 9, 4]), torch.tensor([0, 9, 2, 5, 1])
    assert {name: round(v.item(), 4) for name, v in evaluation.memorisation(found, given, true).items()} == {
        "memorised": 20.0, "recovered": 20.0}


def test_memorisation_is_of_the_images_in_the_batch(few_images, monkeypatch):
    """A step on labels that are all wrong: the log says what the network answers for those very images."""
    wrong = few_images._replace(train_y=(few_images.train_y + 1) % 9, true_y=few_images.train_y)
    monkeypatch.setattr("featuremining.training.run.load", lambda name, **changes: wrong)
    training = T.Training(run(()), torch.device("cpu"))
    inputs = next(training.inputs())
    index = inputs.shown.index
    answers = training.model.train()(training.loader.images(inputs.shown)[0]).argmax(1)       # batch statistics: the same twice
    values = training.update(inputs).tolist()
    seen = dict(zip(training.names, values, strict=True))
    assert seen["memorised"] == pytest.approx(100 * (answers == wrong.train_y[index]).float().mean().item())
    assert seen["recovered"] == pytest.approx(100 * (answers == wrong.true_y[index]).float().mean().item())
    assert seen["memorised"] + seen["recovered"] > 0


def test_methods_draw_other_numbers_than_the_loader():
    """Both follow from (seed, epoch); from one stream of numbers, a step's box would depend on which images come when."""
    drawn = {}
    for seed in (0, 1):
        training = T.Training(run(({"name": "mixup"},), seed=seed), torch.device("cpu"))
        loaders = torch.rand(10_000, generator=torch.Generator().manual_seed(training.loader.epoch_seed))
        drawn[seed] = torch.stack([one.drawn["mixup.noise"] for one in training.inputs()]).flatten()
        assert not torch.isin(drawn[seed], loaders).float().mean() > 0.01       # 24 bits each: a rare meeting is chance
    assert not torch.equal(drawn[0], drawn[1])


def test_nothing_in_a_step_waits_for_a_number():
    """What a CUDA graph asks for: no value is read from the device, and shapes are the same for every step."""
    training = T.Training(run((*FM2, {"name": "mixup"})), torch.device("cpu"))
    steps = [operations(lambda one=one: training.update(one)) for one in training.inputs()]
    assert len(steps) == 3 and steps[1] == steps[2]
    assert not {name for name in steps[0] if "_local_scalar_dense" in name or "nonzero" in name}


def test_the_step_compiles_to_one_graph_for_any_box():
    """torch.compile without a graph break, and no recompilation over three steps with other boxes; equal losses."""
    plain, fused = (T.Training(run((*FM2, {"name": "mixup"})), torch.device("cpu")) for _ in range(2))
    graphs = []
    torch._dynamo.reset()
    backend = lambda graph, _: graphs.append(1) or graph  # noqa: E731
    fused.task.forward = torch.compile(fused.task.forward, fullgraph=True, dynamic=False, backend=backend)
    for one in plain.inputs():
        torch.testing.assert_close(fused.update(one), plain.update(one), rtol=1e-6, atol=1e-6)
    assert len(graphs) == 1


def test_a_graph_takes_every_step_once(monkeypatch):
    """The bookkeeping of captured steps, with a stand-in that replays the Python step: an epoch equals the plain one."""
    class Replayed:
        def replay(self):
            self.result.copy_(self.step(self.static))

    def captured(self, inputs):     # a capture computes nothing
        graph = Replayed()
        graph.step, graph.static = self.step, inputs.clone()
        graph.result = torch.empty(len(one_training.names))
        return graph, graph.static, graph.result

    monkeypatch.setattr(engine.Graphed, "_capture", captured)
    plain, one_training = (T.Training(run(), torch.device("cpu")) for _ in range(2))
    graphed = engine.Graphed(one_training.update, None)
    for _ in range(2):
        for a, b in zip(plain.inputs(), one_training.inputs(), strict=True):
            assert torch.equal(plain.update(a), graphed(b))
    assert len(graphed.graphs) == 1 and graphed.calls.total() == 6
    assert T.digest(plain.model.state_dict()) == T.digest(one_training.model.state_dict())


def test_engines_that_are_not_there():
    assert engine.resolve("auto", torch.device("cpu")) == "eager"
    with pytest.raises(UsageError, match="needs a GPU"):
        engine.resolve("graph", torch.device("cpu"))
    with pytest.raises(UsageError, match="engine 'warp'"):
        engine.resolve("warp", torch.device("cpu"))


def test_a_device_that_is_not_there():
    with pytest.raises(UsageError, match="no device 'cuda:9'"):
        engine.pick_device("cuda:9")
    with pytest.raises(UsageError, match="no device 'gpu'"):
        engine.pick_device("gpu")


def test_a_finished_run_is_not_trained_again(monkeypatch):
    record = T.train(run(epochs=1), "cpu")
    monkeypatch.setattr(T, "Training", None)
    assert T.train(run(epochs=1), "cpu") == record


def test_equal_trainings_repeat_on_this_machine(monkeypatch):
    assert T.repeats(torch.device("cpu"))


def test_real_images_train(cifar, monkeypatch):
    """Two epochs on a thousand real images: the loss falls and the record names the data."""
    some = cifar._replace(train_x=cifar.train_x[:960], train_y=cifar.train_y[:960], test_x=cifar.test_x[:500],
                          test_y=cifar.test_y[:500])
    monkeypatch.setattr("featuremining.training.run.load", lambda name, **changes: some)
    real = Run("cifar100", "resnet20", FM2, replace(recipe("resnet20", "short"), epochs=2, lr=0.05), "short", 0)
    record = T.train(real, "cpu")
    assert record.curves["ce"][1] < record.curves["ce"][0]
    assert record.provenance["data_sha256"] == some.digest() and record.resolved["parameters"] == 278_324
    assert record.resolved["network"] == {"depth": 20, "block": "basic", "shortcut": "B", "stem_stride": 1}


def test_a_hybrid_root_switches_with_the_last_decay_and_resumes_on_either_side(monkeypatch):
    """Until then the training is that of the first root, bit for bit; the weights know which root they are for."""
    first, late = ({"head": {"name": "covariance", "d": 8, "root": "newton_schulz", "later": later}} for later in (None, "exact"))
    plain, hybrid = (replace(run((), milestones=(0.3, 0.6)), options=options) for options in (first, late))
    before, whole = T.train(plain, "cpu"), T.train(hybrid, "cpu")
    assert whole.curves["loss"][:2] == before.curves["loss"][:2] and whole.curves["loss"][2] != before.curves["loss"][2]
    assert whole.resolved["network"]["head.later.name"] == "exact" and whole.spec["options"] == late
    state = torch.load(paths.weights("smoke", whole.key, 0), weights_only=True)
    net = build("resnet20", 9, **late)
    net.load_state_dict(state)
    assert net.pool.root.late and not build("resnet20", 9, **late).pool.root.late
    for epochs in (1, 2):                   # killed before the switch, and again after the last epoch before it
        paths.record("smoke", whole.key, 0).unlink()
        for _ in range(epochs):
            die_after_one_epoch(T.train, hybrid, monkeypatch)
        resumed = T.train(hybrid, "cpu")
        assert resumed.curves == whole.curves and resumed.weights == whole.weights and resumed.provenance["resumed"] == epochs
