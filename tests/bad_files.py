"""Bad records, findings, benchmarks, checkpoints, data sets and parameters: what is wrong, and what the sentence says of it. The
other tables that `test_bad_inputs.py` goes through."""

import io
import json
import math
import os
import shutil
import tarfile
import zipfile

import numpy as np
import torch
from PIL import Image

from featuremining.datasets.parts_folders import WNIDS

RECIPES = [(field, value) for field, values in {
    "lr": (-0.1, 0, math.nan, math.inf, "0.1", True, None), "epochs": (0, -1, 1.5, "300", True, None), "batch": (0, -64, 128.0),
    "momentum": (7, -0.1, 1.0, "0.9"), "gamma": (0.0, 2.0, -1.0), "weight_decay": (-1e-4, math.nan), "pad": (-4, 1.5),
    "flip": ("yes", 1, None), "nesterov": ("no",), "milestones": ((0.5, 1.5), 0.5, ("0.5",)), "steps": (0, 2.5), "warmup": (-1,),
    "test_every": (0,), "precision": (16,)}.items() for value in values]

RECORDS = {     # a__b is a field of a part; all are listed, so that only what they say speaks against them
    "best": {"metrics__best": 75.0}, "best epoch": {"metrics__best_epoch": 1}, "last": {"metrics__last": 61.0},
    "median": {"metrics__median10": 1.0}, "n_test": {"metrics__n_test": 1000}, "another metric": {"metrics__others": {}},
    "a metric too much": {"metrics__mean": 60.0}, "seed": {"seed": 1}, "negative seed": {"seed": -1}, "id": {"id": "x.seed0"},
    "key": {"key": "cifar100.resnet20.fm.00000000"}, "tier": {"spec__tier": "full"}, "network": {"spec__network": "resnet56"},
    "recipe": {"spec__recipe__lr": 0.2}, "epochs": {"spec__recipe__epochs": 29}, "method": {"spec__methods": []},
    "an unknown field of the recipe": {"spec__recipe__colour": 1}, "a method that is a number": {"spec__methods": [3]},
    "schema": {"schema": 1}, "schema 3": {"schema": 3}, "schema as text": {"schema": "2"}, "schema a list": {"schema": [2]},
    "weights": {"weights": "x" * 64}, "no weights": {"weights": ""}, "curve": {"curves__test_acc": [1.0] * 30},
    "short curve": {"curves__loss": [1.0]}, "text in a curve": {"curves__loss": ["1.0"] * 30},
        "curves as text": {"curves": "none"},
    "curve above 100": {"curves__train_acc": [101.0] * 30}, "no loss": {"curves__loss": [None] * 30},
    "untested": {"curves__test_acc": [None] * 30}, "learning rate": {"curves__lr": [0.1] * 30},
    "truth as a number": {"metrics__best": True}, "NaN": {"metrics__last": math.nan}, "infinite": {"curves__ce": [math.inf] * 30},
    "text": {"metrics__best": "61.0"}, "list of metrics": {"metrics": []},
        "metrics of metrics": {"metrics__others": {"a": {"b": {}}}},
    "no provenance": {"provenance": {}}, "seconds": {"provenance__seconds": -1.0}, "threads": {"provenance__threads": 0},
    "data": {"provenance__data_sha256": "?"}, "elsewhere": {"provenance__resumed_elsewhere": [{"device": 3}]},
    "a field too much": {"note": "trust me"}, "images": {"right__last": "AAAA"}, "images as a number": {"right__last": 3},
    "images of others": {"right__others": {"a": {"best": "AAAA"}}}, "no spec": {"spec": None}, "a spec of text": {"spec": "all"}}

BYTES = {"nothing": b"", "half": b"{", "a list": b"[]", "null": b"null", "no UTF-8": b"\xff\xfe", "deep": b"[" * 100_000,
         "a name twice": b'{"schema": 2, "schema": 2}', "NaN": b'{"schema": NaN}', "beyond floats": b'{"schema": 1e999}',
         "a long number": b"9" * 5000, "an empty object": b"{}", "a pipe": "fifo", "a folder": "folder", "150 MB": "huge",
         "a link to itself": "loop", "a link to nothing": "nowhere"}

