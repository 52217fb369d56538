"""Records -> figures, as inline SVG that is legible in light and dark pages. No files, no state, no torch."""

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from textwrap import fill

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from .datasets.parts import CLASSES, draw
from .errors import UsageError
from .findings import Finding
from .records import Record
from .studies import Cell
from .tables import Html
from .verdicts import Summary, mean_interval

INK, GRID = "#0b0c0d", "#0a0b0c"      # stand-ins that the page's own text and border colours replace
LARGEST = 300 * 1024                # bytes of a figure with images
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "featuremining", "font.size": 11, "text.color": INK, "axes.labelcolor": INK,
         "xtick.color": INK, "ytick.color": INK, "axes.edgecolor": INK, "axes.grid": True, "grid.color": GRID,
         "grid.linewidth": 0.6, "axes.spines.top": False, "axes.spines.right": False, "figure.facecolor": "none",
         "axes.facecolor": "none", "legend.frameon": False, "font.family": "sans-serif"}


def inline(figure: Figure, title: str, description: str) -> Html:
    """The figure as an SVG element with a title and a description for screen readers."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None}, bbox_inches="tight", transparent=True)
    svg = file.getvalue()[file.getvalue().index("<svg"):]
    svg = svg.replace(INK, "var(--pst-color-text-base, currentColor)").replace(GRID, "var(--pst-color-border, #8884)")
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.S)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1 width="100%"', svg, count=1)
    title = escape(title)
    head = f"<title>{title}</title><desc>{escape(description)}</desc>"
    svg = re.sub(r"(<svg[^>]*)>", rf'\1 role="img" aria-label="{title}">{head}', svg, count=1)
    return Html(f'<figure class="plot">{svg}</figure>')


def nothing(tier: str, what: str = "record") -> Html:
    """What stands in place of a figure without data."""
    return Html(f'<p class="empty">No {tier}-tier {what} of these cells yet: nothing to draw.</p>')


LEARNING = (("test_acc", "test top-1 (%)"), ("ce", "training cross-entropy, main head"))      # curve, axis
MEMORISATION = (("memorised", "wrong labels memorised (%)"), ("recovered", "recognised in spite of them (%)"),
                ("test_acc", "test top-1 (%)"))
SHARES = ("memorised", "recovered")         # recorded in percent of all images, shown in percent of those with a wrong label


def curves(groups: list[tuple[Cell, list[Record]]], tier: str, panels: Sequence[tuple[str, str]] = LEARNING) -> Html:
    """Recorded quantities over epochs, one panel each; one line per seed, one colour per cell. Epochs without a value are left
    out."""
    groups = [(cell, found) for cell, found in groups if any(panels[0][0] in record.curves for record in found)]
    if not groups:
        return nothing(tier)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        axes = figure.subplots(1, len(panels))
        colours, dashes = sns.color_palette("colorblind", len(groups)), ["-", "--", "-.", ":"] * len(groups)
        for (cell, found), colour, dash in zip(groups, colours, dashes, strict=False):
            for i, record in enumerate(found):
                label = f"{' · '.join(cell.labels)} (n = {len(found)})" if i == 0 else None
                for panel, (name, _) in zip(axes, panels, strict=True):
                    panel.plot(*_series(record, name), dash, color=colour, lw=1.8, label=label)
        for panel, (_, title) in zip(axes, panels, strict=True):
            panel.set(xlabel="epoch", ylabel=title)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
        description = f"{', '.join(title for _, title in panels)} over epochs of {', '.join(cell.id for cell, _ in groups)}"
        return inline(figure, f"Training curves, {tier} tier", description)


def _series(record: Record, name: str) -> tuple[list[int], list[float]]:
    """Epochs, from 1, and values of one curve; none where the record has no such curve."""
    scale = 100 / record.metrics["wrong_labels"] if name in SHARES else 1
    kept = [(epoch, scale * v) for epoch, v in enumerate(record.curves.get(name, ()), 1) if v is not None]
    return [epoch for epoch, _ in kept], [v for _, v in kept]


def accuracy_over(x: Sequence[float], groups: Mapping[str, Sequence[Sequence[float]]], xlabel: str, tier: str,
                  ylabel: str = "test top-1 (%)", title: str = "") -> Html:
    """A value over ``x``, one line per method. ``groups[method][i]`` holds the seeds' values at ``x[i]``, or nothing.

    Dots are seeds, lines join the means, bars are 95 % t intervals of the mean where there are two seeds at least.
    """
    if not any(len(seeds) for values in groups.values() for seeds in values):
        return nothing(tier)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7, 3.8), layout="constrained")
        axes = figure.subplots()
        gap = 0.012 * (max(x) - min(x))                      # side by side, so that bars do not cover one another
        colours, dashes = sns.color_palette("colorblind", len(groups)), ["-", "--", "-.", ":"] * len(groups)
        for k, ((name, values), colour, dash) in enumerate(zip(groups.items(), colours, dashes, strict=False)):
            kept = [(at + (k - (len(groups) - 1) / 2) * gap, Summary.of(list(seeds)), seeds)
                    for at, seeds in zip(x, values, strict=True) if len(seeds)]
            if not kept:
                continue
            places, sizes = [at for at, _, _ in kept], sorted({s.n for _, s, _ in kept})
            label = f"{name} (n = {sizes[0]})" if len(sizes) == 1 else f"{name} (n = {sizes[0]} to {sizes[-1]})"
            axes.plot(places, [s.mean for _, s, _ in kept], dash, color=colour, lw=1.8, label=label)
            bars = [(at, s.mean, mean_interval(s).half) for at, s, _ in kept if s.n > 1]
            if bars:
                axes.errorbar(*zip(*bars, strict=True), fmt="none", ecolor=colour, elinewidth=1.4, capsize=3)
            axes.plot(np.repeat(places, [s.n for _, s, _ in kept]), np.concatenate([seeds for _, _, seeds in kept]), "o",
                      color=colour, ms=3.5, alpha=0.6)
        axes.set(xlabel=xlabel, ylabel=ylabel, xticks=list(x))
        axes.legend(fontsize=9)
        description = f"{ylabel} over {xlabel} of {', '.join(groups)}: seeds as dots, means as lines, 95 % intervals as bars"
        return inline(figure, title or f"{ylabel} over {xlabel}, {tier} tier", description)


def over_samples(groups: list[tuple[Cell, list[Record]]], tier: str) -> Html:
    """Figure 6: accuracy over training images per class, the number that a cell's condition names."""
    sizes = sorted({int(cell.condition) for cell, _ in groups})
    seeds = {name: [[r.value("best") for cell, found in groups if cell.labels[1] == name and int(cell.condition) == size
                     for r in found] for size in sizes] for name in dict.fromkeys(cell.labels[1] for cell, _ in groups)}
    return accuracy_over(sizes, seeds, "training images per class", tier, "test top-1 (%), best epoch")


