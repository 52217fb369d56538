"""A second judge: every verdict once more, from the studies' TOML files and the records' JSON alone.

    python tests/second_judge.py STUDIES RUNS         # prints {"verdicts": {claim: verdict}, "complaints": [...]}

It imports nothing of the library, finds the records of a cell by what was trained and not by their keys, takes accuracies from
the curves and not from the metrics, and leaves the statistics to statsmodels: what the two judges agree on is in neither's
code alone. Complaints are of data that contradict themselves, which no verdict should rest on.
"""

import json
import re
import sys
import tomllib
from base64 import b64decode
from functools import cache
from hashlib import sha256
from itertools import product
from math import inf, sqrt
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.optimize import brentq
from scipy.signal import fftconvolve
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

# What section 4.1.1 of the paper says of its trainings, and what it leaves to the public code of each family: (epochs, batch,
# rate, weight decay, Nesterov)
PROTOCOL = {"resnet": (300, 128, 0.1, 5e-4, False), "resnet164": (300, 128, 0.1, 1e-4, False),
            "resnet50": (300, 128, 0.1, 1e-4, False), "densenet": (300, 64, 0.1, 1e-4, True),
            "wrn": (300, 128, 0.1, 5e-4, True), "pyramidnet": (300, 128, 0.5, 1e-4, True)}
SAME = {"milestones": [0.5, 0.75], "gamma": 0.1, "momentum": 0.9, "pad": 4, "flip": True, "precision": "fp32"}
ERROR = 0.05
MEASURE = {"classification": "test_acc", "detection": "test_map", "cost": ""}
REPRODUCED, DIRECTION, REFUTED, OPEN, NOT_RUN, CONTRADICTED = (
    "reproduced", "direction only", "not reproduced", "inconclusive", "not run", "contradicted by the paper's own numbers")