LOOK = {"n": 2, "chance": 1.0, "centre": 1.0, "pointing": 1.0, "energy": 1.0, "top1": 1.0, "each": {"pointing": "01",
    "energy": [1.0, None]}}
FINDINGS = {    # kind -> values that are right, values that are not with what is said of them
    "cost": ({"iterations": 3, "seconds": 0.5, "time_ratio": 1.0, "low": 0.9, "high": 1.1, "memory_ratio": 1.0}, {
        "values.seconds": {"seconds": -0.5}, "values.iterations": {"iterations": "3"}, "values.low": {"low": None},
        "low is above high": {"low": 2.0}, "values.allocated_mib": {"allocated_mib": -1.0},
            "values.time_ratio": {"time_ratio": 0.0}}),
    "construction": ({"same_state": True, "same_outputs": True, "same_cost": True, "train_only_parameters": 5}, {
        "values.same_state": {"same_state": "yes"}, "values.train_only_parameters": {"train_only_parameters": -5},
        "values.same_cost": {"same_cost": 1}}),
    "localise": ({"cam": LOOK, "grad_cam": LOOK, "maps": {"cam": [[[0.5]]], "grad_cam": [[[0.5]]]}}, {
        "values.cam": {"cam": 1.0}, "values.grad_cam.n": {"grad_cam": {**LOOK, "n": 0}},
        "values.cam.pointing": {"cam": {**LOOK, "pointing": 101.0}}, "values.maps.cam": {"maps": {"cam": [],
            "grad_cam": [[[0.5]]]}},
        "values.cam.each: pointing is of 2": {"cam": {**LOOK, "each": {"pointing": "01", "energy": []}}},
        "values.cam.each.pointing": {"cam": {**LOOK, "each": {"pointing": "0?", "energy": []}}}}),
    "activations": ({"raw": {"counts": {"a": [[1, 2], [3, 4]], "b": [[1, 2], [3, 4]]}}}, {
        "values.raw.counts.a": {"raw": {"counts": {"a": 1, "b": [[1]]}}}, "values.raw.counts": {"raw": {"counts": {"a": [[1]]}}},
        "other numbers of stages": {"raw": {"counts": {"a": [[1, 2]], "b": [[1, 2], [3, 4]]}}}}),
    "view": ({"area": 20.5}, {"values.area": {"area": "20.5"}}),
    "confusion": ({"near": 3.0, "far": None}, {"values.near": {"near": [3.0]}}),
    "detail": ({"before": 1.0}, {"values.after": {"after": {}}}),
    "detections": ({"images": [{"boxes": [[0.0, 0.0, 1.0, 1.0]], "labels": [1], "scores": [0.5]}]}, {
        "values.images": {"images": []}, "values.images.0.boxes.0": {"images": [{"boxes": [[0.0]], "labels": [1],
            "scores": [0.5]}]},
        "not of one number": {"images": [{"boxes": [], "labels": [1], "scores": [0.5]}]},
        "values.images.0.scores.0": {"images": [{"boxes": [], "labels": [], "scores": [1.5]}]}})}

BENCHMARKS = {
    "device": {"device": 3}, "type": {"type": "tpu"}, "groups": {"groups": []}, "groups.tiers.rows": {"groups__tiers__rows": {}},
    "groups.tiers.rows.0.value": {"groups__tiers__rows__0__value": "1.0"},
        "groups.tiers.rows.0.goal": {"groups__tiers__rows__0__goal": None},
    "NaN": {"groups__tiers__rows__0__high": math.nan}, "groups.tiers.rows.0.low": {"groups__tiers__rows__0__low": "1"},
        "groups.tiers.rows.0.met": {"groups__tiers__rows__0__met": "yes"},
    "groups.tiers.provenance.threads": {"groups__tiers__provenance__threads": 0},
    "groups.tiers.provenance": {"groups__tiers__provenance": None}}

