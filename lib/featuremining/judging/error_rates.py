"""How often verdicts err and how many seeds they take: the rules that decide, applied to simulated worlds whose truth is known.
``python benchmarks/error_rates.py`` writes what the book shows. No torch here.

In every world the paper prints a gain of one point with four runs a side; in truth the gain is that, half of it, none, or the
reverse; an order is also given with one pair of six nil, where calling it true is easiest to get wrong. All runs are normal, with
a spread of 0.2 points, of 0.05 for logarithms of ratios of activations; a comparison of our own has the same truths.
"""

import hashlib
import inspect
import json
from collections.abc import Callable
from functools import partial

from .. import paths, stats, studies
from ..stats import Summary
from ..studies import Looks, looks
from ..studies.outcomes import Status
from . import comparisons, orders, sentences, verdicts

SPREAD, PRINTED, N = 0.2, 1.0, 4
TRUTHS = {"the paper is right": 1.0, "half of the gain": 0.5, "no gain": 0.0, "the reverse": -1.0}
ONE_NIL = "one pair of six is nil"      # of an order
DIFFERENCES = (0.0, 0.3, 0.5, 1.0)
WITHIN = stats.margin([SPREAD], N)
PAIRS, STAGES = 6, (0.3, 0.2, 0.1)      # of an order; of Figure 4, logarithms of ratios
RULES = (stats, looks, verdicts, orders, sentences.activations_status, comparisons.status)


def path():
    """Of what the book shows."""
    return paths.benchmarks() / "verdicts" / "error_rates.json"


def version() -> str:
    """Of the rules and of this simulation: it changes with their text."""
    code = [inspect.getsource(of) for of in (*RULES, inspect.getmodule(version))]
    return hashlib.sha256(json.dumps([code, repr(_looks())]).encode()).hexdigest()[:16]


def _looks() -> Looks:
    return next(iter(studies.papers().values())).looks


def drawn(mean: float, worlds: int, rng, spread: float = SPREAD):
    """Runs of one side in many worlds, as many as the last look takes."""
    return rng.normal(mean, spread, (worlds, _looks().seeds[-1]))


def first(runs) -> Callable[[int], Summary]:
    """Of the first n runs in each world."""
    return lambda n: Summary(n, runs[:, :n].mean(1), runs[:, :n].std(1, ddof=1))


def side(mean: float, worlds: int, rng) -> Callable[[int], Summary]:
    return first(drawn(mean, worlds, rng))


def _number(gain, worlds, rng, printed=PRINTED):
    ours, paper = side(gain, worlds, rng), side(printed, worlds, rng)(N)
    return lambda n, look: verdicts.number_status(stats.welch(ours(n), paper, look.level), WITHIN)


def _gain(gain, worlds, rng, printed=PRINTED):
    ours, paper = [side(gain, worlds, rng), side(0, worlds, rng)], (side(printed, worlds, rng)(N), side(0, worlds, rng)(N))
    return lambda n, look: verdicts.gain_status(tuple(s(n) for s in ours), paper, WITHIN, look.level)


def _order(gain, worlds, rng, printed=PRINTED, nil=0):
    pairs = [(side(0 if i < nil else gain, worlds, rng), side(0, worlds, rng)) for i in range(PAIRS)]

    def judged(n, look):
        ours = [(a(n), b(n)) for a, b in pairs]
        found = orders.family(ours, [(WITHIN, printed / 2)] * PAIRS, look)
        return orders.order_status([a.mean - b.mean for a, b in ours], *found, PAIRS)
    return judged


def _activations(gain, worlds, rng, printed=PRINTED):
    stages = [drawn(gain * mean, worlds, rng, 0.05) for mean in STAGES]
    tested = [first(runs) for runs in (*stages, *(stages[0] - runs for runs in stages[1:]))]
    return lambda n, look: sentences.activations_status([s(n) for s in tested], look)


KINDS = {"number": _number, "gain": _gain, "order": _order, "activations": _activations}
ABOVE = (Status.REPRODUCED, Status.DIRECTION)
FALSE = {"number": ((Status.NOT_REPRODUCED,), *[(Status.REPRODUCED,)] * 3),         # by truth, in the order of TRUTHS
         **dict.fromkeys(("gain", "order"), (*[(Status.NOT_REPRODUCED,)] * 2, ABOVE, ABOVE)),
         "activations": (*[(Status.NOT_REPRODUCED,)] * 2, (*ABOVE, Status.NOT_REPRODUCED), ABOVE),
         "comparison": (*[(Status.BELOW,)] * 2, (Status.ABOVE, Status.BELOW), (Status.ABOVE,))}


