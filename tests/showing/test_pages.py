"""What pages say of the project is what its code, studies and records say; code that is printed runs as printed."""

import doctest
import importlib
import re
import shlex
import tomllib
from dataclasses import replace

import nbformat
import pytest
import torch
import typer
from bad_files import FINDINGS, LOOK
from helpers import ALL, conforms, plain_settings

import featuremining
from featuremining import METHODS, cli, make, methods, paths, read_records, studies
from featuremining.datasets import DATASETS
from featuremining.judging import class_activation, negative
from featuremining.judging.ledger import Ledger
from featuremining.records import dumps, durations, metrics
from featuremining.records.findings import write as write_finding
from featuremining.records.fsck import fsck
from featuremining.records.record import as_dict
from featuremining.showing import api, data_sets, pages, tables, trainings
from featuremining.showing import negative as shown_negative
from featuremining.showing.markup import anchor
from featuremining.studies.claims import about, load_claims

BOOK = paths.ROOT / "book"
T = importlib.import_module("featuremining.training.loop")


def blocks(page, language):
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.+?)^```$", (BOOK / page).read_text(), re.M | re.S)


# --- use it ---------------------------------------------------------------------------------------------------------

def test_the_page_of_use_has_its_five_examples():
    """The last one is run by several processes: `test_replicas`."""
    plain, mixed, timm, together, several = blocks("use.md", "python")
    assert "autocast" in mixed and "return_logits=True" in mixed
    assert "torchvision.models" in plain and "timm.create_model" in timm and "fm.compose" in together
    assert "DistributedDataParallel(Step" in several


@pytest.mark.parametrize("number", range(4))
def test_an_example_of_use_runs_as_printed(number, tmp_path, monkeypatch):
    """It trains: weights of the network have moved, and all of the new classifiers. (timm starts the residual branches at zero,
    so that most of their weights stay put in a first step.)"""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    seen, step = [], torch.optim.SGD.step

    def watched(optimizer):
        before = [p.detach().clone() for p in optimizer.param_groups[0]["params"]]
        step(optimizer)
        seen.append([not torch.equal(p, b) for p, b in zip(optimizer.param_groups[0]["params"], before, strict=True)])

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    scope = {}
    exec(blocks("use.md", "python")[number], scope)
    mining = scope["methods"][0] if "methods" in scope else scope["fm"]
    mined = sum(1 for _ in mining.parameters())
    assert mined and seen and all(all(moved[-mined:]) and sum(moved) > len(moved) / 3 for moved in seen)
    assert len(scope["optimizer"].param_groups[0]["params"]) == mined + sum(1 for _ in scope["net"].parameters())
    if number == 0:
        assert scope["predicted"].shape == (4,) and isinstance(scope["tapped"], featuremining.Tapped)
    if number == 1:
        assert len(seen) == 2 and scope["loss"].dtype == torch.float32 and scope["seen"] == 16
    if number == 3:
        assert set(scope["losses"]) == {"ce", *(f"fm.stage{s}.{part}" for s in (2, 3) for part in ("inside", "outside"))}


# --- add a method ---------------------------------------------------------------------------------------------------

@pytest.fixture
def added(tmp_path, monkeypatch):
    """The method of the page, its file among the methods and its line among the names."""
    code, line, test = blocks("add_a_method.md", "python")
    name = re.match(r"# lib/featuremining/methods/(\w+)\.py\n", code)[1]
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    (key,), (entry,) = zip(*eval(f"{{{line}}}").items(), strict=True)
    monkeypatch.setitem(METHODS, key, entry)
    yield key, test
    monkeypatch.delitem(importlib.sys.modules, f"featuremining.methods.{name}", raising=False)


def test_the_method_that_is_added_passes_what_all_pass(added, tmp_path_factory):
    """Alone, in every order with every other, all together; settings in a record; a bad one is a sentence; its own examples."""
    name, _ = added
    pairs = [pair for other in ALL for pair in ((name, other), (other, name))]
    for names in [(name,), *pairs, (*ALL, name)]:
        conforms(names, tmp_path_factory)
    plain_settings(name)
    with pytest.raises(featuremining.UsageError, match="beta is 0 or more"):
        make(name, beta=-1.0)
    module = importlib.import_module(f"featuremining.methods.{METHODS[name][0]}")
    found = doctest.testmod(module)
    assert found.attempted and not found.failed


def test_the_test_on_the_page_passes_and_can_fail(added):
    name, test = added
    assert re.match(r"# tests/methods/test_\w+\.py\n", test)
    scope = {}
    exec(test, scope)
    (run,) = [f for key, f in scope.items() if key.startswith("test_")]
    run()
    cls = type(make(name))
    step = cls.step
    cls.step = lambda self, inner, model, batch: (out := step(self, inner, model, batch))._replace(
        losses={k: 2 * v for k, v in out.losses.items()})
    with pytest.raises(AssertionError):
        run()


def test_the_cell_on_the_page_trains(added, studies_copy, monkeypatch):
    """With the lines of the page in the study, the cell exists and its smoke training takes a few steps."""
    (lines,) = blocks("add_a_method.md", "toml")
    study = studies_copy / "feature_mining/cells/cifar.toml"
    assert "data/studies/feature_mining/cells/cifar.toml" in (BOOK / "add_a_method.md").read_text()
    text = study.read_text()
    for heading, line in re.findall(r"^(\[\w+\])\n(.+)$", lines, re.M):
        assert len(re.findall(rf"^{re.escape(heading)}.*$", text, re.M)) == 1
        text = re.sub(rf"^{re.escape(heading)}.*$", lambda found, line=line: f"{found[0]}\n{line}", text, flags=re.M)
    study.write_text(text)
    (id_,) = tomllib.loads(lines)["cells"]
    run = studies.cell(id_).runnable("smoke", 0)
    assert run.methods == ({"name": added[0]},)
    assert blocks("add_a_method.md", "bash")[0].split() == ["fm", "run", id_, "--tier", "smoke"]
    data = featuremining.load("parts")
    few = data._replace(train_x=data.train_x[:8], train_y=data.train_y[:8])
    training = T.Training(replace(run, recipe=replace(run.recipe, batch=4)), torch.device("cpu"), data=few)
    training.model.train()
    losses = [training.update(inputs)[0] for inputs in training.inputs()]
    assert len(losses) == 2 and all(map(torch.isfinite, map(torch.as_tensor, losses)))


# --- rerun ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("page", [*sorted(BOOK.glob("*.md")), paths.ROOT / "README.md"], ids=lambda p: p.stem)
def test_commands_in_prose_exist(page):
    """Each ``fm ...`` names a command, with options that it has; each ``make ...`` a target; cells exist."""
    program = typer.main.get_command(cli.app)
    commands = program.commands | {option: program for p in program.params for option in p.opts}
    targets = set(re.findall(r"^([a-z-]+):", (paths.ROOT / "Makefile").read_text(), re.M))
    targets |= {f"{kind}-{path.stem}" for kind in ("notebook", "nbval") for path in (paths.ROOT / "notebooks").glob("*.ipynb")}
    text = page.read_text()
    for line in re.findall(r"(?:^|`|\| )((?:fm (?!=)|make )[^`\n#|]+)", text, re.M):
        first, *words = shlex.split(line)
        if first == "make":
            assert {w for w in words if not w.startswith("-") and "=" not in w} <= targets, line
            continue
        assert words[0] in commands, line
        known = {option for p in commands[words[0]].params for option in p.opts}
        assert {w.split("=")[0] for w in words if w.startswith("--")} <= known, line
    for cell in re.findall(r"fm (?:run|verdict) ([TFX]\w+\.[\w.]+)", text):
        assert cell == "X1.resnet20.confidence" or studies.cell(cell)


# --- status, data, licences -----------------------------------------------------------------------------------------

def record_in(folder, cell, tier, seed, best, seconds=3600.0):
    """A record of the cell as the trainer would leave it, of one made-up accuracy."""
    model = read_records()[0]
    run = cell.run(tier, seed)
    made = replace(model, id=run.id, key=run.key, seed=seed, spec=run.spec(), metrics=metrics([best], 100),
                   weights=f"{seed:064x}", provenance={**model.provenance, "seconds": seconds, "peak_memory_mib": 7 + seed})
    path = folder / tier / run.key / f"seed{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dumps(as_dict(made)))
    return made


def rows_of(html):
    rows = re.findall(r"<tr[^>]*><td.*?</tr>", html.replace("<wbr>", ""), re.S)
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]


def test_a_notebook_says_what_the_sentences_on_its_experiment_come_to(tmp_path):
    """What was run is open to read, with its pairs; the rest is folded. A short run decides nothing."""
    pair = [studies.cell(f"F6.resnet56.{method}.50") for method in ("baseline", "fm2")]
    short = [record_in(tmp_path, cell, "short", 0, 40.0) for cell in pair]
    assert "<summary>Not run: 1 sentence</summary>" in pages.sentences_on("small_data", Ledger(short))
    full = [record_in(tmp_path, cell, "full", 0, 40.0 + i) for i, cell in enumerate(pair)]
    shown = pages.sentences_on("small_data", Ledger(short + full))
    assert "1 of 6 pairs run: 1 in this order, 0 significant. The sentence" in shown and ">inconclusive<" in shown
    assert "Not run" not in shown
    (run, *others) = rows_of(shown)
    assert "F6.resnet56.fm2.50" in run[0] and "+1.00" in run and len(others) == 5
    noisy = pages.sentences_on("noisy_labels", Ledger())
    assert noisy.index("T8.tolerance") < noisy.index("T8.huge")


@pytest.mark.parametrize("path", sorted((paths.ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_every_experiments_notebook_shows_its_sentences(path):
    cells = [c.source for c in nbformat.read(path, 4).cells]
    own = any(studies.cell(rule.family[0]).study == path.stem for rule in studies.rules().values())     # shows its rule instead
    shown = sum(f'fm.show.sentences("{path.stem}", ' in source for source in cells)
    assert path.stem == "audit" or own or (shown == 1 and about(path.stem))


def test_seeds_trained_at_once_share_their_time(tmp_path):
    made = record_in(tmp_path, studies.cell("T1.resnet56.fm2"), "full", 0, 75.0, 7200)
    together = replace(made, provenance={**made.provenance, "beside": 3})
    assert (tables.costs([made]).minutes[0], tables.costs([together]).minutes[0]) == ("120.0", "30.0")
    assert tables.peak([made]) == "7" and tables.peak([together]) == "7 (4 at once)"
    assert "4 runs, 2.0 h in all" in trainings.took([(studies.cell("T1.resnet56.fm2"), [
        replace(together, id=f"{together.key}.seed{s}", seed=s) for s in range(4)])], "full")


def test_whose_the_full_runs_are(tmp_path):
    """Figure 6 prints no number, Table 1 does, and A9s is ours."""
    made = [record_in(tmp_path, studies.cell(id_), "full", 0, 60.0) for id_ in ("F6.resnet56.fm2.50", "A9s.resnet20.fm2")]
    assert "none has runs under the paper's protocol yet" in pages.on_record(Ledger(made))
    assert "1 run of the paper's experiments and 1 of our own" in pages.on_record(Ledger(made))
    more = [*made, record_in(tmp_path, studies.cell("T1.resnet110.fm2"), "full", 0, 60.0)]
    twice = sum(c.run("full", 0).key == more[-1].key for c in studies.load_cells().values() if c.published)
    assert f"{twice} have runs" in pages.on_record(Ledger(more)) and twice > 1      # a training of several tables


def test_status_counts_cells_and_runs(tmp_path):
    """Runs of the tiers apart, hours added up, trainings with their seeds and the most memory."""
    cell = studies.cell("T9.resnet56.fm1")
    made = [record_in(tmp_path, cell, "full", seed, 70.0) for seed in (0, 1)]
    made.append(record_in(tmp_path, cell, "short", 0, 60.0, 1800))
    shown = trainings.status(Ledger(made))
    (ablations,) = [row for row in rows_of(shown) if "ablations.html" in row[0]]
    listed = [c for c in studies.load_cells().values() if c.study == "ablations"]
    assert ablations[1:3] == [str(len(listed)), str(sum(c.published is not None for c in listed))]
    short, full = (len({c.run(tier, 0).key for c in listed}) for tier in ("short", "full"))      # cells may share a training
    assert ablations[3:] == [f"1 of {short}", "30 minutes", f"2 of {4 * full}", "2.0 h"]
    (training,) = [row for row in rows_of(shown) if cell.run("full", 0).key in row[-1]]
    assert training[1:4] == ["0, 1", "60.0", "8"]
    assert len([row for row in rows_of(trainings.status(Ledger())) if ".html" in row[0]]) == len(studies.read_studies())


def test_every_data_set_is_described():
    """Names, terms and checksums of all but the generated ones; what `fm data` fetches is what is listed."""
    shown = data_sets.data_sets()
    for name, (module, options) in DATASETS.items():
        assert (f"`{name}`" in shown) == (not options.get("generated"))
        code = importlib.import_module(f"featuremining.datasets.{module}")
        assert code.TERMS in shown
        assert (f"`fm data {name}`" in shown) <= hasattr(code, "get")
    tiny = importlib.import_module("featuremining.datasets.tiny_imagenet")
    assert f"`{tiny.URL}`, {tiny.BYTES:,} bytes, md5 `{tiny.MD5}`" in shown
    assert len(data_sets.archives("voc")) == 3 and len(data_sets.archives("cifar100")) == 1 and not data_sets.archives("imagenet")


def test_cifar_can_be_fetched_by_name(tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR100

    asked = []
    monkeypatch.setenv("FM_DATA_DIR", str(tmp_path / "raw"))
    monkeypatch.setattr(CIFAR100, "download", lambda self: asked.append(self.root))
    monkeypatch.setattr(CIFAR100, "_check_integrity", lambda self: False)
    with pytest.raises(featuremining.FMError, match="could not be downloaded"):
        featuremining.datasets.get("cifar100")
    assert asked == [tmp_path / "raw"]


def test_licences_name_every_dependency():
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]
    said = data_sets.licences()
    assert project["license"] in said and "BSD" in said and "MIT" in said
    for dependency in project["dependencies"]:
        assert f"{re.match(r'[a-z0-9-]+', dependency)[0]} (" in said
    assert "not stated" not in said


def test_a_page_says_what_its_runs_took(tmp_path):
    """Runs of the page alone, in its tier; what a rerun takes, from measured steps of the network, or that nothing is known."""
    cells = [studies.cell(f"X1.resnet20.{m}") for m in ("baseline", "fm2")]
    made = [record_in(tmp_path, cell, "short", seed, 60.0, 1800) for cell in cells for seed in (0, 1)]
    said = trainings.took([(cells[0], made[:2]), (cells[1], made[2:])], "short")
    assert "Runs on record, short: 4 runs, 2.0 h in all, 8 MiB of memory at most." in said
    device = next(iter(durations.benchmarks()))
    hours = [durations.hours(c, "full", read_records(), device).hours for c in cells]
    assert f"One full run of each: about {durations.words(sum(hours))} ({device})." in said
    twice = trainings.took([(cells[0], made[:2]), (studies.cell("F4s.resnet20.baseline"), made[:2])], "short")
    assert "2 runs, 60 minutes in all" in twice and durations.words(hours[0]) in twice      # one training in two tables
    assert "none yet" in trainings.took([(cells[0], [])], "full")
    unknown = trainings.took([(studies.cell("T5.resnet50.fm2"), [])], "full")
    assert "How long a full run takes was not measured." in unknown
    both = trainings.took([(cells[0], []), (studies.cell("T5.resnet50.fm2"), [])], "full")
    assert "; for 1 of them it was not measured." in both


def test_a_page_says_what_its_measurements_took(tmp_path, monkeypatch):
    """From values of the form in which `iterations.measure` writes them."""
    monkeypatch.setenv("FM_RUNS_DIR", str(tmp_path))
    cell, values = studies.cell("T10.resnet56.fm2"), {"iterations": 300, "seconds": 1.2, "each": "1.1 1.3"}
    write_finding("cost", cell.run("full", 0), "one", values, {"device": "one", "threads": 2})
    assert "Runs on record, full: 1 measurement, 6 minutes of iterations." in trainings.took([(cell, [])], "full")


def test_every_experiment_says_what_it_took():
    """In a cell of its own below the parameters, whose output may differ from run to run."""
    for path in (paths.ROOT / "notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, 4).cells
        places = [i for i, c in enumerate(cells) if c.source == "page.took()"]
        if path.stem == "audit":                    # trains nothing
            assert not places
        else:
            assert len(places) == 1 and cells[places[0] - 1].id == "plan"
            assert cells[places[0]].metadata.tags == ["nbval-ignore-output"]


# --- negative results -----------------------------------------------------------------------------------------------

def test_without_records_nothing_has_failed_but_what_the_paper_contradicts(tmp_path, monkeypatch):
    monkeypatch.setenv("FM_RUNS_DIR", str(tmp_path))        # findings are read from there
    shown = shown_negative.markdown(Ledger())
    assert "Of 80 printed accuracies, none has runs under the paper's protocol yet" in shown and "none lies below it" in shown
    assert shown.count("verdict-not-reproduced") == 0


def test_a_method_below_its_baseline_is_listed(tmp_path):
    base, fm = (studies.cell(f"X1.resnet20.{m}") for m in ("baseline", "fm1"))
    made = [record_in(tmp_path, base, "short", 0, 60.0), record_in(tmp_path, fm, "short", 0, 59.5)]
    shown = shown_negative.markdown(Ledger(made))
    assert "1 lies below it" in shown and "A single seed gives no interval" in shown and "A short schedule" in shown
    (row,) = [row for row in rows_of(shown) if "X1.resnet20.fm1" in row[-1]]
    assert "−0.50" in row and "needs 2 seeds each" in row and "1, 1" in row
    above = [made[0], replace(made[1], metrics=metrics([60.5], 100))]
    assert "X1.resnet20.fm1" not in shown_negative.markdown(Ledger(above))


def test_a_training_of_two_tables_is_listed_once(tmp_path):
    """F4s asks the networks of X1."""
    made = [record_in(tmp_path, studies.cell(f"X1.resnet20.{m}"), "short", 0, best)
            for m, best in (("baseline", 60), ("fm2", 50))]
    assert [cell.id for _, cell, *_ in negative.against_baseline(Ledger(made))] == ["X1.resnet20.fm2"]


def test_a_number_that_is_not_reproduced_is_listed(tmp_path):
    """Four full runs far from the printed value, and a lead that is not there."""
    made = [record_in(tmp_path, studies.cell(f"T1.resnet56.{m}"), "full", seed, best + 0.1 * (-1) ** seed)
            for m, best in (("baseline", 60), ("fm2", 55)) for seed in range(4)]
    shown = shown_negative.markdown(Ledger(made))
    printed = shown.partition("## Of our own runs")[0]
    assert "not reproduced: " in printed
    listed = {cell for row in rows_of(printed) for cell in re.findall(r"<code>(.*?)</code>", row[-1])}
    assert {"T1.resnet56.baseline", "T1.resnet56.fm2"} <= listed
    assert [cell.id for cell in negative.lost_gains(Ledger(made)) if cell.table == "T1"] == ["T1.resnet56.fm2"]


def test_what_stands_on_the_page_today_comes_from_the_records():
    records = read_records()
    shown = shown_negative.markdown(Ledger(records))
    shown = shown.replace("<wbr>", "")
    for tier, cell, difference, *_ in negative.against_baseline(Ledger(records)):
        assert (f"<code>{cell.id}</code>" in shown.partition("Where networks look")[0]) == (difference.value < 0), (tier, cell.id)
    for cell, _, _, _, d, *_ in [*class_activation.elsewhere(), *class_activation.worse_over_seeds()]:
        assert d["high"] < 0 and tables.difference(d) in shown.replace("<br><small>", " ") and cell.id in shown


def test_means_over_seeds_are_set_against_the_baselines(tmp_path, monkeypatch):
    """Of two seeds a side, what lies below by Welch's interval; with a seed less there is none."""
    monkeypatch.setenv("FM_RUNS_DIR", str(tmp_path))
    for method, energy in (("baseline", 43.0), ("fm2", 21.0)):
        for seed in (0, 1):
            look = {**LOOK, "pointing": 50.0 + seed, "energy": energy + seed / 10}
            values = {**FINDINGS["localise"][0], "cam": look, "grad_cam": look}
            write_finding("localise", studies.cell(f"F2s.resnet20.{method}").run("full", 0), f"seed{seed}", values, {})
    found = class_activation.worse_over_seeds()
    assert [(cell.id, how, what, n) for cell, _, how, what, _, n in found] == [
        ("F2s.resnet20.fm2", how, "energy", (2, 2)) for how in ("cam", "grad_cam")]
    assert found[0][4]["mean"] == pytest.approx(-22)
    next(tmp_path.rglob("*.seed1.json")).unlink()
    fsck(drop=True)
    assert class_activation.worse_over_seeds() == []


# --- the interface --------------------------------------------------------------------------------------------------

def test_every_public_name_is_described():
    """What the package exports, each with a docstring, and each method with a link to its page."""
    shown = api.markdown()
    assert "score=soft_cross_entropy" in shown and " at 0x" not in shown         # the same page each time
    headings = set(re.findall(r"^### (\w+)$", shown, re.M))
    exported = {name for name in featuremining.__all__ if not name.isupper()} - set(featuremining._MODULES)
    assert exported <= headings
    for cls, page in api.PAGES.items():
        assert (BOOK / page).is_file() and f"]({page})" in shown and cls in headings
    for module in api.MODULES:
        found = api.public(importlib.import_module(f"featuremining.{module}"))
        assert all(value.__doc__ and not value.__doc__.startswith(f"{name}(") for name, value in found.items()), module


def test_docstrings_survive_markdown():
    assert api.text("a_b * ``x_y`` [0, 1)\n\n    p = q\n\n>>> f(1)\n2") == (
        "a\\_b \\* `x_y` \\[0, 1)\n\n```text\np = q\n```\n\n```python\n>>> f(1)\n2\n```")
    assert api.signature("compose", featuremining.compose) == "compose(methods)"


def test_a_sentence_that_rests_on_another_leads_to_it():
    """Every key of another sentence is a link, to a place on the same page."""
    page = pages.sentences(Ledger())
    links, places = re.findall(r'<a href="#([^"]+)"><code>', page), set(re.findall(r"^\(([^)]+)\)=$", page, re.M))
    again = [claim for claim in load_claims().values() if claim.same_as]
    assert again and set(links) <= places and {anchor(claim.same_as) for claim in again} <= set(links)
