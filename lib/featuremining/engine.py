"""How a training step is carried out: op by op, or as one CUDA graph, compiled or not. The step itself is the same code.

At batch 128 a CIFAR network's kernels take a GPU less time than Python needs to launch them; a graph launches all at once.
"""

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from .errors import UsageError, choose

ENGINES = ("eager", "graph", "compile")     # compile: forward and backward fused by torch.compile, in a graph on a GPU
Inputs = dict[str, Tensor]


def resolve(name: str, device: torch.device) -> str:
    """``auto`` is a graph on a GPU and op by op on a CPU, where launching costs nothing worth saving."""
    on_gpu = device.type == "cuda"
    if choose("engine", name, ("auto", *ENGINES)) == "auto":
        return "graph" if on_gpu else "eager"
    if name == "graph" and not on_gpu:
        raise UsageError("A CUDA graph needs a GPU; on a CPU the engine is eager or compile.")
    return name


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
        shape = tuple(t.shape for t in inputs.values())
        self.calls[shape] += 1
        if self.calls[shape] <= self.WARM:
            return self.step(inputs)
        if shape not in self.graphs:
            self.graphs[shape] = self._capture(inputs)
        graph, static, result = self.graphs[shape]
        torch._foreach_copy_(list(static.values()), list(inputs.values()))
        graph.replay()
        return result

    def _capture(self, inputs: Inputs):
        static, graph = {name: t.clone() for name, t in inputs.items()}, torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            result = self.step(static)
        return graph, static, result
