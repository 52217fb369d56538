"""What pages say of layers: their settings; of covariance pooling, cost and results as well. As Markdown with inline HTML. Torch
is imported where the settings are read."""

from .. import studies
from ..judging.ledger import Ledger
from ..studies.choices import Choice, choices, place
from . import markup, pooling, tables


def _parts() -> dict[tuple[str, str], dict]:
    """Kind and name of each part -> its settings with their defaults."""
    from ..layers.roots import ROOTS, settings_of
    from ..models import heads, inserts

    return {**{("head", name): heads.known_settings(name, {}) for name in ("covariance", "idccp")},
            ("layer", "gsop"): inserts.defaults("gsop"), **{("root", name): settings_of(name, {}) for name in ROOTS}}


def settings() -> str:
    """Each setting of the heads, of GSoP blocks and of the roots, with its default and where the register speaks of it."""
    return _settings(_parts())


def settings_of_one(name: str) -> str:
    """The same of one layer of the neighbours."""
    from ..models import heads, inserts

    return _settings({("layer", name): inserts.defaults(name) if name in inserts.LAYERS else heads.known_settings(name, {})})


def _settings(parts: dict[tuple[str, str], dict]) -> str:
    links = {place(setting): _link(choice) for choice in choices() for setting in choice.settings}
    owners: dict[tuple, list[str]] = {}
    for (kind, owner), known in parts.items():
        for name, value in known.items():
            owners.setdefault((kind, name, repr(value), links.get((kind, owner, name), "")), []).append(owner)
    rows = [{"setting": markup.code(name), "default": markup.code(value),
             "note": markup.join([f"{kind} ", markup.join(map(markup.code, of), ", "), link])}
            for (kind, name, value, link), of in owners.items()]
    return markup.html(rows, "Settings with their defaults, whose they are, and what the papers leave open")


def _link(choice: Choice) -> markup.Html:
    return markup.join(["; ", markup.link(f"../ambiguities.html#{choice.id.lower()}", choice.id), f": {choice.title}"])


def cost() -> str:
    """What ``benchmarks/roots.py`` measured."""
    return pooling.speed()


def results() -> str:
    """Runs of X4 and X4s on record."""
    ledger = Ledger.read()
    cells = [c for c in studies.load_cells().values() if c.table in ("X4", "X4s")]
    frame = tables.own_runs([c for c in cells if ledger.of(c, "full")], ledger, "full")
    if frame.empty:
        return f"None of the {len(cells)} cells of X4 and X4s is on record yet."
    return markup.html(frame, "Runs on record: top-1 in percent; gain over mean pooling", "full")
