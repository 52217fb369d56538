"""Several processes at one training: the step of the whole batch, one record, the same weights everywhere."""

import importlib
import json
import os
import signal
import sys
import time
from subprocess import PIPE, Popen, run

import pytest
import torch
from helpers import ALL, batch, settings_for

from featuremining import UsageError, build, compose, make, paths, plain_step
from featuremining.layers.low_rank import LowRankRecovery
from featuremining.methods.ical import ICAL
from featuremining.models.staged import map_sizes
from featuremining.recipes import recipe
from featuremining.studies import Run
from featuremining.training.replicas import OwnRows, Replicas

T = importlib.import_module("featuremining.training.loop")


WORKER = paths.ROOT / "tests/replica_worker.py"
METHODS = ("baseline", "fm", "mixup", "byot", "fm+cutmix", "cutout")


def start(folder, what, port=0):
    """Two processes where a port is given, else one; records and what they found lie in ``folder``."""
    folder.mkdir(exist_ok=True)
    by_two = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port)] if port else []
    env = {**os.environ, "FM_RUNS_DIR": str(folder / "runs"), "FM_BUILD_DIR": str(folder / "build"), "OMP_NUM_THREADS": "1"}
    return Popen([sys.executable, *by_two, str(WORKER), str(folder / "out"), what], env=env, stdout=PIPE, stderr=PIPE, text=True)


def found(folder, process, ranks=2):
    said, wrong = process.communicate(timeout=900)
    assert process.returncode == 0, wrong[-3000:]
    return [json.loads((folder / f"out{rank}.json").read_text()) for rank in range(ranks)], said


@pytest.fixture(scope="module")
def alone_and_together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replicas")
    one, two = start(folder / "one", "cases"), start(folder / "two", "cases", 29587)
    return found(folder / "one", one, 1)[0][0], *found(folder / "two", two), folder / "two"


@pytest.mark.parametrize("name", METHODS)
def test_two_processes_are_one_training(alone_and_together, name):
    """Over gloo on the CPU, in double precision: the curves of one process with the same batches, to rounding; one record, the
    same weights in both."""
    one, (a, b), _, _ = alone_and_together
    assert a[name]["weights"] == b[name]["weights"] == a[name]["recorded"] and a[name]["provenance"]["replicas"] == 2
    assert a[name]["curves"].keys() == one[name]["curves"].keys() > {"loss", "test_acc", "test_loss", "train_acc"}
    for curve, values in one[name]["curves"].items():
        assert a[name]["curves"][curve] == pytest.approx(values, rel=2e-5), curve       # six digits are on record
    assert a[name]["curves"]["loss"][0] != a[name]["curves"]["loss"][1]


def test_the_first_process_alone_writes_and_speaks(alone_and_together):
    _, (a, b), said, folder = alone_and_together
    assert a["error"] < 1e-9 and b["error"] < 1e-9          # weighted as if shares were equal, it would be a tenth
    assert len(list((folder / "runs").rglob("*.json"))) == len(METHODS) == said.count("epoch 2/2")
    assert not list((folder / "build").rglob("checkpoints/**/*.pt"))


def test_a_process_that_dies_ends_all_and_the_run_goes_on(tmp_path):
    """Killed between two checkpoints: one sentence, no record; then the bits of a training that nobody killed."""
    whole = start(tmp_path / "whole", "long", 29588)
    (expected, _), _ = found(tmp_path / "whole", whole)
    torn = start(tmp_path / "torn", "long", 29588)
    until = time.monotonic() + 600
    while not list((tmp_path / "torn").rglob("checkpoints/**/*.pt")) and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(int((tmp_path / "torn/out1.pid").read_text()), signal.SIGKILL)
    said, wrong = torn.communicate(timeout=600)
    assert torn.returncode and not list((tmp_path / "torn/runs").rglob("*.json"))
    assert wrong.count("fm: Another process of this training is gone, so it ends; the same command goes on") == 1, wrong
    assert "epoch 12/12" not in said and "replica_worker.py\", line" not in wrong        # no traceback of ours
    (again, _), said = found(tmp_path / "torn", start(tmp_path / "torn", "long", 29588))
    assert "goes on after epoch" in said and again["provenance"]["resumed"] == 1
    assert (again["weights"], again["curves"]) == (expected["weights"], expected["curves"])


