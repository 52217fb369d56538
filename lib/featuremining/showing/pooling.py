"""What the page of covariance pooling shows beside its runs: the idea, errors of roots and gradients, a network's landscape,
speed, printed numbers, and the answer in sentences. Torch is imported where something is computed."""

from collections.abc import Mapping, Sequence
from statistics import fmean, median

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .. import stats, studies
from ..judging import comparisons, sides
from ..judging.ledger import Ledger
from ..judging.sentences import judge
from ..records import findings
from ..records.durations import all_measured
from ..stats import share
from ..studies.claims import load_claims
from ..studies.numbers import numbers
from . import markup
from .figures.heat import heat, lines, short
from .figures.style import COLOURS, INK, STYLE, inline, nothing
from .markup import Html

RULE = "X4"
NAMES = {"exact": "exact root, exact gradient", "svd": "SVD", "svd_trunc": "SVD-Trunc", "svd_taylor": "SVD-Taylor",
         "svd_pade": "SVD-Padé", "svd_topn": "SVD-TopN", "svd_newton": "SVD-Newton", "svd_power": "SVD-PI",
         "newton_schulz": "Newton-Schulz, 5 steps", "mpa": "MPA", "newton_schulz_5": "Newton-Schulz, 5 steps",
         "newton_schulz_15": "Newton-Schulz, 15 steps"}


def clouds(n: int = 64) -> dict[str, np.ndarray]:
    """Two maps of two channels and n places, (n, 2) each, with the same mean of each channel, and even the same variances."""
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    along, across = np.cos(t), 0.35 * np.sin(2 * t)
    one = np.stack([along + across, along - across], 1)
    return {"together": one + 2, "apart": one * [1, -1] + 2}


Heads = Mapping[str, dict]         # method -> what was measured along its training


def idea() -> Html:
    """What the mean forgets and a covariance keeps."""
    maps = clouds()
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.4), layout="constrained")
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for panel, (name, places), colour in zip(panels, maps.items(), COLOURS, strict=False):
            panel.plot(*places.T, ".", color=colour)
            panel.plot(*places.mean(0), "+", color=INK, ms=14, mew=2.5)
            panel.set(title=f"channels rise {name}", xlabel="channel 1")
        panels[0].set_ylabel("channel 2")
        facts = "; ".join(f"{name}: mean {_pair(p.mean(0))}, covariance {np.cov(p.T, bias=True)[0, 1]:+.2f}"
                          for name, p in maps.items())
        rows = pd.concat([pd.DataFrame(p, columns=["channel 1", "channel 2"]).assign(map=name) for name, p in maps.items()])
        said = "A dot for each place, a cross for the mean."
        drawn = inline(figure, "Two maps with one mean", f"{said} {facts}.", rows, f"Two maps with one mean. {said}")
    return Html(drawn + markup.says(f"{facts.replace('-', '−')}. What reads the mean alone can't tell them apart."))


def precision() -> Html:
    """Errors of roots by arithmetic and condition number."""
    frame = pd.DataFrame(_forward())
    frame["row"] = frame["root"].map(NAMES) + ", " + frame["precision"]
    table = frame.pivot(index="row", columns="condition", values="error").loc[frame["row"].unique()]
    return heat(table, "Relative error of the root, 64 x 64", "condition number", 1e-8)


def gradients(size: float) -> Html:
    """Errors of gradients over the gap of two eigenvalues of about ``size``."""
    from ..measuring import roots

    frame = pd.DataFrame(roots.gradient_errors(size))
    table = frame.pivot(index="root", columns="gap", values="error").loc[list(roots.REMEDIES), list(roots.GAPS)]
    where = "the largest eigenvalue" if size >= 1 else f"{size:g} of the largest eigenvalue"
    title = f"Relative error of the gradient between two eigenvectors, float32, a pair at {where}"
    return heat(table.rename(index=NAMES), title, "relative gap of the two eigenvalues", 1e-8)


def bounds() -> Html:
    """The largest K of each remedy, as its authors give it."""
    return printed("bounds")


def iterations(heads: Heads) -> Html:
    """Steps of Newton-Schulz against its error: made spectra, and covariances of the page's networks at the end."""
    from ..measuring import roots

    frame = pd.DataFrame(roots.synthetic_iterations())
    series = {name: (list(part["steps"]), list(part["error"])) for name, part in frame.groupby("matrix", sort=False)}
    for head in heads.values():
        series[f"network, {head['label']}"] = ([int(n) for n in head["iterations"]], list(head["iterations"].values()))
    return lines(series, "Steps of Newton-Schulz against the error of the root", "steps", "relative error")


def measure(cells: Sequence[str], tier: str, seeds: Sequence[int]) -> None:
    """Follow a network of each of these cells; what is measured stays."""
    from ..measuring import landscape

    for seed in seeds:
        landscape.measure([studies.cell(id_) for id_ in cells], tier, seed)


