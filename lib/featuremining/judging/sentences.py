"""Does a claim hold, by the paper's own printed numbers and by our records? Computed, never typed. No torch here.

An *order* (every one of these above every one of those) is a family of pairs, as many as it names; each pair is tested by
Welch's two-sided test, and Holm's correction keeps the chance of one false pair in the family below 5 %. Pairs that were not
run stay in the family. The order is reproduced when every pair is settled in its favour; direction only when every pair is, but
one by a difference that does not matter; not reproduced when a pair is settled against it, or is no difference: its interval
holds zero, lies inside the margin around it (two one-sided tests, with Holm's correction over the family) and short of what is
printed. Until then it is inconclusive. Each look at the runs (`studies.Looks`) takes as many seeds of every cell, and its tests
count the other looks in. What is compared is accuracy, or another measure of the trained networks (`sides`).

A *gain* is judged as the gains of the tables are (`verdicts.judge_gain`), a *cost* by the ratio of iterations taken in turns,
with a limit that is our reading of a word, since the paper gives none; what other limits would make of it is said beside.
Where the printed numbers themselves say the contrary, the claim is *contradicted by the paper's own numbers*, whatever we
measure; where another sentence does, *by its own text*. A *construction* follows from how the method is made, and is verified as
that.
"""

from dataclasses import dataclass, replace
from functools import partial
from math import exp, log

from .. import stats, studies
from ..records.durations import device_of
from ..records.findings import CONSTRUCTION
from ..records.findings import read as findings_of
from ..stats import Interval, Summary, holm
from ..studies import Look
from ..studies.claims import Claim, load_claims
from ..studies.measures import ALONE_SCOPE
from ..studies.outcomes import Status
from . import cost, sides, verdicts
from .ledger import Ledger
from .orders import bounds, family, order_status
from .verdicts import latest


@dataclass(frozen=True)
class Pair:
    """One comparison of a family: differences in percentage points with 95 % intervals, and Holm's p among its family."""

    higher: str
    lower: str
    printed: Interval | None = None
    printed_p: float | None = None
    ours: Interval | None = None
    p: float | None = None
    n: tuple[int, int] = (0, 0)
    none: float = 1.0           # Holm's p that the difference matters, or that half of the printed one is there
    zero: bool = True           # our interval at the look's level holds zero, or lies below it


@dataclass(frozen=True)
class Judgement:
    """``status`` from our records, or what the printed numbers say against the claim; ``own_numbers``: what they say alone."""

    status: Status
    own_numbers: Status | None = None
    ours: str = ""              # in words
    paper: str = ""
    pairs: tuple[Pair, ...] = ()
    tier: str = ""
    n: int | None = None        # of our runs, the fewest of any side
    note: str = ""
    device: str = ""            # of a cost, as are the next three
    scope: str = ""             # what the status holds for, and what it leaves undecided
    detail: str = ""
    limit: str = ""             # how its word is read, and what it would come to with other limits
    look: Look | None = None    # of an order, a gain or activations


def compared(claim_: Claim, ledger: Ledger, look: Look | None = None) -> tuple[Pair, ...]:
    """The pairs of an order or gain, by the printed numbers and by our full-tier records at a look; without one, by all of them
    and as if their number had been fixed beforehand."""
    rows = []
    for ids in claim_.named_pairs():
        a, b = map(studies.cell, ids)
        printed = None if None in (a.published, b.published) else (verdicts.printed(a), verdicts.printed(b))
        rows.append((ids, printed, sides.of_pair(claim_, ids, ledger, look)))
    printed_p = holm([1.0 if printed is None else stats.welch_p(*printed) for _, printed, _ in rows])
    within = [(ledger.setting.margin * margin, half) for margin, half in (bounds(*ids) for ids, *_ in rows)]
    p, none, zero = family([sides.raised(mine, claim_.within) for *_, mine in rows], within, look)
    return tuple(Pair(*ids, stats.welch(*printed) if printed else None, printed_p[i] if printed else None,
                      stats.welch(*mine) if mine else None, p[i] if mine else None, (mine[0].n, mine[1].n) if mine else (0, 0),
                      none[i], zero[i]) for i, (ids, printed, mine) in enumerate(rows))


def judge(claim_: Claim, ledger: Ledger) -> Judgement:
    """Whether the claim holds: runs of any tier, from which each kind takes what may count."""
    kinds = {"order": _order, "gain": _gain, "cost": _cost, "construction": _construction, "text": _text, "same": _same,
             "activations": _activations, "words": lambda c, _: Judgement(Status.UNTESTABLE, note=c.why),
             "to_run": lambda c, _: Judgement(Status.NOT_RUN, note=c.why)}
    return kinds[claim_.kind](claim_, ledger)


def _order(claim_: Claim, ledger: Ledger) -> Judgement:
    seeds = max(sides.seeds(claim_, ids, ledger) for ids in claim_.named_pairs())
    return latest(ledger.looks(claim_.needs[0]), seeds, partial(_order_at, claim_, ledger))


