"""Several processes at one training: the step of the whole batch, one record, the same weights everywhere."""

import json
import sys
from subprocess import run

import pytest
import torch

from featuremining.replicas import Replicas

WORKER = '''
import importlib, json, sys
from dataclasses import replace
import torch
torch.set_num_threads(1)
from featuremining import build, load, replicas
from featuremining.checkpoint import digest
from featuremining.recipes import recipe
from featuremining.studies import Run
import torch.nn.functional as F

T = importlib.import_module("featuremining.train")
few = load("parts")
few = few._replace(train_x=few.train_x[:70], train_y=few.train_y[:70], test_x=few.test_x[:45], test_y=few.test_y[:45])
T.load = lambda name, **changes: few
me = replicas.join()

net = build("resnet20", 9).double().eval()                   # without batch statistics, a step is the sum of its images
for p in net.parameters():
    torch.nn.init.constant_(p, 0.05) if p.dim() == 1 else torch.nn.init.normal_(p, std=0.05, generator=torch.Generator().manual_seed(p.numel()))
x = torch.randn(7, 3, 32, 32, generator=torch.Generator().manual_seed(0)).double(); y = torch.arange(7)
def gradients(x, y):
    net.zero_grad()
    F.cross_entropy(net(x), y).backward()
gradients(x[me.rank::me.world], y[me.rank::me.world])
me.average(net.parameters(), len(x[me.rank::me.world]))
averaged = [p.grad.clone() for p in net.parameters()]
gradients(x, y)
error = max(((a - p.grad).abs().max() / p.grad.abs().max()).item() for a, p in zip(averaged, net.parameters()))

spec = Run("parts", "resnet20", ({"name": "fm"}, {"name": "mixup"}), replace(recipe("resnet20", "smoke"), epochs=2, batch=32), "smoke", 0)
kept = []
train = T.Training
class Kept(train):
    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        kept.append(self)
T.Training = Kept
record = T.train(spec, "cpu")
assert len(kept) == 1
print(json.dumps({"rank": me.rank, "error": error, "weights": digest(kept[0].model.state_dict()), "id": record.id,
    "recorded": record.weights, "n": record.metrics["n_test"], "last": record.metrics["last"], "seen": record.provenance["replicas"]}),
    file=open(sys.argv[1] + str(me.rank), "w"))
'''


def test_two_processes_are_one_training(scratch):
    """One would-be GPU each, over gloo on the CPU: gradients are the whole batch's, weights agree, one record is written."""
    (scratch / "worker.py").write_text(WORKER)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29587",
               str(scratch / "worker.py"), str(scratch / "out")]
    done = run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    a, b = (json.loads((scratch / f"out{rank}").read_text()) for rank in range(2))
    assert a["error"] < 1e-9 and b["error"] < 1e-9
    assert a["weights"] == b["weights"] == a["recorded"] and a["seen"] == 2
    assert len(list((scratch / "runs").rglob("seed0.json"))) == 1 and not list((scratch / "build").rglob("checkpoints/**/*.pt"))
    assert done.stdout.count("epoch 2/2") == 1              # only the first process speaks


def test_alone_nothing_is_exchanged():
    alone, p = Replicas(), torch.nn.Parameter(torch.ones(2))
    p.grad = torch.full((2,), 3.0)
    alone.average([p], 5)
    alone.spread([p.data])
    alone.wait()
    assert p.grad.tolist() == [3.0, 3.0] and alone.total(p.grad) is p.grad and alone.first


def test_a_method_that_chooses_batches_is_refused(scratch, monkeypatch):
    from featuremining import UsageError
    import importlib
    from featuremining.recipes import recipe
    from featuremining.studies import Run

    T = importlib.import_module("featuremining.train")
    monkeypatch.setattr(T, "join", lambda: Replicas(0, 2))
    with pytest.raises(UsageError, match="cs_kd chooses"):
        T.Training(Run("parts", "resnet20", ({"name": "cs_kd"},), recipe("resnet20", "smoke"), "smoke", 0), torch.device("cpu"))
