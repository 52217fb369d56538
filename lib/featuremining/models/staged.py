"""The network that methods see: a stem, stages at falling resolution, a global pooling and a linear classifier."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from ..protocol import Edit, Pooling, Trace, pool_maps
from .probing import look


class StagedNet(nn.Module):
    """``channels[s]`` is the width of stage ``s``'s output; ``classes`` the number of logits. ``inserted`` are layers by the
    place behind which they stand, "stem", "stage1", ...: what comes out of them is that place's map. With ``copies`` a batch
    of B images becomes n B, the images themselves first, of which the pooling makes B vectors again."""

    def __init__(self, stem: nn.Module, stages: list[nn.Module], channels: tuple[int, ...], classes: int):
        super().__init__()
        self.stem, self.stages = stem, nn.ModuleList(stages)
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(channels[-1], classes)
        self.channels, self.classes, self.mean_pooled, self.reads_all = channels, classes, True, False
        self.inserted = nn.ModuleDict()         # see `inserts`
        self.copies: Callable[[Tensor], Tensor] | None = None

    def behind(self, place: str, x: Tensor) -> Tensor:
        return self.inserted[place](x) if place in self.inserted else x

    def read(self, reduction: nn.Module | None, pool: nn.Module, width: int) -> None:
        """From now on a fresh classifier reads ``width`` numbers that ``pool`` makes of the last map, which becomes what
        ``reduction`` makes of it; that ends in a convolution's BN and ReLU."""
        if reduction is not None:
            self.stages[-1] = nn.Sequential(self.stages[-1], reduction)
            self.channels = (*self.channels[:-1], reduction[-2].num_features)
        self.pool, self.head, self.mean_pooled = pool, nn.Linear(width, self.classes), False

    def read_copies(self, copies: Callable[[Tensor], Tensor], pool: nn.Module, width: int) -> None:
        """From now on a fresh classifier reads ``width`` numbers that ``pool`` makes of the last maps of an image's copies."""
        self.read(None, pool, width)
        self.copies = copies

    def read_all(self, pool: nn.Module) -> None:
        """From now on ``pool`` makes of the maps of all stages what the classifier reads, as wide as the last map."""
        self.pool, self.mean_pooled, self.reads_all = pool, False, True

    def pooled(self, maps: Sequence[Tensor]) -> Tensor:
        """What the classifier reads, (B, D)."""
        return self.pool(maps) if self.reads_all else self.pool(maps[-1]).flatten(1)

    def maps(self, x: Tensor, edits: Mapping[int, Edit] = {}) -> tuple[Tensor, ...]:
        """The feature map after every stage, shallow to deep; of all copies, where there are any."""
        x = x if self.copies is None else self.copies(x)
        x, maps = self.behind("stem", self.stem(x)), []
        for i, stage in enumerate(self.stages):
            x = self.behind(f"stage{i + 1}", stage(x))
            x = edits[i](x) if i in edits else x
            maps.append(x)
        return tuple(maps)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pooled(self.maps(x)))

    def trace(self, x: Tensor, pools: Mapping[int, Pooling] = {}, edits: Mapping[int, Edit] = {}) -> Trace:
        """A forward pass that keeps the maps, those of the images themselves."""
        maps = self.maps(x, edits)
        own = maps if self.copies is None else tuple(m[:len(x)] for m in maps)
        pooled, parts = pool_maps(own, pools, self.mean_pooled)
        pooled = self.pooled(maps) if pooled is None else pooled
        return Trace(own, pooled, self.head(pooled), parts)


def map_sizes(model, height: int, width: int) -> list[tuple[int, int]]:
    """(H, W) of every stage's map for images of this size. ``model`` is anything that methods can see: a `StagedNet`, a `Tapped`,
    a `LibraryNet`."""
    return [tuple(m.shape[2:]) for m in look(model, height, width).maps]
