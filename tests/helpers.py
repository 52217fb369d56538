"""What several tests use."""

import pytest
import torch

from featuremining import Batch, build, checkpoint


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


def settings_for(name, tmp_path_factory, classes=10):
    """What a method can't be made without: a teacher where it wants one, here an untrained ResNet-20."""
    if name not in ("kd", "fitnet", "attention"):
        return {}
    path = tmp_path_factory.getbasetemp() / f"resnet20_{classes}.pt"
    if not path.exists():
        with torch.random.fork_rng():
            torch.manual_seed(1)
            torch.save(build("resnet20", classes).state_dict(), path)
    return {"teacher": "resnet20", "weights": str(path)}