def cases():
    """Kind, truth, the outcomes that are false in it, and the worlds of it."""
    for kind, make in KINDS.items():
        for (truth, share), false in zip(TRUTHS.items(), FALSE[kind], strict=True):
            yield kind, truth, false, partial(make, share * PRINTED)
    yield "order", ONE_NIL, ABOVE, partial(_order, PRINTED, nil=1)


def measure(worlds: int) -> dict:
    """Rates of every outcome by kind, truth and seeds; how often a false verdict is ever given, and a false "reproduced", by the
    looks and if one looked after every seed from 4 to 12 with an interval of 95 %; and the seeds that one must expect."""
    import numpy as np

    rates, errors = [], []
    for kind, truth, false, make in cases():
        judged, standing = make(worlds, np.random.default_rng(0)), np.full(worlds, str(Status.INCONCLUSIVE)).astype("<U40")
        ever, reproduced = np.zeros(worlds, bool), np.zeros(worlds, bool)
        for look in _looks().upto(_looks().seeds[-1]):
            found = judged(look.n, look)
            standing = np.where(found == Status.INCONCLUSIVE, standing, found)      # the latest look that settles
            ever |= np.isin(found, false)
            reproduced |= (found == Status.REPRODUCED) & (Status.REPRODUCED in false)
            rates.append({"kind": kind, "truth": truth, "n": look.n} | _shares(standing))
        naive = [judged(n, Looks((n,), n, 1).upto(n)[0]) for n in range(4, 13)]
        errors.append({"kind": kind, "truth": truth, "ever": float(ever.mean()), "allowed": _allowed(false),
                       "reproduced": float(reproduced.mean()),
                       "after_every_seed": float(np.any([np.isin(found, false) for found in naive], axis=0).mean())})
    return {"version": version(), "worlds": worlds, "rates": rates + _compared(worlds, errors), "errors": errors,
            "seeds": [_seeds(kind, difference, worlds) for kind in ("number", "gain") for difference in DIFFERENCES]}


def _allowed(false: tuple[Status, ...]) -> float:
    return (1 - stats.LEVEL) / (2 if false == (Status.REPRODUCED,) else 1)


def at_most(bound: float, worlds: int) -> float:
    """The bound and two standard errors of the simulation."""
    return bound + 2 * (bound * (1 - bound) / worlds) ** 0.5


def _shares(outcomes) -> dict:
    import numpy as np

    return {"outcomes": {str(name): float((outcomes == name).mean()) for name in np.unique(outcomes)}}


def _compared(worlds: int, errors: list[dict]) -> list[dict]:
    """Four comparisons of our own with four seeds a side, as X3's rule has it: of all, and whether any of the four errs."""
    import numpy as np

    rows = []
    for (truth, share), false in zip(TRUTHS.items(), FALSE["comparison"], strict=True):
        rng = np.random.default_rng(0)
        pairs = [(side(share * PRINTED, worlds, rng)(N), side(0, worlds, rng)(N)) for _ in range(4)]
        p = stats.holm([stats.welch_p(*pair) for pair in pairs])
        found = np.array([comparisons.status(q, stats.LEVEL, a.mean - b.mean) for q, (a, b) in zip(p, pairs, strict=True)])
        rows.append({"kind": "comparison", "truth": truth, "n": N} | _shares(found))
        errors.append({"kind": "comparison", "truth": truth, "ever": float(np.isin(found, false).any(0).mean()),
                       "allowed": 1 - stats.LEVEL, "reproduced": 0.0, "after_every_seed": None})
    return rows


def _seeds(kind: str, difference: float, worlds: int) -> dict:
    """Of a number that is off by so much, or of a gain of so much that is printed so: seeds at the first look that settles, the
    last one where none does."""
    import numpy as np

    gain, printed = (PRINTED + difference, PRINTED) if kind == "number" else (difference, difference)
    judged, looks = KINDS[kind](gain, worlds, np.random.default_rng(1), printed), _looks().upto(_looks().seeds[-1])
    settled = np.array([judged(look.n, look) != Status.INCONCLUSIVE for look in looks])
    first = np.array([look.n for look in looks])[np.where(settled.any(0), settled.argmax(0), -1)]
    return {"kind": kind, "difference": difference, "seeds": float(first.mean()), "undecided": float((~settled.any(0)).mean())}


def read() -> dict:
    """What was measured last."""
    return json.loads(path().read_text(encoding="utf-8"))


def write(worlds: int = 4000) -> dict:
    """Measure and keep."""
    found = measure(worlds)
    path().parent.mkdir(parents=True, exist_ok=True)
    path().write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found
