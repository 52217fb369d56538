"""What the notebooks of the experiments show: functions named for what they show, with data in and a table or a figure out.

``runs`` are cells, each with its records of one tier (`notebook.Page.runs`); ``ledger`` is everything on record; ``measured`` are
cells with what was measured of their trained networks (`notebook.Page.measured`). No torch here.
"""

from collections.abc import Sequence

from .. import studies
from ..errors import choose
from ..judging import comparisons as judged
from ..judging.ledger import Ledger
from ..records import Record, once
from ..records.findings import Finding
from ..studies import Cell, Rule
from . import figures, images, markup, neighbours, pages, tables
from . import learning as learnt
from .answers import answer
from .cost import cost_table
from .figures import detections as boxes
from .figures import maps
from .figures import neighbours as drawn
from .figures.cost import cost_figure
from .markup import Html
from .weights import listing as trained_networks

__all__ = ["accuracies", "accuracy_by_images", "activation_counts", "activations", "answer", "answers_by_image", "choices",
           "class_maps", "comparisons", "confusion", "confusion_by_angle", "cost_ratios", "costs", "curves", "detail",
           "detail_maps", "detections", "differences", "gains_and_costs", "learning", "localisation",
           "printed_numbers", "printed_table", "rule", "schedules", "sentences", "time_and_memory",
           "trained_networks", "verdicts", "view", "wrong_labels"]

Runs = Sequence[tuple[Cell, Sequence[Record]]]
Measured = Sequence[tuple[Cell, Finding]]

REACHED = {"smoke": "after a minute on the built-in images: these numbers say only that everything runs",
           "short": "after a tenth of the paper's epochs: not to be compared with the printed numbers",
           "full": "after the full schedule"}
RULES = ("Best epoch: picked on the test images, as the paper does, which flatters every method. Gain: over plain training that "
         "is as long; it has an interval when both sides have two seeds")
SHORT = markup.tag("p", f"{tables.SHORT} So these runs show how a method learns; they decide no claim of the paper.")


# --- runs ---------------------------------------------------------------------------------------------------------------

def accuracies(runs: Runs, tier: str) -> Html:
    """What each cell reached, read off its curve in three ways, and its gain over plain training."""
    frame = tables.own_runs([cell for cell, found in runs if found], Ledger(_records(runs)), tier)
    what = "mAP at an overlap of 0.5 (%)" if _detect(runs) else "Test top-1 (%)"
    return Html(markup.html(frame, f"{what} {REACHED[tier]}. {RULES}", tier) + SHORT * (tier == "short" and not frame.empty))


def curves(runs: Runs, tier: str) -> Html:
    """Test accuracy, or mAP, and loss over the epochs."""
    return figures.curves(runs, tier, boxes.PANELS if _detect(runs) else figures.LEARNING)


def wrong_labels(runs: Runs, tier: str) -> Html:
    """How many of the wrong labels are learnt, how many images are recognised in spite of theirs, and test accuracy."""
    return figures.curves(runs, tier, figures.MEMORISATION)


def time_and_memory(runs: Runs) -> Html:
    """Minutes, device and memory of each run, folded."""
    table = markup.html(tables.costs(_records(runs)), "Wall-clock time and peak memory of the process. The machine may have had "
                        "other work at the time, so this is no benchmark")
    return markup.render("folded", title="Time and memory of these runs", body=table, open=False)


def _records(runs: Runs) -> list[Record]:
    return once(record for _, records in runs for record in records)


def _detect(runs: Runs) -> bool:
    return any(cell.task == "detection" for cell, _ in runs)


def accuracy_by_images(study: str, tier: str, ledger: Ledger) -> Html:
    """Accuracy over the training images per class, all cells of the study (figure 6)."""
    cells = [c for c in studies.load_cells().values() if c.study == study]
    return figures.over_samples([(c, ledger.of(c, tier)) for c in cells], tier)


def choices(table: str, ledger: Ledger) -> Html:
    """All full runs of a table whose cells differ in one choice each."""
    return figures.multiverse([(cell, ledger.of(cell)) for cell in _of(table)], "full")


# --- the paper's numbers and sentences, beside full runs --------------------------------------------------------------------

def printed_numbers(table: str, ledger: Ledger) -> Html:
    """A printed table, one row a number, beside our full runs."""
    return markup.html(tables.claims(_of(table), ledger), studies.titles()[table], "full")


def printed_table(table: str, ledger: Ledger) -> Html:
    """A printed table in its own layout, with our verdict under each number."""
    choose("table", table, studies.titles())
    return markup.html(tables.matrix(table, ledger), studies.titles()[table], "full", "matrix")


def verdicts(study: str, ledger: Ledger) -> Html:
    """How many of the study's printed numbers have which verdict."""
    cells = [c for c in studies.load_cells().values() if c.study == study and c.published is not None]
    return markup.html(tables.tally(cells, ledger), "Verdicts on the printed numbers", "full")


def sentences(study: str, ledger: Ledger) -> Html:
    """What the paper's sentences on this experiment come to."""
    return pages.sentences_on(study, ledger)


def _of(table: str) -> list[Cell]:
    return [c for c in studies.load_cells().values() if c.table == choose("table", table, studies.titles())]


