"""Table 10 of the paper (section 4.5 B): seconds of a training iteration and memory, without and with Feature Mining.

The paper prints means of the first 300 iterations at batch 128 on a Tesla M40. Here the trainings of a network take turns, an
iteration each and every round in another order, so that what else a machine does meets all alike; ratios are those of rounds.
No data set is needed: random images stand in for CIFAR-100's. The smoke tier takes three iterations of 8 embedded images.

No torch here before something is measured.
"""

import re

import pandas as pd

from . import findings, studies, verdicts
from .errors import UsageError
from .findings import Finding
from .studies import Cell, Run
from .tables import DASH, Html

KIND = "cost"
PAPERS_DEVICE, ROUNDING = "Tesla M40", 0.0005       # seconds: half of the last digit that the paper prints


def measure(runs: list[Run], device: str = "auto", engine_name: str = "auto") -> list[Finding]:
    """The costs of ``runs`` on a device, one finding each; runs that differ in their seed alone share one.

    The baseline of a network is measured along, asked for or not: a ratio needs both in the same rounds. A finding that is there
    is kept. Nothing is written before a network's last round; a killed measurement starts that network over. `UsageError` for a
    device or an engine that is not there, `FMError` where a finding can't be read or written.

    Values: ``iterations``, ``batch``, ``images``; ``seconds``, the paper's mean of all iterations, ``median``, ``q1``, ``q3`` and
    the ``first`` alone; what `metering.counted` has; beside the baseline ``time_ratio`` with its 95 % interval from ``low`` to
    ``high`` over ``rounds``, ``memory_ratio``, ``operations_ratio``; ``each``, the seconds of every iteration.
    """
    from . import engine, metering
    from .replicas import join

    if join().world > 1:
        raise UsageError("A cost is measured by one process: start it without torchrun.")
    target = engine.pick_device(device)
    name = finding_name(target, engine.resolve(engine_name, target))
    runs = list({run.key: run for run in reversed(runs)}.values())[::-1]
    missing: dict[str, list[Run]] = {}
    for run in runs:
        if (path := findings.path(KIND, run, name)).exists():
            print(f"{run.key}: its cost on this device is on record; move {path} away to measure it again.")
        else:
            missing.setdefault(metering.baseline(run).key, []).append(run)
    for wanted in missing.values():
        with engine.enough_memory():
            values, here = metering.network_costs(wanted, target, engine_name)
        for run in wanted:
            findings.write(KIND, run, name, values[run.key], here)
    return [next(f for f in findings.read(KIND, run) if f.name == name) for run in runs]


def finding_name(device, engine_name: str) -> str:
    """What a cost depends on besides the training: device, threads, and the engine where it is not the device's own."""
    import torch

    from .engine import resolve
    from .provenance import device_name

    slug = re.sub(r"[^a-z0-9]+", "-", device_name(device).lower()).strip("-")
    return f"{slug}.{torch.get_num_threads()}t" + (f".{engine_name}" if engine_name != resolve("auto", device) else "")


def found(cells: list[Cell], tier: str) -> list[Finding]:
    """The cells' findings in a tier, of all devices."""
    return [finding for cell in cells for finding in findings.read(KIND, cell.run(tier, 0))]


def printed_ratio(cell: Cell) -> tuple[float, float, float] | None:
    """The paper's time over its baseline's, and the lowest and highest that its rounding allows; None without a pair.

    >>> [round(v, 3) for v in printed_ratio(studies.cell("T10.resnet56.fm1"))]
    [1.043, 1.032, 1.053]
    """
    base = studies.baseline(cell)
    if base is None or None in (cell.seconds, base.seconds):
        return None
    a, b = cell.seconds, base.seconds
    return a / b, (a - ROUNDING) / (b + ROUNDING), (a + ROUNDING) / (b - ROUNDING)


def nearest(known: list[Finding]) -> Finding | None:
    """The finding that speaks most to the printed number: of the paper's device, else of a GPU, else the first."""
    return max(known, key=lambda f: (PAPERS_DEVICE in f.provenance["device"], "allocated_mib" in f.values), default=None)


