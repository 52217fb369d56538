"""Two judges, one verdict: the library's, and that of a script which shares no code with it, on what is on record and in invented
worlds. And sixty faults put in on purpose, in records, in studies and in the library's own rules: one of the two must notice."""

import ast
import importlib
import json
import shutil
from collections import Counter
from importlib import util
from pathlib import Path
from unittest.mock import Mock, patch

import pytest
from invented import world
from mutants import Mutant, mutated

from featuremining import paths, records
from featuremining.errors import FMError
from featuremining.judging import chances, listing
from featuremining.judging.comparisons import compare
from featuremining.judging.ledger import Ledger
from featuremining.studies import cell, rules

spec = util.spec_from_file_location("second_judge", paths.ROOT / "tests/second_judge.py")
second_judge = util.module_from_spec(spec)
spec.loader.exec_module(second_judge)


def ledger(runs: Path) -> Ledger:
    return Ledger(records.read(path) for path in sorted(runs.glob("full/*/seed*.json")))


def verdicts(of: Ledger) -> dict[str, str]:
    """Of all claims and of our own comparisons; without the simulation of what more seeds would bring, which decides nothing."""
    with patch.multiple(chances, number=Mock(), gain=Mock(), enough=Mock(return_value=None)):
        claims = {row["claim"]: str(row["verdict"].status) for row in listing.rows(of)}
    return claims | {f"{table} {i}": str(c.status) for table, rule in rules().items() for i, c in enumerate(compare(rule, of))}


def judged(runs: Path, studies: Path | None = None) -> tuple[dict[str, str], list[str]]:
    """The same by the second judge, and what it complains of."""
    judge = second_judge.Judge(studies or paths.studies(), runs)
    own = {f"{table} {i}": status for table in judge.rules for i, status in enumerate(judge.comparisons(table))}
    return judge.verdicts() | own, judge.complaints


def made(folder: Path, seed: int, precise: bool = False) -> Path:
    """An invented world with what is measured of networks rather than of trainings, which is nobody's invention."""
    for file in (paths.ROOT / "data/runs").glob("full/*/[!s]*.json"):
        there = folder / file.relative_to(paths.ROOT / "data/runs")
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, there)
    return world(folder, seed, precise)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    base = tmp_path_factory.mktemp("worlds")
    return [made(base / str(seed), seed, precise=seed > 9) for seed in range(11)]


@pytest.fixture(scope="module")
def second(worlds):
    """The second judge's verdicts on each world, which no fault in the library can change."""
    return [judged(runs)[0] for runs in worlds]


@pytest.fixture(scope="module")
def ledgers(worlds):
    return list(map(ledger, worlds))


def test_both_judge_what_is_on_record_alike():
    theirs, complaints = judged(paths.ROOT / "data/runs")
    assert complaints == [] and theirs == verdicts(ledger(paths.ROOT / "data/runs")) and len(theirs) > 150


def test_both_judge_invented_worlds_alike(second, ledgers):
    seen = Counter()
    for theirs, of in zip(second, ledgers, strict=True):
        ours = verdicts(of)
        assert theirs == ours
        seen.update(ours.values())
    few = {s for s in ("reproduced", "direction only", "not reproduced", "inconclusive", "not run", "above its baseline",
                       "below its baseline", "no clear difference", "unfinished") if seen[s] < 10}
    assert not few, f"worlds that hardly try {few}: {seen}"


# -- faults in a record


def at(content, *names, to):
    """Put a value in, or what a function makes of the one that is there."""
    for name in names[:-1]:
        content = content[name]
    content[names[-1]] = to(content[names[-1]]) if callable(to) else to


