"""Build the book: execute the notebooks on what is recorded, check them, write the front page's table, build, count pages.

Nothing is trained here; a page shows records. Run it as ``make book``; the result is ``_build/html/index.html``.
"""

import re
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import papermill
import yaml
from hooks import CARD, address
from jupyter_client.manager import start_new_async_kernel
from jupyter_core.utils import run_sync
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from featuremining import paths, records, studies
from featuremining.errors import FMError
from featuremining.judging import listing
from featuremining.judging.ledger import Ledger
from featuremining.methods import METHODS
from featuremining.showing import (
    api,
    cards,
    choices,
    data_sets,
    demonstration,
    error_rates,
    layers,
    markup,
    methods,
    negative,
    pages,
    reliability,
    scoreboard,
    settings,
    start,
    tables,
    trainings,
    why,
)
from featuremining.showing.executed import unfinished
from featuremining.showing.figures import boxes
from featuremining.studies.claims import of_first

ROOT = paths.ROOT
PAGES = ROOT / "build" / "book"         # the table of contents names this folder, so FM_BUILD_DIR does not move it
DEMONSTRATION = ROOT / "book/demonstration.json"
OWN = [f"X1.resnet20.{m}" for m in ("baseline", "fm1", "fm2", "dropblock", "cs_kd", "mixup", "fm2_mixup")]


def shown(tier: str, cells: list[str], seeds: int = 1) -> dict:
    """The parameters that a page is made with: nothing is trained."""
    return {"tier": tier, "cells": cells, "seeds": list(range(seeds)), "train": False}


def pairs(cell: str, *methods: str, condition: str = "") -> list[str]:
    """
    >>> pairs("T8s.resnet20", condition="human")
    ['T8s.resnet20.baseline.human', 'T8s.resnet20.fm2.human']
    """
    return [".".join(filter(None, (cell, method, condition))) for method in methods or ("baseline", "fm2")]


SHOWN = {"cifar": shown("short", OWN, 3),
         "tiny_imagenet": shown("short", pairs("T4s.resnet20", "baseline", "fm2", "mean_loss")),
         "imagenet": shown("full", pairs("T5.resnet50"), 4),
         "cub": shown("short", pairs("T6s.resnet20")),
         "detection": shown("full", pairs("T7s.resnet20"), 4),
         "noisy_labels": shown("short", [f"T8s.resnet20.{m}.{c}" for c in ("symmetric50", "human") for m in ("baseline", "fm2")]),
         "small_data": shown("full", pairs("F6.resnet56", condition="50"), 4),
         "ablations": shown("full", [*pairs("X6.resnet20", "baseline", "fm2", "mean_loss"),
                                     *pairs("X6.resnet20", condition="slow")], 4),
         "cost": shown("full", [f"{c}.{m}" for c in ("T10.resnet56", "X10.resnet20") for m in ("baseline", "fm1", "fm2")]),
         "class_activation": shown("full", pairs("F2s.resnet20"), 4),
         "activations": shown("short", pairs("F4s.resnet20"), 3),
         "cpu_study": shown("full", [*pairs("X3.resnet20", "baseline", "fm2", "mean_loss", "fm1"), *pairs("X3.resnet56")], 4),
         "pooling": shown("full", pairs("X4.resnet20", "mean", "newton_schulz", "exact", "svd", "svd_pade", "hybrid",
                                        "svd_taylor", "svd_trunc"), 3),
         "neighbours": shown("full", pairs("X5.resnet20", "baseline", "fm2", "fldfr", "convmix", "kd", "geometric", "ical",
                                           "fm2_fldfr", "fm2_convmix", "fm2_geometric", "fm2_ical"), 3),
         "audit": {"tier": "all"}}


class OneKernel(NBClientEngine):
    """Papermill's engine, in a kernel that stays for the next notebook: to start one, and to import what they all need, takes
    several times as long as a page."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, kernel=None, **_):
        client = PapermillNotebookClient(nb_man, km=kernel[0])
        client.kc = kernel[1]
        return client.execute()


papermill_engines.register("one kernel", OneKernel)


def execute_all(notebooks: dict[str, dict], kernels: int = 2) -> None:
    """Run these notebooks, each with its parameters."""
    waiting = iter(notebooks.items())           # shared by the threads, of which each has a kernel

    async def forget(client) -> None:           # the names of the page before
        await client.execute("%reset -f", silent=True, reply=True)

    def work(_) -> None:
        manager, client = run_sync(start_new_async_kernel)(kernel_name="python3")
        try:
            for name, parameters in waiting:
                run_sync(forget)(client)
                execute(name, parameters, (manager, client))
        finally:
            client.stop_channels()
            run_sync(manager.shutdown_kernel)(now=True)

    with ThreadPoolExecutor(kernels) as pool:
        list(pool.map(work, range(kernels)))


def execute(name: str, parameters: dict, kernel: tuple) -> None:
    """Run a family notebook with these parameters and leave the result as the page's source."""
    half = PAGES.with_name("half") / f"{name}.ipynb"         # until it is known to be whole
    half.parent.mkdir(parents=True, exist_ok=True)
    papermill.execute_notebook(ROOT / f"notebooks/{name}.ipynb", half, parameters, "one kernel", kernel_name="python3",
                               progress_bar=False, kernel=kernel)
    book = nbformat.read(half, 4)
    check(book, half, parameters)
    for cell in book.cells:
        if set(cell.metadata.get("tags", [])) & {"parameters", "injected-parameters"}:
            cell.metadata.tags.append("remove-cell")
        elif cell.cell_type == "code":
            cell.metadata.setdefault("tags", []).append("remove-input")
    book.cells = for_readers(book.cells, name)
    nbformat.write(book, half)
    half.replace(PAGES / half.name)