LINE = f"{'0' * 64}  full/a.b/seed0.json\n"
MANIFESTS = {"not a sum": "x" + LINE[1:], "short sum": LINE[1:], "outside": LINE.replace("full/a.b", "../a.b"),
    "another tier": LINE.replace("full", "smoke"), "no path": LINE[:64] + "\n", "twice": LINE + LINE,
    "empty line": LINE + "\n" + LINE, "one space": LINE.replace("  ", " "),
    "half a line": LINE + LINE[:40], "no file": LINE.replace("seed0.json", "")}


def nan_of(state):
    name = next(iter(state))
    return {**state, name: torch.full_like(state[name], float("nan"))}


def checkpoints(other_seed, other_epochs):
    """By what is wrong: from a state to the parts of it that lie. ``other_seed``, ``other_epochs``: runs that it is not of."""
    return {
        "another version": lambda s: {"format": 4}, "no version": lambda s: {"format": None}, "a list": lambda s: {"log": [1]},
        "another seed": lambda s: {"run": {**s["run"], "id": other_seed.id}},
        "another spec": lambda s: {"run": {**s["run"], "spec": other_epochs.spec()}}, "no run": lambda s: {"run": None},
        "NaN weights": lambda s: {"model": nan_of(s["model"])}, "NaN heads": lambda s: {"methods": nan_of(s["methods"])},
        "infinite momentum": lambda s: {"optimizer": {"momenta": [m / 0 for m in s["optimizer"]["momenta"]]}},
        "too few momenta": lambda s: {"optimizer": {"momenta": s["optimizer"]["momenta"][1:]}},
        "another shape": lambda s: {"model": {name: t[:1] if t.dim() else t for name, t in s["model"].items()}},
        "fewer weights": lambda s: {"model": dict(list(s["model"].items())[1:])}, "no weights": lambda s: {"model": {}},
        "another type": lambda s: {"model": {name: t.double() for name, t in s["model"].items()}},
        "weights as text": lambda s: {"model": "weights"}, "epoch 9 of 4": lambda s: {"loader": {**s["loader"], "epoch": 9}},
        "epoch 0": lambda s: {"loader": {**s["loader"], "epoch": 0}}, "half an epoch": lambda s: {"loader": {**s["loader"],
            "epoch": 1.5}},
        "no loader": lambda s: {"loader": {}}, "a loader of another seed": lambda s: {"loader": {**s["loader"], "seed": 3}},
        "a short curve": lambda s: {"log": {**s["log"], "loss": [1.0]}},
        "NaN in a curve": lambda s: {"log": {**s["log"], "loss": [float("nan")] * 2}},
        "text in a curve": lambda s: {"log": {**s["log"], "loss": ["1", "1"]}},
            "random": lambda s: {"random": {"cpu": torch.ones(3)}}}


HEADS = {"nothing": b"", "no checkpoint": b"not a checkpoint", "an older version": b"PK\x03\x04 of an older version",
         "a seal alone": b"featuremining checkpoint\n", "a sum of nothing": b"featuremining checkpoint\n" + b"0" * 32,
             "a pipe": "fifo"}

SIZE = "<size><width>40</width><height>30</height></size>"
BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>20</xmax><ymax>30</ymax></bndbox>"
SCENE = f"<annotation>{SIZE}<object><name>cat</name><difficult>0</difficult>{BOX}</object></annotation>"
SCENES = [      # old, new, what is said
    *((f"<{side}>{number}<", f"<{side}>{wrong}<", side) for side, number in (("xmin", 1), ("ymin", 2), ("xmax", 20), ("ymax", 30))
      for wrong in ("nan", "inf", "-inf", "1e999", "one", "")),
    ("<xmin>1<", "<xmin>21<", "xmin 21"), ("<xmax>20<", "<xmax>200<", "xmax 200"), ("<ymin>2<", "<ymin>-90<", "ymin -90"),
    ("<xmin>1</xmin>", "", "xmin"), ("cat", "unicorn", "name"), ("<name>cat</name>", "", "name"), (BOX, BOX.replace("bndbox",
        "box"), "bndbox"),
    (">0<", ">2<", "difficult"), (">0<", ">yes<", "difficult"), (SIZE, "", "size"), ("<width>40<", "<width>0<", "width"),
    ("<width>40<", "<width>wide<", "width"), ("</annotation>", "", "no element found"), ("<annotation>", "",
        "mismatched|not well|junk"),
    ("<annotation>", '<?xml version="1.0" encoding="klingon"?><annotation>', "encoding"),
    ("<annotation>", '<!DOCTYPE x [<!ENTITY a "b">]>&a;<annotation>', ""), ("cat", "&cat;", "undefined entity"), ("cat", "c\0t",
        "")]


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def end_early(path, words):
    """The last line holds so many words."""
    *lines, last = path.read_text().splitlines()
    path.write_text("\n".join([*lines, " ".join(last.split()[:words])]))


