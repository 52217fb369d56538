"""Costs beside the printed ones: which are as printed, and on which device."""


import pytest
from made_costs import BASE, FM1, FM2, SMALL, finding, times

from featuremining.judging import cost
from featuremining.studies.outcomes import Status


@pytest.mark.parametrize(("cell", "interval", "device", "says"), [
    (FM1, (1.001, 1.008), "AMD EPYC", "cheaper here: another device, ratios only"),
    (FM1, (1.001, 1.0316), "Tesla M40", "cheaper here"),                # the printed ratio begins at 0.0975 / 0.0945 = 1.03175
    (FM1, (1.001, 1.0318), "Tesla M40", "as printed"),
    (FM1, (1.0534, 1.07), "Tesla M40 24GB", "as printed"),              # and ends at 0.0985 / 0.0935 = 1.05348
    (FM1, (1.0536, 1.07), "AMD EPYC", "dearer here: another device, ratios only"),
    (FM1, (0.9, 1.2), "AMD EPYC", "inconclusive: another device, ratios only"),
    (FM2, (0.99, 1.05), "AMD EPYC", "cheaper here: another device, ratios only"),
    (FM2, (1.15, 1.25), "AMD EPYC", "as printed: another device, ratios only")])
def test_verdicts(cell, interval, device, says):
    assert str(cost.verdict(cell, finding(cell, device=device, **times(1.0, *interval)))) == says


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