def followed(cells: Sequence[str], tier: str, seeds: Sequence[int]) -> Heads:
    """What was measured along trainings of these cells, by method; of the first seed that has any."""
    for seed in seeds:
        found = {cell.method: finding.values for cell in map(studies.cell, cells)
                 for finding in findings.read("landscape", cell.run(tier, 0)) if finding.name == f"seed{seed}"}
        if found:
            return found
    return {}


def conditions(heads: Heads, tier: str) -> Html:
    """Condition numbers of covariances along the training."""
    if not heads:
        return nothing(tier, "measurement")
    series = {head["label"]: (list(range(len(head["epochs"]["condition"]))), head["epochs"]["condition"])
              for head in heads.values()}
    return lines(series, "Condition of the covariances of test images, median", "epochs of this short training",
                 "largest eigenvalue / smallest that is not rounding")


def landscape(heads: Heads, tier: str) -> Html:
    """Medians over the probes of a training."""
    rows = [{"network": head["label"], "range of the loss": f"{median(head['probes']['loss_range']):.3f}",
             "change of the gradient": f"{median(head['probes']['gradient_change']):.3f}",
             "change per length of the step": f"{median(head['probes']['slope']):.2f}",
             "probes": len(head["probes"]["loss"])} for head in heads.values()]
    return markup.html(rows, "Loss and gradient within a step along the gradient, medians over a training", tier)


# measure -> what it is, and the sentence that it judges
SMOOTH = {"loss_range": ("range of the loss", "GCP.landscape"), "gradient_change": ("change of the gradient", "GCP.predictive"),
          "slope": ("change per length of the step", "")}


def _beside(ledger: Ledger) -> dict[str, tuple[stats.Summary, stats.Summary]]:
    """What the seeds that count say by each measure of `SMOOTH`: mean pooling, and Newton-Schulz."""
    cells, beside = [studies.cell(f"X4.resnet20.{name}") for name in ("mean", "newton_schulz")], {}
    for name in SMOOTH:
        found = [sides.by_seed(cell, f"landscape.{name}", ledger) for cell in cells]
        if both := sorted(found[0].keys() & found[1].keys())[:cells[0].looks.seeds[-1]]:
            mean, root = (stats.Summary.of([of[seed] for seed in both]) for of in found)
            beside[name] = mean, root
    return beside


def smoother(ledger: Ledger) -> Html:
    """What the seeds that count say of loss and gradient, mean pooling beside Newton-Schulz, with what is concluded of it."""
    rows = [{"median over a training": words,
             "mean pooling": markup.percent(mean), "Newton-Schulz": markup.percent(root),
             "difference, 95 %": markup.bounds(stats.welch(mean, root), signed=True), "seeds": mean.n,
             "sentence": markup.code(id_) if id_ else markup.DASH,
             "verdict": markup.badge(judge(load_claims()[id_], ledger).status) if id_ else "no sentence speaks of it"}
            for name, (mean, root) in _beside(ledger).items() for words, id_ in [SMOOTH[name]]]
    return markup.html(rows, "The same by seeds that were measured after the rule was fixed; difference: mean pooling minus "
                       "Newton-Schulz", "full")


def robustness(heads: Heads, tier: str) -> Html:
    """Top-1 under distortions, mean over severities, and how much of the clean accuracy is left."""
    columns = {head["label"]: {"none": f"{head['clean']:.1f}",
                               **{kind.replace("_", " "): f"{fmean(by):.1f}" for kind, by in head["distorted"].items()},
                               "mean over all": f"{_left(head):.1f}"} for head in heads.values()}
    frame = pd.DataFrame(columns).rename_axis("distortion").reset_index() if columns else pd.DataFrame()
    return markup.html(frame, "Test top-1 (%) of these trainings on distorted images, mean over severities",
                       tier)


SPEED = ("Roots, forward and backward. “A over B”: how many times as fast A is; “a step with A over the mean's”: how many times "
         "as long it takes; of errors a smaller ratio is better. Ratios of times are medians over rounds in turns, which goals "
         "are held against, beside their quartiles")


def speed() -> Html:
    """The stored results of ``benchmarks/roots.py``: those that had a goal, and folded all others."""
    rows = [{"measured": row["what"], "value": f"{row['value']:.3g} {row['unit']}".strip(),
             "quartiles": markup.DASH if row["low"] is None else f"{row['low']:.3g} to {row['high']:.3g}",
             "goal": row["goal"].replace(">=", "≥").replace("<=", "≤") or markup.DASH, "device": result["device"],
             "note": row["note"]}
            for result in all_measured() for group, of in result["groups"].items() if group.startswith("roots")
            for row in of["rows"]]
    if not rows:
        return markup.empty("Not run: no result of ", markup.code("benchmarks/roots.py"), " is stored.")
    aimed, rest = ([row for row in rows if (row["goal"] != markup.DASH) == has] for has in (True, False))
    folded = markup.html(rest, "Roots, forward and backward, of what had no goal")
    more = markup.render("folded", title=f"{len(rest)} more measurements, without a goal", body=folded, open=False)
    return markup.join([markup.html(aimed, SPEED), more])