def last_word(path, word):
    *lines, last = path.read_text().splitlines()
    path.write_text("\n".join([*lines, " ".join([*last.split()[:-1], word])]))


def first_image(folder):
    return sorted(folder.rglob("*.[Jj][Pp]*"))[0]


def cut(path):
    path.write_bytes(path.read_bytes()[:300])


TABLES = {"tiny_imagenet": "val/val_annotations.txt", "boxes": "bounding_boxes.txt", "labels": "image_class_labels.txt"}
FOLDERS = [     # set, harm, what is said
    ("tiny_imagenet", lambda f: (f / "val/val_annotations.txt").unlink(), r"val_annotations\.txt is missing, the labels of"),
    ("tiny_imagenet", lambda f: shutil.rmtree(f / "val/images"), r"holds neither images/ nor a folder per class"),
    ("tiny_imagenet", lambda f: shutil.rmtree(f / "train" / WNIDS[4]), rf"train/{WNIDS[4]} holds no images"),
    ("tiny_imagenet", lambda f: [p.unlink() for p in (f / "train" / WNIDS[4] / "images").iterdir()],
     rf"train/{WNIDS[4]}/images holds no images, as every class must"),
    ("tiny_imagenet", lambda f: edit(f / "val/val_annotations.txt", WNIDS[3], "n99999999"), r"of class n99999999, which is not"),
    ("tiny_imagenet", lambda f: end_early(f / "val/val_annotations.txt", 1), r"a line has no class"),
    ("tiny_imagenet", lambda f: (f / "val/images/val_7.JPEG").unlink(), r"names val_7\.JPEG, which is not in"),
    ("tiny_imagenet", lambda f: cut(first_image(f / "train")), r"n00000000_\d+\.JPEG can't be read as an image \(.*[Tt]runcated"),
    ("tiny_imagenet", lambda f: Image.new("RGB", (70, 64)).save(first_image(f / "val")), r"is 70 x 64 pixels instead of 64 x 64"),
    ("tiny_imagenet", lambda f: (f / "wnids.txt").write_bytes(b"\xff\xfe"), r"wnids\.txt can't be read as UTF-8"),
    ("imagenet", lambda f: shutil.rmtree(f / "val" / WNIDS[8]), rf"{WNIDS[8]} is only in train"),
    ("imagenet", lambda f: shutil.rmtree(f / "train" / WNIDS[0]), rf"{WNIDS[0]} is only in val"),
    ("imagenet", lambda f: [p.unlink() for p in (f / "val" / WNIDS[2]).iterdir()], rf"val/{WNIDS[2]} holds no images"),
    ("imagenet", lambda f: [shutil.rmtree(f / "val"), (f / "val").mkdir(),
                            Image.new("RGB", (9, 9)).save(f / "val/ILSVRC2012_val_00000001.JPEG")],
     r"without folders, so without labels: move each .* torchvision\.datasets\.ImageNet"),
    ("cub", lambda f: first_image(f / "images").unlink(), r"images/001\..*jpg is missing"),
    ("cub", lambda f: (f / "bounding_boxes.txt").unlink(), r"bounding_boxes\.txt is missing"),
    ("cub", lambda f: (f / "images.txt").write_bytes(b"1 \xff\xfe"), r"images\.txt can't be read as UTF-8"),
    *(("cub", lambda f, new=new: edit(f / "images.txt", "7 ", new),
        rf"images\.txt is damaged, line 7 .*{says}") for new, says in (
        ("seven ", "no id"), ("-7 ", "no id"), ("6 ", "is there twice"), ("7 /etc/", "no name"), ("7 ../", "no name"), ("7 \0",
            "no name"))),
    *(("cub", lambda f, new=new: edit(f / "image_class_labels.txt", "7 ", new), r"image_class_labels\.txt is damaged, line 7")
      for new in ("7 x", "7 -", "7 999", "7 1.")),
    *(("cub", lambda f, word=word: last_word(f / "bounding_boxes.txt", word),
        r"bounding_boxes\.txt is damaged, line 270 .*(no box|could not)")
      for word in ("nan", "inf", "-5", "0", "wide", "1 2")),
    ("cub", lambda f: end_early(f / "bounding_boxes.txt", 2), r"bounding_boxes\.txt is damaged, line 270"),
    ("cub", lambda f: edit(f / "train_test_split.txt", "3 1\n", ""), r"do not speak of the same photos"),
    ("cub", lambda f: edit(f / "train_test_split.txt", "3 1\n", "3 2\n"), r"train_test_split\.txt is damaged, line 3"),
    ("cub", lambda f: edit(f / "train_test_split.txt", "3 1\n", "3 yes\n"), r"train_test_split\.txt is damaged, line 3")]


