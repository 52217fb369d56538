"""What a record must be to be believed: fields of the right types and ranges, a key and an id that follow from its spec, metrics
that follow from its curves, and curves that follow from its recipe. `check` says which of them fails first. No torch here."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from ..files import closed, fits, open_, short
from ..recipes import TIERS, Recipe, checked
from ..studies.runs import key_of
from .record import IMAGES, READABLE, Record, all_metrics, packed

Percent = Annotated[float, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
PERCENT = ("train_acc", "test_acc", "test_map", "memorised", "recovered")       # curves, with what follows a dot


@open_
class Method(TypedDict):
    name: str


@closed
class Spec(TypedDict):
    dataset: str
    network: str
    options: dict[str, Any]
    methods: list[Method]
    recipe: dict[str, Any]          # becomes a `Recipe`
    tier: Literal[TIERS]            # type: ignore[valid-type]
    data: NotRequired[dict[str, Any]]
    task: NotRequired[Literal["detection"]]


@open_
class Resolved(TypedDict):
    parameters: Count
    methods: list[Method]


@closed
class Metrics(TypedDict):
    best: Percent
    best_epoch: Positive
    last: Percent
    median10: Percent
    n_test: Positive
    wrong_labels: NotRequired[Percent]
    others: NotRequired["dict[str, Metrics]"]


@closed
class Images(TypedDict, total=False):
    best: str
    last: str
    others: "dict[str, Images]"


@open_
class Environment(TypedDict):
    commit: str | None
    dirty: bool | None
    versions: dict[str, str | None]
    device: str
    threads: Positive
    engine: NotRequired[str]
    beside: NotRequired[Count]


@open_
class Provenance(Environment):
    deterministic: bool
    precision: str
    data_sha256: Sha256
    seconds: Annotated[float, Field(gt=0)]
    peak_memory_mib: Count
    resumed: Count
    resumed_elsewhere: NotRequired[list[Environment]]
    finished: str


@closed
class Form(TypedDict):
    """The fields of a `Record`."""

    schema: Literal[READABLE]       # type: ignore[valid-type]
    id: str
    key: str
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    spec: Spec
    resolved: Resolved
    metrics: Metrics
    curves: dict[str, list[float | None]]
    weights: Sha256
    provenance: Provenance
    right: Images


FORM = TypeAdapter(Form)


def check(record: Record) -> None:
    """A `ValueError` that says what in the record is wrong, or contradicts the rest of it."""
    fits(FORM, vars(record))
    recipe = checked(Recipe(**record.spec["recipe"]))
    if record.key != key_of(record.spec):
        raise ValueError(f"its key is {record.key}, but that of its spec is {key_of(record.spec)}")
    if record.id != f"{record.key}.seed{record.seed}":
        raise ValueError(f"its id {record.id} is not that of its key and seed {record.seed}")
    _check_curves(record, recipe)
    _check_metrics(record)
    check_images(record)


def _check_curves(record: Record, recipe: Recipe) -> None:
    """Each has its epochs, percentages are such, tests are where the recipe has them, and the learning rate is the recipe's."""
    tested = _accuracy(record)
    if missing := {"lr", "loss", tested} - record.curves.keys():
        raise ValueError(f"there is no curve {' and '.join(sorted(missing))}")
    for name, values in record.curves.items():
        if len(values) != recipe.epochs:
            raise ValueError(f"curve {name} has {len(values)} values for {recipe.epochs} epochs")
        if name.partition(".")[0] in PERCENT and not all(v is None or 0 <= v <= 100 for v in values):
            raise ValueError(f"curve {name} is not in percent")
        if name.startswith("test_") and [v is not None for v in values] != [recipe.tests(e) for e in range(recipe.epochs)]:
            raise ValueError(f"curve {name} has values in other epochs than those that are tested")
    if None in record.curves["loss"]:
        raise ValueError(f"curve loss has no value in epoch {record.curves['loss'].index(None) + 1}")
    if record.curves["lr"] != [recipe.rate(epoch) for epoch in range(recipe.epochs)]:
        raise ValueError("curve lr is not the learning rate of its recipe")


def _accuracy(record: Record) -> str:
    """The curve that the metrics are of."""
    return "test_map" if record.spec.get("task") == "detection" else "test_acc"


def _check_metrics(record: Record) -> None:
    """They are those of the curves, and an accuracy is a whole number of test images."""
    n, tested = record.metrics["n_test"], _accuracy(record)
    follow = all_metrics(record.curves, n, tested)
    for name, value in follow.items():
        if record.metrics.get(name) != value:
            raise ValueError(f"metrics.{name} is {short(record.metrics.get(name))}, but by its curve {short(value)}")
    if more := record.metrics.keys() - follow.keys() - {"wrong_labels"}:
        raise ValueError(f"metrics.{sorted(more)[0]} follows from no curve")
    if tested == "test_acc":
        for name in (name for name in record.curves if name.partition(".")[0] == tested):
            for v in record.curves[name]:
                if v is not None and round(100 * round(v * n / 100) / n, 4) != v:
                    raise ValueError(f"{v} % in curve {name} is no whole number of {n} test images")


def check_images(record: Record) -> None:
    """A `ValueError` unless a classifier's record of schema 2 says of each evaluation which images were right in its last and
    best epoch, as many as its accuracy says."""
    if (record.schema >= 2 and record.spec.get("task") != "detection") != bool(record.right):
        raise ValueError(f"which images were right is {'stated' if record.right else 'missing'} in schema {record.schema}")
    if record.right and record.right.get("others", {}).keys() != record.metrics.get("others", {}).keys():
        raise ValueError("right.others speaks of other evaluations than metrics.others")
    for name in ["", *record.metrics.get("others", {})] if record.right else ():
        n = record.metrics["n_test"]
        where, accuracies = (part["others"][name] if name else part for part in (record.right, record.metrics))
        for rule in IMAGES:
            count = int.from_bytes(packed(where[rule], n)).bit_count()
            if round(100 * count / n, 4) != accuracies[rule]:
                raise ValueError(f"{count} of {n} images are right in its {rule} epoch{f' of {name}' * bool(name)}, "
                                 f"but the accuracy is {accuracies[rule]}")
