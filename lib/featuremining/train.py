"""The only training loop. It resumes after any death, and equal runs on equal machines give equal bits."""

import hashlib
import json
import math
import os
import time
from datetime import UTC, datetime

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from . import checkpoint, paths, provenance, records
from .datasets import DataSet, load
from .datasets.loader import Loader, evaluation_batches
from .errors import FMError, UsageError
from .methods import make
from .models import build, options_of
from .progress import Report
from .protocol import Batch, Method, Outcome, compose
from .recipes import recipe
from .studies import Run


def pick_device(name: str = "auto") -> torch.device:
    """``auto`` takes a GPU if there is one; a device that is not there is an error, never a silent CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        here = "auto, cpu or cuda" if torch.cuda.is_available() else "auto or cpu (there is no GPU)"
        raise UsageError(f"There is no device {name!r} here; use {here}.") from None
    return device


def deterministic() -> None:
    """Equal bits from equal runs, on a GPU as well, and fp32 that is fp32."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False     # a debugging aid that writes every new tensor once more
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def digest(state: dict[str, Tensor]) -> str:
    """sha256 of a state dict: names, then bytes."""
    h = hashlib.sha256()
    for name, tensor in state.items():
        h.update(name.encode())
        h.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return h.hexdigest()


@torch.no_grad()
def evaluate(model: nn.Module, data: DataSet, device: torch.device) -> tuple[float, float]:
    """Test top-1 in percent and mean cross-entropy of the model alone, as at deployment."""
    model.eval()
    right, loss = torch.zeros((), device=device), torch.zeros((), device=device)
    for x, y in evaluation_batches(data.test_x, data.test_y, data.mean, data.std, device):
        logits = model(x)
        right += (logits.argmax(1) == y).sum()
        loss += nn.functional.cross_entropy(logits, y, reduction="sum")
    n = len(data.test_y)
    return round(100 * right.item() / n, 4), loss.item() / n