# --- studies of our own, by their rule --------------------------------------------------------------------------------------

def rule(table: str, ledger: Ledger) -> Html:
    """The question of a study of our own, how it is judged, and how many of its runs are on record."""
    return pages.rule(_rule(table), ledger)


def comparisons(table: str, ledger: Ledger) -> Html:
    """What the study's comparisons come to by its rule, from full runs."""
    fixed = _rule(table)
    compared = judged.compare(fixed, ledger)
    caption = (f"Each method minus what it is compared with, in percentage points with {100 * fixed.level:.0f} % intervals. The "
               f"{fixed.outcome} epoch decides; {fixed.beside} epoch, seed by seed and new images are for comparison")
    shown, mixed = markup.html(tables.comparisons(compared), caption, "full"), tables.mixed_devices(compared)
    return markup.join([shown, "\n", markup.tag("p", mixed, class_="fm-caption")]) if mixed else shown


def differences(table: str, ledger: Ledger) -> Html:
    """The same as intervals."""
    return figures.differences(judged.compare(_rule(table), ledger), _rule(table))


def gains_and_costs(table: str, ledger: Ledger) -> Html:
    """What each comparison of a study gains over what it costs."""
    return neighbours.gains_and_costs(_rule(table), ledger)


def learning(table: str, ledger: Ledger) -> Html:
    """Training against test accuracy, losses and empty boxes of the study's full runs."""
    return learnt.learning(_rule(table), ledger)


def schedules(ledger: Ledger) -> Html:
    """What Feature Mining adds by the length of the training, from all studies, where lengths can be compared."""
    return learnt.schedules(ledger)


def answers_by_image(table: str, ledger: Ledger) -> Html:
    """Which test images were right: how far runs of one cell disagree, and the spread that follows."""
    return images.answers(_rule(table), ledger)


def _rule(table: str) -> Rule:
    return studies.rules()[choose("table with a rule", table, studies.rules())]


# --- what was measured of trained networks ----------------------------------------------------------------------------------

def localisation(measured: Measured, tier: str) -> Html:
    """How much of the class activation falls on the true part, beside chance and the difference to the baseline."""
    frame, caption = tables.localisation(measured), "Class activation and the true part"
    same = frame.loc[frame.n != markup.DASH, ["n", "chance", "centre (%)"]].drop_duplicates() if len(frame) else frame
    if len(same) == 1:          # of the images, whatever the network: said once
        n, chance, centre = same.iloc[0]
        caption += f", of {n} images; by chance {chance} % of a map lie on it, and the middle of the image in {centre} % of them"
        frame = frame.drop(columns=same.columns)
    return markup.html(frame, caption, tier)


def class_maps(measured: Measured, tier: str) -> Html:
    """CAM and Grad-CAM on a few of the built-in images."""
    return maps.parts_maps(measured, tier)


def detections(measured: Measured, tier: str) -> Html:
    """What detectors find in a few test images, beside the true boxes."""
    return boxes.detections(measured, tier)


def activations(measured: Measured, unit: str, tier: str) -> Html:
    """Activations over their size, ``raw`` or ``in_spreads`` of each stage."""
    return figures.activations(measured, unit, tier)


def activation_counts(measured: Measured, tier: str) -> Html:
    """Activations above the threshold in each stage, and the ratio to the baseline."""
    return markup.html(tables.activations(measured), "Activations above 0.5 per image", tier)


def costs(cells: Sequence[Cell], measured: Sequence[Finding], tier: str) -> Html:
    """Seconds and memory of an iteration beside the printed ones, device by device, and the ratios to the baseline."""
    frame = cost_table(list(cells), list(measured))
    ratios, absolute = frame.columns[2:7], frame.columns[8:]
    return Html("\n".join((
        markup.html(frame.drop(columns=absolute), "Cost of an iteration over the baseline's", tier),
        markup.html(frame.drop(columns=ratios), "Seconds and memory of an iteration", tier))))


def cost_ratios(cells: Sequence[Cell], measured: Sequence[Finding]) -> Html:
    """The ratio of times to the baseline, by network."""
    return cost_figure(list(cells), list(measured))


def detail(measured: Measured, tier: str) -> Html:
    """How much maps change where the image does, before and after low-rank recovery."""
    caption = "How well edges of maps follow edges of the image (correlation × 100), before and after low-rank recovery"
    return neighbours.table(neighbours.detail(measured), caption, tier)


def detail_maps(measured: Measured, tier: str) -> Html:
    """The same as pictures of a few images."""
    return drawn.detail(measured, tier)


def view(measured: Measured, tier: str) -> Html:
    """How wide the networks look."""
    caption = "The part of an image that holds four fifths of its class activation"
    return neighbours.table(neighbours.view(measured), caption, tier)


def confusion(measured: Measured, tier: str) -> Html:
    """How classes are confused, by the angle of their vectors."""
    return neighbours.table(neighbours.confusion(measured), "Confusion of pairs of classes, and their angles", tier)


def confusion_by_angle(measured: Measured, tier: str) -> Html:
    """The same as a figure."""
    return drawn.confusion(measured, tier)
