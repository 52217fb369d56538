"""What the notebooks call, so that their cells hold no logic: check the parameters, train what is missing, show."""

import warnings
from dataclasses import dataclass

from .. import paths, records, studies
from ..errors import UsageError, choose
from ..files import short
from ..judging import comparisons, cost
from ..judging.ledger import Ledger
from ..recipes import TIERS
from ..records import findings
from . import figures, images, learning, markup, neighbours, pages, pooling, tables, trainings, weights
from .cost import cost_table
from .figures import detections, maps
from .figures.cost import cost_figure
from .markup import Html
from .parameters import given, is_list_of, parsed

PARAMETERS = ("tier", "cells", "seeds", "device", "train")
CAPTIONS = {
    "smoke": "Test top-1 (%) on the embedded parts data: these numbers say only that everything runs",
    "short": "Test top-1 (%) after a tenth of the paper's epochs: not comparable with the printed numbers",
    "full": "Test top-1 (%) under the full schedule",
}


SHORT = f"<p>{tables.SHORT} So these runs show how a method learns, not what it gains, and decide no claim of the paper.</p>"


@dataclass(frozen=True)
class Page:
    """One run of a family notebook: its checked parameters and the trainings they stand for."""

    study: str
    tier: str
    cells: list[str]
    seeds: list[int]
    device: str
    train_missing: bool

    @property
    def found(self) -> list[tuple[studies.Cell, list[records.Record]]]:
        """The page's cells with their records of its tier and seeds."""
        ledger = self.ledger
        return [(cell, [r for r in ledger.of(cell, self.tier) if r.seed in self.seeds]) for cell in map(studies.cell, self.cells)]

    @property
    def ledger(self) -> Ledger:
        """All that is on record now: the page may just have trained."""
        return Ledger.read()

    def plan(self) -> Html:
        """What this page runs: each training with the settings that it names, and how many of its seeds are on record."""
        done = [(cell, len(cost.found([cell], self.tier)) if cell.task == "cost" else len(found)) for cell, found in self.found]
        frame = tables.planned(done, self.tier, self.seeds)
        return markup.html(frame, f"What this page runs; training is {'on' if self.train_missing else 'off'}", self.tier)

    def took(self) -> Html:
        """What this page's runs took so far, and what its cells take in the full tier."""
        return trainings.took(self.found, self.tier)

    @property
    def missing(self) -> list[studies.Run]:
        """The page's trainings and measurements that are not on record yet; none where ``train`` is false."""
        planned = studies.plan(self.cells, self.tier, self.seeds) if self.train_missing else []
        return [run for cell, run in planned
                if cell.task == "cost" or not paths.record(run.tier, run.key, run.seed).exists()]

    def weights(self) -> Html:
        """The trained networks that come with the project."""
        return weights.listing()

    @property
    def pooling(self) -> pooling.Shown:
        """What the page of covariance pooling shows beside its runs."""
        return pooling.Shown(self.cells, self.tier, self.seeds)

    @property
    def neighbours(self) -> neighbours.Shown:
        """What was measured of the networks of the page of neighbours."""
        return neighbours.Shown(self.tier)

    def gains_and_costs(self, table: str) -> Html:
        """What each comparison of a study gains over what it costs."""
        return self.neighbours.gains_and_costs(self._rule(table), self.ledger)

    def follow(self) -> None:
        """Follow a network of each of the page's cells along a short training, if ``train`` was asked for."""
        if self.train_missing:
            self.pooling.measure()

    def cost_table(self) -> Html:
        """Seconds and memory beside the printed ones, device by device, and the ratios to the baseline."""
        return markup.html(cost_table(*self._costs), "Cost of an iteration", self.tier)

    def cost_figure(self) -> Html:
        """The ratio of times to the baseline, by network."""
        return cost_figure(*self._costs)

    @property
    def _costs(self):
        cells = [studies.cell(c) for c in self.cells]
        return cells, cost.found(cells, self.tier)

    def look(self) -> None:
        """Measure where the page's trained networks look, how large their activations are, what they detect or confuse; what is
        measured stays."""
        if self.train_missing:
            from ..measuring import detections, diagnostics

            for seed in self.seeds:
                pairs = [(cell, cell.run(self.tier, seed)) for cell in map(studies.cell, self.cells)]
                if self.study == "activations":
                    diagnostics.activations(pairs, seed)
                    continue
                for cell, run in pairs:
                    of = {"detection": detections.look, "neighbours": diagnostics.neighbours}
                    of.get(self.study, diagnostics.localise)(cell, run)

    def localisation(self) -> Html:
        """How much of the class activation falls on the true part, beside chance and the paired difference to the baseline."""
        return markup.html(tables.localisation(self._findings("localise")), "Class activation and the true part", self.tier)

    def maps(self) -> Html:
        """CAM and Grad-CAM of the page's first seed on a few images of the embedded parts."""
        return maps.parts_maps(self._findings("localise"), self.tier)

    def detections(self) -> Html:
        """What the page's detectors find in a few test images, beside the true boxes."""
        return detections.detections(self._findings("detections"), self.tier)

    def activations(self, unit: str) -> Html:
        """Activations over magnitude, ``raw`` or ``in_spreads`` of each stage."""
        return figures.activations(self._findings("activations"), unit, self.tier)

    def activations_table(self) -> Html:
        """Activations above the threshold per stage, and the ratio to the baseline."""
        return markup.html(tables.activations(self._findings("activations")), "Activations above 0.5 per image", self.tier)

    def _findings(self, kind: str) -> list[tuple[studies.Cell, findings.Finding]]:
        """Those of the page's cells and seeds."""
        wanted = {f"seed{seed}" for seed in self.seeds}
        return [(cell, finding) for cell in map(studies.cell, self.cells)
                for finding in findings.read(kind, cell.run(self.tier, 0)) if finding.name in wanted]

    def over_samples(self) -> Html:
        """Accuracy over training images per class, all cells of the study in the page's tier (figure 6)."""
        return figures.over_samples(self._all_cells, self.tier)

    def multiverse(self, table: str) -> Html:
        """All full-tier records of a table whose cells differ in one choice each, of all seeds."""
        cells = [c for c in studies.load_cells().values() if c.table == choose("table", table, studies.titles())]
        ledger = self.ledger
        return figures.multiverse([(cell, ledger.of(cell)) for cell in cells], "full")

    def memorisation(self) -> Html:
        """How many of the wrong labels are learnt, how many images are recognised in spite of theirs, and test accuracy."""
        return figures.curves(self.found, self.tier, figures.MEMORISATION)

    @property
    def _all_cells(self) -> list[tuple[studies.Cell, list[records.Record]]]:
        """Every cell of the study with all its records of the page's tier."""
        ledger = self.ledger
        return [(c, ledger.of(c, self.tier)) for c in studies.load_cells().values() if c.study == self.study]

    def runs(self) -> Html:
        """What the page's cells reached in its tier, under three selection rules."""
        frame = tables.own_runs([cell for cell, _ in self.found], Ledger(self._records), self.tier)
        caption = CAPTIONS[self.tier].replace("Test top-1", "mAP at 0.5" if self._detects else "Test top-1")
        return Html(markup.html(frame, caption, self.tier) + (SHORT if self.tier == "short" else ""))

    def curves(self) -> Html:
        """Test accuracy, or mAP, and loss over epochs."""
        return figures.curves(self.found, self.tier, detections.PANELS if self._detects else figures.LEARNING)

    @property
    def _detects(self) -> bool:
        return studies.cell(self.cells[0]).task == "detection"

    def costs(self) -> Html:
        """Minutes, device and memory of the page's records."""
        return markup.html(tables.costs(self._records), "What these runs took", self.tier)

    def claims(self, table: str) -> Html:
        """A printed table, one row per number, beside our full-tier records."""
        cells = [c for c in studies.load_cells().values() if c.table == choose("table", table, studies.titles())]
        return markup.html(tables.claims(cells, self.ledger), studies.titles()[table], "full")

    def matrix(self, table: str) -> Html:
        """A printed table in its own layout, with our verdict under each number."""
        frame = tables.matrix(choose("table", table, studies.titles()), self.ledger)
        return markup.html(frame, studies.titles()[table], "full", "matrix")

    def verdicts(self) -> Html:
        """How many of the study's printed numbers have which verdict."""
        cells = [c for c in studies.load_cells().values() if c.study == self.study and c.published is not None]
        return markup.html(tables.tally(cells, self.ledger), "Verdicts on the printed numbers", "full")

    def rule(self, table: str) -> Html:
        """The question of a study of our own, how it is judged, and how many of its runs are on record."""
        return pages.rule(self._rule(table), self.ledger)

    def comparisons(self, table: str) -> Html:
        """What the study's comparisons come to by their rule, from the full tier."""
        outcomes = comparisons.compare(self._rule(table), self.ledger)
        return markup.html(tables.comparisons(outcomes), "Each method minus its baseline, in percentage points", "full")

    def differences(self, table: str) -> Html:
        """The same as intervals."""
        return figures.differences(comparisons.compare(self._rule(table), self.ledger), self._rule(table))

    def learning(self, table: str) -> Html:
        """Training against test accuracy, losses and empty boxes of the study's full runs."""
        return learning.learning(self._rule(table), self.ledger)

    def schedules(self) -> Html:
        """What Feature Mining adds by the length of the training, from all studies, where lengths can be compared."""
        return learning.schedules(self.ledger)

    def answers(self, table: str) -> Html:
        """Which test images were right: how far runs of one cell disagree, the spread that follows, and networks side by side."""
        return images.answers(self._rule(table), self.ledger)

    @staticmethod
    def _rule(table: str) -> studies.Rule:
        return studies.rules()[choose("table with a rule", table, studies.rules())]

    def sentences(self) -> Html:
        """What the paper's sentences on this experiment come to, whatever the page's own tier."""
        return pages.sentences_on(self.study, self.ledger)

    @property
    def _records(self) -> list[records.Record]:
        return records.once(record for _, runs in self.found for record in runs)