def verdict(cell: Cell, finding: Finding | None) -> str:
    """Our interval of the time ratio against the printed ratio, as wide as its rounding. An interval that holds both the printed
    ratio and 1, no cost at all, decides nothing; nor do the seconds of the baseline, which are the device's."""
    if cell.seconds is None:
        return DASH
    if finding is None:
        return verdicts.NOT_RUN
    if finding.tier != "full":
        return f"not judged: {finding.tier} tier"
    printed = printed_ratio(cell)
    if printed is None:
        return verdicts.UNTESTABLE
    ours, (_, low, high) = finding.values, printed
    if ours["high"] < low:
        status = "cheaper here"
    elif ours["low"] > high:
        status = "dearer here"
    else:
        status = verdicts.INCONCLUSIVE if ours["low"] <= 1 <= ours["high"] else "as printed"
    return status if PAPERS_DEVICE in finding.provenance["device"] else f"{status}: another device, ratios only"


def words(finding: Finding) -> str:
    """Mean seconds of an iteration, and their ratio to the baseline's where it was measured."""
    v = finding.values
    return f"{v['seconds']:.3g} s" + (f", {v['time_ratio']:.3f} of the baseline's" if "time_ratio" in v else "")


def ratios(v: dict) -> str:
    """A finding's ratios to the baseline in words: of time with its interval; of the allocator's peak on a GPU, elsewhere of what
    autograd saves, which is not all of the memory.

    >>> ratios({"time_ratio": 1.02, "low": 1.01, "high": 1.03, "memory_ratio": 1.001})
    'time × 1.020 (1.010 to 1.030), saved for backward × 1.001'
    """
    what = "memory" if "allocated_mib" in v else "saved for backward"
    return f"time × {v['time_ratio']:.3f} ({v['low']:.3f} to {v['high']:.3f}), {what} × {v['memory_ratio']:.3f}"


def cost_table(cells: list[Cell], known: list[Finding]) -> pd.DataFrame:
    """One row per cell and device: printed and measured seconds of an iteration, their ratios to the baseline, and memory."""
    return pd.DataFrame([_row(cell, f) for cell in cells for f in _own(cell, known) or [None]])


def _own(cell: Cell, known: list[Finding]) -> list[Finding]:
    return [f for f in known if f.kind == KIND and f.key == cell.run(f.tier, 0).key]


def _device(finding: Finding) -> str:
    p = finding.provenance
    threads = f"{p['threads']} thread{'' if p['threads'] == 1 else 's'}"
    return f"{p['device']}, {threads}" + (f", {p['engine']}" if p["engine"] != "eager" else "")


def _row(cell: Cell, finding: Finding | None) -> dict[str, str]:
    base, printed = studies.baseline(cell), printed_ratio(cell)
    row = {"cell": cell.id, "method": cell.labels[1],          # ratios first: of all this, only they compare
           "paper time ratio": f"{printed[0]:.3f}" if printed else DASH, "our time ratio (95 %)": DASH,
           "paper memory ratio": f"{cell.mib / base.mib:.3f}" if printed else DASH, "our memory ratio": DASH,
           "verdict": verdict(cell, finding), "device": _device(finding) if finding else DASH,
           "paper s": f"{cell.seconds:.3f}" if cell.seconds else DASH, "ours s (mean)": DASH, "median (quartiles)": DASH,
           "paper MB": f"{cell.mib:g}" if cell.mib else DASH, "our MiB": DASH}
    if finding is None:
        return row
    v = finding.values
    row["ours s (mean)"] = f"{v['seconds']:.3g}"
    row["median (quartiles)"] = "{median:.3g} ({q1:.3g} to {q3:.3g})".format(**v)
    kinds = ("allocated", "reserved") if "allocated_mib" in v else ("saved",)
    row["our MiB"] = ", ".join(f"{v[f'{kind}_mib']:.1f} {kind}" for kind in kinds)
    if "time_ratio" in v:
        row["our time ratio (95 %)"] = "{time_ratio:.3f} ({low:.3f} to {high:.3f})".format(**v)
        row["our memory ratio"] = f"{v['memory_ratio']:.3f}"
    return row