def activations(found: list[tuple[Cell, Finding]], unit: str, tier: str) -> Html:
    """Figure 4 from the first finding; ``unit`` is ``raw`` or ``in_spreads``."""
    if not found:
        return nothing(tier, "measurement")
    values = found[0][1].values
    names = {"raw": "activation", "in_spreads": "activation, in standard deviations of its stage"}
    return activation_histogram(values[unit]["edges"], values[unit]["counts"], values["n"], names[unit])


def parts_maps(found: list[tuple[Cell, Finding]], tier: str) -> Html:
    """CAM and Grad-CAM of every network's first finding on the first test images of the embedded parts, their boxes outlined."""
    found = list({cell.id: (cell, f) for cell, f in reversed(found) if f.key.startswith("parts.")}.values())[::-1]
    if not found:
        return nothing(tier, "measurement")
    drawn = draw(len(found[0][1].values["maps"]["cam"]), seed=1)
    panels = {f"{cell.labels[1]}: {title}": f.values["maps"][how] for cell, f in found
              for how, title in (("cam", "CAM"), ("grad_cam", "Grad-CAM"))}
    return class_activation(drawn.images, panels, drawn.boxes, [CLASSES[label] for label in drawn.labels])


def activation_histogram(edges: Sequence[float], counts: Mapping[str, Sequence[Sequence[float]]], n: int,
                         unit: str = "activation") -> Html:
    """How many activations of an image are how large: one panel per stage, one line per network, ordinates logarithmic.

    ``edges`` (E,) and ``counts[network]`` (stages, E) are those of `insight.activation_counts`: the last column, drawn as a
    dot, counts what lies beyond the last edge. ``n`` is the number of images, ``unit`` what the abscissa shows.
    """
    edges, tables = np.asarray(edges, float), {name: np.asarray(c, float) for name, c in counts.items()}
    stages = len(next(iter(tables.values())))
    if any(c.shape != (stages, len(edges)) for c in tables.values()):
        raise UsageError(f"activation_histogram needs {len(edges)} counts for every stage of every network.")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.2 * stages, 3.4), layout="constrained")
        panels = figure.subplots(1, stages, sharex=True, squeeze=False)[0]
        colours, dashes = sns.color_palette("colorblind", len(tables)), ["-", "--", "-.", ":"] * len(tables)
        beyond = edges[-1] + max(edges[-1] - edges[0], 0.1) / 15
        for stage, axes in enumerate(panels):
            for (name, c), colour, dash in zip(tables.items(), colours, dashes, strict=False):
                seen = np.where(c[stage] > 0, c[stage], np.nan)         # no logarithm of nothing
                axes.stairs(seen[:-1], edges, color=colour, ls=dash, lw=1.6, label=f"{name} (n = {n} images)", baseline=None)
                axes.plot([beyond], seen[-1:], "o", color=colour, ms=4)
            axes.set(yscale="log", title=f"stage {stage + 1}")
        panels[0].set_ylabel("activations per image")
        figure.supxlabel(f"{unit} (dots: all beyond)", fontsize=11)
        panels[-1].legend(fontsize=9)
        description = (f"Number of activations per image in bins of {edges[1] - edges[0]:.2g} from {edges[0]:.2g} to "
                       f"{edges[-1]:.3g}, dots: beyond, in {stages} stages of {', '.join(tables)}, mean over {n} images")
        return inline(figure, f"Activations over magnitude ({unit})", description)


