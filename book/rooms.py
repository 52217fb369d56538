"""The rooms of lib/featuremining as a picture and as a list, from the import contract and from what each room says of itself.

``make rooms`` writes both, into book/_static/rooms.svg and book/find_your_way.md; tests/test_house.py tells when that is due.
"""

import ast
import re
import tomllib
from html import escape
from textwrap import fill

from featuremining import paths
from featuremining.errors import FMError

LIB = paths.ROOT / "lib" / "featuremining"
WAY = {"cell": "studies", "run": "studies", "loader": "datasets", "step": "methods", "loop": "training", "record": "records",
       "verdict": "judging", "page": "showing"}         # the way of a number: what it is at each stop, and in which room
GROUND = "the ground that all stand on"
PICTURE, PAGE = paths.ROOT / "book/_static/rooms.svg", paths.ROOT / "book/find_your_way.md"
MARKS = re.compile(r"(?<=^% rooms: written by `make rooms`\n).*?(?=^% end of rooms$)", re.M | re.S)
STYLE = """.fmrooms{display:block;width:100%;max-width:1010px;margin:1.2rem auto}
.fmrooms text{font-family:var(--pst-font-family-base,system-ui,sans-serif)}
.fmrooms text{fill:var(--pst-color-text-base,currentColor);font-size:17px}
.fmrooms .name{font-weight:600;font-size:18px}.fmrooms .stop{font-weight:600;font-size:15px;text-anchor:middle}
.fmrooms .head{font-size:16px;opacity:.8}.fmrooms .number{font-weight:700;font-size:14px;text-anchor:middle;fill:#fff}
.fmrooms .floor{fill:#4a8fd6;fill-opacity:.1}.fmrooms .floor.ground{fill:#8a8a8a;fill-opacity:.2}
.fmrooms .way{fill:none;stroke:#c2571a;stroke-width:3.5;stroke-linejoin:round}.fmrooms .dot{fill:#b04d14}
.fmrooms .down{stroke:#8a8a8a;stroke-width:2.5;fill:none}
.fmrooms .tall text{font-size:14px}.fmrooms .tall .name{font-size:16px}.fmrooms .tall .head{font-size:13.5px}
.fmrooms .tall .number{font-size:13px}.fmrooms .tall{display:none}.fmrooms{aspect-ratio:WIDE}
@media (max-width:720px){.fmrooms{aspect-ratio:TALL;max-width:460px}.fmrooms .wide{display:none}.fmrooms .tall{display:inline}}"""


def contract() -> list[list[str]]:
    """The layers of the import contract from the top down, each with what stands side by side in it; what may be missing, and
    is, is left out."""
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    found = [[name for name in re.split(r"[ |:]+", layer) if there(name.strip("()")) or name == name.strip("()")]
             for layer in layers]
    return [[name.strip("()") for name in layer] for layer in found if layer]


def there(name: str) -> bool:
    return (LIB / name / "__init__.py").exists() or (LIB / f"{name}.py").exists()


def floors() -> list[list[str]]:
    """The same with the last layers, single files, taken together: the ground."""
    layers = contract()
    last = max(i for i, layer in enumerate(layers) if all((LIB / name).is_dir() for name in layer))
    return [*layers[:last + 1], [name for layer in layers[last + 1:] for name in layer]]


def words(room: str) -> str:
    """The first paragraph of a room's docstring."""
    path = LIB / room / "__init__.py"
    text = ast.get_docstring(ast.parse((path if path.exists() else LIB / f"{room}.py").read_text(encoding="utf-8")))
    return " ".join(text.split("\n\n")[0].split())


def said(room: str) -> str:
    """Its first words, up to the first mark."""
    return re.split(r"[.,] |(?<=\?) |(?<!`): ", words(room))[0].replace("`", "")


def page(text: str) -> str:
    """The page with the list of rooms between its two marks made anew."""
    rooms = [room for floor in floors() for room in floor]
    entries = [f"`{room}`\n{fill(re.sub('`+', '`', words(room)), 130, initial_indent=': ', subsequent_indent='  ')}\n\n"
               for room in rooms]
    made, times = MARKS.subn(lambda _: "\n" + "".join(entries), text)
    if times != 1:
        raise FMError(f"{PAGE} lacks the two marks between which the rooms are listed.")
    return made