def _order_at(claim_: Claim, ledger: Ledger, look: Look) -> Judgement:
    pairs, error = compared(claim_, ledger, look), ledger.setting.error
    own_numbers = _by_own_numbers([(p.printed, p.printed_p) for p in pairs if p.printed], error)
    run = [p for p in pairs if p.ours]
    if own_numbers == Status.CONTRADICTED:
        status = Status.CONTRADICTED
    elif not run:
        status = Status.NOT_RUN
    else:
        status = order_status([p.ours.value + claim_.within for p in run], [p.p for p in run], [p.none for p in run],
                              [p.zero for p in run], len(pairs), error)
    above = sum(p.printed.value > 0 for p in pairs if p.printed)
    firm = sum(p.printed_p < error for p in pairs if p.printed)
    paper = (f"{above} of {len(pairs)} pairs printed in this order, {firm} significant" if own_numbers
             else f"{len(pairs)} pair{'s' * (len(pairs) > 1)}, not printed")
    in_order, settled = sum(p.ours.value + claim_.within > 0 for p in run), sum(p.p < error for p in run)
    ours = f"{len(run)} of {len(pairs)} pairs run: {in_order} in this order, {settled} significant" if run else ""
    points = f"{claim_.within:g} point{'s' * (claim_.within != 1)}"
    limit = f"read as no more than {points} below, which is our limit" if claim_.within else ""
    return Judgement(status, own_numbers, ours, paper, pairs, "full" if run else "", min((min(p.n) for p in run), default=None),
                     _borrowed(claim_), scope=ALONE_SCOPE if run and claim_.alone else "", limit=limit,
                     look=look if run else None)


def _borrowed(claim_: Claim) -> str:
    """What is to be said besides, and that spreads are borrowed where none are printed."""
    bare = "No spreads are printed here; those of the same network in other tables stand in."
    return " ".join(filter(None, (claim_.why, bare if any(c.spread is None and not c.own for c in claim_.needs) else "")))


def _by_own_numbers(differences: list[tuple[Interval, float]], error: float) -> Status | None:
    """What printed differences and their p say about the claim that each is positive, at an error rate; None where nothing is
    printed."""
    if any(difference.value < 0 for difference, _ in differences):
        return Status.CONTRADICTED
    if not differences:
        return None
    return Status.SUPPORTED if all(p < error for _, p in differences) else Status.NOT_ESTABLISHED


def _gain(claim_: Claim, ledger: Ledger) -> Judgement:
    return latest(ledger.looks(claim_.needs[0]), ledger.seeds(claim_.needs), partial(_gain_at, claim_, ledger))


def _gain_at(claim_: Claim, ledger: Ledger, look: Look) -> Judgement:
    a, b = map(studies.cell, claim_.cells)
    (pair,) = compared(claim_, ledger, look)
    verdict = ledger.gain_at(a, b, look)
    printed = a.published - b.published
    stated = printed if claim_.difference is None else claim_.difference
    rounded = sum(number.half for number in (a.published, b.published, claim_.difference) if number is not None)
    agree = claim_.values in ((), (a.published, b.published)) and abs(stated - printed) < rounded
    own_numbers = _by_own_numbers([(pair.printed, pair.printed_p)], ledger.setting.error) if agree else Status.CONTRADICTED
    return Judgement(Status.CONTRADICTED if own_numbers == Status.CONTRADICTED else verdict.status, own_numbers,
                     stats.signed(pair.ours.value) if pair.ours else "", stats.signed(printed), (pair,),
                     "full" if pair.ours else "", min(pair.n) if pair.ours else None, _borrowed(claim_),
                     look=look if pair.ours else None)


def _cost(claim_: Claim, _) -> Judgement:
    """By a limit: printed ratios decide first, where the network's are printed; then ours of time in the full tier, on GPUs where
    every cell was measured on one, else on CPUs, and of memory where a GPU's allocator counted it."""
    cells = [studies.cell(id_) for id_ in claim_.cells]
    printed = [(c.labels[1], *cost.printed_ratio(c), c.mib / studies.baseline(c).mib) for c in cells if c.seconds]
    measured = {c.id: [f for f in cost.found([c], "full") if "time_ratio" in f.values] for c in cells}
    on_gpus = {id_: [f for f in costs if "allocated_mib" in f.values] for id_, costs in measured.items()}
    gpu = all(on_gpus.values())
    deciding = [f for costs in (on_gpus if gpu else measured).values() for f in costs] if all(measured.values()) else []
    memory = [f.values["memory_ratio"] for f in deciding if "allocated_mib" in f.values]
    low, high = (max(memory + [f.values[bound] for f in deciding], default=None) for bound in ("low", "high"))
    least = max((max(low, memory) for *_, low, _, memory in printed), default=None)         # whatever was rounded off
    word, limit = cost.Word(least, low, high, gpu, claim_.above is not None), claim_.above or claim_.at_most
    status = word.status(limit)
    own = None if not printed or word.above else Status.CONTRADICTED if least > limit else Status.SUPPORTED
    ours = "; ".join(f"{c.labels[1]}: {cost.ratios(f.values)}" for c in cells for f in measured[c.id])
    paper = "; ".join(f"{label}: time × {time:.2f}, memory × {memory:.2f}" for label, time, *_, memory in printed)
    rests = status not in (Status.CONTRADICTED, Status.NOT_RUN)
    read = f"read as {'more than' if word.above else 'at most'} × {limit:.2f}, which is our limit; {word.sensitivity()}"
    return Judgement(status, own, ours, paper, tier="full" if ours else "", note=claim_.why,
                     device="; ".join(sorted({device_of(f.provenance) for costs in measured.values() for f in costs})),
                     limit=read, scope=cost.scope(deciding) if rests else "",
                     detail=cost.UNDECIDED if rests and not memory else "")


