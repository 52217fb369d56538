"""One training, resolved as far as it can be without torch, and the key that its records are found by."""

import json
from dataclasses import dataclass, field
from hashlib import sha256

from ..recipes import Recipe, as_dict


@dataclass(frozen=True)
class Run:
    """One training, resolved as far as it can be without torch."""

    dataset: str
    network: str
    methods: tuple[dict, ...]           # outermost first, each {"name": ..., settings that differ from the defaults}
    recipe: Recipe
    tier: str
    seed: int
    options: dict = field(default_factory=dict)     # of the network
    data: dict = field(default_factory=dict)        # what `datasets.load` changes: label noise, a subset, a size
    task: str = "classification"
    asked: str = field(default="", compare=False)   # the cell that it was asked for by, which others may share

    def spec(self) -> dict:
        """What is trained, apart from the seed; plain JSON values. What came later and is not used stays out, so that no
        record's key changes."""
        spec = {"dataset": self.dataset, "network": self.network, "options": self.options, "methods": list(self.methods),
                "recipe": as_dict(self.recipe), "tier": self.tier}
        spec |= {"data": self.data} if self.data else {}
        spec |= {"task": self.task} if self.task != "classification" else {}
        return json.loads(json.dumps(spec))

    @property
    def key(self) -> str:
        """`key_of` its spec; equal for all seeds, and for cells that share a training."""
        return key_of(self.spec())

    @property
    def id(self) -> str:
        return f"{self.key}.seed{self.seed}"

    @property
    def title(self) -> str:
        """How it is called while it trains."""
        return f"{self.asked} {self.tier} seed {self.seed}" if self.asked else self.id


def key_of(spec: dict) -> str:
    """Readable name plus a hash of a training's `Run.spec`."""
    digest = sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:8]
    methods = "+".join(m["name"] for m in spec["methods"]) or "baseline"
    network = spec["network"].replace("/", "-")             # the key names a folder
    return f"{spec['dataset']}.{network}.{methods}.{digest}"
