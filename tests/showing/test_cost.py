"""Costs as table and figure."""

import subprocess
import sys
from dataclasses import replace

from made_costs import BASE, FM1, FM2, SMALL, finding, times

from featuremining.showing.cost import cost_table
from featuremining.showing.figures.cost import cost_figure


def test_the_table():
    gpu = {"device": "NVIDIA H200", "engine": "graph", "allocated_mib": 612.25, "reserved_mib": 700.0}
    known = [finding(BASE), finding(FM2, **times(1.007, 1.003, 1.011), seconds=0.6547),
             finding(FM2, **times(1.1, 1.0, 1.2), **gpu)]
    frame = cost_table([BASE, FM1, FM2, SMALL[1]], known)
    rows = {column: frame[column].tolist() for column in frame}
    assert rows["cell"] == [BASE.id, FM1.id, FM2.id, FM2.id, SMALL[1].id]
    assert rows["device"] == ["AMD EPYC, 2 threads", "–", "AMD EPYC, 2 threads", "NVIDIA H200, 2 threads, graph", "–"]
    assert rows["paper s"] == ["0.094", "0.098", "0.113", "0.113", "–"]
    assert rows["paper MB"] == ["1740", "1773", "1959", "1959", "–"]
    assert rows["paper time ratio"] == ["–", "1.043", "1.202", "1.202", "–"]
    assert rows["paper memory ratio"] == ["–", "1.019", "1.126", "1.126", "–"]
    assert rows["ours s (mean)"] == ["0.65", "–", "0.655", "0.65", "–"]
    assert rows["our time ratio (95 %)"] == ["–", "–", "1.007 (1.003 to 1.011)", "1.100 (1.000 to 1.200)", "–"]
    assert rows["our MiB"] == ["100.0 saved", "–", "100.0 saved", "612.2 allocated, 700.0 reserved", "–"]
    assert rows["our memory ratio"] == ["–", "–", "1.000", "1.000", "–"]
    assert rows["median (quartiles)"][0] == "0.64 (0.63 to 0.66)"


def test_findings_of_other_kinds_and_trainings_stay_out():
    other = replace(finding(FM1, **times(1, 1, 1)), kind="class_activation")
    assert cost_table([FM1], [other, finding(FM2, **times(1, 1, 1))])["device"].tolist() == ["–"]


def test_the_figure_has_a_panel_per_device_and_says_what_is_drawn():
    known = [finding(c, device=d, **times(1.01, 1.0, 1.02)) for c in (FM1, FM2, SMALL[1]) for d in ("AMD EPYC", "Other")]
    svg = cost_figure([BASE, FM1, FM2, *SMALL], [finding(BASE), *known])
    assert svg.startswith('<figure class="plot"><svg') and svg.partition("</svg>")[0].count("baseline's</text>") == 2
    for text in ("AMD EPYC, 2 threads", "Other, 2 threads", "FM (1 layer), n = 299 rounds", "FM (2 layers), paper (Tesla M40)",
                 "ResNet-56", "ResNet-20", "network"):
        assert f">{text}</text>" in svg
    assert "T10.resnet56.fm1" in svg and "X10.resnet20.fm2" not in svg
    assert "nothing to draw" in cost_figure([BASE, FM1], [finding(BASE)])


def test_the_table_needs_no_torch():
    words = ("import sys; from featuremining import studies; from featuremining.judging import cost; "
             "from featuremining.showing.cost import cost_table; from featuremining.showing.figures.cost import cost_figure; "
             "c = studies.cell('T10.resnet56.fm1'); cost_table([c], cost.found([c], 'full')); cost_figure([c], []); "
             "assert 'torch' not in sys.modules")
    subprocess.run([sys.executable, "-c", words], check=True)
