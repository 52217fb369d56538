"""Networks of torchvision and timm, never with weights: ResNet-50 (He et al., CVPR 2016, arXiv:1512.03385) for images of
224 x 224, whose maps are (B, 256, 56, 56) to (B, 2048, 7, 7), and timm's classifiers that end in pooling and a linear layer.

The network is the library's own, with its initialisation and its state dict. Stages are those at a quarter of the image's
resolution and below; the last map is the one that is pooled (after an EfficientNet's closing 1x1 convolution, for example).
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import partial

import timm
import torchvision
from timm.layers import SelectAdaptivePool2d
from torch import Tensor, nn

from ..errors import UsageError
from ..protocol import Edit, Pooling, Trace, pool_maps
from .probing import Call, classifier, ends, noise, observe
from .tapped import View


class LibraryNet(View):
    """``net`` with the interface of `StagedNet`. Its state dict is that of ``net``, so the weights fit the plain network.

    The hooks stay, unlike those of `Tapped`: torch.compile can trace a hook, but not the making of one. They do nothing
    outside `trace`. ``pool`` is the module that pools the last map.
    """

    def __init__(self, net: nn.Module, stages: Sequence[str], pool: nn.Module, image_size: int):
        super().__init__(net)
        calls, logits = observe(net, noise(net, 3, image_size, image_size))
        found, head = ends(calls, stages), classifier(net, calls, logits, None)
        self.channels, self.classes = tuple(call.out.shape[1] for call in found), logits.shape[1]
        self.image_size = (image_size, image_size)
        self._views = (head, [call.module for call in found], pool)         # in a tuple: registered once, as parts of ``net``
        self.mean_pooled = True
        self._edits: Mapping[int, Edit] = {}
        self._found: dict[int | str, Tensor] | None = None
        self._hooks = [stage.register_forward_hook(partial(self._tap, i))   # no lambdas: a deep copy must tap itself
                       for i, stage in enumerate(self.stages)]
        head.register_forward_pre_hook(self._read)

    def read(self, reduction: nn.Module | None, pool: nn.Module, width: int) -> None:
        """As `StagedNet.read`. A `UsageError` where more than the pooling stands between last map and classifier."""
        old_head, stages, old_pool = self._views
        if old_head.in_features != self.channels[-1]:
            raise UsageError("Another head needs a network whose classifier reads its pooled last map; here are layers between.")
        head = nn.Linear(width, self.classes)
        head.register_forward_pre_hook(self._read)
        if reduction is not None:
            self._hooks[-1].remove()
            self._hooks[-1] = reduction.register_forward_hook(partial(self._tap, len(stages) - 1))
            stages = [*stages[:-1], reduction]
            self.channels = (*self.channels[:-1], reduction[-2].num_features)
        names = {module: name for name, module in self.net.named_modules()}
        self.net.set_submodule(names[old_pool], pool if reduction is None else nn.Sequential(reduction, pool))
        self.net.set_submodule(names[old_head], head)
        self._views, self.mean_pooled = (head, stages, pool), False

    head = property(lambda self: self._views[0])
    stages = property(lambda self: self._views[1])
    pool = property(lambda self: self._views[2])

    def _tap(self, i: int, _module: nn.Module, _inputs: tuple, out: Tensor) -> Tensor | None:
        if self._found is None:
            return None
        self._found[i] = self._edits[i](out) if i in self._edits else out
        return self._found[i]

    def _read(self, _module: nn.Module, inputs: tuple) -> None:
        if self._found is not None:
            self._found["pooled"] = inputs[0]

    def maps(self, x: Tensor, edits: Mapping[int, Edit] = {}) -> tuple[Tensor, ...]:
        return self.trace(x, edits=edits).maps

    def trace(self, x: Tensor, pools: Mapping[int, Pooling] = {}, edits: Mapping[int, Edit] = {}) -> Trace:
        """``net(x)`` with what it computed on the way. The network pools its last map for itself."""
        self._found, self._edits = {}, edits
        try:
            logits, traced = self.net(x), self._found
        finally:
            self._found, self._edits = None, {}
        maps = tuple(traced[i] for i in range(len(self.channels)))
        return Trace(maps, traced["pooled"], logits, pool_maps(maps, pools, self.mean_pooled)[1])


def resnet50(classes: int) -> LibraryNet:
    """torchvision's: 25,557,032 parameters at 1000 classes; the stride is the 3x3 convolution's ("v1.5")."""
    net = torchvision.models.resnet50(num_classes=classes)
    return LibraryNet(net, ["layer1", "layer2", "layer3", "layer4"], net.avgpool, 64)


def timm_classifier(classes: int, name: str, **options) -> LibraryNet:
    """``timm.create_model(name, num_classes=classes, **options)``, freshly initialised."""
    names = timm.list_models()
    if name not in names:                       # also everything that would ask the network: hf-hub:..., tags of weights
        raise UsageError(f"timm {timm.__version__} has no network {name!r}; the nearest names are "
                         f"{', '.join(get_close_matches(name, names, 3, 0.0))}.")
    try:
        net = timm.create_model(name, pretrained=False, num_classes=classes, **options)
    except TypeError as error:
        raise UsageError(f"timm/{name} does not take these options: {error}.") from None
    size = net.default_cfg["input_size"][-1]
    try:
        if not isinstance(net.get_classifier(), nn.Linear):
            raise UsageError("its classifier is not one linear layer.")
        return LibraryNet(net, *stages_and_pool(net, size), size)
    except UsageError as error:
        raise UsageError(f"timm/{name} does not have the stages that methods need: {error}") from None


def stages_and_pool(net: nn.Module, size: int) -> tuple[list[str], nn.Module]:
    """The names of the modules that end stages, and the module that pools the last map; a `UsageError` where there are none."""
    infos = getattr(net, "feature_info", None) or []
    ends = list({info["reduction"]: info for info in getattr(infos, "info", infos) if info["reduction"] >= 4}.values())
    pools = [module for module in net.modules() if isinstance(module, SelectAdaptivePool2d)]
    if not ends or not pools:
        raise UsageError("it has no global pooling of a feature map.")
    calls, _ = observe(net, noise(net, 3, size, size))
    outs = {call.name: call for call in calls}
    for name, width in ((info["module"], info["num_chs"]) for info in ends):
        out = outs[name].out if name in outs else None
        if not isinstance(out, Tensor) or out.dim() != 4 or out.shape[1] != width:
            raise UsageError(f"{name} gives no (B, {width}, H, W) map.")
    names = [info["module"] for info in ends]
    names[-1] = pooled_by(pools[-1], calls, outs[names[-1]])
    changed = [name for name in names if outs[name].written_over]
    if changed:
        raise UsageError(f"the layer behind {', '.join(changed)} writes over its map.")
    return names, pools[-1]


def pooled_by(pool: nn.Module, calls: list[Call], last: Call) -> str:
    """The module whose output ``pool`` reads, if that is a map as large as the last stage's (VGG's is not); else that stage."""
    read = next((call.read for call in calls if call.module is pool), None)
    if not isinstance(read, Tensor) or read.shape[2:] != last.out.shape[2:]:
        return last.name
    same = [call.name for call in calls if call.out is read]
    return same[-1] if same and last.name not in same else last.name        # the outermost module ends last