def start(study: str, names: dict) -> Page:
    """Check a notebook's parameters, given as its ``globals()``."""
    warnings.filterwarnings("ignore", "IProgress not found")        # of tqdm, which timm imports; no bar of it is shown
    values = given(names, PARAMETERS, Page)
    choose("tier", values["tier"], TIERS)
    for name, kind, example in (("cells", str, '["X1.resnet20.fm2"]'), ("seeds", int, "[0, 1]")):
        values[name] = parsed(values[name])
        if not values[name] or not is_list_of(kind, values[name]):
            raise UsageError(f"{name} must be a list such as {example}, got {short(values[name])}.")
    values["train"] = parsed(values["train"])
    if not isinstance(values["train"], bool) or not isinstance(values["device"], str):
        raise UsageError(f"train must be true or false and device a name, got {short(values['train'])} and "
                         f"{short(values['device'])}.")
    for name in ("cells", "seeds"):
        values[name] = list(dict.fromkeys(values[name]))        # one that is named twice is shown once
    for id_ in values["cells"]:
        cell = studies.cell(id_)
        if cell.notebook != study:
            raise UsageError(f"{id_} belongs to the notebook {cell.notebook}.ipynb, not to {study}.ipynb.")
        for seed in values["seeds"]:
            cell.run(values["tier"], seed)      # whether it is a seed
    if values["train"]:
        studies.plan(values["cells"], values["tier"], values["seeds"])     # what can't be trained yet says so at once
    return Page(study, *(values[name] for name in PARAMETERS))