def printed(name: str) -> Html:
    """A table of the family's printed numbers, with its source."""
    table = numbers("covariance_pooling")[name]
    frame = pd.DataFrame([[label, *(n or markup.DASH for n in row)] for label, row in table.rows.items()],
                         columns=["method", *table.columns])
    return markup.join([markup.html(frame, table.title), "\n", markup.tag("p", f"Read in {table.source}.", class_="fm-caption")])


def answer(heads: Heads, ledger: Ledger) -> Html:
    """The title's question in five sentences, every number of which is computed."""
    sentences = [_exactness(), _gradient(), _along(heads), _smooth(ledger), _decided(ledger)]
    return markup.render("items", items=[{"text": sentence} for sentence in sentences], numbered=True)


def _pair(values) -> str:
    return "(" + ", ".join(f"{v:.2f}" for v in values) + ")"


def _forward() -> list[dict]:
    from ..measuring import roots

    return roots.forward_errors()


def _left(head: dict) -> float:
    return fmean(fmean(by) for by in head["distorted"].values())


def _exactness() -> str:
    found = {(r["root"], r["precision"], r["condition"]): r["error"] for r in _forward()}
    five, exact = found["newton_schulz_5", "float32", 1e6], found["exact", "float32", 1e6]
    half = found["exact", "bfloat16", 1e6]
    return ("The approximate root is far less exact: at a condition number of 10⁶ and in float32, five steps of "
            f"Newton-Schulz are off by {share(five)} and the eigendecomposition by {short(exact)} (after rounding to bfloat16 "
            f"by {share(half)}), so exactness of the value is not what it has ahead.")


def _gradient() -> str:
    from ..measuring import roots

    large, small = ({(r["root"], r["gap"]): r["error"] for r in roots.gradient_errors(size)} for size in (1.0, 1e-4))
    worst = max(found["exact", gap] for found in (large, small) for gap in roots.GAPS)
    return ("The usual gradient of the exact root is inexact in float32 where large eigenvalues meet: between eigenvectors "
            f"whose values, the largest, agree to 10⁻⁷ of their size the SVD's is off by {share(large['svd', 1e-7], 1)}, and "
            f"as near to a tie as float32 has it by {share(large['svd', 0.0], 1)} ({share(small['svd', 0.0], 1)} for values "
            f"of a ten-thousandth of the largest), while the exact gradient, the Lyapunov form, is off by {short(worst)} at "
            "most in all of these.")


def _along(heads: Heads) -> str:
    """On the covariances of networks that were followed, or that there is none."""
    if not heads:
        return "Whether covariances of a trained network come so close to a tie was not measured in this tier."
    some = heads.get("newton_schulz") or next(iter(heads.values()))
    condition, error = some["epochs"]["condition"], some["epochs"]["error"]
    return (f"Covariances of a network are ill-conditioned: in a short training ({some['label']}) their median condition number "
            f"went from {short(condition[0])} to {short(condition[-1])}, and five steps were off by {share(error[-1])} at its "
            "end.")


def _smooth(ledger: Ledger) -> str:
    """On loss and gradient within a step, by the seeds that count."""
    beside = _beside(ledger)
    if beside.keys() != SMOOTH.keys():
        return "How smooth the loss is beside mean pooling was not measured."
    status = {name: judge(load_claims()[id_], ledger).status for name, (_, id_) in SMOOTH.items() if id_}
    (loss, its), (gradient, moved), (per_length, by_root) = beside.values()
    interval = stats.welch(per_length, by_root)
    clear = not interval.low <= 0 <= interval.high
    return (f"Within a step along the gradient the loss ranges over {loss.mean:.2f} with mean pooling and {its.mean:.2f} with "
            f"Newton-Schulz ({status['loss_range']}), and the gradient moves by {gradient.mean:.2f} and {moved.mean:.2f} "
            f"({status['gradient_change']}), in short trainings of {markup.counted(loss.n, 'seed')}; per length of the step it "
            f"moves by {per_length.mean:.2f} and {by_root.mean:.2f}, "
            + ("a clear difference." if clear else "no clear difference: a shorter step may be all there is to it."))


def _decided(ledger: Ledger) -> str:
    rule = studies.rules()[RULE]
    outcomes = comparisons.compare(rule, ledger)
    done, wanted = comparisons.progress(rule, ledger)
    settled = [o for o in outcomes if o.p is not None]
    if not settled:
        return (f"Which of them trains better is not known: {done} of {wanted} runs are on record, and none of the "
                f"{len(outcomes)} comparisons is finished.")
    said = "; ".join(f"{o.label} {stats.signed(o.outcome.value)} points ({o.status})" for o in settled)
    return f"Of the {len(outcomes)} comparisons of trainings, {len(settled)} are finished: {said}."