def wide(house: list[list[str]]) -> str:
    """Names and words on the left, the way on the right: 984 across."""
    top, high, left, step = 44, 60, 446, 69
    y, end = {room: top + i * high for i, floor in enumerate(house) for room in floor}, top + len(house) * high
    parts = [_text("head", 40, 26, "the rooms: each uses only what lies below it"),
             _text("head", left - 24, 26, "the way of a number, from what is printed to what is shown"),
             f'<path class="down" d="M18 {top + 6}V{end - 14}M10 {end - 24}l8 10l8 -10"/>']
    for i, floor in enumerate(house):
        parts.append(_floor(36, top + i * high, 984 - 36, high - 6, i == len(house) - 1))
        if i == len(house) - 1:
            parts += [_text("name", 52, y[floor[0]] + 24, " · ".join(floor)), _text("said", 52, y[floor[0]] + 45, GROUND)]
            continue
        for j, room in enumerate(floor):
            parts += [_text("name", 52 + 200 * j, y[room] + 24, room), _text("said", 52 + 200 * j, y[room] + 45, said(room))]
    points = [(left + i * step, y[room] + 36) for i, room in enumerate(WAY.values())]
    parts += _way(points, step / 2, 12)
    parts += [_text("stop", x, at - 17, stop) for stop, (x, at) in zip(WAY, points, strict=True)]
    return _picture("wide", 984, end, parts)


def tall(house: list[list[str]]) -> str:
    """For narrow screens, 400 across: names with their stops on the left, the way on the right."""
    top, high, left, step = 50, 52, 186, 28
    y = {room: top + i * high for i, floor in enumerate(house) for room in floor}
    parts = [_text("head", 8, 18, "the rooms: each uses only what lies below it;"),
             _text("head", 8, 37, "1 to 8: the way of a number")]
    stops = {room: ", ".join(f"{i} {stop}" for i, (stop, at) in enumerate(WAY.items(), 1) if at == room) for room in y}
    lines = [line.removesuffix(" ·") for line in fill(" · ".join(house[-1]), 44).split("\n")]
    more = 19 * (len(lines) - 1)
    for i, floor in enumerate(house):
        ground = i == len(house) - 1
        parts.append(_floor(0, top + i * high, 400, high - 5 + more * ground, ground))
        if ground:
            parts += [_text("name", 10, y[floor[0]] + 20 + 19 * k, line) for k, line in enumerate(lines)]
            parts.append(_text("said", 10, y[floor[0]] + 38 + more, GROUND))
            continue
        for j, room in enumerate(floor):
            parts += [_text("name", 10 + 76 * j, y[room] + (20 if any(stops[r] for r in floor) else 29), room),
                      *([_text("stops", 10 + 76 * j, y[room] + 38, stops[room])] if stops[room] else [])]
    points = [(left + i * step, y[room] + 24) for i, room in enumerate(WAY.values())]
    return _picture("tall", 400, top + len(house) * high + more, parts + _way(points, step / 2, 11))


def _floor(x, y, width, height, ground: bool) -> str:
    return f'<rect class="floor{" ground" * ground}" x="{x}" y="{y}" width="{width}" height="{height}" rx="5"/>'


def _text(kind: str, x, y, text: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>'


def _way(points: list, half: float, radius: int) -> list[str]:
    """A line from stop to stop, across within a room and straight from room to room; the stops in the order of their numbers."""
    line = f"M{points[0][0] - half:g} {points[0][1]:g}H{points[0][0]:g}"
    line += "".join(f"H{x - half:g}V{y:g}H{x:g}" for x, y in points[1:])
    dots = [f'<circle class="dot" cx="{x:g}" cy="{y:g}" r="{radius}"/>{_text("number", x, y + 5, str(i))}'
            for i, (x, y) in enumerate(points, 1)]
    return [f'<path class="way" d="{line}"/>', *dots]


def _picture(kind: str, width: int, height: int, parts: list[str]) -> str:
    return "\n".join([f'<svg class="{kind}" viewBox="0 0 {width} {height}" width="100%" height="100%">', *parts, "</svg>"])


def svg() -> str:
    """Both forms in one picture, of which a screen shows the one that it has room for; in words for those who don't see it."""
    house = floors()
    order = "; ".join(f"{' and '.join(floor)}: {', '.join(map(said, floor))}" for floor in house[:-1])
    way = ", ".join(f"{stop} ({room})" for stop, room in WAY.items())
    forms = wide(house), tall(house)
    style = STYLE
    for word, form in zip(("WIDE", "TALL"), forms, strict=True):
        style = style.replace(word, "/".join(re.search(r'viewBox="0 0 (\d+) (\d+)"', form).groups()))
    return "\n".join([
        '<svg class="fmrooms" xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="fmrooms-title fmrooms-desc">',
        '<title id="fmrooms-title">The rooms of the package and the way of a number through them</title>',
        f'<desc id="fmrooms-desc">From the top down, each using only what lies below it: {escape(order)}; {GROUND}: '
        f'{", ".join(house[-1])}. The way of a number: {way}.</desc>',
        f"<style>{style}</style>", *forms, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(svg(), encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
