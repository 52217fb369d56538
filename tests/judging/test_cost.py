"""Costs beside the printed ones: which are as printed, and on which device."""

from itertools import pairwise

import pytest
from made_costs import BASE, FM1, FM2, SMALL, finding, times

from featuremining.judging import cost
from featuremining.judging.cost import Word
from featuremining.studies.outcomes import Status


@pytest.mark.parametrize(("cell", "interval", "device", "says"), [
    (FM1, (1.001, 1.008), "AMD EPYC", "cheaper here: CPU, ratios only; memory undecided"),
    (FM1, (1.001, 1.0316), "Tesla M40", "cheaper here: memory undecided"),      # printed: from 0.0975 / 0.0945 = 1.03175
    (FM1, (1.001, 1.0318), "Tesla M40", "as printed: memory undecided"),
    (FM1, (1.0534, 1.07), "Tesla M40 24GB", "as printed: memory undecided"),     # to 0.0985 / 0.0935 = 1.05348
    (FM1, (1.0536, 1.07), "AMD EPYC", "dearer here: CPU, ratios only; memory undecided"),
    (FM1, (0.9, 1.2), "AMD EPYC", "inconclusive: CPU, ratios only; memory undecided"),
    (FM2, (0.99, 1.05), "AMD EPYC", "cheaper here: CPU, ratios only; memory undecided"),
    (FM2, (1.15, 1.25), "AMD EPYC", "as printed: CPU, ratios only; memory undecided")])
def test_verdicts(cell, interval, device, says):
    assert str(cost.verdict(cell, finding(cell, device=device, **times(1.0, *interval)))) == says


def test_on_a_gpu_memory_stands_beside():
    gpu = finding(FM1, device="NVIDIA H200", allocated_mib=9.0, **times(1.04, 1.035, 1.045))
    assert str(cost.verdict(FM1, gpu)) == "as printed: another GPU, ratios only; memory × 1.00, printed × 1.02"


@pytest.mark.parametrize(("word", "limit", "status"), [
    (Word(1.19, 0.99, 1.0), 1.18, Status.CONTRADICTED), (Word(1.19, 0.99, 1.0), 1.19, Status.REPRODUCED),
    (Word(None, None, None), 1.05, Status.NOT_RUN), (Word(1.19, None, None), 1.25, Status.NOT_RUN),
    (Word(None, 1.02, 1.08), 1.019, Status.NOT_REPRODUCED), (Word(None, 1.02, 1.08), 1.02, Status.INCONCLUSIVE),
    (Word(None, 1.02, 1.08), 1.08, Status.REPRODUCED), (Word(None, 1.02, 1.08, gpu=False), 1.08, Status.CHEAPER),
    (Word(None, 1.02, 1.08, gpu=False), 1.01, Status.DEARER), (Word(None, 1.1, 1.2, above=True), 1.0, Status.REPRODUCED)])
def test_a_word_by_its_limit(word, limit, status):
    assert word.status(limit) == status


@pytest.mark.parametrize("word", [Word(1.19, 0.99, 1.004), Word(None, 1.02, 1.08, gpu=False), Word(1.05, 1.02, 1.08),
                                  Word(1.3, 1.02, 1.08), Word(None, 1.1, 1.2, above=True), Word(None, None, None)])
def test_sensitivity_is_what_every_limit_gives(word):
    steps = word.by_limit()
    for limit in [1 + i / 997 for i in range(500)]:
        assert word.status(limit) == [status for edge, status in steps if edge <= limit][-1]
    assert all(a[1] != b[1] for a, b in pairwise(steps))
    assert all(f"{edge:.3f} on {status}" in word.sensitivity() for edge, status in steps[1:])


def test_the_device_nearest_to_the_papers_is_judged():
    """The paper's own, else a GPU, whatever the files' names."""
    cpu = finding(FM1, **times(1.0, 0.99, 1.01))
    gpu = finding(FM1, device="NVIDIA H200", allocated_mib=9.0, **times(1.1, 1.09, 1.11))
    m40 = finding(FM1, device="Tesla M40 24GB", allocated_mib=9.0, **times(1.04, 1.03, 1.05))
    assert cost.nearest([cpu, gpu, m40]) == m40 and cost.nearest([cpu, gpu]) == gpu
    assert cost.nearest([cpu]) == cpu and cost.nearest([]) is None


def test_what_is_not_judged():
    assert cost.verdict(BASE, finding(BASE)).status == Status.UNTESTABLE and cost.verdict(BASE, None).status == Status.NOT_RUN
    assert cost.verdict(FM2, None).status == Status.NOT_RUN and cost.verdict(SMALL[1], None) is None
    short = cost.verdict(FM2, finding(FM2, "short", **times(1.2, 1.1, 1.3)))
    assert short.status == Status.NOT_JUDGED and str(short) == "not judged: short tier"
