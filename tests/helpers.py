"""What several tests use."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from featuremining import METHODS, Batch, UsageError, build, compose, make, paths, plain_step
from featuremining.recipes import recipe
from featuremining.studies import Run
from featuremining.training import checkpoint

FM2 = ({"name": "fm", "layers": 2},)


def small_run(methods=FM2, epochs=3, seed=0, **changes):
    """A training for the fixture `few_images`."""
    small = replace(recipe("resnet20", "smoke"), epochs=epochs, batch=32, **changes)
    return Run("parts", "resnet20", methods, small, "smoke", seed)


def die_after_one_epoch(train, run, monkeypatch):
    """The process of ``train(run, "cpu")`` is gone right after its first checkpoint."""
    save = checkpoint.save

    def last(path, content):
        save(path, content)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", last)
        with pytest.raises(KeyboardInterrupt):
            train(run, "cpu")


def batch(n=6, classes=10, size=32, dtype=torch.float32, seed=0):
    """Random normalised images and one-hot targets."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, size, size, generator=g, dtype=torch.float64).to(dtype)
    return Batch(x, torch.eye(classes, dtype=dtype)[torch.randint(classes, (n,), generator=g)])


TAUGHT = ("kd", "fitnet", "attention", "geometric", "geometric_pattern", "geometric_lle")


def settings_for(name, tmp_path_factory, classes=10):
    """What a method can't be made without: a teacher where it wants one, here an untrained ResNet-20."""
    if name not in TAUGHT:
        return {}
    path = tmp_path_factory.getbasetemp() / f"resnet20_{classes}.pt"
    if not path.exists():
        with torch.random.fork_rng():
            torch.manual_seed(1)
            torch.save(build("resnet20", classes).state_dict(), path)
    return {"teacher": "resnet20", "weights": str(path)}


ALL = sorted(METHODS, key=lambda name: name != "cs_kd")      # it chooses the batches, so it comes first


def conforms(names, tmp_path_factory):
    """Finite losses, gradients to every head, the evaluated network unchanged; an order that lets CS-KD choose batches from
    within is refused."""
    torch.manual_seed(0)
    net = build("resnet20", 10)
    keys = list(net.state_dict())
    methods = [make(name, **settings_for(name, tmp_path_factory)).prepare(net) for name in names]
    if "cs_kd" in names[1:]:
        with pytest.raises(UsageError, match="CSKD chooses which images share a batch"):
            compose(methods)
        return
    out = compose(methods)(net, batch(8))
    assert all(loss.shape == () and torch.isfinite(loss) for loss in out.losses.values())
    assert not any(log.requires_grad for log in out.logs.values())
    sum(out.losses.values()).backward()
    assert all(p.grad is not None and p.grad.any() for m in methods for p in m.parameters())
    assert list(net.state_dict()) == keys
    plain = build("resnet20", 10)
    plain.load_state_dict(net.state_dict())
    assert torch.equal(net.eval()(batch().x), plain.eval()(batch().x))


def trains(name, net, n, tmp_path_factory):
    """A step of the method on a network has finite losses, and gradients for all of both."""
    method = make(name, **settings_for(name, tmp_path_factory)).prepare(net)
    out = method.step(plain_step, net, batch(n))
    sum(out.losses.values()).backward()
    assert all(loss.isfinite() for loss in out.losses.values())
    assert all(p.grad is not None and p.grad.isfinite().all() for m in (net, method) for p in m.parameters())


def plain_settings(name):
    """What goes into a record is what JSON gives back."""
    assert json.loads(json.dumps(make(name).settings())).keys() == make(name).settings().keys()


def numpy_kl(student, teacher, temperature):
    """Independent of the library: sum over classes, mean over rows."""
    def softmax(z):
        e = np.exp(z / temperature - (z / temperature).max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    p, q = softmax(teacher), softmax(student)
    return (p * np.log(p / q)).sum(1).mean()


def fm(*words, folder, **more):
    environment = {**os.environ, "FM_RUNS_DIR": str(folder / "runs"), "FM_BUILD_DIR": str(folder / "build"), **more}
    return subprocess.run([sys.executable, "-m", "featuremining", *words], env=environment, capture_output=True, text=True,
                          timeout=300)      # a command that should end at once must not train for days


sys.path.append(str(paths.ROOT / "book"))       # what build.py imports beside it
SPEC = importlib.util.spec_from_file_location("book_build", paths.ROOT / "book/build.py")
book_build = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(book_build)