class Judge:
    """All that lies in a folder of studies and in a folder of records."""

    def __init__(self, studies: Path, runs: Path):
        self.cells, self.claims, self.rules = {}, {}, {}
        for paper in sorted(studies.glob("*/paper.toml")):
            about = tomllib.loads(paper.read_text(encoding="utf-8"))
            for file in sorted(paper.parent.glob("cells/*.toml")):
                self.read_study(about, tomllib.loads(file.read_text(encoding="utf-8")))
            self.claims |= tomllib.loads((paper.parent / "sentences.toml").read_text(encoding="utf-8"))
        files = [f for f in sorted(runs.glob("full/*/seed*.json")) if re.fullmatch(r"seed\d+", f.stem)]
        self.records = [json.loads(f.read_text(encoding="utf-8")) for f in files]
        self.measured = [json.loads(f.read_text(encoding="utf-8")) for f in sorted(runs.glob("*/*/*.json"))
                         if f.stem.partition(".")[0] in ("cost", "construction", "activations", "detail", "view", "confusion",
                                                         "landscape")]
        self.kept: dict[str, tuple[np.ndarray, int]] = {}
        each = zip(files, self.records, strict=True)
        self.complaints = [*self.of_tables(), *self.of_sentences(),
                           *(f"{f.parent.name}/{f.name}: {c}" for f, r in each for c in of_record(f, r))]

    def read_study(self, about: dict, study: dict) -> None:
        self.rules |= study.get("rules", {})
        task = study.get("task", "classification")
        for id_, printed in study["cells"].items():
            prefix = about.get("prefix", "") + "."
            prefix = prefix if len(prefix) > 1 and id_.startswith(prefix) else ""
            table, network, method, *condition = id_.removeprefix(prefix).split(".")
            table = prefix + table
            changed = study["conditions"][condition[0]] if condition else {}
            family = max((name for name in PROTOCOL if network.startswith(name)), key=len, default="resnet")
            recipe = dict(zip(("epochs", "batch", "lr", "weight_decay", "nesterov"), PROTOCOL[family], strict=True)) | SAME
            self.cells[id_] = printed | {
                "id": id_, "looks": about["looks"], "table": table, "place": (table, network, *condition), "method": method,
                "base": study.get("baseline", "baseline"),
                "curve": ".".join(filter(None, (MEASURE[task], study.get("reported", {}).get(method)))),
                # no number, and no place in a figure
                "own": not {"published", "seconds"} & printed.keys() and not re.fullmatch(r"([A-Z]+\.)?F\d+", table),
                "train": {
                    "dataset": study.get("datasets", {}).get(table) or study["dataset"], "network": network,
                    "options": study["networks"][network] | study.get("options", {}).get(method, {})
                    | changed.get("options", {}), "methods": study["methods"][method],
                    "recipe": recipe | study.get("recipes", {}).get(table, {}) | changed.get("recipe", {}),
                    "data": study.get("data", {}).get(table, {}) | changed.get("data", {}),
                    "task": task, "tier": "full"}}

    def beside(self, cell: dict, method: str) -> dict | None:
        """The cell of the same table, network and condition with this method."""
        return next((c for c in self.cells.values() if c["place"] == cell["place"] and c["method"] == method), None)

    # -- what was run

    def runs(self, cell: dict) -> list[dict]:
        """Those that count: of committed code throughout, and every network once."""
        found = {}
        for r in sorted(self.records, key=lambda r: r["seed"]):
            origin = [r["provenance"], *r["provenance"].get("resumed_elsewhere", [])]
            if {"data": {}, "task": "classification"} | r["spec"] == cell["train"] and all(
                    o.get("commit") and o.get("dirty") is False for o in origin):
                found.setdefault(r["weights"], r)
        return list(found.values())

    def count(self, *cells: dict) -> int:
        """How many runs that count each of them has at least."""
        return min(len(self.accuracies(cell)[0]) for cell in cells)

    def accuracies(self, cell: dict) -> tuple[np.ndarray, int]:
        """Of the best epoch, or of the last where the table's own rule says so, in the order of the seeds; and how many images
        they are shares of."""
        if cell["id"] not in self.kept:
            runs, last = self.runs(cell), self.rules.get(cell["table"], {}).get("outcome") == "last"
            curves = [[v for v in r["curves"][cell["curve"]] if v is not None] for r in runs]
            values = [curve[-1] if last else max(curve) for curve in curves]
            self.kept[cell["id"]] = np.array(values), runs[0]["metrics"].get("n_test", 1) if runs else 1
        return self.kept[cell["id"]]

    def ours(self, cell: dict, n: int) -> np.ndarray | None:
        """The accuracies of the first n runs; equal ones are spread as the draw of the test images would spread them."""
        values, images = self.accuracies(cell)
        if len(values) < n:
            return None
        values = values[:n]
        if len(values) > 1 and np.ptp(values) == 0:
            share = values[0] / 100
            return sample(n, values[0], 100 * sqrt(share * (1 - share) / images))
        return values

    # -- what contradicts itself

    def of_tables(self):
        """The paper's tables as its text has them, row by row, against the cells."""
        text = (Path(__file__).with_name("paper_tables.txt")).read_text(encoding="utf-8")
        tables = dict(reversed(block.rsplit("\nTable ", 1)) for block in text.strip().split("\n\n"))
        for number, lines in tables.items():
            cells = [c for c in self.cells.values() if c["table"] == f"T{number}" and ("published" in c or "seconds" in c)]
            if number == "1":           # a column for each network
                places = list(dict.fromkeys(c["place"] for c in cells))
                methods = list(dict.fromkeys(c["method"] for c in cells))
                cells.sort(key=lambda c: (methods.index(c["method"]), places.index(c["place"])))
            if number == "10":
                printed = re.findall(r"(\d{4}) (0\.\d{3})$", lines, re.M)
                here = [(str(c["mib"]), f"{float(c['seconds']):.3f}") for c in cells]
            else:
                printed = re.findall(r"(?<![+\d.])(\d\d\.\d\d)(?:±(\d\.\d\d))?", lines)
                here = [(f"{float(c['published']):.2f}", f"{float(c['spread']):.2f}" if "spread" in c else "") for c in cells]
                yield from (f"{c['id']}: the paper averages over 4 runs, here are {c['n']}" for c in cells if c["n"] != 4)
            if printed != here:
                yield f"T{number}: the paper prints {sorted({*printed} - {*here})}, the cells have {sorted({*here} - {*printed})}"

    def of_sentences(self):
        """Orders that the printed numbers turn round, and values that the quoted sentence does not hold."""
        for id_, claim in self.claims.items():
            if claim["kind"] == "order" and self.order(claim) == CONTRADICTED:
                yield f"{id_}: the printed numbers say the contrary"
            if claim["kind"] == "gain" and self.stated_gain(claim) == CONTRADICTED:
                yield f"{id_}: its cells have other numbers than it states"
            for value in (*claim.get("values", ()), *filter(None, [claim.get("difference")])):
                if f"{float(value):.2f}" not in claim["quote"]:
                    yield f"{id_}: its quote does not hold {value}"

    # -- what is printed

    def spread(self, cell: dict) -> float:
        """Pooled over the cell's table; where it prints none, over the same network on the same data in others."""
        some = [c for c in self.cells.values() if "spread" in c]
        pool = [c for c in some if c["table"] == cell["table"]] or [
            c for c in some if all(c["train"][k] == cell["train"][k] for k in ("network", "dataset"))]
        return sqrt(np.mean([float(c["spread"]) ** 2 for c in pool])) if pool else 0.0

    def printed(self, cell: dict) -> np.ndarray | None:
        if "published" not in cell:
            return None
        return sample(cell["n"], float(cell["published"]), float(cell.get("spread", self.spread(cell))))

    def margin(self, cell: dict) -> float:
        """The smallest difference that the paper's n against n finds with 80 % power; 0 where nobody printed a spread, and among
        cells of our own."""
        n, spread = cell.get("n", 4), 0.0 if cell["own"] else self.spread(cell)
        return sum(stats.t(2 * n - 2).ppf((0.975, 0.8))) * spread * sqrt(2 / n)

    # -- verdicts

    def verdicts(self) -> dict[str, str]:
        return ({id_: self.sentence(c) for id_, c in self.claims.items()}
                | {id_: self.number(c) for id_, c in self.cells.items() if "published" in c}
                | {id_: self.seconds(c) for id_, c in self.cells.items() if "seconds" in c})

    def sentence(self, claim: dict) -> str:
        if claim["kind"] == "same":
            return self.sentence(self.claims[claim["same_as"]])
        return {"order": self.order, "gain": self.stated_gain, "cost": self.cost, "construction": self.construction,
                "activations": self.activations, "text": lambda c: "contradicted by the paper's own text",
                "words": lambda c: "not testable", "to_run": lambda c: NOT_RUN}[claim["kind"]](claim)

    def comparisons(self, table: str) -> list[str]:
        """Our own comparisons, by the rule that was fixed before their first run."""
        rule, found, p = self.rules[table], [], []
        against = rule.get("against") or [self.beside(self.cells[id_], self.cells[id_]["base"])["id"] for id_ in rule["family"]]
        for pair in zip(rule["family"], against, strict=True):
            sides = [{r["seed"]: r["curves"]["test_acc"] for r in self.runs(self.cells[id_]) if r["seed"] in rule["seeds"]}
                     for id_ in pair]
            a, b = (np.array([c[-1] if rule["outcome"] == "last" else max(v for v in c if v is not None) for c in side.values()])
                    for side in sides)
            whole = all(side.keys() == {*rule["seeds"]} for side in sides)
            p.append(welch_p(a, b) if whole else 1.0)
            found.append(NOT_RUN if not any(sides) else "unfinished" if not whole else
                         "above its baseline" if a.mean() > b.mean() else "below its baseline")
        return ["no clear difference" if status.endswith("baseline") and q >= 1 - rule["level"] else status
                for status, q in zip(found, holm(p), strict=True)]

    def latest(self, looks: dict, have: int, judged) -> str:
        """What the last look that settles says, of those that so many runs allow."""
        if not have:
            return NOT_RUN
        found = [judged(n, levels(looks)[n]) for n in looks["seeds"] if n <= have] or [OPEN]
        return next((one for one in reversed(found) if one != OPEN), OPEN)

    def number(self, cell: dict) -> str:
        def judged(n: int, alpha: float) -> str:
            low, high = welch(self.ours(cell, n), self.printed(cell), 1 - alpha)
            if max(-low, high) <= self.margin(cell):
                return REPRODUCED
            return REFUTED if max(low, -high) > self.margin(cell) else OPEN

        return self.latest(cell["looks"], self.count(cell), judged)

    def gain(self, *pair: dict) -> str:
        """Of a method over its baseline."""
        paper, within = [self.printed(c) for c in pair], self.margin(pair[0])
        printed = paper[0].mean() - paper[1].mean()

        def judged(n: int, alpha: float) -> str:
            ours = [self.ours(c, n) for c in pair]
            low, high = welch(*ours, 1 - alpha)
            low, high = (low, high) if printed >= 0 else (-high, -low)
            short = contrast([*ours, paper[0] / 2, paper[1] / 2], (1, -1, -1, 1), 1 - alpha)        # of half the printed gain
            less = short[1] < 0 if printed >= 0 else short[0] > 0
            if high < 0 != printed or (-within <= low <= 0 and high <= within and less):
                return REFUTED
            beside = contrast([*ours, *paper], (1, -1, -1, 1), 1 - alpha)
            return OPEN if low <= 0 else REPRODUCED if max(map(abs, beside)) <= sqrt(2) * within else DIRECTION

        return self.latest(pair[0]["looks"], self.count(*pair), judged)

    def stated_gain(self, claim: dict) -> str:
        method, base = (self.cells[id_] for id_ in claim["cells"])
        between = float(method["published"]) - float(base["published"])
        values = [float(v) for v in claim.get("values", (method["published"], base["published"]))]
        wrong = values != [float(method["published"]), float(base["published"])] or \
            abs(float(claim.get("difference", between)) - between) >= 0.015
        return CONTRADICTED if wrong or between < 0 else self.gain(method, base)

    # -- what is measured of a network rather than of its training

    def findings(self, kind: str, cell: dict) -> list[dict]:
        spec = {k: v for k, v in cell["train"].items() if (k, v) not in (("data", {}), ("task", "classification"))}
        return [f for f in self.measured if f["kind"] == kind and f["key"] == key_of(spec) and f["tier"] == "full"]

    def ratio(self, cell: dict) -> tuple[float, float, float]:
        """Printed seconds over the baseline's, lowest and highest by what was rounded off, and memory over the baseline's."""
        base = self.beside(cell, "baseline")
        (a, da), (b, db) = ((float(c["seconds"]), 0.5 * 10.0 ** -len(str(c["seconds"]).partition(".")[2])) for c in (cell, base))
        return (a - da) / (b + db), (a + da) / (b - db), float(cell["mib"]) / float(base["mib"])

    def seconds(self, cell: dict) -> str:
        costs = self.findings("cost", cell)
        if not costs:
            return NOT_RUN
        if cell["method"] == "baseline":
            return "not testable"
        near = max(costs, key=lambda f: ("Tesla M40" in f["provenance"]["device"], "allocated_mib" in f["values"]))["values"]
        low, high, _ = self.ratio(cell)
        if near["high"] < low or near["low"] > high:
            return "cheaper here" if near["high"] < low else "dearer here"
        return OPEN if near["low"] <= 1 <= near["high"] else "as printed"

    def cost(self, claim: dict) -> str:
        cells = [self.cells[id_] for id_ in claim["cells"]]
        above = "above" in claim
        limit = float(claim["above"] if above else claim["at_most"])
        printed = [max(low, memory) for low, _, memory in (self.ratio(c) for c in cells if "seconds" in c)]
        if not above and max(printed, default=0) > limit:
            return CONTRADICTED
        measured = [self.findings("cost", c) for c in cells]
        if not all(measured):
            return NOT_RUN
        gpus = [[f for f in costs if "allocated_mib" in f["values"]] for costs in measured]
        values = [f["values"] for costs in (gpus if all(gpus) else measured) for f in costs]
        memory = [v["memory_ratio"] for v in values if "allocated_mib" in v]
        low, high = (max([v[bound] for v in values] + memory) for bound in ("low", "high"))
        if low <= limit < high:
            return OPEN
        if not all(gpus):
            return "cheaper here" if high <= limit else "dearer here"
        return REPRODUCED if (high <= limit) != above else REFUTED

    def construction(self, claim: dict) -> str:
        cells = {json.dumps(c["train"], sort_keys=True): c for c in self.cells.values()
                 if c["table"] in claim["tables"] and c["method"] in claim["methods"] and not c["own"]}
        found = [self.findings("construction", c) for c in cells.values()]
        equal = [f["values"][k] for fs in found for f in fs for k in ("same_state", "same_outputs", "same_cost")]
        if not equal:
            return NOT_RUN
        return REFUTED if not all(equal) else "holds by construction" if all(found) else OPEN

    def activations(self, claim: dict) -> str:
        """More in every stage, and most of all in the first, over seeds."""
        cell = self.cells[claim["cells"][0]]
        counts = [[np.sum(side, axis=-1) for side in f["values"]["raw"]["counts"].values()]
                  for f in self.findings("activations", cell)]
        logs = np.array([np.log(np.array(sides[-1]) / sides[0]) for sides in counts])

        def judged(n: int, alpha: float) -> str:
            tested = np.column_stack([logs[:n], logs[:n, :1] - logs[:n, 1:]])
            family = tested.shape[1]
            p = stats.ttest_1samp(tested, 0).pvalue
            settled = holm(p * ERROR / family / levels(cell["looks"], family)[n]) < ERROR
            return REFUTED if (settled & (tested.mean(0) < 0)).any() else REPRODUCED if settled.all() else OPEN

        return self.latest(cell["looks"], len(logs), judged)

    def pairs(self, claim: dict) -> list[tuple[dict, dict]]:
        if "pairs" in claim:
            return [tuple(self.cells[id_] for id_ in pair) for pair in claim["pairs"]]
        places = dict.fromkeys(c["place"] for c in self.cells.values() if c["table"] in claim["tables"] and not c["own"])
        found = {}
        for place, *methods in product(places, claim["higher"], claim["lower"]):
            sides = [self.beside({"place": place}, m) for m in methods]
            if None not in sides:
                found.setdefault(json.dumps([s["train"] for s in sides], sort_keys=True), tuple(sides))
        return list(found.values())

    def order(self, claim: dict) -> str:
        pairs = self.pairs(claim)
        paper = [[self.printed(c) for c in pair] for pair in pairs]
        if any(a.mean() < b.mean() - 1e-9 for a, b in paper if a is not None and b is not None):
            return CONTRADICTED

        measures, within = claim.get("measures", []), claim.get("within", 0.0)

        def judged(n: int, alpha: float) -> str:
            runs = [self.measured_pair(claim, pair, n) if measures else [self.ours(c, n) for c in pair] for pair in pairs]
            runs = [[None if a is None else a + within, b] for a, b in runs]
            here = [all(side is not None for side in ours) for ours in runs]
            count = ERROR / len(pairs) / levels(looks, len(pairs))[n]           # the other looks are counted in
            differ = holm([count * welch_p(*ours) if h else 1.0 for h, ours in zip(here, runs, strict=True)])
            nil = holm([count * self.nothing_p(*three) if h else 1.0
                        for h, three in zip(here, zip(runs, paper, (b for _, b in pairs), strict=True), strict=True)])
            settled, small = differ < ERROR, nil < ERROR / 2
            for i, (a, b) in ((i, ours) for i, ours in enumerate(runs) if here[i]):
                if (settled[i] and a.mean() < b.mean()) or (small[i] and welch(a, b, 1 - alpha)[0] <= 0):
                    return REFUTED
            return OPEN if not settled.all() else DIRECTION if small.any() else REPRODUCED

        looks = pairs[0][0]["looks"]
        have = [min(map(len, self.measured_pair(claim, pair))) if measures else self.count(*pair) for pair in pairs]
        return self.latest(looks, max(have), judged)

    def measured_pair(self, claim: dict, pair: tuple, n: int | None = None) -> list[np.ndarray | None]:
        """What was measured of the networks of both, or how far each is above its baseline, of the first n seeds that count; of
        one cell, its differences seed by seed beside as many zeros."""
        least = [claim.get("first_seed", {}).get(c["id"], 0) for c in pair]
        a, b = (self.along(m, c) if m.startswith("landscape.") else {r["seed"]: self.measure(m, c, r) for r in self.runs(c)}
                for m, c in zip((claim["measures"] * 2)[:2], pair, strict=True))
        a, b = ({seed: v for seed, v in side.items() if v is not None and seed >= from_}
                for side, from_ in zip((a, b), least, strict=True))
        if pair[0] is pair[1]:
            a = {seed: a[seed] - b[seed] for seed in sorted({*a} & {*b})}
            b = dict.fromkeys(a, 0.0)
        sides = [np.array([v for _, v in sorted(side.items())]) for side in (a, b)]
        return sides if n is None else [side[:n] if len(side) >= n else None for side in sides]

    def along(self, name: str, cell: dict) -> dict[int, float | None]:
        """Of short trainings that have no run, but for seed 0, which was seen before the rule; three epochs of 40 steps."""
        return {int(f["name"][4:]): f["values"].get(name.split(".")[1]) for f in self.findings("landscape", cell)
                if f["name"] != "seed0" and not f["provenance"].get("dirty")
                and [f["values"]["plan"][word] for word in ("epochs", "steps", "probe", "images")] == [3, 40, 20, 200]}

    def measure(self, name: str, cell: dict, run: dict) -> float | None:
        if name == "gain":
            last = self.rules.get(cell["table"], {}).get("outcome") == "last"
            curves = [r["curves"]["test_acc"] for r in [run, *(o for o in self.runs(self.beside(cell, cell["base"]))
                                                               if o["seed"] == run["seed"])]]
            values = [[v for v in curve if v is not None] for curve in curves]
            values = [v[-1] if last else max(v) for v in values]
            return values[0] - values[1] if len(values) == 2 else None
        kind, value = name.split(".")
        found = [f for f in self.findings(kind, cell) if f["name"] == f"seed{run['seed']}"
                 and f["provenance"]["weights"].get(run["id"]) == run["weights"]]
        return found[0]["values"].get(value) if found else None

    def nothing_p(self, ours, printed, lower: dict) -> float:
        """That the difference matters, or is half of the printed one at least."""
        compare, within = CompareMeans(*map(DescrStatsW, ours)), self.margin(lower)
        p = compare.ttost_ind(-within, within, usevar="unequal")[0]
        if any(v is None for v in printed):
            return p
        half = (printed[0].mean() - printed[1].mean()) / 2
        return max(p, compare.ttest_ind("smaller", usevar="unequal", value=half)[1])


