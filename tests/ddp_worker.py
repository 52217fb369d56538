"""What each of the processes of `test_replicas` does with the book's example; started by torchrun."""

import json
import os
import re
import warnings

import torch
from torch.nn.parallel import DistributedDataParallel

from featuremining import FeatureMining, Tapped, paths
from featuremining.models.weights import digest


def warned(step, *inputs) -> int:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        step(*inputs)
    return sum("DistributedDataParallel does not hold" in str(w.message) for w in caught)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(int(os.environ["RANK"]))
    *_, example = re.findall(r"^```python\n(.+?)^```$", (paths.ROOT / "book/use.md").read_text(encoding="utf-8"), re.M | re.S)
    scope: dict = {}
    exec(example, scope)
    images, labels, net = scope["images"], scope["labels"], scope["net"]
    found = {"weights": digest({n: p for n, p in net.named_parameters()}), "heads": digest(scope["fm"].state_dict()),
             "images": digest({"images": images})}
    counts = {"as printed": warned(scope["step"], images, labels)}
    around = Tapped(DistributedDataParallel(net), ["module.layer4"], 128)
    fm = FeatureMining(layers=1, min_box=1).prepare(around)
    counts["around the network"] = warned(fm.loss, around, images, labels)
    before = Tapped(net, ["layer4"], 128)
    DistributedDataParallel(net)
    counts["around the network afterwards"] = warned(fm.loss, before, images, labels)
    print(json.dumps({**found, "warned": counts}), flush=True)
    torch.distributed.destroy_process_group()
