"""What a network may be built with: one published layer, one file. In come feature maps, out go what a classifier reads of them
or new maps; a layer stays in the network at test time. Each is a pure function, usable alone, and a module that applies it. What
changes training only is a method and does not belong here."""

LAYERS = {          # what may stand between stages, or at the end of residual branches: a name for (module, class)
    "low_rank": ("low_rank", "LowRankRecovery"),
    "gsop": ("gsop", "GSoP"),
}