def test_the_printed_way_to_train_by_distributed_data_parallel():
    """The example of the book, as printed: weights and heads of both processes stay equal, though their images differ; the two
    ways that leave something out are warned of."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29588",
               str(paths.ROOT / "tests/ddp_worker.py")]
    done = run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    a, b = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    assert a["weights"] == b["weights"] and a["heads"] == b["heads"] and a["images"] != b["images"]
    assert a["warned"] == {"as printed": 0, "around the network": 1, "around the network afterwards": 1}


def test_alone_nothing_is_exchanged():
    alone, p = Replicas(), torch.nn.Parameter(torch.ones(2))
    p.grad = torch.full((2,), 3.0)
    alone.average([p], 5)
    alone.wait()
    alone.share_statistics(net := torch.nn.Sequential(torch.nn.BatchNorm2d(2)))
    assert type(net[0]) is torch.nn.BatchNorm2d and alone.weighed(p, 5) is p
    assert p.grad.tolist() == [3.0, 3.0] and alone.total(p.grad) is p.grad and alone.first


@pytest.mark.parametrize("learner", [LowRankRecovery(), ICAL(form="confusion"), torch.nn.BatchNorm1d(2)],
                         ids=lambda m: type(m).__name__)
def test_what_learns_of_batches_is_refused(learner):
    """Each process would keep what it learnt of its own part, and test another network."""
    with pytest.raises(UsageError, match=f"{type(learner).__name__} can't be spread"):
        Replicas(0, 2).share_statistics(torch.nn.Sequential(torch.nn.BatchNorm2d(2), learner))
    Replicas(0, 2).share_statistics(ICAL())


def test_a_method_that_chooses_batches_is_refused(scratch, monkeypatch):
    monkeypatch.setattr("featuremining.training.run.join", lambda: Replicas(0, 2))
    with pytest.raises(UsageError, match="cs_kd chooses"):
        T.Training(Run("parts", "resnet20", ({"name": "cs_kd"},), recipe("resnet20", "smoke"), "smoke", 0), torch.device("cpu"))


def test_too_many_processes_are_refused(scratch, monkeypatch):
    """An epoch of the parts ends with 8 images of its 1800: with nine processes one would get none."""
    run = Run("parts", "resnet20", (), recipe("resnet20", "smoke"), "smoke", 0)
    monkeypatch.setattr("featuremining.training.run.join", lambda: Replicas(0, 8))
    assert T.Training(run, torch.device("cpu")).loader.smallest == 8
    monkeypatch.setattr("featuremining.training.run.join", lambda: Replicas(0, 9))
    with pytest.raises(UsageError, match="9 processes are too many: the last batch of an epoch has 8 images"):
        T.Training(run, torch.device("cpu"))


@pytest.mark.parametrize("name", [name for name in ALL if name != "cs_kd"])
def test_a_method_that_needs_the_whole_batch_says_so(name, tmp_path_factory):
    """Of two processes the second sees rows 1, 3, 5, 7. A method that is given only these must make of them what it makes of them
    in the whole batch, from the same draw; else it is given the whole batch, and its rows are taken after it."""
    net, data, second = build("resnet20", 10), batch(8), Replicas(1, 2).rows()
    method, same = make(name, **settings_for(name, tmp_path_factory)).prepare(net), True
    part = data._replace(x=data.x[second], y=data.y[second])
    torch.manual_seed(0)
    draws = method.draw(4, 8, map_sizes(net, 32, 32))
    for drawn in ({key: t[i] for key, t in draws.items()} for i in range(4)):
        whole, apart = (method.step(plain_step, net, b._replace(drawn=drawn)).batch for b in (data, part))
        same &= torch.equal(whole.x[second], apart.x) and torch.equal(whole.y[second], apart.y)
        own = compose([method, OwnRows(second)])(net, data._replace(drawn=drawn)).batch
        assert torch.equal(own.x, whole.x[second]) and torch.equal(own.y, whole.y[second])
    assert same != method.whole_batch


@pytest.mark.parametrize("name", [name for name in ALL if name != "cs_kd" and "drop" not in name])
def test_a_loss_is_a_mean_over_images(name, tmp_path_factory):
    """What two processes make of their halves averages to what one makes of the whole batch; batch statistics stand still here,
    since several processes share them. Dropout's and its kin's noise would differ between the two."""
    torch.manual_seed(0)
    net = build("resnet20", 10)
    method = make(name, **settings_for(name, tmp_path_factory)).prepare(net)
    for norm in (m for owner in (net, method) for m in owner.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.eval()
    data = batch(8)._replace(drawn={key: t[0] for key, t in method.draw(1, 8, map_sizes(net, 32, 32)).items()})
    whole = method.step(plain_step, net, data).losses
    halves = [compose([method, OwnRows(Replicas(rank, 2).rows())])(net, data).losses for rank in range(2)]
    for term, value in whole.items():
        torch.testing.assert_close((halves[0][term] + halves[1][term]) / 2, value, rtol=1e-4, atol=1e-6, msg=term)
