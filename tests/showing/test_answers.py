"""What stands at the top of an experiment's page is counted from records; what is left to run is what is missing."""

import re
from html import unescape

import nbformat
import pytest
from bad_files import FINDINGS, LOOK
from helpers import book_build
from made_records import recorded
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from featuremining import paths, studies
from featuremining.judging import listing
from featuremining.judging.ledger import Ledger
from featuremining.records import durations, findings
from featuremining.showing import answers, methods, show

SIZE = "F6.resnet56.{}.50"


def plain(html):
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", "", html)))


@pytest.mark.parametrize("study", studies.read_studies())
def test_every_study_has_its_claims_by_verdict_and_what_is_missing(study):
    said, cells = plain(show.answer(study, Ledger())), [c for c in studies.load_cells().values() if c.study == study]
    rows = [row for row in listing.rows(Ledger()) if row["claim"] in {c.id for c in cells}]
    assert not rows or int(re.match(r" ?(\d+) claims?", said)[1]) >= len(rows)
    assert any(c.table in studies.rules() for c in cells) == ("Runs of this study: 0 of" in said)
    assert ("Nobody has run" in said) == (any(c.task != "cost" for c in cells) and "Runs of this study" not in said)


def test_what_is_on_record_is_shown_and_no_longer_missing():
    pair = [*recorded(SIZE.format("baseline"), 40.0, 41.0), *recorded(SIZE.format("fm2"), 42.0, 43.5)]
    before, after = answers.answer("small_data", Ledger()), answers.answer("small_data", Ledger(pair))
    missing = [int(re.search(r"Still to run: (\d+) trainings", plain(said))[1]) for said in (before, after)]
    assert "ResNet-56, 50 per class: full schedule" in plain(after)         # said once, above the lines that share it
    assert missing[0] - missing[1] == 4 and "Nobody has run" in before and "Nobody has run" not in after
    assert "<figure" in after and "+2.25" in after and "<figure" not in before


def test_hours_are_those_of_the_trainings_that_are_missing():
    cells = [studies.cell(SIZE.format(method)) for method in ("baseline", "fm2")]
    assert answers.missing(cells, Ledger())["runs"] == sum(studies.wanted(c, "full") for c in cells)
    assert answers.missing([cells[0]] * 3, Ledger())["runs"] == studies.wanted(cells[0], "full")
    assert answers.missing([studies.cell("T5.resnet50.fm2")], Ledger())["unmeasured"] == 4
    found, one = answers.missing(cells[:1], Ledger()), durations.hours(cells[0])
    assert found["device"] == durations.devices()[0] and found["time"] == durations.about([one] * found["runs"])
    assert answers.missing([], Ledger()) is None


def test_claims_of_several_papers_are_not_of_one():
    assert "claims of the papers:" in plain(show.answer("neighbours", Ledger()))
    assert "claims of the paper:" in plain(show.answer("cifar", Ledger()))


def test_what_a_study_found_stands_with_its_interval():
    made = [r for id_, first in (("X6.resnet20.baseline", 40), ("X6.resnet20.baseline.slow", 70))
            for r in recorded(id_, *(first + k for k in range(4)))]
    said = plain(show.answer("ablations", Ledger(made)))
    found = re.search(r"finished: 1 of 3, in percentage points: .+: \+30\.00 \(\+(.+) to \+(.+)\), above its baseline", said)
    assert 0 < float(found[1]) < 30 < float(found[2])


def test_where_the_networks_of_an_experiment_look_stands_at_its_top(tmp_path, monkeypatch):
    monkeypatch.setenv("FM_RUNS_DIR", str(tmp_path))
    for id_, energy in (("F2s.resnet20.baseline", 43.0), ("F2s.resnet20.fm2", 21.0)):
        for seed in (0, 1):
            look = {**LOOK, "energy": energy + seed / 5}
            findings.write("localise", studies.cell(id_).run("full", 0), f"seed{seed}", {
                **FINDINGS["localise"][0], "cam": look, "grad_cam": look}, {"weights": {}})
    said = plain(show.answer("class_activation", Ledger()))
    assert "has 21.1 % of its class activation on the part that tells the class, plain training 43.1 %: −22.0 points" in said
    assert "2 seeds a side" in said and "class activation on the part" not in plain(show.answer("cub", Ledger()))


def test_a_page_shows_every_seed_on_record_of_its_trainings():
    """Else one page has two numbers for one thing: a table of its seeds, a figure of all."""
    ledger = Ledger.read()
    for name, asked in book_build.SHOWN.items():
        for cell in map(studies.cell, asked.get("cells", ())):
            if cell.table not in studies.rules():           # which names its seeds
                assert {r.seed for r in ledger.of(cell, asked["tier"])} <= set(asked["seeds"]), (name, cell.id)


def made(id_, html=""):
    outputs = [new_output("display_data", data={"text/html": html})] if html else []
    return new_code_cell("f()", id=id_, outputs=outputs)


def test_a_page_shows_results_first_and_leaves_out_what_nothing_is_on_record_of():
    no = '<p class="empty">No'
    cells = [new_markdown_cell("# Title"), made("plan", "a plan"), made("train"), new_markdown_cell("## Rule"),
             made("rule", "so"), new_markdown_cell("## Answer"), made("answer", "so"),
             new_markdown_cell("(here)=\n## None"), made("a", no), made("b", no),
             new_markdown_cell("## Some"), made("c", no), made("d", "yes"), made("costs", "time")]
    shown = book_build.for_readers(cells, "cifar")
    assert [c.source.partition("\n")[0] if c.cell_type == "markdown" else c.id for c in shown] == [
        "# Title", "## Answer", "answer", "## Rule", "rule", "## Some", "c", "d",
        "## How it is run", "plan", "train", "costs"]
    assert "notebooks/cifar.ipynb" in shown[-4].source and shown[-4].source.endswith("nothing of it is on record yet: *None*.")
    whole = [c for c in cells if c.id not in "ab" and "None" not in c.source]
    assert "Left out" not in book_build.for_readers(whole, "cifar")[-4].source
    nbformat.validate(nbformat.v4.new_notebook(cells=shown))
    assert book_build.for_readers(cells[-4:-1], "audit") == cells[-4:-1]


def test_measurements_of_one_kind_stand_under_one_heading():
    headings = re.findall(r"^## (.+)$", methods.benchmarks(), re.M)
    assert "What a method adds to a step" in headings and len(set(headings)) == len(headings)


def test_the_page_of_a_method_has_each_training_once_on_data_that_readers_know():
    """X6 and A9s ask for some trainings together."""
    shown = methods.results("fm").replace("<wbr>", "")
    assert "X6.resnet20.fm2.slow" in shown and "X6.resnet20.fm2<" not in shown and "A9s.resnet20.fm2<" in shown
    assert ">Built-in images<" in shown and ">parts<" not in shown and ">cub_50<" not in shown


def test_percent_is_written_with_a_space():
    """As everywhere in the book: 95 %; `stats.share` does it."""
    sources = [p for room in ("showing", "judging") for p in (paths.ROOT / "lib/featuremining" / room).rglob("*.py")]
    assert sources and not [p.name for p in sources if re.search(r":\.\d%\}", p.read_text(encoding="utf-8"))]


def test_all_times_of_one_step_stand_together():
    said = plain(methods.one_step())
    assert "ours, bf16" in said and "loop of public CIFAR code" in said and "Table 10" in said
