"""Class-wise self-knowledge distillation. Yun, Park, Lee, Shin, CVPR 2020, arXiv:2003.13964, section 2:

    CE(z(x), y) + lambda T^2 KL(softmax(z~(x') / T) || softmax(z(x) / T)),

x' a random image of the same class as x, z~ its logits under the present weights, without gradient. The protocol is that
of the authors' code (alinlab/cs-kd, train.py and datasets.py): a batch holds B anchors and then their B partners; the
partners pass through the network by themselves, after the anchors and in training mode, so each half is normalised by its
own batch statistics and the running statistics are updated twice.

Methods inside see the anchors alone (Feature Mining's heads too: the book's open point A14), and the KL term reads the
network's own logits only. Partners are plain: what methods inside do to images or maps is not done to them. So with Mixup
inside, the prediction for lam x_i + (1 - lam) x_j is drawn towards that of an unmixed image of x_i's class, whatever lam.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..protocol import Batch, Method, Outcome, soft_kl


def partners(labels: Tensor, anchors: Tensor, generator: torch.Generator) -> Tensor:
    """For every anchor a uniformly random image of its class, the anchor itself not excluded: indices, shaped as ``anchors``.

    >>> partners(torch.tensor([7, 3, 7]), torch.tensor([1, 1]), torch.Generator()).tolist()
    [1, 1]
    """
    _, classes, counts = labels.unique(return_inverse=True, return_counts=True)
    by_class, ends = classes.argsort(stable=True), counts.cumsum(0)
    mine = classes[anchors]
    place = torch.rand(len(anchors), generator=generator, dtype=torch.float64) * counts[mine]
    return by_class[ends[mine] - counts[mine] + place.long()]


@dataclass(eq=False, repr=False)
class CSKD(Method):
    """Images of one class should be predicted alike. Chooses the batches, so it is the first method; a step costs two passes.

    In a loop of your own, `loss` takes 2B images whose second half holds partners of the first, of equal labels in equal
    order: index the data with the batches of `sampler`.
    """

    temperature: float = 4.0    # the authors' code
    weight: float = 1.0         # lambda; the authors' code for CIFAR-100 and Tiny ImageNet; 3.0 for fine-grained data

    def __post_init__(self):
        super().__post_init__()
        if not (self.temperature > 0 and self.weight >= 0):
            raise UsageError(f"cs_kd: temperature must be positive and weight 0 or more, got {self.temperature}, {self.weight}.")

    def sampler(self, labels: Tensor, batch_size: int):
        """Every image once as an anchor, in random order; index tensors (2B,): anchors, then their partners. The last batch
        may be smaller."""
        labels = labels.cpu()

        def epoch(generator: torch.Generator) -> list[Tensor]:
            order = torch.randperm(len(labels), generator=generator)
            chosen = partners(labels, order, generator)
            return [torch.cat(pair) for pair in zip(order.split(batch_size), chosen.split(batch_size), strict=True)]

        return epoch

    def step(self, inner, model, batch: Batch) -> Outcome:
        if len(batch.x) % 2:
            raise UsageError(f"cs_kd: a batch is anchors and then as many partners of the same classes; {len(batch.x)} images "
                             "are no pairs. Take the batches from its sampler.")
        half = len(batch.x) // 2
        out = inner(model, batch._replace(x=batch.x[:half], y=batch.y[:half]))
        with torch.no_grad():
            teacher = model(batch.x[half:])
        kl = soft_kl(out.trace.logits, teacher, self.temperature)
        return out.plus({"cs_kd": self.weight * self.temperature**2 * kl})