def class_activation(images, panels: Mapping[str, Sequence], boxes=None, names: Sequence[str] = (), columns: int = 112) -> Html:
    """Rows of images (N, H, W, 3) uint8: each image, then the image under each map of ``panels``, name -> (N, h, w).

    Every map is stretched to its own range, dark to bright, and drawn over the image in grey. ``boxes`` (N, 4) x0, y0, x1,
    y1 in px are outlined, ``names`` label the rows. Images wider than ``columns`` px are made smaller, and smaller again until
    the figure stays below 300 KiB.
    """
    images, panels = np.asarray(images), {name: np.asarray(maps, float) for name, maps in panels.items()}
    if any(len(maps) != len(images) for maps in panels.values()) or len(images) == 0:
        raise UsageError(f"class_activation needs one map per image of every panel, for {len(images)} images.")
    while columns >= 16:
        html = _grid(thumbnails(images, columns), panels, boxes, names, images.shape[1:3])
        if len(html) <= LARGEST:
            return html
        columns = columns * 3 // 4
    raise UsageError(f"{len(images)} rows of {1 + len(panels)} images do not fit into one figure; show fewer.")


def thumbnails(images: np.ndarray, columns: int) -> np.ndarray:
    """uint8 (N, H, W, 3) -> at most ``columns`` wide, in the same proportions; each pixel the mean of those it stands for."""
    from PIL import Image

    height, width = images.shape[1:3]
    if width <= columns:
        return images
    size = columns, max(1, round(height * columns / width))
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in images])


def _grid(images: np.ndarray, panels: Mapping[str, np.ndarray], boxes, names: Sequence[str], size: tuple[int, int]) -> Html:
    """The figure of `class_activation` from thumbnails (N, h, w, 3) of images of ``size`` (H, W)."""
    height, width = size
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(1.5 * (1 + len(panels)), 1.5 * len(images) * height / width + 0.3), layout="constrained")
        grid = figure.subplots(len(images), 1 + len(panels), squeeze=False)
        for i, (image, row) in enumerate(zip(images, grid, strict=True)):
            shown = {"image": image, **{name: overlay(image, maps[i]) for name, maps in panels.items()}}
            for axes, (name, pixels) in zip(row, shown.items(), strict=True):
                axes.imshow(pixels, interpolation="none", extent=(0, width, height, 0))
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                if i == 0:
                    axes.set_title(fill(name, 18), fontsize=9)
                if boxes is not None:
                    x0, y0, x1, y1 = (float(v) for v in boxes[i])
                    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec="white", lw=1.2,
                                             path_effects=[withStroke(linewidth=2.6, foreground="black")]))
            if len(names):
                row[0].set_ylabel(fill(names[i], 16), fontsize=9)
        description = (f"{len(images)} images{' (' + ', '.join(names) + ')' if len(names) else ''}, each beside its maps of "
                       f"{', '.join(panels)}, from dark (lowest) to bright (highest)"
                       + (", the true part outlined" if boxes is not None else ""))
        return inline(figure, "Class activation maps", description)


def overlay(image: np.ndarray, heat: np.ndarray, share: float = 0.65) -> np.ndarray:
    """uint8 (H, W, 3): the image in grey under a map (h, w), which is stretched to its own range and to the image's size.
    The colours differ in lightness throughout, so they can be told apart without hue."""
    from scipy.ndimage import zoom

    low, high = heat.min(), heat.max()
    heat = (heat - low) / (high - low if high > low else 1)
    sizes = [new / old for new, old in zip(image.shape, heat.shape, strict=False)]
    heat = zoom(heat, sizes, order=1, mode="nearest", grid_mode=True).clip(0, 1)
    grey = image.astype(float) @ (0.299, 0.587, 0.114)
    mixed = share * 255 * matplotlib.colormaps["magma"](heat)[..., :3] + (1 - share) * grey[..., None]
    return mixed.round().astype(np.uint8)
