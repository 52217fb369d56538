"""Random kills over all methods, heads and layers, a turn for each and a minute at least; `make chaos` takes twenty."""

import json
import re
import subprocess
import sys

import chaos
import pytest
import torch

from featuremining import METHODS, FMError, paths
from featuremining.training.run import Training


def test_a_minute_of_random_kills(tmp_path):
    """Every training that was killed ends with the record, bit for bit, of one that nothing disturbed. The seed is printed, and
    in each run of this test each kind has its turn."""
    words = [sys.executable, str(paths.ROOT / "tests/chaos.py"), "--minutes", "1", "--keep", str(tmp_path / "found.json")]
    result = subprocess.run(words, capture_output=True, text=True)
    print(result.stdout)
    assert result.returncode == 0, result.stdout + result.stderr[-3000:]
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found["methods"].keys() == {"baseline", *METHODS, *chaos.PARTS} and min(found["methods"].values()) > 0
    assert found["runs"] == found["equal"] == sum(found["methods"].values())
    assert found["kills"] >= found["runs"] / 2 and found["resumed"] > 0
    assert re.match(rf"chaos: seed {found['seed']}, ", result.stdout)


def forgets(training, then=Training.resume):
    """Weights that are not quite those of the checkpoint."""
    then(training)
    if training.loader.epoch:
        with torch.no_grad():
            next(training.model.parameters()).mul_(1 + 1e-6)


def keeps(training, then=Training.record):
    """A record that is written a second time, beside."""
    record = then(training)
    (paths.build() / "checkpoints" / "half.tmp").write_text("half", encoding="utf-8")
    return record


def test_parts_of_a_network_have_their_turn():
    """Those with something of their own to keep, too."""
    assert {"head covariance", "head idccp", "layer low_rank", "layer gsop"} <= set(chaos.ALL)
    assert all(chaos.run_of(name, 0).options == options for name, options in chaos.PARTS.items())


@pytest.mark.parametrize(("name", "fault", "says"), [("resume", forgets, "the record is another one"),
                                                     ("record", keeps, "left behind")])
def test_chaos_sees_a_training_that_does_not_go_on_as_it_was(monkeypatch, name, fault, says):
    """With faults put in on purpose, weights a millionth off and a file left over, it fails."""
    monkeypatch.setattr(Training, name, fault)
    monkeypatch.setattr(chaos.training, "load", chaos.few)
    with pytest.raises(FMError, match=says):
        chaos.chaos(3, 0, ("baseline", "mixup"))
