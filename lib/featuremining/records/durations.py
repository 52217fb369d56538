"""What one run takes, from what runs and steps took. No torch here.

Hours are those of one training on one *device*, which is a processor with a number of threads ("AMD EPYC, 2 threads"), since a
training on one core says little of two. In this order, what was measured on that device: runs of the same training on record;
runs of the same network on the same data set, scaled by the images that are trained on and tested; the steps and tests that
``make bench`` measures, scaled by the area of the image where it is another than CIFAR's, which the source then says. What a
method adds to a step is left out: a few percent of most (the page of cost has them); of those that add more, the hours are called
a lower bound. Networks that were not measured have no hours: multiply-adds do not say how fast a wider or deeper network is.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from statistics import median
from typing import NamedTuple

from .. import files, paths, recipes
from ..datasets import size
from ..errors import FMError, UsageError, said
from ..recipes import ITERATIONS, Recipe, recipe
from ..studies import Cell, Run
from . import kinds
from .record import Record

CIFAR = 32              # pixels of the images that `make bench` takes its steps with
# a second pass, or more convolutions: well more than a network's step
SLOWS = {"byot", "cs_kd", "kd", "fitnet", "attention", "geometric", "geometric_pattern", "geometric_lle"}


class Cost(NamedTuple):
    """Hours of one training, and what they were measured on, in words; ``least``: a method that `SLOWS` is not counted."""

    hours: float
    source: str
    least: bool = False


def device_of(measured_in: dict) -> str:
    """
    >>> device_of({"device": "AMD EPYC", "threads": 1})
    'AMD EPYC, 1 thread'
    """
    return f"{measured_in['device']}, {measured_in['threads']} thread{'s' * (measured_in['threads'] != 1)}"


def devices_of(record: Record) -> set[str]:
    """Those that a run was on: one, unless it went on elsewhere. Its time is then that of neither."""
    return set(map(device_of, record.environments))


def where(records: Iterable[Record]) -> str:
    """Device, threads and engine of these runs: once where all agree, else seed by seed."""
    seeds: dict[str, list[int]] = {}
    for r in records:
        places = dict.fromkeys(", ".join(filter(None, (device_of(e), e.get("engine")))) for e in r.environments)
        seeds.setdefault(", then ".join(places), []).append(r.seed)
    if len(seeds) < 2:
        return next(iter(seeds), "")
    return "; ".join(f"seed {', '.join(map(str, of))}: {place}" for place, of in seeds.items())


@cache
def measured(path: Path) -> dict:
    """What one file of benchmarks holds; an `FMError` names the file and the field that is not what it should be."""
    try:
        content = files.load(path).values
        files.fits(kinds.BENCHMARKS, content)
    except (OSError, ValueError, RecursionError) as error:
        raise FMError(f"{path} is not a valid file of benchmarks ({said(error)}): move it away and give `make bench` again."
                      ) from None
    return content


def all_measured() -> list[dict]:
    """The files of benchmarks, one a device, in the order of their names."""
    return [measured(path) for path in sorted(paths.benchmarks().glob("*.json"))]


def _steps(found: dict) -> tuple[str, dict[str, float]]:
    """Device, and seconds of steps and tests, of what one file holds."""
    group = found["groups"].get("tiers")
    return (device_of(group["provenance"]), {row["what"]: row["value"] for row in group["rows"]}) if group else ("", {})


def benchmarks() -> dict[str, dict[str, float]]:
    """Device -> what -> seconds; the device with most networks comes first."""
    steps = sorted(map(_steps, all_measured()), key=lambda pair: -len(pair[1]))
    return {device: seconds for device, seconds in steps if seconds}


def devices(records: Iterable[Record] = ()) -> list[str]:
    """Those that something was measured on, the one to plan for by default first."""
    single = [names for r in records if len(names := devices_of(r)) == 1]
    return list(dict.fromkeys([*benchmarks(), *sorted(set().union(*single))]))


def device(name: str, records: Iterable[Record] = ()) -> str:
    """The first device whose name begins so; `UsageError` names all."""
    measured = devices(records)
    for candidate in measured:
        if candidate.lower().startswith(name.lower()):
            return candidate
    raise UsageError(f"Nothing was measured on {name or 'any device'}. Measured: {'; '.join(measured) or 'see `make bench`'}.")


def hours(cell: Cell, tier: str = "full", records: Sequence[Record] = (), on: str = "") -> Cost | None:
    """What one run of the cell takes on the device ``on``, else on the first of `devices`; None where that was not measured."""
    run, on = cell.run(tier, 0), on or next(iter(devices(records)), "")
    key = run.key
    if same := [r for r in records if r.key == key and devices_of(r) == {on}]:
        return Cost(median(map(took, same)), "runs of it")
    if cell.task == "detection":
        return None
    least = any(m["name"] in SLOWS for m in run.methods)
    if cell.task == "classification" and (like := [r for r in records if _alike(r, run) and devices_of(r) == {on}]):
        return Cost(_work(run) * median(took(r) / _work_of(r) for r in like), f"runs of {run.network} on {run.dataset}", least)
    cost = _from_steps(cell, run, benchmarks().get(on, {}))
    return cost and cost._replace(least=least)


def took(r: Record) -> float:
    """Hours of a recorded run; those that were trained at once share their time."""
    return r.provenance["seconds"] / 3600 / (1 + r.provenance.get("beside", 0))


def _alike(r: Record, run: Run) -> bool:
    names = ("network", "dataset", "options")
    return (all(r.spec[k] == getattr(run, k) for k in names) and r.spec.get("task", "classification") == run.task
            and r.spec["recipe"]["precision"] == run.recipe.precision)


def _work(run: Run) -> float:
    return _images(run.recipe, run.dataset, run.data)


def _work_of(r: Record) -> float:
    return _images(Recipe(**r.spec["recipe"]), r.spec["dataset"], r.spec.get("data", {}))


def _images(r: Recipe, dataset: str, data: dict) -> float:
    """Pixels trained on and tested: to train on one takes three times as long as to test it."""
    sizes = size(dataset, **data)
    return sizes.pixels**2 * recipes.hours(r, 3 * r.batch, sizes.test, sizes.train)


def _from_steps(cell: Cell, run: Run, seconds: dict[str, float]) -> Cost | None:
    if run.network not in seconds or run.recipe.precision != "fp32" or run.options.keys() - {"stem_stride"}:
        return None
    if cell.task == "cost":             # its baseline's iterations are taken in turns with its own
        return Cost(ITERATIONS[run.tier] * seconds[run.network] * (2 if run.methods else 1) / 3600, "steps")
    sizes = size(run.dataset, **run.data)
    area = (sizes.pixels / CIFAR / run.options.get("stem_stride", 1)) ** 2
    step = seconds[run.network] * area * run.recipe.batch / recipe(run.network, "full").batch
    test = seconds[f"{run.network}, evaluation"] * area * sizes.test / 10_000
    source = "steps" if area == 1 else f"steps on {CIFAR} pixels, by area"
    return Cost(recipes.hours(run.recipe, step, test, sizes.train), source)


def about(costs: Iterable[Cost]) -> str:
    """All these together, in words; a lower bound where one of them is.

    >>> about([Cost(2, "steps"), Cost(1, "runs of it")]), about([Cost(2, "steps", least=True)]), about([Cost(0.001, "steps")])
    ('about 3.0 h', 'at least 2.0 h', 'less than a minute')
    """
    costs = list(costs)
    total = words(sum(cost.hours for cost in costs))
    return total if total.startswith("less") else f"{'at least' if any(cost.least for cost in costs) else 'about'} {total}"


def words(hours_: float) -> str:
    """
    >>> [words(h) for h in (0.004, 0.02, 0.5, 7.25, 31.4, 240, 40_000)]
    ['less than a minute', '1 minute', '30 minutes', '7.2 h', '31 h', '10 days', '4.6 years']
    """
    if hours_ < 1.5:
        minutes = round(60 * hours_)
        return f"{minutes} minute{'s' * (minutes > 1)}" if minutes else "less than a minute"
    if hours_ < 100:
        return f"{hours_:.1f} h" if hours_ < 10 else f"{hours_:.0f} h"
    years = hours_ / 24 / 365.25
    return f"{hours_ / 24:.0f} days" if years < 2 else f"{years:.1f} years" if years < 10 else f"{years:.0f} years"