HOW = ("plan", "took", "train", "look", "follow", "costs")        # cells that say how an experiment is run, by their ids
RUN_BY = """## How it is run

This page is made by a notebook, `notebooks/{name}.ipynb`. Opened in Jupyter, it first shows what it will run, trains what has no
record yet, and then shows the same tables and figures ([how to rerun a number](../../book/rerun.md)).{lacking}"""
LACKING = "\n\nLeft out here, since nothing of it is on record yet: {}."


def for_readers(cells: list, name: str) -> list:
    """A notebook shows what it runs, and by which rule, before it runs it; a page what came out. So what is known comes first,
    how it is run last, and a part of which nothing is on record is only named."""
    how = [cell for cell in cells if cell.id in HOW]
    title, *rest = filter(None, parts(cell for cell in cells if cell.id not in HOW))
    rest.sort(key=lambda part: all(cell.id != "answer" for cell in part))         # what is known comes first
    shown = [cell for part in (title, *rest) if not is_empty(part) for cell in part]
    empty = [re.search(r"^#+ (.+)", part[0].source, re.M)[1] for part in rest if is_empty(part)]
    said = RUN_BY.format(name=name, lacking=LACKING.format("; ".join(f"*{heading}*" for heading in empty)) if empty else "")
    return shown if not how else [*shown, nbformat.v4.new_markdown_cell(said, id="how"), *how]


def parts(cells: Iterable) -> list[list]:
    """From one heading to the next."""
    found: list[list] = [[]]
    for cell in cells:
        if cell.cell_type == "markdown" and re.match(r"(\(.+\)=\n)?#", cell.source):
            found.append([])
        found[-1].append(cell)
    return found


def is_empty(part: list) -> bool:
    """Whether it has outputs, and each of them is only a sentence that there is nothing yet."""
    outputs = [out for cell in part if cell.cell_type == "code" and cell.id != "answer" for out in cell.outputs]
    return bool(outputs) and all('class="empty"' in out.get("data", {}).get("text/html", "") for out in outputs)


def check(book, target: Path, parameters: dict) -> None:
    """With execution off, Jupyter Book shows a half-executed or failed notebook without a word. So look first."""
    if why := unfinished(book):
        raise FMError(f"{target.name}: {why}.")
    if book.metadata.papermill.parameters != parameters:
        raise FMError(f"{target.name} was executed with other parameters than the book asks for.")


def headline() -> str:
    """The grid of claims, as Markdown with inline HTML."""
    ledger = Ledger.read()
    printed = sorted((c for c in studies.load_cells().values() if c.paper), key=lambda c: c.at.table.order)
    costs = sum(c.seconds is not None for c in printed)
    numbers = ", ".join(dict.fromkeys(str(c.at.table.number) for c in printed if c.seconds is None))
    sentences = of_first()
    once = sum(not c.same_as for c in sentences)
    parts = (f"{listing.tally(listing.of_first(ledger))} {pages.on_record(ledger)}",
             markup.html(cards.grid(printed, ledger, pages.grid_rows(ledger)), "What the paper says, and what our runs say",
                         style="fm-grid"),
             f"{len(printed) - costs} printed accuracies (Tables {numbers}), {costs} costs (Table 10) and {once} sentences "
             f"are listed. [All claims](claims.md) has {len(sentences)}, of which {len(sentences) - once} say another again.")
    return "\n\n".join(parts) + "\n"


LAYERS = ("low_rank", "convmix")        # that have a page of their own


def method_parts(name: str) -> None:
    """What the page of a method or a layer includes: its settings, its cost, its results."""
    folder, settings = PAGES / "methods", layers.settings_of_one if name in LAYERS else methods.settings
    folder.mkdir(parents=True, exist_ok=True)
    for part, make in (("settings", settings), ("cost", methods.cost), ("results", methods.results)):
        (folder / f"{name}.{part}.md").write_text(make(name) + "\n", encoding="utf-8")


