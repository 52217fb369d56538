"""Records and printed numbers -> tables. No files, no state, no torch."""

import re
from collections.abc import Iterable, Mapping
from itertools import product

import pandas as pd

from .. import stats, studies
from ..judging.class_activation import of_seeds, over_seeds
from ..judging.comparisons import Comparison
from ..judging.ledger import Ledger
from ..recipes import hours, recipe
from ..records import Record, durations, once
from ..records.findings import Finding
from ..studies import Cell
from ..studies.outcomes import Standing, Status
from .markup import BREAK, DASH, Html, as_frame, badge, below, bounds, join, percent, tag, text

MAPS = (("cam", "CAM"), ("grad_cam", "Grad-CAM"))
SHORT = "A short schedule may favour plain training: a method that slows a network down at first may pay off later."


def claims(cells: list[Cell], ledger: Ledger) -> pd.DataFrame:
    """One row per printed number: paper, ours in full tier with 95 % interval and n, verdict on the number and on the gain."""
    rows = []
    for cell, name in zip(cells, named(cells), strict=True):
        summary, v = ledger.deciding(cell), ledger.verdict(cell)
        rows.append({"cell": cell.id, "method": name, "paper": cell.paper or DASH,
                     "ours (full)": f"{percent(summary)} (n = {summary.n})" if summary else DASH,
                     "95 % interval": bounds(stats.mean_interval(summary) if summary else None),
                     "verdict": v.standing(cell) if v else DASH,
                     "gain": Standing(g.status) if (g := ledger.gain(cell)) else DASH})
    return as_frame(rows)


def own_runs(cells: list[Cell], ledger: Ledger, tier: str) -> pd.DataFrame:
    """One row per cell in one tier: the difference to the same tier's baseline, n, and top-1 under three selection rules."""
    rows = []
    for cell, name in zip(cells, named(cells), strict=True):
        gained = ledger.difference(cell, tier)
        row = {"cell": cell.id, "method": name, "gain (best), 95 %": signed(gained), "n": len(ledger.of(cell, tier))}
        for rule, title in (("best", "best epoch"), ("last", "last epoch"), ("median10", "median last 10")):
            row[title] = percent(ledger.ours(cell, tier, rule))
        row["seed by seed, 95 %"] = paired(ledger.paired(cell, tier))
        rows.append(row)
    return as_frame(rows)


def named(cells: list[Cell]) -> list[str]:
    """What tells these cells apart: the method, and below it the network where they have several."""
    several = len({cell.labels[0] for cell in cells}) > 1
    return [below(cell.labels[1], cell.labels[0]) if several else cell.labels[1] for cell in cells]


def trained(record: Record) -> str:
    """What was trained, and on what."""
    spec = record.spec
    methods = " + ".join(method["name"] for method in spec["methods"]) or "plain"
    return below(methods, f"{spec['network']}, {spec['dataset']}")


def planned(groups: Iterable[tuple[Cell, int]], tier: str, seeds: list[int]) -> pd.DataFrame:
    """One row per cell: the training that a tier makes of it, with the settings that differ from the defaults, and of how many
    seeds it is on record."""
    rows = []
    for cell, done in groups:
        run = cell.run(tier, 0)
        r = run.recipe
        rows.append({"cell": cell.id,
                     "method": join((_named(m["name"], {k: v for k, v in m.items() if k != "name"}) for m in run.methods), " + ")
                     or "none", "data": _named(run.dataset, run.data), "network": _named(run.network, run.options),
                     "recipe": f"{r.epochs} epochs, batch {r.batch}, rate {r.lr:g}, {r.precision}",
                     "seeds": ", ".join(map(str, seeds)), "on record": f"{done} of {len(seeds)}"})
    return as_frame(rows)


def _named(name: str, settings: Mapping) -> Html:
    """
    >>> _named("fm", {"layers": 2, "box": "inside"}), _named("fm", {})
    ('fm (layers=<wbr>2, box=<wbr>inside)', 'fm')
    """
    said = text(name + (f" ({', '.join(f'{k}={v}' for k, v in settings.items())})" if settings else ""))
    return Html(re.sub(r"([/_=])(?=\w)", r"\1<wbr>", said))


def matrix(table: str, ledger: Ledger) -> pd.DataFrame:
    """A table as the paper prints it, methods down and networks across: the printed number, below it ours or its status."""
    cells = [c for c in studies.load_cells().values() if c.table == table and c.published is not None]
    grid = {network: {c.labels[1]: _two_lines(c, ledger) for c in cells if c.labels[0] == network}
            for network in dict.fromkeys(c.labels[0] for c in cells)}
    return pd.DataFrame(grid, dtype=object).rename_axis("method").reset_index()


