"""Where and how a training step is carried out: on which device, in which arithmetic, op by op or as one CUDA graph, compiled
or not. The step itself is the same code.

At batch 128 a CIFAR network's kernels take a GPU less time than Python needs to launch them; a graph launches all at once.
"""

import ctypes
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from ..datasets.loader import Shown
from ..errors import FMError, UsageError, choose
from ..recipes import PRECISIONS
from .replicas import Replicas, join, own_gpu

ENGINES = ("eager", "graph", "compile")     # compile: forward and backward fused by torch.compile, in a graph on a GPU
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4        # glibc's malloc.h


def pick_device(name: str = "auto") -> torch.device:
    """``auto`` takes a GPU if there is one; a device that is not there is an error, never a silent CPU."""
    shared = join().world > 1
    if shared and torch.cuda.is_available() and name not in ("auto", "cuda"):
        raise UsageError("Under torchrun each process takes a GPU of its own: leave the device out.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(own_gpu() if shared and name == "cuda" else name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError
        torch.empty(1, device=device)
        if shared and device.type == "cuda":
            torch.cuda.set_device(device)
    except (RuntimeError, AssertionError):
        choices = "auto, cpu or cuda" if torch.cuda.is_available() else "auto or cpu (there is no GPU)"
        raise UsageError(f"There is no device {name!r} here; use {choices}.") from None
    return device


def deterministic() -> None:
    """Equal bits from equal runs, on a GPU as well, and fp32 that is fp32."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False     # a debugging aid that writes every new tensor once more
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


@contextmanager
def enough_memory():
    """A GPU whose memory does not suffice is one sentence."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise FMError("The GPU's memory is full: train fewer seeds at once, or give --engine eager; what is checkpointed goes on "
                      f"with the same command. ({str(error).partition('. ')[0]}.)") from None


def arithmetic(device: torch.device, precision: str) -> torch.autocast:
    """Where convolutions and products are computed in a recipe's precision; weights and losses stay fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=choose("precision", precision, PRECISIONS) == "bf16")


def bf16_instructions() -> bool:
    """Whether this processor multiplies in bfloat16 itself, by the flags that Linux lists. Others do it by way of fp32: slower,
    and rounded otherwise."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(file.read().split()))
    except OSError:
        return False


def resolve(name: str, device: torch.device) -> str:
    """``auto`` is a graph on a GPU and op by op on a CPU, where launching costs nothing worth saving."""
    on_gpu = device.type == "cuda"
    if choose("engine", name, ("auto", *ENGINES)) == "auto":
        return "graph" if on_gpu else "eager"
    if name == "graph" and not on_gpu:
        raise UsageError("A CUDA graph needs a GPU; on a CPU the engine is eager or compile.")
    if name == "compile" and not (program := compiler(on_gpu))[1]:
        raise UsageError(f"The engine compile needs a compiler, and there is no {program[0]} here: install one, name yours in "
                         f"{'CC' if on_gpu else 'CXX'}, or take another engine.")
    return name


def compiler(on_gpu: bool) -> tuple[str, bool]:
    """The program that torch.compile compiles with (C for a GPU's launchers, else C++), and whether it is there."""
    usual = "gcc" if on_gpu else "clang++" if sys.platform == "darwin" else "g++"
    name = os.environ.get("CC" if on_gpu else "CXX") or usual
    return name, any(map(shutil.which, (name, "clang") if on_gpu and name == usual else (name.split()[0],)))


def keep_freed_memory() -> None:
    """Let glibc keep what a step frees for the next step, instead of giving every large block back to the kernel and
    clearing fresh pages for it. Other allocators (tcmalloc, macOS, Windows) have no such switch and need none."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc and hasattr(libc, "mallopt"):
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**28)):
            libc.mallopt(option, value)


class SGD:
    """torch's fused SGD with momentum, by its functional form: one kernel for all parameters, the rate a tensor that a
    captured step reads where it lies. (The class `torch.optim.SGD` loads all of torch.compile before its first step.)
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float, nesterov: bool,
                 replicas: Replicas = Replicas()):      # noqa: B008
        self.parameters, self.replicas = list(parameters), replicas
        self.lr = torch.tensor(lr, device=self.parameters[0].device)
        self.momenta: list[Tensor | None] = [None] * len(self.parameters)
        self.settings = {"momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov, "dampening": 0.0}

    def minimise(self, loss: Tensor, images: int) -> None:
        """One step down the gradient of ``loss``, the mean over this process's ``images``, averaged over all processes'."""
        self.zero_grad()
        self.replicas.weighed(loss, images).backward()
        self.replicas.average(self.parameters, images)
        self.step()

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        """Raises `RuntimeError` where a parameter has no gradient: nothing here is trained by accident."""
        gradients = [p.grad for p in self.parameters]
        if any(g is None for g in gradients):
            raise RuntimeError("A parameter got no gradient; a method's head must be part of a loss.")
        with torch.no_grad():
            sgd(self.parameters, gradients, self.momenta, lr=self.lr, maximize=False, fused=True, **self.settings)

    def state_dict(self) -> dict:
        return {"momenta": self.momenta}

    def load_state_dict(self, state: dict) -> None:
        self.momenta = [None if m is None else m.to(p.device, copy=True).contiguous(memory_format=_format(p))
                        for m, p in zip(state["momenta"], self.parameters, strict=True)]


def _format(tensor: Tensor) -> torch.memory_format:
    four = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if four else torch.contiguous_format


class Inputs(NamedTuple):
    """What one step is made of, on the device."""

    shown: Shown                    # its images
    drawn: dict[str, Tensor]        # what the methods drew ahead for it
    rows: slice = slice(None)       # of the images, which this process's network sees

    @property
    def size(self) -> int:
        """Images that the network sees."""
        return len(self.shown.index[self.rows])

    def tensors(self) -> list[Tensor]:
        return [*self.shown, *self.drawn.values()]

    def clone(self) -> "Inputs":
        return Inputs(Shown(*(t.clone() for t in self.shown)), {name: t.clone() for name, t in self.drawn.items()}, self.rows)


class Graphed:
    """Carries out ``step(inputs) -> tensor`` as one CUDA graph per shape of the inputs.

    The first three calls of a shape are ordinary steps: libraries choose their algorithms and the optimiser makes its
    buffers. Capturing does not compute; so every call is exactly one step, and a resumed training warms up the same way.
    """

    WARM = 3

    def __init__(self, step: Callable[[Inputs], Tensor], stream: torch.cuda.Stream):
        self.step, self.stream, self.calls = step, stream, Counter()
        self.graphs: dict[tuple, tuple[torch.cuda.CUDAGraph, Inputs, Tensor]] = {}

    def __call__(self, inputs: Inputs) -> Tensor:
        shape = tuple(t.shape for t in inputs.tensors())
        self.calls[shape] += 1
        if self.calls[shape] <= self.WARM:
            return self.step(inputs)
        if shape not in self.graphs:
            self.graphs[shape] = self._capture(inputs)
        graph, static, result = self.graphs[shape]
        torch._foreach_copy_(static.tensors(), inputs.tensors())
        graph.replay()
        return result

    def forget(self) -> None:
        """Capture anew: the step is another one from now on."""
        self.calls.clear()
        self.graphs.clear()

    def _capture(self, inputs: Inputs):
        static, graph = inputs.clone(), torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            result = self.step(static)
        return graph, static, result