def project_parts() -> dict[str, str]:
    """What the pages about the project itself include, by the name of the file."""
    ledger = Ledger.read()
    front = {"picture": demonstration.picture(DEMONSTRATION), "answers": start.answers(ledger), "gains": start.gains(ledger),
             "differences": start.differences(ledger)}
    whys = {"underfit": why.underfit(ledger), "heads": why.heads(ledger), "empty": why.empty(ledger, DEMONSTRATION),
            "averaged": why.averaged(ledger), "looks": why.looks(ledger)}
    return {**{f"front.{name}": text for name, text in front.items()}, **{f"why.{name}": text for name, text in whys.items()},
            "holds.answers": start.answers(ledger, here="does_it_hold.html"),
            "map": scoreboard.scoreboard(ledger), "settings": settings.settings(ledger),
            "demonstration": demonstration.demonstration(DEMONSTRATION),
            "claims": pages.sentences(ledger), "outcomes": pages.outcomes(), "effects": choices.picture(ledger),
            "boxes": boxes.coverage(8) + "\n",
            "register.A": choices.markdown("A"),
            **{f"register.{part}": choices.markdown(part) for part in ("P", "GCP", "LDFR", "CM", "GEO", "ICAL")},
            "negative": negative.markdown(ledger),
            "error_rates": error_rates.markdown(), "chaos": reliability.markdown(), "status": trainings.status(ledger),
            "data": data_sets.data_sets(), "licences": data_sets.licences(), "api": api.markdown(),
            **{f"methods/covariance_pooling.{part}": f"{made()}\n" for part, made in (
                ("settings", layers.settings), ("cost", layers.cost), ("results", layers.results))}}


def readme() -> str:
    """README.md with the table between its two marks made anew from the records."""
    ledger = Ledger.read()
    tally = f"What stands of the paper, by what is on record: {listing.tally(listing.of_first(ledger))} {pages.on_record(ledger)}"
    between = "Our own ResNet-20 on CIFAR-100 after thirty epochs (short tier), test top-1 in percent; no verdict follows:"
    parts = tally, markup.markdown(pages.decided(ledger)), between, markup.markdown(tables.preview(ledger))
    table = "\n\n".join(parts)
    head, mark, rest = (ROOT / "README.md").read_text(encoding="utf-8").partition("<!-- headline -->\n")
    if not mark or "<!-- end -->" not in rest:
        raise FMError("README.md lacks its marks <!-- headline --> and <!-- end -->.")
    return f"{head}<!-- headline -->\n{table}\n<!-- end -->{rest.partition('<!-- end -->')[2]}"


def launch() -> None:
    """Write the repository's address of _config.yml into the first cell of each notebook, which fetches the package from it."""
    address = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    if address and not re.fullmatch(r"https://[\w.~/:@%+-]+", address):
        raise FMError(f"The repository's url in _config.yml goes into a command of the notebooks: {address!r} is no plain https "
                      "address.")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r'(_address, _missing = \\")[^"\\]*', lambda found: found[1] + address, text), encoding="utf-8")


def listed(chapters: list[dict]) -> list[str]:
    """The files of these entries of the table of contents and of the sections below them."""
    return [name for chapter in chapters for name in (chapter["file"], *listed(chapter.get("sections", [])))]


def toc() -> list[str]:
    """Every page of the table of contents."""
    found = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    return [found["root"], *(name for part in found["parts"] for name in listed(part["chapters"]))]


def census(html: Path) -> list[Path]:
    """Every page of the table of contents, as built; an `FMError` names what is missing."""
    pages = [html / f"{address(name)}.html" for name in toc()]
    missing = [str(page) for page in pages if not page.is_file()]
    if missing:
        raise FMError(f"Built without {', '.join(missing)}.")
    return pages


def build(out: Path) -> list[Path]:
    PAGES.mkdir(parents=True, exist_ok=True)
    execute_all(SHOWN)
    (PAGES / "headline.md").write_text(headline(), encoding="utf-8")
    (PAGES / "benchmarks.md").write_text(methods.benchmarks(), encoding="utf-8")
    (PAGES / "one_step.md").write_text(methods.one_step() + "\n", encoding="utf-8")
    for name in (*METHODS, *LAYERS):
        method_parts(name)
    (PAGES / "neighbours.costs.md").write_text(methods.neighbours_costs() + "\n", encoding="utf-8")
    for name, text in project_parts().items():
        (PAGES / f"{name}.md").write_text(text, encoding="utf-8")
    command = ["jupyter-book", "build", ".", "--toc", "book/_toc.yml", "--config", "_config.yml", "--path-output", str(out),
               "-W", "-n", "--keep-going", "--all"]
    program = Path(sys.executable).with_name(command[0])
    result = subprocess.run([str(program), *command[1:]], cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        raise FMError(f"jupyter-book failed:\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}")
    start.picture(Ledger.read(), out / "_build" / "html" / CARD)
    return census(out / "_build" / "html")


def main(words: list[str]) -> None:
    if words == ["--readme"]:
        sys.stdout.write(readme())
        return
    if words == ["--launch"]:
        launch()
        return
    built = build(Path(words[0]).resolve() if words else ROOT)
    print(f"{len(built)} pages; open {built[0].parent / 'index.html'}")


if __name__ == "__main__":
    try:
        with records.left_out() as files:
            main(sys.argv[1:])
    except (FMError, PapermillExecutionError) as error:
        sys.exit(f"book: {error}")
    if files:
        sys.exit("book: made without what does not count:\n" + "\n".join(dict.fromkeys(files)))