def _two_lines(cell: Cell, ledger: Ledger) -> Html:
    summary, v = ledger.deciding(cell), ledger.verdict(cell)
    mine = f"{percent(summary)} (n = {summary.n}) " if summary else ""
    value = tag("span", cell.paper, class_="paper-value")
    return tag("span", value, BREAK, mine, badge(v.status), id=cell.id, title=cell.id, **{"data-cell": cell.id})


def tally(cells: list[Cell], ledger: Ledger) -> pd.DataFrame:
    """Verdicts per table: how many printed numbers, and how many of them have which status."""
    statuses = (Status.REPRODUCED, Status.NOT_REPRODUCED, Status.INCONCLUSIVE, Status.NOT_RUN)
    rows = []
    for table in dict.fromkeys(c.table for c in cells):
        verdicts = [ledger.verdict(c).status for c in cells if c.table == table]
        title = studies.titles()[table].partition(".")[0]
        rows.append({"table": title, "numbers": len(verdicts), **{s: verdicts.count(s) for s in statuses}})
    return as_frame(rows)


def signed(i: stats.Interval | None) -> str:
    """A difference with its interval, where it has one."""
    spread = f" ({bounds(i, signed=True)})" if i and i.half < float("inf") else ""
    return stats.signed(i.value) + spread if i else DASH


def comparisons(compared: list[Comparison]) -> pd.DataFrame:
    """One row per comparison of a study of our own: what decides, what stands beside it, and the verdict by the study's rule."""
    return as_frame([{
        "cell": c.cell.id, "method": c.label, "verdict": Standing(c.status), "last epoch (decides)": signed(c.outcome),
        "n": " and ".join(str(len(s)) for s in c.seeds),
        "p (Holm)": DASH if c.p is None else p_value(c.p), "best epoch": signed(c.beside),
        "seed by seed": paired(c.paired), "on new images like these": signed(c.new_images)}
        for c in compared])


def mixed_devices(compared: list[Comparison]) -> str:
    """Which differences are of runs on other devices, or of a mixture of them; empty where none is."""
    mixed = [f"{c.label}: {' and '.join(sorted(ours))} against {' and '.join(sorted(theirs))}"
             for c in compared for ours, theirs in [c.devices] if len(ours | theirs) > 1]
    return f"Trained on more than one kind of device, which round differently: {'; '.join(mixed)}." if mixed else ""


def paired(found: stats.BySeed | None) -> str:
    """With the correlation of both sides over the seeds.

    >>> paired(stats.paired_by_seed({0: 75.1, 1: 75.4, 2: 75.2}, {0: 74.0, 1: 74.4, 2: 74.1}))
    '+1.07 (+0.92 to +1.21), r = 1.00'
    """
    if found is None:
        return DASH
    return signed(found.interval) + ("" if found.r is None else f", r = {found.r:.2f}".replace("-", "−"))


def p_value(p: float) -> str:
    """
    >>> p_value(0.00002), p_value(0.03126)
    ('< 0.0001', '0.0313')
    """
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def costs(records: list[Record]) -> pd.DataFrame:
    """What the records took: minutes, device, threads, peak memory, commit; of a run that went on elsewhere, all it was on."""
    return as_frame([{
        "run": r.id, "training": trained(r), "seed": r.seed, "minutes": f"{60 * durations.took(r):.1f}",
        "device": _in_turn(r, lambda e: e["device"]),
        "threads": _in_turn(r, lambda e: e["threads"]), "peak MiB": peak([r]),
        "torch": _in_turn(r, lambda e: e["versions"]["torch"]),
        "commit": _in_turn(r, lambda e: (e["commit"] or DASH)[:10] + (" (changed)" if e["dirty"] else ""))}
        for r in once(records)])


def peak(records: list[Record]) -> str:
    """MiB at most; of runs that were trained at once, of all of them together."""
    most = max(records, key=lambda r: r.provenance["peak_memory_mib"]).provenance
    together = most.get("beside", 0) + 1
    return f"{most['peak_memory_mib']:,}" + (f" ({together} at once)" if together > 1 else "")


def _in_turn(record: Record, what) -> str:
    return ", ".join(dict.fromkeys(str(what(e)) for e in record.environments))