def levels(looks: dict, family: int = 1) -> dict[int, float]:
    """The two-sided level of each look: until the planned one a spending function of the type of O'Brien and Fleming, then equal
    parts. Bounds are found one after another, so that sums of normal values leave them as often as may be spent."""
    seeds, planned, share = looks["seeds"], looks["planned"], looks["share"]
    return _levels(tuple(seeds), planned, share, family)


@cache
def _levels(seeds: tuple[int, ...], planned: int, share: float, family: int) -> dict[int, float]:
    later, gone, found = [n for n in seeds if n > planned], 0.0, {}
    step = 0.005
    x = np.arange(-8 * sqrt(seeds[-1]), 8 * sqrt(seeds[-1]) + step / 2, step)           # the sum of so many values of N(0, 1)
    density = stats.norm(scale=sqrt(seeds[0])).pdf(x)
    for n, more in zip(seeds, np.diff([*seeds, seeds[-1] + 1]), strict=True):
        spent = 2 * stats.norm.sf(stats.norm.isf(share * ERROR / 2) / sqrt(n / planned)) if n <= planned else \
            ERROR * (share + (1 - share) * (later.index(n) + 1) / len(later))

        def inside(bound):
            return np.clip((bound - abs(x)) / step + 0.5, 0, 1)

        target = spent / family - gone
        bound = brentq(lambda b, d=density, t=target: step * d @ (1 - inside(b)) - t, sqrt(n), 7 * sqrt(n), xtol=1e-9)
        found[n], gone = 2 * stats.norm.sf(bound / sqrt(n)), spent / family
        density = step * fftconvolve(density * inside(bound), stats.norm(scale=sqrt(more)).pdf(x), mode="same")
    return found