def _construction(claim_: Claim, _) -> Judgement:
    """Every form that the paper prints, built and compared with its plain network (`measuring.construction`)."""
    cells = claim_.built
    found = [(c, f.values) for c in cells for f in findings_of(CONSTRUCTION, c.run("full", 0))]
    equal = [v["same_state"] and v["same_outputs"] and v["same_cost"] for _, v in found]
    if not found:
        return Judgement(Status.NOT_RUN, note=claim_.why)
    whole = Status.CONSTRUCTION if len(found) == len(cells) else Status.INCONCLUSIVE
    networks = {(c.network, c.dataset) for c, _ in found}
    return Judgement(whole if all(equal) else Status.NOT_REPRODUCED, note=claim_.why, ours=(
        f"{sum(equal)} of {len(cells)} forms of the paper ({len(networks)} networks on their data) equal their plain network in "
        "state dict, outputs and multiply-adds"))


def _text(claim_: Claim, _) -> Judgement:
    """The paper's other sentence says the contrary; that two sentences do is a reading, and no measurement."""
    extra = [f.values["train_only_parameters"] for c in claim_.built for f in findings_of(CONSTRUCTION, c.run("full", 0))]
    return Judgement(Status.OWN_TEXT, paper=f"section {claim_.against_section}: “{claim_.against}”", note=claim_.why,
                     ours=f"{min(extra):,} to {max(extra):,} parameters more in training" if extra else "")


def _same(claim_: Claim, ledger: Ledger) -> Judgement:
    note = f"Rests on the same evidence as {claim_.same_as}, and is counted there."
    other = judge(load_claims()[claim_.same_as], ledger)
    return replace(other, note=" ".join(filter(None, (note, claim_.why))), pairs=())


def _activations(claim_: Claim, ledger: Ledger) -> Judgement:
    """Counts above the threshold, by stage, of one pair of networks per seed: more in every stage, and most of all in the first.
    Logarithms of the ratios over seeds, by Student's test of each stage and of the first one's lead over each other, with Holm's
    correction over all of them."""
    cell = studies.cell(claim_.cells[0])
    found = findings_of("activations", cell.run("full", 0))
    if not found:
        return Judgement(Status.NOT_RUN)
    logs = []                   # of the ratio, by seed and stage
    for finding in found:
        first, *_, last = (list(map(sum, stages)) for stages in finding.values["raw"]["counts"].values())
        logs.append([log(x / y) for x, y in zip(last, first, strict=True)])
    return latest(ledger.looks(cell), len(found), partial(_activations_at, logs))


def _activations_at(logs: list[list[float]], look: Look) -> Judgement:
    stages = [Summary.of(list(column)) for column in zip(*logs[:look.n], strict=True)]
    leads = [Summary.of([row[0] - row[i] for row in logs[:look.n]]) for i in range(1, len(stages))]
    return Judgement(activations_status([*stages, *leads], look), ours="ratio by stage: " + ", ".join(map(_ratio, stages)),
                     tier="full", n=min(look.n, len(logs)), look=look)


def activations_status(tested: list[Summary], look: Look):
    """All of them above zero, or one below."""
    import numpy as np

    settled = np.array(holm([look.counted(stats.mean_p(s), len(tested)) for s in tested])) < look.looks.error
    below = np.array([s.mean for s in tested]) < 0
    return verdicts.pick(Status.INCONCLUSIVE, ((settled & below).any(0), Status.NOT_REPRODUCED),
                         (settled.all(0), Status.REPRODUCED))


def _ratio(logs: Summary) -> str:
    """The geometric mean of a ratio, with its interval where there are two seeds."""
    i = stats.mean_interval(logs)
    return f"{exp(i.value):.2f}" + (f" ({exp(i.low):.2f} to {exp(i.high):.2f})" if logs.n > 1 else "")