def localisation(measured: list[tuple[Cell, Finding]]) -> pd.DataFrame:
    """One row per network and kind of map: how often it points at the true part, how much of it lies inside, and the paired
    difference to the baseline of the same table and seed, image by image. Before them, all seeds where there are several."""
    by_id, rows = {(cell.id, f.name): f for cell, f in measured}, []
    measured = findings_once(measured)
    for cell, f in measured:
        base = studies.baseline(cell)
        other = by_id.get((base.id, f.name)) if base else None
        for how, title in MAPS:
            v, gains = f.values[how], {"pointing": DASH, "energy": DASH}
            for name in gains if other else ():
                gains[name] = difference(stats.paired(v["each"][name], other.values[how]["each"][name]))
            rows.append({"cell": cell.id, "network": ", ".join(cell.labels), "seed": f.name.removeprefix("seed"), "map": title,
                         "n": str(v["n"]), "chance": f"{v['chance']:.1f}", "centre (%)": f"{v['centre']:.1f}",
                         "pointing (%)": f"{v['pointing']:.1f}", "to baseline": gains["pointing"],
                         "energy inside (%)": f"{v['energy']:.1f}", "energy, to baseline": gains["energy"],
                         "top-1 (%)": f"{v['top1']:.1f}"})
    return as_frame([*_over_seeds(measured), *rows]).fillna(DASH)


def findings_once(measured: list[tuple[Cell, Finding]]) -> list[tuple[Cell, Finding]]:
    """Each finding of a cell once, however often the list has it."""
    return list({(cell.id, f.tier, f.name): (cell, f) for cell, f in measured}.values())


def _over_seeds(measured: list[tuple[Cell, Finding]]) -> list[dict]:
    """Mean and spread over the seeds of a network that has several, and Welch's interval for the difference to its baseline."""
    groups: dict[str, list[Finding]] = {}
    for cell, f in measured:
        groups.setdefault(cell.id, []).append(f)
    rows = []
    for (id_, per_seed), (how, title) in product(groups.items(), MAPS):
        base = studies.baseline(studies.cell(id_))
        sides = [per_seed, groups.get(base.id, [])] if base else [per_seed]
        if min(map(len, sides)) < 2:
            continue
        row = {"cell": id_, "network": ", ".join(studies.cell(id_).labels), "seed": f"all {len(per_seed)}", "map": title}
        for name, value, gain in (("pointing", "pointing (%)", "to baseline"),
                                  ("energy", "energy inside (%)", "energy, to baseline"), ("top1", "top-1 (%)", "")):
            mean = of_seeds(per_seed, how, name)
            row[value] = f"{mean.mean:.1f} ± {mean.sd:.1f}"
            if gain:
                row[gain] = difference(over_seeds(*sides, how, name)) if base else DASH
        rows.append(row)
    return rows


def difference(d: dict) -> str:
    """
    >>> difference({"mean": -1.5, "low": -3.25, "high": 0.25})
    '−1.5 (−3.2 to +0.2)'
    """
    return "{} ({} to {})".format(*(stats.signed(d[name], 1) for name in ("mean", "low", "high")))


def activations(measured: list[tuple[Cell, Finding]]) -> pd.DataFrame:
    """Activations above the threshold per image and stage, as they are and in units of each stage's spread; the last network's
    over the first's."""
    rows = []
    for cell, f in findings_once(measured):
        for unit, title in (("raw", "as they are"), ("in_spreads", "in units of spread")):
            first, *_, last = (list(map(sum, stages)) for stages in f.values[unit]["counts"].values())
            rows += [{"cell": cell.id, "network": cell.labels[0], "seed": f.name.removeprefix("seed"), "activations": title,
                      "stage": stage, "baseline": f"{a:.0f}", "with FM": f"{b:.0f}", "ratio": f"{b / a:.2f}" if a else DASH}
                     for stage, (a, b) in enumerate(zip(first, last, strict=True), 1)]
    return as_frame(rows)


def benchmark(rows: list[dict]) -> pd.DataFrame:
    """One group of ``data/benchmarks/*.json``: measured, quartiles over the rounds, goal."""
    return as_frame([{
        "what": row["what"], "measured": f"{row['value']:.4g} {row['unit']}".strip(),
        "quartiles": DASH if row["low"] is None else f"{row['low']:.3g} – {row['high']:.3g}",
        "goal": row["goal"].replace(">=", "≥").replace("<=", "≤") or DASH,
        "met": {True: "yes", False: "no", None: ""}[row["met"]],
        "note": row["note"]} for row in rows])


def tier_hours(rows: list[dict]) -> pd.DataFrame:
    """What one training of each measured network takes in the short and the full tier."""
    seconds = {row["what"]: row["value"] for row in rows}
    return as_frame([{
        "network": row["what"], "one step": f"{row['value']:.3g} s ({row['note']})",
        **{tier: f"{hours(recipe(row['what'], tier), row['value'], seconds[row['what'] + ', evaluation']):.1f} h"
           for tier in ("short", "full")}}
        for row in rows if ", " not in row["what"]])


def preview(ledger: Ledger) -> pd.DataFrame:
    """Our own short-tier runs of ResNet-20 on record."""
    cells = [c for c in studies.load_cells().values() if c.table == "X1" and ledger.of(c, "short")]
    return own_runs(cells, ledger, "short")