def key_of(spec: dict) -> str:
    """What a training's folder is called: who it is, and a hash of all that it is."""
    names = "+".join(m["name"] for m in spec["methods"]) or "baseline"
    digest = sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:8]
    return f"{spec['dataset']}.{spec['network'].replace('/', '-')}.{names}.{digest}"


def of_record(file: Path, r: dict):
    """What a record says twice and not alike."""
    key = key_of(r["spec"])
    if [key, key, f"{key}.seed{r['seed']}", f"seed{r['seed']}", r["spec"]["tier"]] != [
            r["key"], file.parent.name, r["id"], file.stem, file.parent.parent.name]:
        yield "its place, key, seed, tier and settings do not belong together"
    if any(len(curve) != r["spec"]["recipe"]["epochs"] for curve in r["curves"].values()):
        yield "a curve has not one number an epoch"
    task = r["spec"].get("task", "classification")
    unit = 100 / r["metrics"]["n_test"] if task == "classification" else 0
    for name, m in {"": r["metrics"], **r["metrics"].get("others", {})}.items():
        curve = r["curves"][".".join(filter(None, (MEASURE[task], name)))]
        known = [v for v in curve if v is not None]
        if [max(known), curve[-1], np.median(curve[-10:]), curve.index(max(known)) + 1] != [
                m["best"], m["last"], m["median10"], m["best_epoch"]]:
            yield f"its metrics {name} do not follow from its curve"
        if min(known) < 0 or max(known) > 100 or (unit and any(abs(v / unit - round(v / unit)) > 0.01 for v in known)):
            yield f"an accuracy {name} is no share of {r['metrics']['n_test']} images"
        for rule in ("best", "last") if r.get("right") else ():
            bits = (r["right"]["others"][name] if name else r["right"])[rule]
            if abs(int.from_bytes(b64decode(bits)).bit_count() * unit - m[rule]) > 1e-3:
                yield f"the images that were right in the {rule} epoch {name} are not as many as its accuracy says"