class Training:
    """One run as objects: data, network, methods, optimiser, loader, and the log of finished epochs."""

    def __init__(self, run: Run, device: torch.device):
        self.run, self.device, self.recipe = run, device, run.recipe
        if self.recipe.precision != "fp32":
            raise UsageError(f"The trainer computes in fp32 only; the recipe asks for {self.recipe.precision}.")
        self.here = provenance.environment(device)      # of this process; a later commit is not the code that runs
        self.environments = [{"epoch": 0, **self.here}]
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self.data = load(run.dataset)
        torch.manual_seed(run.seed)                     # the network first: equal seeds start from equal weights
        self.model = build(run.network, len(self.data.classes), **run.options).to(device, memory_format=torch.channels_last)
        self.methods = nn.ModuleList(make(**settings).prepare(self.model) for settings in run.methods).to(device)
        self.step = compose(self.methods)
        r = self.recipe
        sampler = self.methods[0].sampler(self.data.train_y, r.batch) if len(self.methods) else None
        self.loader = Loader(self.data.train_x, self.data.train_y, len(self.data.classes), self.data.mean, self.data.std,
                             device=device, batch=r.batch, seed=run.seed, pad=r.pad, flip=r.flip, sampler=sampler)
        parameters = [*self.model.parameters(), *self.methods.parameters()]
        self.optimizer = torch.optim.SGD(parameters, r.lr, r.momentum, weight_decay=r.weight_decay, nesterov=r.nesterov)
        self.log: dict[str, list[float]] = {}
        self.seconds, self.resumed = 0.0, 0

    @property
    def path(self):
        return paths.checkpoint(self.run.tier, self.run.key, self.run.seed)

    def state(self) -> dict:
        return {"model": self.model.state_dict(), "methods": self.methods.state_dict(), "optimizer": self.optimizer.state_dict(),
                "loader": self.loader.state_dict(), "random": checkpoint.random_state(), "log": self.log, "seconds": self.seconds,
                "resumed": self.resumed, "resolved": self.resolved(), "environments": self.environments}

    def resume(self) -> None:
        """Go on from this run's checkpoint, if there is one."""
        state = checkpoint.load(self.path)
        if state is None:
            return
        if state["resolved"] != self.resolved():
            raise FMError(f"{self.path} was begun under other settings or defaults: delete it to start this run over.")
        for name in ("model", "methods", "optimizer", "loader"):
            getattr(self, name).load_state_dict(state[name])
        checkpoint.set_random_state(state["random"])
        self.log, self.seconds, self.resumed = state["log"], state["seconds"], state["resumed"] + 1
        self.environments = state["environments"]
        if {**self.environments[-1], "epoch": 0} != {**self.here, "epoch": 0}:      # allowed, but then bits may differ: on record
            print(f"{self.run.id}: goes on under another commit, version, device or number of threads; the record will say so.")
            self.environments.append({"epoch": self.loader.epoch, **self.here})

    def resolved(self) -> dict:
        """Every setting with its value: what the declared run meant under today's defaults."""
        return resolved(self.run, self.model, self.methods)

    def update(self, x: Tensor, y: Tensor) -> tuple[Outcome, Tensor]:
        """One step of the optimiser on a batch: what the methods made of it, and the total loss."""
        out = self.step(self.model, Batch(x, y))
        loss = sum(out.losses.values())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return out, loss

    def one_epoch(self, report: Report) -> dict[str, float]:
        """Means over the epoch of every loss and log, training and test accuracy."""
        epoch = self.loader.epoch
        self.model.train()
        self.methods.train()
        for method in self.methods:
            method.at(epoch / self.recipe.epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate(epoch)
        sums: dict[str, Tensor] = {}
        images = 0
        for i, (x, y) in enumerate(self.loader, 1):
            out, loss = self.update(x, y)
            right = (out.trace.logits.argmax(1) == out.batch.y.argmax(1)).to(loss.dtype).mean()
            seen = {"loss": loss, **out.losses, **out.logs, "train_acc": 100 * right}
            for name, value in seen.items():        # on the device: no waiting for a number inside the step
                sums[name] = sums.get(name, 0) + value.detach() * len(x)
            images += len(x)
            report.step(epoch, i)
        row = {name: float(f"{value.item() / images:.6g}") for name, value in sums.items()}
        accuracy, test_loss = evaluate(self.model, self.data, self.device)
        if not (math.isfinite(row["loss"]) and math.isfinite(test_loss)):
            raise FMError(f"{self.run.id} diverged in epoch {epoch + 1} (loss {row['loss']}, on the test images {test_loss}). "
                          "Nothing was recorded and the checkpoint before it is kept. Try a lower learning rate or a warm-up.")
        return {"lr": self.recipe.rate(epoch), **row, "test_acc": accuracy, "test_loss": float(f"{test_loss:.6g}")}

    def record(self) -> records.Record:
        began = {k: v for k, v in self.environments[0].items() if k != "epoch"}
        where = {**began, "precision": self.recipe.precision, "data_sha256": self.data.digest(),
                 "seconds": round(self.seconds, 1), "peak_memory_mib": provenance.peak_memory_mib(self.device),
                 "resumed": self.resumed, "resumed_elsewhere": self.environments[1:],
                 "finished": datetime.now(UTC).isoformat(timespec="seconds")}
        return records.Record(records.SCHEMA, self.run.id, self.run.key, self.run.seed, self.run.spec(), self.resolved(),
                              records.metrics(self.log["test_acc"], len(self.data.test_y)), self.log,
                              digest(self.model.state_dict()), where)


def resolved(run: Run, model: nn.Module, methods: list[Method]) -> dict:
    """Network size and every method's settings, defaults included, as plain JSON values."""
    network = options_of(run.network, **run.options)
    settings = [{"name": declared["name"], "train_only_parameters": parameters(method), **method.settings()}
                for declared, method in zip(run.methods, methods, strict=True)]
    return json.loads(json.dumps({"parameters": parameters(model), "network": network, "methods": settings}))


def parameters(module: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in module.parameters())


def outdated(record: records.Record) -> str:
    """The first default of network or methods that has changed since the record was made; empty if none. A setting that
    came later does not count: its default keeps the old behaviour."""
    spec, then = record.spec, record.resolved
    pairs = [(spec["network"], options_of(spec["network"], **spec["options"]), then.get("network", {}))]
    pairs += [(m["name"], make(**m).settings(), old) for m, old in zip(spec["methods"], then["methods"], strict=True)]
    for owner, now, old in pairs:
        now = json.loads(json.dumps(now))
        for name in now.keys() & old.keys():
            if now[name] != old[name]:
                return f"{owner} {name} was {old[name]!r} and is {now[name]!r} now"
    return ""


def repeats(device: torch.device) -> bool:
    """Whether two equal trainings (ResNet-20 with Feature Mining, three steps on embedded data) give equal bits here."""
    deterministic()
    run = Run("parts", "resnet20", ({"name": "fm"},), recipe("resnet20", "smoke"), "smoke", 0)
    return len({digest(_few_steps(Training(run, device), 3)) for _ in range(2)}) == 1


def _few_steps(training: "Training", n: int) -> dict[str, Tensor]:
    for (x, y), _ in zip(training.loader, range(n), strict=False):
        training.update(x, y)
    return training.model.state_dict()


def recorded(run: Run) -> records.Record | None:
    """The run's record, if there is one; an `FMError` if it was made under defaults that have changed since."""
    path = paths.record(run.tier, run.key, run.seed)
    if not path.exists():
        return None
    record = records.read(path)
    if changed := outdated(record):
        raise FMError(f"{path} was made under another default: {changed}. Name the old value in the study, or move the "
                      "record away and run the cell again.")
    paths.checkpoint(run.tier, run.key, run.seed).unlink(missing_ok=True)       # left by a kill right after the record
    return record


def train(run: Run, device: str = "auto") -> records.Record:
    """Train ``run`` unless its record exists; resume where a killed process left off. Returns the record.

    Writes the record under `paths.runs` and the trained network's state under `paths.weights`. Raises `FMError` when the
    loss is no longer finite, the data or the disk fails, or another process is at the same run.
    """
    if done := recorded(run):
        return done
    target = pick_device(device)
    lock = paths.checkpoint(run.tier, run.key, run.seed).with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            return recorded(run) or _train(run, target)
    except Timeout:
        raise FMError(f"Another process is training {run.id}; wait for it or stop it.") from None


def _train(run: Run, device: torch.device) -> records.Record:
    deterministic()
    training = Training(run, device)
    training.resume()
    report = Report(run.id, run.recipe.epochs, len(training.loader), training.loader.epoch)
    try:
        while training.loader.epoch < run.recipe.epochs:
            epoch, began = training.loader.epoch, time.monotonic()
            row = training.one_epoch(report)
            for name, value in row.items():
                training.log.setdefault(name, []).append(value)
            training.seconds += time.monotonic() - began
            checkpoint.save(training.path, training.state())
            report.epoch(epoch, row)
    finally:
        report.close()
    record = training.record()
    checkpoint.save(paths.weights(run.tier, run.key, run.seed), training.model.state_dict())
    records.write(record, paths.record(run.tier, run.key, run.seed))
    training.path.unlink()
    return record
