"""How likely it is that a claim is decided by so many seeds: before the second run, if the paper is exactly right (runs are
normal around each printed mean with its printed spread); from then on, if the others are as ours are so far. Simulated with a
fixed seed by the rules that decide: a chance is exact to 0.03. No torch here."""

from collections.abc import Iterable, Sequence
from functools import cache

from .. import stats, studies
from ..stats import Summary
from ..studies import Cell, Looks
from ..studies.claims import load_claims
from ..studies.outcomes import Status
from . import orders, verdicts

WORLDS = 1000


def enough(chances: dict[int, float]) -> int | None:
    """The fewest seeds with which the claim is decided in 80 % of cases; None where no look has that chance."""
    return next((n for n, chance in chances.items() if chance >= stats.POWER), None)


@cache
def number(id_: str, runs: tuple[float, ...] = ()) -> dict[int, float]:
    """Of the verdict on a printed number."""
    cell = studies.cell(id_)
    (drawn,), within = _draw([(cell, runs)]), stats.margin(verdicts.pooled_spread(cell), cell.n)
    return _by_look(cell.looks, len(runs), lambda look: verdicts.number_status(
        stats.welch(drawn[look.n], verdicts.printed(cell), look.level), within))


@cache
def gain(ids: tuple[str, str], runs: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())) -> dict[int, float]:
    """Of the verdict on a printed gain: (method, baseline)."""
    return _gain([studies.cell(id_) for id_ in ids], runs)


def _gain(pair: Sequence[Cell], runs: Sequence[tuple[float, ...]]) -> dict[int, float]:
    drawn, theirs = _draw(zip(pair, runs, strict=True)), tuple(map(verdicts.printed, pair))
    within = stats.margin(verdicts.pooled_spread(pair[0]), pair[0].n)

    def status(look):
        return verdicts.gain_status(tuple(by_look[look.n] for by_look in drawn), theirs, within, look.level)
    return _by_look(pair[0].looks, min(map(len, runs)), status)


@cache
def sentence(id_: str, runs: tuple[tuple[float, ...], ...]) -> dict[int, float] | None:
    """Of the verdict on an order or a gain, with the runs on record of each cell that it needs; None where a mean that it needs
    was neither printed nor run, or where the order is not of accuracies as they are."""
    claim = load_claims()[id_]
    needs = list(zip(claim.needs, runs, strict=True))
    other = claim.measures or claim.within
    if claim.kind not in ("order", "gain") or other or any(c.published is None and len(some) < 2 for c, some in needs):
        return None
    if claim.kind == "gain":
        return _gain(claim.needs, runs)
    drawn = dict(zip((c.id for c in claim.needs), _draw(needs), strict=True))
    pairs = claim.named_pairs()
    bounds = [orders.bounds(*pair) for pair in pairs]

    def status(look):
        ours = [(drawn[a][look.n], drawn[b][look.n]) for a, b in pairs]
        return orders.order_status([a.mean - b.mean for a, b in ours], *orders.family(ours, bounds, look), len(pairs))
    return _by_look(claim.needs[0].looks, min(map(len, runs)), status)


def _by_look(looks: Looks, on_record: int, status) -> dict[int, float]:
    chances, settled = {}, False
    for look in (look for look in looks.upto(looks.seeds[-1]) if look.n > on_record):
        settled = settled | (status(look) != Status.INCONCLUSIVE)
        chances[look.n] = float(settled.mean())
    return chances


def _draw(cells: Iterable[tuple[Cell, tuple[float, ...]]]) -> list[dict[int, Summary]]:
    """Of each cell, by look, the mean and spread of its runs on record and of as many drawn ones as the look takes."""
    import numpy as np

    rng, drawn = np.random.default_rng(0), []
    for cell, runs in cells:
        s, most = Summary.of(list(runs)) if len(runs) > 1 else verdicts.printed(cell), cell.looks.seeds[-1]
        new = rng.normal(s.mean, s.sd, (WORLDS, max(most - len(runs), 0)))
        every = np.concatenate([np.tile(np.array(runs[:most], float), (WORLDS, 1)), new], axis=1)
        drawn.append({n: Summary(n, every[:, :n].mean(1), every[:, :n].std(1, ddof=1)) for n in cell.looks.seeds})
    return drawn
