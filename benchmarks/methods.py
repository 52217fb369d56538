"""What every method and every layer of the neighbours adds to a step of ResNet-56: time, peak memory and operations, over the
baseline in the same run."""

import tempfile

import torch
from bench import Row, endless, main, random_data, step_memory, training

from featuremining import METHODS, build
from featuremining.measuring.cost import operations, ratio, side_by_side
from featuremining.training.engine import deterministic, keep_freed_memory

TEACHER = {"teacher": "resnet20"}       # its size is part of what distillation costs
TAUGHT = ("kd", "fitnet", "attention", "geometric", "geometric_pattern", "geometric_lle")
CASES = {"fm, 1 layer": {"name": "fm", "layers": 1}, "fm, 2 layers": {"name": "fm", "layers": 2},
         **{name: {"name": name, **(TEACHER if name in TAUGHT else {})} for name in METHODS if name != "fm"}}
RECOVERY = {"layer": "low_rank", "after": "stage2"}     # learns in one step of `update_every`: a median can't mix both kinds
LAYERS = {"low_rank, a step that learns": {"insert": [RECOVERY]},
          "low_rank, a step between": {"insert": [{**RECOVERY, "update_every": 10**6}]},
          "convmix": {"head": {"name": "convmix"}}, "convmix, vector": {"head": {"name": "convmix", "mode": "vector"}},
          "unit": {"head": {"name": "unit"}}, "covariance": {"head": {"name": "covariance"}}}         # gsop, idccp: roots.py
GOALS = {"fm, 1 layer": ("<= 1.01", "<= 1.001", "<= 1.02"), "fm, 2 layers": ("<= 1.02", "<= 1.01", "<= 1.05")}
PAPER = {"fm, 1 layer": ("paper: 1.04 (0.098 s / 0.094 s)", "paper: 1.019", ""),
         "fm, 2 layers": ("paper: 1.20 (0.113 s / 0.094 s)", "paper: 1.126", "")}


def measure() -> list[Row]:
    deterministic()
    keep_freed_memory()
    data, device = random_data(), "cuda" if torch.cuda.is_available() else "cpu"
    # eigenvectors can't be found within the graph that a step is on a GPU, and a step of another kind is no comparison
    layers = {name: options for name, options in LAYERS.items() if device == "cpu" or not name.startswith("low_rank")}
    with tempfile.NamedTemporaryFile() as file:
        torch.save(build("resnet20", 100).state_dict(), file.name)
        weights = {name: {"weights": file.name} if name in TAUGHT else {} for name in CASES}
        cases = {"baseline": training(data, device=device),
                 **{name: training(data, {**method, **weights[name]}, device=device) for name, method in CASES.items()},
                 **{name: training(data, options=options, device=device) for name, options in layers.items()}}
    inputs = {name: endless(ready) for name, ready in cases.items()}
    works = {name: lambda r=ready, i=inputs[name]: r.advance(next(i)) for name, ready in cases.items()}
    took = side_by_side(works, torch.device(device), rounds=15)
    memory = {name: step_memory(ready, next(inputs[name])) for name, ready in cases.items()}
    launched = {name: operations(lambda r=ready, i=inputs[name]: r.update(next(i))).total() for name, ready in cases.items()}
    rows = []
    for name in (*CASES, *layers):
        time_goal, memory_goal, launch_goal = GOALS.get(name, ("", "", ""))
        value, low, high = ratio(took, name, "baseline")
        time_note, memory_note, _ = PAPER.get(name, ("", "", ""))
        rows += [Row("methods", f"{name}: time of a step", value, low=low, high=high, goal=time_goal, note=time_note),
                 Row("methods", f"{name}: peak memory of a step", memory[name] / memory["baseline"], goal=memory_goal,
                     note=memory_note or f"baseline {memory['baseline'] / 2**20:.0f} MiB"),
                 Row("methods", f"{name}: operations of a step", launched[name] / launched["baseline"], goal=launch_goal,
                     note=f"{launched[name]} / {launched['baseline']}")]
    return rows


if __name__ == "__main__":
    main(measure)
