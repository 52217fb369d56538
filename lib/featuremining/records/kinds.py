"""What a finding of each kind holds, and a file of benchmarks, as far as somebody reads it; more may stand beside it. Of a kind
that is not here any values are taken. No torch here."""

from functools import cache
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, Field, TypeAdapter
from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from ..files import open_
from ..studies.measures import MEASURES

Percent = Annotated[float, Field(ge=0, le=100)]
AtLeast0 = Annotated[float, Field(ge=0)]
Above0 = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Bits = Annotated[str, Field(pattern="^[01]*$")]
Rows = Annotated[list[list[float]], Field(min_length=1)]
RATIOS = {"time_ratio", "low", "high", "memory_ratio"}      # to the baseline: all or none


def _ratios(cost: dict) -> dict:
    if missing := RATIOS - cost.keys() if RATIOS & cost.keys() else ():
        raise ValueError(f"{sorted(missing)[0]} is missing beside the other ratios")
    if cost.get("low", 0) > cost.get("high", 0):
        raise ValueError("low is above high")
    return cost


@open_
class Cost(TypedDict):
    """Seconds of an iteration; ratios to the baseline that was measured with it."""

    iterations: Positive
    seconds: Above0
    time_ratio: NotRequired[Above0]
    low: NotRequired[Above0]
    high: NotRequired[Above0]
    memory_ratio: NotRequired[Above0]
    allocated_mib: NotRequired[AtLeast0]
    saved_mib: NotRequired[AtLeast0]
    rounds: NotRequired[Positive]


@open_
class CostOrigin(TypedDict):
    device: str
    threads: NotRequired[Positive]


@open_
class Construction(TypedDict):
    same_state: bool
    same_outputs: bool
    same_cost: bool
    train_only_parameters: Count


@open_
class Each(TypedDict):
    """Image by image; None where a map is silent."""

    pointing: Bits
    energy: list[Percent | None]


def _one_length(each: dict) -> dict:
    if len(each["pointing"]) != len(each["energy"]):
        raise ValueError(f"pointing is of {len(each['pointing'])} images and energy of {len(each['energy'])}")
    return each


@open_
class Located(TypedDict):
    n: Positive
    chance: Percent
    centre: Percent
    pointing: Percent
    energy: Percent
    top1: Percent
    each: Annotated[Each, AfterValidator(_one_length)]


@open_
class Maps(TypedDict):
    cam: Annotated[list[Rows], Field(min_length=1)]
    grad_cam: Annotated[list[Rows], Field(min_length=1)]


@open_
class Localised(TypedDict):
    cam: Located
    grad_cam: Located
    maps: NotRequired[Maps]


@open_
class Counted(TypedDict):
    """Activations per image by network, stage and bin."""

    counts: Annotated[dict[str, Annotated[list[list[AtLeast0]], Field(min_length=1)]], Field(min_length=2)]
    edges: NotRequired[list[float]]


def _alike(unit: dict) -> dict:
    if len({tuple(map(len, stages)) for stages in unit["counts"].values()}) > 1:
        raise ValueError("its networks have other numbers of stages or bins")
    return unit


@open_
class Activations(TypedDict):
    raw: Annotated[Counted, AfterValidator(_alike)]
    in_spreads: NotRequired[Annotated[Counted, AfterValidator(_alike)]]


@open_
class Detected(TypedDict):
    boxes: list[Annotated[list[float], Field(min_length=4, max_length=4)]]
    labels: list[Count]
    scores: list[Annotated[float, Field(ge=0, le=1)]]


def _as_many(image: dict) -> dict:
    if len({len(image[name]) for name in ("boxes", "labels", "scores")}) > 1:
        raise ValueError("boxes, labels and scores are not of one number")
    return image


@open_
class Detections(TypedDict):
    images: Annotated[list[Annotated[Detected, AfterValidator(_as_many)]], Field(min_length=1)]


@open_
class Row(TypedDict):
    """Of a benchmark; quartiles over the rounds."""

    what: str
    value: float
    unit: str
    low: float | None
    high: float | None
    goal: str
    note: str
    met: bool | None


@open_
class MeasuredIn(TypedDict):
    device: str
    threads: Positive
    dirty: bool | None
    commit: str | None
    versions: dict[str, str | None]
    measured: Annotated[str, Field(min_length=10)]


@open_
class Group(TypedDict):
    rows: list[Row]
    provenance: MeasuredIn


@open_
class Benchmarks(TypedDict):
    device: str
    type: Literal["cpu", "cuda", "mps"]
    groups: dict[str, Group]


def _measured(kind: str) -> Any:
    """What orders compare: a number, or None where there is none to be had."""
    names = {measure.partition(".")[2] for measure in MEASURES if measure.startswith(f"{kind}.")}
    return open_(TypedDict("Measured", {name: NotRequired[float | None] for name in names}))     # type: ignore


@open_
class NetworkOrigin(TypedDict):
    weights: NotRequired[dict[str, str]]        # id of a run -> sha256


COMPARED = {measure.partition(".")[0] for measure in MEASURES if "." in measure}
VALUES: dict[str, Any] = {**{kind: _measured(kind) for kind in COMPARED}, "cost": Annotated[Cost, AfterValidator(_ratios)],
                          "construction": Construction, "localise": Localised, "activations": Activations,
                          "detections": Detections}
ORIGIN = {**dict.fromkeys((*COMPARED, "localise", "activations", "detections"), NetworkOrigin), "cost": CostOrigin}


@cache
def form_of(kind: str, part: str = "values") -> TypeAdapter | None:
    """Of a finding's values or provenance; None where nothing is asked of them."""
    form = (VALUES if part == "values" else ORIGIN).get(kind)
    return TypeAdapter(form) if form else None


BENCHMARKS = TypeAdapter(Benchmarks)
