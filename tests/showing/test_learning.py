"""How networks learn and what lengths of training found: every number from the records."""

import re
from dataclasses import replace

from made_records import recorded

from featuremining import studies
from featuremining.judging.ledger import Ledger
from featuremining.showing import learning, why
from featuremining.showing.figures import style
from featuremining.studies.outcomes import Status

RULE = studies.rules()["X3"]
BASE, FM = "X3.resnet20.baseline", "X3.resnet20.fm2"


def with_curves(records, **curves):
    return [replace(r, curves={**r.curves, **{name: [v] * len(r.curves["ce"]) for name, v in curves.items()}}) for r in records]


def test_learning_says_what_the_records_end_with():
    """Two seeds of plain training, one of Feature Mining: lines, losses and boxes; nothing of cells without a run."""
    plain = [r for i, train in enumerate((70.0, 72.0)) for r in with_curves(recorded(BASE, 66.0, 67.0)[i:i + 1], train_acc=train)]
    mined = with_curves(recorded(FM, 65.0), train_acc=60.0, ce=1.25, **{
        "fm.stage3.inside": 2.5, "fm.stage3.outside": 2.0, "fm.stage2.inside": 3.0, "fm.stage2.outside": 2.75,
        "fm.stage3.empty": 0.0625})
    shown = learning.learning(RULE, Ledger([*plain, *mined]))
    assert "training 71.0, test 66.0, n = 2" in shown and "training 60.0, test 64.5, n = 1" in shown
    words = re.sub(r"<[^>]+>", " ", shown)
    assert "1.250" in words and "2.500" in words and "2.750" in words and "6.2" in words and "losses averaged" not in words
    assert "No run of X3 is on record" in learning.learning(RULE, Ledger([]))


def test_schedules_compare_lengths_of_one_setting():
    """The same network on the same images for 30, 60 and 300 epochs; a setting with one length is not shown."""
    made = (recorded("X1.resnet20.fm2", 60.0, 61.0, tier="short") + recorded("X1.resnet20.baseline", 62.0, 62.5, tier="short")
            + recorded(FM, 67.0, 67.5) + recorded(BASE, 66.0, 66.5)
            + recorded("F6.resnet56.fm2.50", 40.0) + recorded("F6.resnet56.baseline.50", 41.0))
    shown = learning.schedules(Ledger(made))
    assert [int(n) for n in re.findall(r"(\d+) epochs \(", shown)] == sorted(
        learning.epochs(tier, studies.cell(id_)) for tier, id_ in (("short", "X1.resnet20.fm2"), ("full", FM)))
    assert "ResNet-56" not in shown and "Of these 2 differences 2 have enough seeds for an interval" in shown
    assert "nothing to compare" in learning.schedules(Ledger(recorded(FM, 67.0) + recorded(BASE, 66.0)))


def test_the_control_of_averaged_losses_is_judged_by_its_rule():
    """Plain training with a smaller rate as far above plain training as averaged losses: nothing beyond the rate."""
    plain, slow, mean = "X6.resnet20.baseline", "X6.resnet20.baseline.slow", "X6.resnet20.mean_loss"
    made = (recorded(plain, 40.0, 41.0, 42.0, 43.0) + recorded(slow, 70.0, 71.0, 72.0, 73.0)
            + recorded(mean, 70.5, 71.0, 72.0, 73.0))
    shown = why.control(Ledger(made))
    assert "In short" not in shown                      # the third comparison is not finished
    added = "X6.resnet20.fm2.slow"
    whole = why.control(Ledger(made + recorded(added, 70.0, 71.5, 72.0, 73.0)))
    assert "Nothing shows that it is more. With a fifth of the learning rate plain training gains +30.00 points" in whole
    assert "In short" not in why.control(Ledger(made + recorded(added, 50.0, 51.0, 52.0, 53.0)))         # one that is clear
    assert "ResNet-20, a fifth of the rate · Baseline minus ResNet-20 · Baseline" in shown
    assert re.search(rf"\+30\.00 \([^)]+\), n = 4 and 4, {Status.ABOVE}", shown)
    assert re.search(rf"\+0\.12 \([^)]+\), n = 4 and 4, {Status.NO_CLEAR_DIFFERENCE}", shown)
    assert "Difference of test accuracy after the last epoch" in shown and "FM (2 layers)" not in shown
    assert "nothing to draw" in why.control(Ledger([]))


def test_a_method_looks_the_same_in_every_figure():
    """Printed names have looks of their own, whatever else is drawn; others get looks that nobody in the figure has."""
    labels = list(dict.fromkeys(cell.labels[1] for cell in studies.load_cells().values()))
    every = style.looks(labels)
    assert len(set(every.values())) >= len(labels) - 1          # "Baseline" and "Mean pooling" are one
    for i in range(0, len(labels), 7):
        assert style.looks([*labels[i:i + 3], "mine"]).items() >= {n: every[n] for n in labels[i:i + 3]}.items()
    mixed = style.looks([*labels[:5], "mine", "yours"])
    assert len(set(mixed.values())) == 7
    assert style.looks(["FM (2 layers)"])["FM (2 layers)"].colour == style.COLOURS[0]
