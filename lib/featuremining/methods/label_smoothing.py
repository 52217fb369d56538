"""Label smoothing. Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, CVPR 2016, arXiv:1512.00567, section 7."""

from dataclasses import dataclass

from ..errors import UsageError
from ..protocol import Batch, Method, Outcome


@dataclass(eq=False, repr=False)
class LabelSmoothing(Method):
    """Targets (1 - eps) y + eps / K, for every head of every method around it. Mixing and smoothing are both linear in the
    target, so with Mixup or CutMix their order does not matter."""

    eps: float = 0.1        # the authors' value

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.eps < 1:
            raise UsageError(f"label_smoothing: eps is a fraction in [0, 1), got {self.eps}.")

    def step(self, inner, model, batch: Batch) -> Outcome:
        return inner(model, batch._replace(y=batch.y * (1 - self.eps) + self.eps / batch.y.shape[1]))