ID, METRIC = "T1.resnet56.fm2", ("metrics", "best")
IN_RECORDS = {
    "a point more in the metric": lambda r: at(r, *METRIC, to=lambda v: v + 1),
    "a point more in metric and curve": lambda r: (at(r, *METRIC, to=lambda v: v + 1),
                                                  at(r, "curves", "test_acc", -2, to=lambda v: v + 1)),
    "the last for the best": lambda r: at(r, *METRIC, to=r["metrics"]["last"] - 0.01),
    "a share for percent": lambda r: (at(r, *METRIC, to=lambda v: v / 100),
                                      at(r, "curves", "test_acc", to=lambda c: [v / 100 for v in c])),
    "a shifted decimal": lambda r: (at(r, *METRIC, to=lambda v: v * 10), at(r, "curves", "test_acc", -2, to=lambda v: v * 10)),
    "an error for an accuracy": lambda r: at(r, *METRIC, to=lambda v: 100 - v),
    "another denominator": lambda r: at(r, "metrics", "n_test", to=9_000),
    "no share of the images": lambda r: (at(r, *METRIC, to=lambda v: v + 0.003),
                                         at(r, "curves", "test_acc", -2, to=lambda v: v + 0.003)),
    "an epoch early": lambda r: at(r, "metrics", "best_epoch", to=lambda v: v - 1),
    "another median": lambda r: at(r, "metrics", "median10", to=lambda v: v + 0.5),
    "another last": lambda r: at(r, "metrics", "last", to=lambda v: v + 0.5),
    "bits of other images": lambda r: at(r, "right", "best", to=r["right"]["last"]),
    "a curve cut short": lambda r: at(r, "curves", "test_acc", to=lambda c: c[1:]),
    "an epoch too many": lambda r: at(r, "curves", to=lambda cs: {k: [*c[:1], *c] for k, c in cs.items()}),
    "another seed's number": lambda r: at(r, "seed", to=lambda v: v + 100),
    "a stale key": lambda r: at(r, "key", to=lambda v: v[:-1] + ("0" if v[-1] != "0" else "1")),
    "a setting changed": lambda r: at(r, "spec", "recipe", "lr", to=0.05),
    "another network": lambda r: at(r, "spec", "network", to="resnet110"),
    "another data set": lambda r: at(r, "spec", "dataset", to="cifar10"),
    "another tier": lambda r: at(r, "spec", "tier", to="short"),
    "a method missing": lambda r: at(r, "spec", "methods", to=[]),
    "one layer for two": lambda r: at(r, "spec", "methods", 0, "layers", to=1),
    "fewer epochs": lambda r: at(r, "spec", "recipe", "epochs", to=200),
    "a subset of the data": lambda r: at(r, "spec", "data", to={"per_class": 50}) if "data" in r["spec"] else
    r["spec"].update(data={"per_class": 50}),
}


@pytest.fixture
def faulty(worlds, tmp_path):
    """A world of its own, and the files of one cell in it."""
    runs = shutil.copytree(worlds[5], tmp_path / "runs")
    files = sorted((runs / "full" / cell(ID).run("full", 0).key).glob("seed*.json"))
    assert len(files) > 2
    return runs, files


def noticed(runs: Path, studies: Path | None = None) -> bool:
    """Whether a judge refuses, complains or disagrees with the other."""
    try:
        theirs, complaints = judged(runs, studies)
        return bool(complaints) or theirs != verdicts(ledger(runs))
    except FMError:
        return True


def test_a_sound_world_is_not_complained_of(faulty):
    assert not noticed(faulty[0])


@pytest.mark.parametrize("fault", IN_RECORDS)
def test_faults_in_a_record_are_noticed(faulty, fault):
    runs, files = faulty
    content = json.loads(files[1].read_text(encoding="utf-8"))
    IN_RECORDS[fault](content)
    files[1].write_text(json.dumps(content), encoding="utf-8")
    assert noticed(runs)


def test_records_in_each_others_place_are_noticed(faulty):
    runs, files = faulty
    other = next(f for f in sorted(runs.glob("full/cifar100.resnet56.baseline.*/seed*.json")) if f.name == files[1].name)
    texts = files[1].read_bytes(), other.read_bytes()
    files[1].write_bytes(texts[1]), other.write_bytes(texts[0])
    assert noticed(runs)


def test_a_record_copied_to_another_seed_is_noticed(faulty):
    runs, files = faulty
    shutil.copy(files[1], files[1].with_name("seed99.json"))
    assert noticed(runs)


# -- faults in what is printed

IN_STUDIES = {      # file, text, what stands there instead
    "a shifted decimal in a number": ("cells/cifar.toml", '"76.90", spread = "0.13"', '"7.690", spread = "0.13"'),
    "two digits exchanged": ("cells/cifar.toml", '"75.35"', '"75.53"'),
    "a spread ten times as wide": ("cells/cifar.toml", '"75.35", spread = "0.07"', '"75.35", spread = "0.70"'),
    "a wrong n": ("cells/cifar.toml", '"75.35", spread = "0.07", n = 4', '"75.35", spread = "0.07", n = 3'),
    "two methods exchanged": ("cells/cub.toml", ("byot\" = { published = \"74.60\"", "cs_kd\" = { published = \"74.81\""),
                              ("byot\" = { published = \"74.81\"", "cs_kd\" = { published = \"74.60\"")),
    "a number of another network": ("cells/cifar.toml", '"T1.resnet110.fm2" = { published = "76.90"',
                                    '"T1.resnet110.fm2" = { published = "78.31"'),
    "a value that the sentence does not hold": ("sentences.toml", '"78.31", "74.98"', '"73.81", "74.98"'),
    "a difference with its digits exchanged": ("sentences.toml", '"9.53"', '"9.35"'),
    "an order the wrong way round": ("sentences.toml", 'tables = ["T6"]\nhigher = ["fm2"]\nlower = ["byot", "cs_kd"]',
                                     'tables = ["T6"]\nhigher = ["byot", "cs_kd"]\nlower = ["fm2"]'),
    "a gain of the wrong cell": ("sentences.toml", 'cells = ["T6.resnet50.fm2", "T6', 'cells = ["T6.resnet50.byot", "T6'),
    "seconds ten times as many": ("cells/cost.toml", 'seconds = "0.113"', 'seconds = "1.130"'),
    "memory of another row": ("cells/cost.toml", 'mib = "1959"', 'mib = "1773"'),
}


