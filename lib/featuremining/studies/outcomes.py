"""What can be said of a claim. Whether it is said is computed in `judging`."""

REPRODUCED, DIRECTION, NOT_REPRODUCED = "reproduced", "direction only", "not reproduced"
INCONCLUSIVE, NOT_RUN = "inconclusive", "not run"
CONTRADICTED, UNTESTABLE = "contradicted by the paper's own numbers", "not testable"
DECIDED = (REPRODUCED, DIRECTION, NOT_REPRODUCED, INCONCLUSIVE, CONTRADICTED)
UNDECIDED = (UNTESTABLE, NOT_RUN)       # where lists of claims end
SUPPORTED, NOT_ESTABLISHED = "supported", "not established"         # by the paper's own numbers, besides contradicted
NOT_PRINTED = "–"       # there is nothing to judge
