"""What every network's tiers take on this device: the seconds of a step at its recipe's batch, and of an evaluation."""

import torch
from bench import Row, endless, main, random_data, training

from featuremining import MODELS
from featuremining.measuring.cost import seconds
from featuremining.training.engine import deterministic, keep_freed_memory
from featuremining.training.evaluation import evaluate


def measure() -> list[Row]:
    deterministic()
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    some, rows = random_data(n=10_000, n_test=1000), []
    for network in (name for name in MODELS if name != "resnet50"):         # that one is for images of 224 pixels
        ready = training(some, network=network, device=str(device))
        steps = endless(ready)
        for _ in range(5 if device.type == "cuda" else 1):              # a GPU's step is captured in the fourth
            ready.advance(next(steps))
        took = [seconds(lambda r=ready, s=steps: r.advance(next(s)), device)]
        took = sorted(took + [seconds(lambda r=ready, s=steps: r.advance(next(s)), device) for _ in range(4) if took[0] < 5])
        testing = 10 * seconds(lambda r=ready: evaluate(r.model, some, device), device)
        rows += [Row("tiers", network, took[len(took) // 2], "s", took[0], took[-1], note=f"batch {ready.recipe.batch}"),
                 Row("tiers", f"{network}, evaluation", testing, "s", note="10,000 images")]
    return rows


if __name__ == "__main__":
    main(measure)
