"""Verdicts under other settings than ours, for readers to switch between. All are computed here; the page only shows them."""

import json
from dataclasses import replace

from .. import studies
from ..judging import multiverse
from ..judging.ledger import Ledger
from ..judging.setting import LEVELS, MARGINS, OFFERED, OURS, Setting
from ..studies.forms import SELECTION
from .markup import Html, render
from .start import data_words

FACTORS = {0.5: "half of ours", 1.0: "ours", 2.0: "twice ours"}
WORDS = {"best": "best on the test images, as the paper", "last": "last", "median10": "median of the last ten"}


def settings(ledger: Ledger) -> Html:
    """Three switches and a table, which shows our own setting without a script."""
    rows = multiverse.rows(ledger)
    statuses = list(dict.fromkeys(s for row in rows for s in (*row.statuses, row.ours)))
    data = {"statuses": [{"text": s, "css": s.css} for s in statuses], "settings": [_name(s) for s in OFFERED],
            "rows": {f"{row.kind}: {row.id}": [statuses.index(s) for s in row.statuses] for row in rows}}
    groups = {kind: [_with_data(row) for row in rows if row.kind == kind] for kind in multiverse.KINDS}
    changing = sum(len(set(row.statuses)) > 1 for row in rows)
    switches = {"level": ("Confidence level", [(f"{v:g}", f"{100 * v:.0f} %") for v in LEVELS], f"{OURS.level:g}"),
                "margin": ("Margin", [(f"{v:g}", FACTORS[v]) for v in MARGINS], "1"),
                "selection": ("Epoch that counts", [(v, WORDS[v]) for v in SELECTION], "best")}
    return render("settings", groups={k: v for k, v in groups.items() if v}, switches=switches, changing=changing,
                  total=len(rows), data=Html(json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")))


def _with_data(row: multiverse.Row) -> multiverse.Row:
    """A difference of our own says on which data: several are of one network and method."""
    own = row.kind == multiverse.KINDS[-1]
    return replace(row, says=f"{data_words(studies.cell(row.id))}, {row.says}") if own else row


def _name(s: Setting) -> str:
    return f"{s.level:g} {s.margin:g} {s.selection}"