@pytest.mark.parametrize("fault", IN_STUDIES)
def test_faults_in_a_study_are_noticed(studies_copy, worlds, fault):
    name, old, new = IN_STUDIES[fault]
    path = studies_copy / "feature_mining" / name
    text = path.read_text(encoding="utf-8")
    for a, b in zip(*(x if isinstance(x, tuple) else (x,) for x in (old, new)), strict=True):
        assert text.count(a) == 1, f"{a} stands {text.count(a)} times in {name}"
        text = text.replace(a, b)
    path.write_text(text, encoding="utf-8")
    assert noticed(worlds[5], studies_copy)


# -- faults in the library's own rules: a function, an expression in it, and what stands there instead (as in mutants.py)

IN_RULES = [Mutant(where, old, new, "") for where, old, new in (
    ("stats:Summary.of", "stdev(A)", "stdev(A) * (1 - 1 / len(A)) ** 0.5"),                 # n for n - 1
    ("stats:Summary.of", "A or B", "A"),                                                     # equal runs without a spread
    ("stats:_error", "s.sd ** 2 / s.n", "s.sd ** 2"),                                        # a spread for an error
    ("stats:_error", "A ** 2 / sum(B)", "sum(s.n - 1 for s in means)"),                      # pooled degrees of freedom
    ("stats:_interval", "(1 + level) / 2", "level"),                                         # one-sided for two-sided
    ("stats:_interval", "A - half", "A + half"),
    ("stats:welch", "a.mean - b.mean", "b.mean - a.mean"),
    ("stats:difference_of_gains", "A - B + C", "A - B - C"),
    ("stats:welch_p", "2 * A", "A"),
    ("stats:below_p", "(difference - bound) / error", "(bound - difference) / error"),
    ("stats:equivalence_p", "below_p(b, a, within)", "below_p(a, b, within)"),
    ("stats:margin", "2 / n", "1 / n"),
    ("stats:margin", "2 * n - 2", "n - 1"),
    ("stats:margin", "A * A", "A"),
    ("stats:holm", "np.arange(len(A), 0, -1)", "np.arange(1, len(A) + 1)"),
    ("judging.verdicts:number_status", "(A <= B) & (C <= D)", "(A <= B) | (C <= D)"),
    ("judging.verdicts:gain_status", "sqrt(2) * A", "A / sqrt(2)"),
    ("judging.verdicts:printed", "Summary(A, B, C)", "Summary(A, B, C / 2)"),
    ("judging.verdicts:latest", "reversed(found)", "found"),
    ("judging.ledger:Ledger.counting", "r.weights", "r.seed"),                               # the same network twice
    ("judging.ledger:Ledger.deciding", "runs[:A]", "runs[-A:]"),                             # not the lowest seeds
    ("judging.ledger:Ledger.seeds", "min(A)", "max(A)"),
    ("judging.orders:bounds", "(A - B) / 2", "A - B"),
    ("judging.orders:order_status", "A < error", "A < 0.1"),
    ("judging.orders:order_status", "error / 2", "0.0"),
    ("judging.sentences:_order", "max(A)", "min(A)"),
    ("judging.comparisons:status", "A > 0", "A < 0"),
    ("judging.comparisons:status", "A < 1 - level", "A < 0.5"),
    ("judging.comparisons:compare", "holm(A)", "A"),
    ("judging.comparisons:_summary", "r.value(which)", "r.value('best')"),
    ("studies.looks:Look.level", "1 - A", "0.95"),
    ("studies.looks:Look.counted", "self.looks.error / family / A", "1"),
)]


@pytest.fixture
def broken(monkeypatch):
    """Puts a mutant's code into the function that is loaded already, so that whoever imported it has it."""
    kept = []

    def put(mutant: Mutant):
        module = importlib.import_module("featuremining." + mutant.where.split(":")[0])
        text = mutated((paths.ROOT / mutant.path).read_text(encoding="utf-8"), mutant)
        place, tree = module, ast.parse(text)
        for name in mutant.where.split(":")[1].split("."):
            place = vars(place)[name]
            tree = next(n for n in tree.body if getattr(n, "name", "") == name)
        function = getattr(place, "__func__", getattr(place, "fget", place))
        scope: dict = {}
        tree.decorator_list, tree.returns = [], None
        for a in (*tree.args.args, *tree.args.kwonlyargs):
            a.annotation = None
        exec(compile(ast.fix_missing_locations(ast.Module([tree], [])), mutant.path, "exec"), vars(module), scope)
        kept.append((function, function.__code__))
        function.__code__ = scope[tree.name].__code__

    yield put
    for function, code in kept:
        function.__code__ = code


@pytest.mark.parametrize("fault", IN_RULES, ids=lambda m: f"{m.where} {m.new}")
def test_faults_in_the_rules_are_noticed(broken, second, ledgers, fault):
    broken(fault)
    assert any(theirs != verdicts(of) for theirs, of in zip(second, ledgers, strict=True))