def cost_figure(cells: list[Cell], known: list[Finding]) -> Html:
    """Time of an iteration over the baseline's by network, with 95 % intervals; one panel per device, the paper's beside it."""
    pairs = [(cell, f) for cell in cells for f in _own(cell, known) if "time_ratio" in f.values]
    if not pairs:
        return Html('<p class="empty">No cost of these cells beside their baseline yet: nothing to draw.</p>')
    import matplotlib
    from matplotlib.figure import Figure

    from .figures import STYLE, inline

    devices = list(dict.fromkeys(_device(f) for _, f in pairs))
    networks = list(dict.fromkeys(cell.labels[0] for cell, _ in pairs))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(max(4.5 * len(devices), 7), 1.6 + 0.6 * len(networks)), layout="constrained")
        panels = figure.subplots(1, len(devices), sharex=True, sharey=True, squeeze=False)[0]
        points = [0.95, 1.25, *(f.values["time_ratio"] for _, f in pairs)]
        panels[0].set_xlim(min(points) - 0.05, max(points) + 0.05)      # a few rounds' intervals may run out of the axes
        for panel, device in zip(panels, devices, strict=True):
            _panel(panel, [(cell, f) for cell, f in pairs if _device(f) == device], networks, device)
        panels[0].set(ylabel="network", yticks=range(len(networks)), yticklabels=networks, ylim=(len(networks) - 0.5, -0.5))
        panels[-1].legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
        text = "Seconds of a training iteration over those of the baseline, with 95 % intervals: " + "; ".join(
            "{id} {time_ratio:.3f} ({low:.3f} to {high:.3f})".format(id=cell.id, **f.values) for cell, f in pairs)
        rows = [{"cell": cell.id, "network": cell.labels[0], "method": cell.labels[1], "device": _device(f), "tier": f.tier,
                 **{k: f.values[k] for k in ("time_ratio", "low", "high", "rounds")},
                 "printed ratio": round(printed_ratio(cell)[0], 3) if printed_ratio(cell) else None} for cell, f in pairs]
        return inline(figure, "What Feature Mining adds to an iteration", text, pd.DataFrame(rows))


def _panel(panel, pairs: list[tuple[Cell, Finding]], networks: list[str], device: str) -> None:
    from .figures import COLOURS, INK

    methods = list(dict.fromkeys(cell.labels[1] for cell, _ in pairs))
    looks = zip(methods, COLOURS * len(methods), "os^vD" * len(methods), strict=False)
    for k, (method, colour, marker) in enumerate(looks):
        own = [(cell, f.values) for cell, f in pairs if cell.labels[1] == method]
        y = [networks.index(cell.labels[0]) + 0.24 * (k - (len(methods) - 1) / 2) for cell, _ in own]
        x, n = [s["time_ratio"] for _, s in own], sorted({s["rounds"] for _, s in own})
        reach = [[s["time_ratio"] - s["low"] for _, s in own], [s["high"] - s["time_ratio"] for _, s in own]]
        label = f"{method}, n = {' to '.join(map(str, dict.fromkeys((n[0], n[-1]))))} rounds"
        panel.errorbar(x, y, xerr=reach, fmt=marker, color=colour, capsize=3, label=label)
        printed = [(printed_ratio(cell)[0], at) for (cell, _), at in zip(own, y, strict=True) if printed_ratio(cell)]
        if printed:
            label = f"{method}, paper ({PAPERS_DEVICE})"
            panel.plot(*zip(*printed, strict=True), marker, color=colour, mfc="none", label=label)
    panel.axvline(1, color=INK, lw=1)
    panel.set(xlabel="time of an iteration / baseline's")
    panel.set_title(device, fontsize=10)
