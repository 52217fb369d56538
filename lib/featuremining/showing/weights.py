"""Published weights: the card beside each, and what there is. No torch here."""

from importlib import import_module

from .. import paths, studies
from ..datasets import DATASETS
from ..errors import FMError
from ..records import Record, read_records
from ..studies import Run
from .markup import Html, html
from .tables import trained

SHOWN = 20              # images that differ, by their place in the test set

CARD = """# {name}, seed {seed}

{network} on {dataset} ({what}), trained by {methods}. {right} % of the {n:,} test images are right: the last epoch's
network, not the best on the test set.

```python
import featuremining as fm
net = fm.load_pretrained("{name}", seed={seed}, tier="{tier}")       # on the CPU, in evaluation mode
```

`fm check {name} --seed {seed} --tier {tier}` tests it again, image by image against its record.

- record: `data/runs/{tier}/{key}/seed{seed}.json`, of {finished}
- recipe: {recipe}
- trained on: {device}, {precision}, by commit `{commit}`
- sha256 of the state: `{weights}`
- the same training under other names: {others}
- terms of the images: {terms}; the weights are under the project's licence
"""


def names(tier: str, key: str) -> list[str]:
    """The cells that a training answers."""
    return [cell.id for cell in studies.load_cells().values() if not cell.missing and cell.run(tier, 0).key == key]


def run_of(tier: str, key: str, seed: int) -> Run:
    """The training whose weights lie there; an `FMError` where no cell asks for it."""
    asked = names(tier, key)
    if not asked:
        raise FMError(f"No cell asks for {key} any more: take its weights out of {paths.published(tier, key, seed).parent}.")
    return studies.cell(asked[0]).run(tier, seed)


def said(found) -> str:
    """What a `training.trained.Check` found, in a line."""
    right, n = int(found.now.sum()), len(found.now)
    line = f"{found.run.title}: {right} of {n} right"
    if found.same:
        return f"{line}, " + ("image by image as recorded" if found.then is not None else "as many as recorded")
    line += f", recorded {found.recorded}"
    if found.differing:
        more = len(found.differing) - SHOWN
        line += (f"; {len(found.differing)} images differ: {', '.join(map(str, found.differing[:SHOWN]))}"
                 + (f" and {more} more" if more > 0 else ""))
    return line + (f" (recorded on {found.elsewhere}, here {found.here})" if found.elsewhere else "")


def card(run: Run, record: Record) -> str:
    """What somebody who finds the file wants to know, all of it from the record."""
    module = import_module(f"..datasets.{DATASETS[run.dataset][0]}", __package__)
    first, *others = dict.fromkeys((run.asked or run.id, *names(run.tier, run.key)))
    spec, there = record.spec, record.provenance
    methods = ", then ".join(f"{m['name']} ({', '.join(f'{k} = {v}' for k, v in m.items() if k != 'name') or 'defaults'})"
                             for m in spec["methods"])
    return CARD.format(
        name=first, seed=run.seed, tier=run.tier, key=run.key, network=run.network, dataset=run.dataset,
        what=module.__doc__.partition(":")[0].partition(".")[0].replace("\n", " "), methods=methods or "plain cross-entropy",
        right=f"{record.value('last'):.2f}", n=record.metrics["n_test"], finished=there["finished"][:10],
        recipe=", ".join(f"{k} {v}" for k, v in spec["recipe"].items() if v is not None), device=there["device"],
        precision=there["precision"], commit=there["commit"], weights=record.weights,
        others=", ".join(f"`{name}`" for name in others) or "none", terms=module.TERMS)


def listing() -> Html:
    """The weights that come with the project, by cell."""
    on_record = {(r.tier, r.key, r.seed): r for r in read_records()}
    rows = [{"cell": (names(*at[:2]) or [at[1]])[0], "training": trained(on_record[at]), "seed": at[2],
             "last epoch (%)": f"{on_record[at].value('last'):.2f}",
             "file": f"{paths.published(*at).stat().st_size / 2**20:.1f} MB"} for at in paths.all_published() if at in on_record]
    return html(rows, "Trained networks that come with the project; `fm check` tests each again, image by image.")