def picture(picture, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, **{"format": "PNG", **options})
    return buffer.getvalue()


GREY = picture(Image.new("L", (40, 30), 128))
IMAGES = {
    "nothing": b"", "a page": b"<html>not found</html>", "half": GREY[:len(GREY) // 2],
        "a flipped bit": GREY[:40] + bytes([GREY[40] ^ 8]) + GREY[41:],
    "12,000 x 12,000 grey": lambda: picture(Image.new("1", (12_000, 12_000))),
        "a bomb by its head": GREY[:16] + b"\0\0\xff\xff" * 2 + GREY[24:],
    "real numbers": picture(Image.fromarray(np.zeros((4, 4), np.float32)), format="TIFF"), "half a JPEG": picture(
        Image.new("RGB", (40, 30)), format="JPEG")[:150], "an unknown kind of TIFF": b"II*\0\x08\0\0\0\0\0", "a pipe": "fifo",
            "a folder": "folder"}


def zipped(members, method=zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def tarred(members, mode="w:gz") -> bytes:
    """Name -> content, or the kind of a member that leads out of the folder, in a list."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
            else:
                (info.type,), info.linkname = content, "/etc/passwd"
                file.addfile(info)
    return buffer.getvalue()


def entry(data: bytes, at: int, value: int) -> bytes:
    """A .zip whose last entry of the directory has another byte there."""
    at += data.rfind(b"PK\x01\x02")
    return data[:at] + bytes([value]) + data[at + 1:]


SET = {"set/one.bin": os.urandom(50_000), "set/two.bin": os.urandom(70_000)}
ZIP, TGZ, ZEROS = zipped(SET), tarred(SET), bytes(40_000_000)
ARCHIVES = {
    "nothing": b"", "a page": b"<html>not found</html>", "half a zip": ZIP[:40_000], "half a tgz": TGZ[:40_000],
    "a flipped byte": ZIP[:2000] + bytes([ZIP[2000] ^ 1]) + ZIP[2001:],
        "a flipped byte of a tgz": TGZ[:2000] + bytes([TGZ[2000] ^ 1]) + TGZ[2001:],
    "encrypted": entry(ZIP, 8, 1), "an unknown method": entry(ZIP, 10, 77), "another size than it says": entry(ZIP, 24, 9),
    "a bomb": lambda: zipped({"set/a.bin": ZEROS}), "a bomb of a tgz": lambda: tarred({"set/a.bin": ZEROS}),
    "a bomb of many": lambda: zipped({f"set/{i}.bin": ZEROS[:4_000_000] for i in range(10)}),
    "above": zipped({"../evil.txt": b"1"}), "above in a tgz": tarred({"../evil.txt": b"1"}),
        "further above": zipped({"set/../../evil.txt": b"1"}),
    "a link": tarred({"set/link": [tarfile.SYMTYPE]}), "a hard link": tarred({"set/link": [tarfile.LNKTYPE]}),
    "a device": tarred({"set/null": [tarfile.CHRTYPE]}), "a pipe": tarred({"set/pipe": [tarfile.FIFOTYPE]})}

NOTEBOOKS = [   # what is set, what is said
    ({"teir": "short"}, "Did you mean 'tier'"), ({"tier": "medium"}, "smoke, short, full"), ({"tier": ["smoke"]}, "tier"),
        ({"tier": None}, "tier"),
    ({"cells": "T1.resnet56.fm2"}, "cells must be a list"), ({"cells": []}, "cells must be a list"), ({"cells": [1]},
        "cells must be a list"),
    ({"cells": [["X1.resnet20.fm2"]]}, "cells must be a list"), ({"cells": '["X1.resnet20.fm2"'}, "cells must be a list"),
    ({"cells": "[" * 100_000}, "cells must be a list"), ({"cells": ["T1.resnet56.fm"]}, "Did you mean"), ({"cells": [""]},
        "no cell ''"),
    ({"cells": ["T9.resnet56.fm1"]}, "belongs to the notebook ablations"),
    ({"seeds": 0}, "seeds must be a list"), ({"seeds": [True]}, "seeds must be a list"), ({"seeds": [0.5]},
        "seeds must be a list"),
    ({"seeds": ["0"]}, "seeds must be a list"), ({"seeds": [-1]}, "A seed is 0 or more"), ({"seeds": [2**32]},
        "A seed is 0 or more"),
    ({"seeds": [-1], "train": False}, "A seed is 0 or more"), ({"seeds": "9" * 5000}, "seeds must be a list"),
        ({"seeds": {"0": 1}}, "seeds must be a list"),
    ({"train": "yes"}, "train must be true or false"), ({"train": 1}, "train must be true or false"), ({"device": 0},
        "device a name"),
    ({"device": None}, "device a name")]

ENVIRONMENT = [     # variable, value
    ("FM_WORKERS", "many"), ("FM_WORKERS", "-1"), ("FM_WORKERS", "1.5"), ("FM_BESIDE", "two"), ("FM_BESIDE", "-1"),
        ("FM_RUNS_DIR", "~nobody_at_all/x"),
    ("FM_BUILD_DIR", "~nobody_at_all/x"), ("FM_DATA_DIR", "~nobody_at_all/x"), ("WORLD_SIZE", "two"), ("WORLD_SIZE", "0"),
        ("WORLD_SIZE", "2")]


def put(path, content):
    """Bytes, or a file of another kind."""
    content = content() if callable(content) else content
    if path.is_symlink() or path.exists():
        path.unlink()
    if content == "fifo":
        os.mkfifo(path)
    elif content == "folder":
        path.mkdir()
    elif content == "huge":
        with open(path, "wb") as holes:
            holes.truncate(150 * 2**20)
    elif content in ("loop", "nowhere"):
        path.symlink_to(path if content == "loop" else path.with_name("nothing"))
    else:
        path.write_bytes(content)
    return path


def edited(path, **fields):
    """The JSON file with fields, a__b for one of a part, set anew; nothing else is changed."""
    content = json.loads(path.read_text())
    for name, value in fields.items():
        at, (*parts, last) = content, name.split("__")
        for part in parts:
            at = at[int(part) if part.isdecimal() else part]
        at[last] = value
    path.write_text(json.dumps(content))


def laughs() -> bytes:
    """An annotation of a billion characters in a thousand."""
    entities = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))
    return f'<!DOCTYPE x [<!ENTITY a0 "ha">{entities}]><annotation>&a9;</annotation>'.encode()
