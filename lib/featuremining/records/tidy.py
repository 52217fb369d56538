"""Records as one tidy table, for programs other than this one. No torch here."""

from pathlib import Path

import pandas as pd

from ..errors import UsageError
from .record import Record

COLUMNS = ("run", "dataset", "network", "methods", "tier", "seed")      # what every row begins with


def _who(r: Record) -> dict:
    methods = "+".join(m["name"] for m in r.spec["methods"]) or "baseline"
    return dict(zip(COLUMNS, (r.id, r.spec["dataset"], r.spec["network"], methods, r.tier, r.seed), strict=True))


def curves(records: list[Record]) -> pd.DataFrame:
    """One row per run and epoch (from 1), one column per quantity; accuracies in percent, empty where an epoch was not tested."""
    rows = [{**_who(r), "epoch": epoch, **dict(zip(r.curves, values, strict=True))}
            for r in records for epoch, values in enumerate(zip(*r.curves.values(), strict=True), 1)]
    return pd.DataFrame(rows, columns=None if rows else [*COLUMNS, "epoch"])


def metrics(records: list[Record]) -> pd.DataFrame:
    """One row per run and evaluation (empty: the network's own): test top-1, or mAP of a detector, in percent by each selection
    rule, beside what the run took."""
    rows = [{**_who(r), "evaluation": name, **{k: v for k, v in found.items() if k != "others"},
             **{k: r.provenance.get(k) for k in ("seconds", "device", "commit", "dirty")}}
            for r in records for name, found in {"": r.metrics, **r.metrics.get("others", {})}.items()]
    return pd.DataFrame(rows, columns=None if rows else [*COLUMNS, "evaluation"])


def write(frame: pd.DataFrame, path: Path) -> None:
    """As CSV."""
    if path.suffix.lower() != ".csv":
        raise UsageError(f"{path} should end in .csv.")
    frame.to_csv(path, index=False)
