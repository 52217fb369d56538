"""The demonstration on the page of the idea: a box on a real feature map, and what the three classifiers make of whole, inside
and outside. Here is what stands there before a script takes over, and for readers without scripts. No torch."""

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from .. import studies
from ..recipes import TIERS
from .markup import Html, render

BOX = (2, 2, 7, 7)          # x0, y0, x1, y1 of the first picture, in places of the map
IMAGE = 1                   # which image that is of: one that the outside is in doubt about
PARTS = ("whole", "inside", "outside")
CHANNELS = 16               # a row of the strip that shows a pooled vector


def demonstration(path: Path) -> Html:
    """The whole of it; its data lie in the page."""
    data = json.loads(path.read_text(encoding="utf-8"))
    key = data["run"].rpartition(".")[0]
    run = next(run for tier in TIERS if (run := studies.cell(data["cell"]).run(tier, 0)).key == key)
    return render("demonstration", live=True, data=script(data), **_shown(data), provenance=data, run=run,
                  readings=data["readings"], boxes=data["boxes"][str(data["size"][0])], sizes=data["boxes"])


def picture(path: Path) -> Html:
    """Image, map with a box, and three answers, as the front page has them."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return render("demonstration", live=False, **_shown(data))


def script(data: dict) -> Html:
    """As JSON within a page."""
    kept = {name: data[name] for name in ("size", "classes", "heads", "images", "boxes")}
    return Html(json.dumps(kept, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/"))


def _shown(data: dict) -> dict:
    image = data["images"][IMAGE]
    height, width = data["size"]
    grey = np.asarray(image["map"]).reshape(-1, height, width).mean(0)
    parts = pooled(data, image, BOX)
    return {"picture": png(image["pixels"]), "pictures": [png(one["pixels"]) for one in data["images"]], "width": width,
            "height": height, "box": BOX, "shades": (grey / grey.max()).round(3).tolist(),
            "truth": data["classes"][image["label"]],
            "labels": [data["classes"][one["label"]] for one in data["images"]], "parts": parts,
            "channels": CHANNELS, "image": IMAGE,
            "area": (BOX[2] - BOX[0]) * (BOX[3] - BOX[1]) / height / width, "total": sum(part["loss"] for part in parts)}


def pooled(data: dict, image: dict, box: Sequence[int]) -> list[dict]:
    """Equations (2) to (4) for one image: of each part the pooled vector in shares of the whole's largest value, the probability
    of the right class, the class with the largest, and the cross-entropy."""
    height, width = data["size"]
    x0, y0, x1, y1 = box
    inside = np.zeros((height, width))
    inside[y0:y1, x0:x1] = 1
    features, found = np.asarray(image["map"]).reshape(-1, height * width), []
    for part, mask in zip(PARTS, (np.ones_like(inside), inside, 1 - inside), strict=True):
        z = features @ mask.ravel() / mask.size
        head = data["heads"][part]
        logits = np.asarray(head["weight"]).reshape(-1, len(z)) @ z + np.asarray(head["bias"])
        log_p = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
        found.append({"name": part, "vector": z, "p": float(np.exp(log_p[image["label"]])), "loss": float(-log_p[image["label"]]),
                      "best": data["classes"][int(log_p.argmax())], "right": int(log_p.argmax()) == image["label"]})
    most = max(found[0]["vector"].max(), 1e-9)
    return [{**part, "vector": (part["vector"] / most).clip(0, 1).round(3).tolist()} for part in found]


def png(pixels: str, size: int = 32) -> str:
    """RGB bytes in base64 -> the address of a picture that lies in the page."""
    from PIL import Image

    file = BytesIO()
    Image.frombytes("RGB", (size, size), b64decode(pixels)).save(file, "PNG")
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
