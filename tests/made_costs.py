"""Costs as measurements would have left them, without a measurement."""

from featuremining import studies
from featuremining.records.findings import Finding

BASE, FM1, FM2 = (studies.cell(f"T10.resnet56.{name}") for name in ("baseline", "fm1", "fm2"))
SMALL = [studies.cell(f"X10.resnet20.{name}") for name in ("baseline", "fm1", "fm2")]
COUNTS = {"saved_mib": 100.0, "train_only_mib": 0.0, "operations": 500}




def finding(cell, tier="full", device="AMD EPYC", engine="eager", **values):
    plain = {"iterations": 300, "seconds": 0.65, "median": 0.64, "q1": 0.63, "q3": 0.66, **COUNTS}
    where = {"device": device, "threads": 2, "engine": engine}
    return Finding(1, "cost", "x", cell.run(tier, 0).key, tier, plain | values, where)


def times(ratio, low, high):
    return {"time_ratio": ratio, "low": low, "high": high, "rounds": 299, "memory_ratio": 1.0005, "operations_ratio": 1.02}