def sample(n: int, mean: float, sd: float) -> np.ndarray:
    """n numbers of exactly this mean and standard deviation."""
    z = np.arange(n) - (n - 1) / 2
    return mean + (sd * z / z.std(ddof=1) if n > 1 else z)


def welch(a: np.ndarray, b: np.ndarray, level: float) -> tuple[float, float]:
    if min(len(a), len(b)) < 2:
        return -inf, inf
    return CompareMeans(DescrStatsW(a), DescrStatsW(b)).tconfint_diff(1 - level, usevar="unequal")


def welch_p(a: np.ndarray, b: np.ndarray) -> float:
    return CompareMeans(DescrStatsW(a), DescrStatsW(b)).ttest_ind(usevar="unequal")[1] if min(len(a), len(b)) > 1 else 1.0


def contrast(samples: list[np.ndarray], signs: tuple[int, ...], level: float) -> tuple[float, float]:
    """Interval of a signed sum of means, degrees of freedom by Satterthwaite."""
    if min(map(len, samples)) < 2:
        return -inf, inf
    variances = np.array([np.var(s, ddof=1) / len(s) for s in samples])
    df = variances.sum() ** 2 / sum(v**2 / (len(s) - 1) for v, s in zip(variances, samples, strict=True))
    return stats.t(df, sum(k * s.mean() for k, s in zip(signs, samples, strict=True)), sqrt(variances.sum())).interval(level)


def holm(p: list[float]) -> np.ndarray:
    """Adjusted p in the order given: sorted, times how many are left, never falling."""
    order = np.argsort(p)
    steps = np.minimum(1, np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1)))
    return steps[np.argsort(order)]


if __name__ == "__main__":
    judge = Judge(*map(Path, sys.argv[1:3]))
    json.dump({"verdicts": judge.verdicts(), "complaints": judge.complaints}, sys.stdout, indent=1)
