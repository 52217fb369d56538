"""A GPU's ways to carry out the same steps of ResNet-56 at batch 128: op by op, as a graph, compiled; one to four seeds."""

import torch
from bench import Row, endless, main, random_data, training

from featuremining.errors import UsageError
from featuremining.measuring.cost import side_by_side

STEPS = 100         # per turn
CASES = [("eager", "fp32", 1), ("graph", "fp32", 1), ("graph", "fp32", 2), ("graph", "fp32", 4), ("compile", "fp32", 1),
         ("graph", "bf16", 1), ("compile", "bf16", 1), ("compile", "bf16", 4)]


def turn(trainings, inputs) -> None:
    for _ in range(STEPS):
        for ready, steps in zip(trainings, inputs, strict=True):
            with torch.cuda.stream(ready.stream):
                ready.advance(next(steps))


def measure() -> list[Row]:
    if not torch.cuda.is_available():
        raise UsageError("There is no GPU here: nothing was measured.")
    data, device = random_data(), torch.device("cuda")
    works = {}
    for engine, precision, seeds in CASES:
        group = [training(data, engine=engine, precision=precision, device="cuda", seed=seed) for seed in range(seeds)]
        inputs = [endless(ready) for ready in group]
        works[engine, precision, seeds] = lambda group=group, inputs=inputs: turn(group, inputs)
    took = side_by_side(works, device, rounds=7, warm=1)
    ms = {case: 1000 * sorted(t)[len(t) // 2] / STEPS / case[2] for case, t in took.items()}
    rows = [Row("gpu", f"{engine}, {precision}, {seeds} at once: a step of one", ms[engine, precision, seeds], "ms",
                goal="<= 1.5" if seeds == 1 and engine != "eager" else "") for engine, precision, seeds in CASES]
    rows.append(Row("gpu", "graph over eager", ms["eager", "fp32", 1] / ms["graph", "fp32", 1], goal=">= 3"))
    gain = ms["graph", "fp32", 1] / ms["graph", "fp32", 4]
    rows.append(Row("gpu", "four seeds at once over one: throughput", gain, goal=">= 2"))
    return rows


if __name__ == "__main__":
    main(measure)
