"""Class activation -> figure: images under their maps. No files, no state, no torch."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from ...datasets.parts import CLASSES, draw
from ...errors import UsageError
from ...records.findings import Finding
from ...studies import Cell
from ..markup import Html
from .style import STYLE, inline, nothing

LARGEST = 300 * 1024                # bytes of a figure with images


def parts_maps(measured: list[tuple[Cell, Finding]], tier: str) -> Html:
    """CAM and Grad-CAM of every network's first finding on the first test images of the embedded parts, their boxes outlined."""
    measured = list({cell.id: (cell, f) for cell, f in reversed(measured) if f.key.startswith("parts.")}.values())[::-1]
    if not measured:
        return nothing(tier, "measurement")
    drawn = draw(len(measured[0][1].values["maps"]["cam"]), seed=1)
    panels = {f"{cell.labels[1]}: {title}": f.values["maps"][how] for cell, f in measured
              for how, title in (("cam", "CAM"), ("grad_cam", "Grad-CAM"))}
    return class_activation(drawn.images, panels, drawn.boxes, [CLASSES[label] for label in drawn.labels])


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
            pictures = {"image": image, **{name: overlay(image, maps[i]) for name, maps in panels.items()}}
            for axes, (name, pixels) in zip(row, pictures.items(), strict=True):
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
        rows = f"{len(images)} image{'s' * (len(images) > 1)}{' (' + ', '.join(names) + ')' if len(names) else ''}"
        description = (f"{rows}, each beside its maps of "
                       f"{', '.join(panels)}, from dark (lowest) to bright (highest)"
                       + (", the true part outlined" if boxes is not None else ""))
        return inline(figure, "Class activation maps", description, _values(panels),
                      description.replace(f"{rows}, each", f"{rows.partition(' (')[0]}, each"))


def _values(panels: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """The maps as they are, before any scaling: one row per cell of a map, one column per panel."""
    shape = next(iter(panels.values())).shape
    if any(maps.shape != shape for maps in panels.values()):
        return pd.concat([_values({name: maps}) for name, maps in panels.items()])
    places = dict(zip(("image", "row", "column"), (axis.ravel() + 1 for axis in np.indices(shape)), strict=True))
    return pd.DataFrame(places | {name: maps.ravel().round(4) for name, maps in panels.items()})


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
