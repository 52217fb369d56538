"""Photos in files: the loader against torchvision, restarts and numbers of processes, unreadable images, digests, boxes."""

import multiprocessing
import re
import shutil
import subprocess
import sys
import time
from operator import methodcaller
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as T

from featuremining import FMError, UsageError
from featuremining.datasets import cub, decode
from featuremining.datasets.loader import Shown
from featuremining.datasets.photos import Photos
from featuremining.recipes import Recipe

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
N, BATCH, SIZE, RESIZE = 22, 8, 24, 27


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Smooth random photos of several shapes, one for each name, as JPEG."""
    root, g = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for i in range(N):
        small = Image.fromarray(g.integers(0, 256, (5, 6, 3), dtype=np.uint8))
        small.resize((40 + 3 * i, 70 - 2 * i), Image.Resampling.BICUBIC).save(root / f"{i:02d}.jpg", quality=90)
    return root


def data(root, **changes):
    names, labels = np.array([f"{i:02d}.jpg".encode() for i in range(N)]), torch.arange(N) % 5
    own = Photos("toy", names, labels, names[:7], labels[:7], tuple("abcde"), MEAN, STD, root, SIZE, RESIZE)
    return own._replace(**changes)


def loader(root, seed=3, sampler=None, share=(0, 1), **changes):
    return data(root).loader("cpu", seed, Recipe(batch=BATCH, **changes), sampler, share)


def epoch(own):
    return list(own.batches())


def equal(a, b):
    return len(a) == len(b) and all(torch.equal(s, t) for p, q in zip(a, b, strict=True) for s, t in zip(p, q, strict=True))


def no_processes():
    return not multiprocessing.active_children()


def open_rgb(root, name):
    return Image.open(root / name.decode()).convert("RGB")


def test_an_epoch_shows_every_image_once_with_its_label(folder):
    own = loader(folder)
    batches = epoch(own)
    seen = torch.cat([b.index for b in batches])
    assert len(own) == 3 and [len(b.crops) for b in batches] == [8, 8, 6]
    assert sorted(seen.tolist()) == list(range(N)) and seen.tolist() != list(range(N))
    x, y = own.images(batches[0])
    assert torch.equal(y.argmax(1), data(folder).train_y[batches[0].index]) and torch.equal(y.sum(1), torch.ones(BATCH))
    assert x.shape == (BATCH, 3, SIZE, SIZE) == (BATCH, 3, *own.size) and x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(x[0], T.functional.normalize(T.functional.to_tensor(batches[0].crops[0].numpy()), MEAN, STD))


@pytest.mark.parametrize("flip", [True, False])
def test_crops_are_torchvisions(folder, flip):
    """The random numbers of an epoch are written out here once more: its order first, then a seed for every image in it."""
    own, crop = loader(folder, flip=flip), T.RandomResizedCrop(SIZE)
    own.epoch = 2
    g = torch.Generator().manual_seed(3 * 1_000_003 + 2)
    order, seeds = torch.randperm(N, generator=g), torch.randint(2**63 - 1, (N,), generator=g)
    got, flipped = torch.cat([b.crops for b in own.batches()]), 0
    for image, i, seed in zip(got, order, seeds, strict=True):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(seed))
            expected = crop(open_rgb(folder, b"%02d.jpg" % i))
            mirror = flip and torch.rand(1) < 0.5
        flipped += bool(mirror)
        expected = T.functional.hflip(expected) if mirror else expected
        assert np.array_equal(image, np.asarray(expected))
    assert (0 < flipped < N) == flip


def test_evaluation_is_torchvisions(folder):
    own = data(folder)
    steps = T.Compose([T.Resize(RESIZE), T.CenterCrop(SIZE), T.ToTensor(), T.Normalize(MEAN, STD)])
    (x, y), = own.tests("cpu")
    assert torch.equal(y, own.test_y) and x.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(got, steps(open_rgb(folder, name))) for got, name in zip(x, own.test_x, strict=True))
    (first, _), = own.tests("cpu", (0, 2))
    (second, labels), = own.tests("cpu", (1, 2))
    assert torch.equal(first, x[0::2]) and torch.equal(second, x[1::2]) and torch.equal(labels, y[1::2])


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_neither_processes_nor_an_interruption_change_a_pixel(folder, monkeypatch):
    monkeypatch.setenv("FM_WORKERS", "0")
    own = loader(folder)
    expected = epoch(own) + epoch(own)
    assert own.state_dict() == {"seed": 3, "epoch": 2, "position": 0} and not equal(expected[:3], expected[3:])
    for n in (1, 2):
        monkeypatch.setenv("FM_WORKERS", str(n))
        cut, resumed = loader(folder), loader(folder, seed=9)
        stream = cut.batches()
        start = [next(stream)]
        stream.close()                                              # a kill in mid-epoch
        assert cut.state_dict() == {"seed": 3, "epoch": 0, "position": 1} and no_processes()
        resumed.load_state_dict(cut.state_dict())
        assert equal(start + epoch(resumed) + epoch(resumed), expected) and no_processes()
        assert resumed.state_dict() == own.state_dict()
    (x, _), = data(folder).tests("cpu")
    monkeypatch.setenv("FM_WORKERS", "0")
    (again, _), = data(folder).tests("cpu")
    assert torch.equal(x, again) and no_processes()


def test_seeds_differ(folder):
    a, b = epoch(loader(folder)), epoch(loader(folder, seed=4))
    assert not equal(a, b) and not torch.equal(a[0].crops, b[0].crops)


def test_the_global_random_numbers_are_left_alone(folder):
    before = torch.get_rng_state()
    epoch(loader(folder))
    list(data(folder).tests("cpu"))
    assert torch.equal(torch.get_rng_state(), before)


def test_several_processes_share_every_batch(folder):
    whole, parts = epoch(loader(folder)), [epoch(loader(folder, share=(rank, 3))) for rank in range(3)]
    for rank in range(3):
        assert equal([Shown(*(t[rank::3] for t in b)) for b in whole], parts[rank])
    assert [len(b.index) for b in parts[2]] == [2, 2, 2]


def test_a_method_may_choose_the_batches_and_a_recipe_their_number(folder):
    """The same image twice in a batch is cropped twice."""
    chosen = [torch.tensor([5, 5, 7]), torch.tensor([1]), torch.tensor([2, 3])]
    own = loader(folder, sampler=lambda generator: list(chosen), steps=2)
    got = epoch(own)
    assert [b.index.tolist() for b in got] == [[5, 5, 7], [1]] and len(own) == 2
    assert not torch.equal(got[0].crops[0], got[0].crops[1])
    assert own.state_dict()["epoch"] == 1


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA", "LA", "1"])
def test_every_kind_of_picture_becomes_rgb(tmp_path, mode):
    colour = (255, 255, 255) if mode in ("L", "LA", "1") else (204, 51, 102)        # what each can hold
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    picture = Image.new("RGB", (9, 6), colour)
    (picture.quantize() if mode == "P" else picture.convert(mode)).save(path)
    with Image.open(path) as stored:
        assert stored.mode == mode
    got = decode.read(path)
    assert got.mode == "RGB" and got.size == (9, 6)
    assert np.abs(np.asarray(got).astype(int) - colour).max() <= (3 if mode == "CMYK" else 0)


@pytest.mark.parametrize("number", ["0", "1"])
@pytest.mark.parametrize("damage", ["truncated", "no image", "missing"])
def test_an_unreadable_image_is_named_in_one_sentence(folder, tmp_path, monkeypatch, number, damage):
    monkeypatch.setenv("FM_WORKERS", number)
    root = shutil.copytree(folder, tmp_path / "copy")
    bad = root / "13.jpg"
    whole = bad.read_bytes()
    bad.unlink()
    if damage != "missing":
        bad.write_bytes(whole[:len(whole) // 2] if damage == "truncated" else b"<html>not found</html>")
    with pytest.raises(FMError) as caught:
        epoch(loader(root))
    says = {"truncated": r"can't be read as an image \(.*truncated.*\)", "no image": r"can't be read as an image \(.*ident.*\)",
            "missing": "is missing"}[damage]
    assert re.fullmatch(rf"{re.escape(str(bad))} {says}: unpack its data set again\.", str(caught.value))
    assert no_processes()


def test_a_process_that_dies_is_reported(folder, monkeypatch):
    """What a memory limit or a small /dev/shm does."""
    monkeypatch.setenv("FM_WORKERS", "1")
    stream = loader(folder, sampler=lambda generator: list(torch.arange(8).repeat(8).split(1))).batches()
    next(stream)
    for child in multiprocessing.active_children():
        child.kill()
    with pytest.raises(FMError, match="FM_WORKERS=0"):
        list(stream)
    assert no_processes()


@pytest.mark.slow
def test_a_killed_training_leaves_no_processes(folder):
    """SIGKILL, as a scheduler sends it: nobody is left to end the processes but they themselves."""
    script = ("import sys, numpy, pathlib\n"
              "from featuremining.datasets.decode import Views, decoded\n"
              "asks = ([(b'03.jpg', i)] for i in range(10**9))\n"
              "for _ in decoded(Views(pathlib.Path(sys.argv[1]), 8, CenterCrop=8), asks, 2): print('on', flush=True)\n")
    command = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as training:
        assert training.stdout.readline() == b"on\n"
        training.kill()
    for _ in range(300):
        if not alive(training.pid):
            break
        time.sleep(0.1)
    assert not alive(training.pid)


def alive(session):
    """Processes of a session that are more than an entry of the kernel's table."""
    rows = subprocess.run(["ps", "-e", "-o", "sid=,stat=,args="], capture_output=True, text=True).stdout.splitlines()
    return [row for row in rows if int(row.split()[0]) == session and not row.split()[1].startswith("Z")]


def test_an_error_of_the_code_is_not_taken_for_a_dead_process(folder):
    views = decode.Views(folder, SIZE, CenterCrop=SIZE)
    views.view = methodcaller("seek", 2)                        # there is no third picture in a JPEG file
    for number in (0, 1):
        with pytest.raises(EOFError):
            list(decode.decoded(views, iter([[(b"03.jpg", 0)]]), number))
    assert no_processes()


def test_how_many_processes(monkeypatch):
    monkeypatch.delenv("FM_WORKERS", raising=False)
    for cores, images, world, expected in ((8, 5000, 1, 7), (8, 5000, 2, 3), (8, 5000, 16, 1), (64, 5000, 1, 16), (1, 5000, 1, 1),
                                           (8, 200, 1, 0)):
        monkeypatch.setattr(decode, "cores", lambda cores=cores: cores)
        assert decode.workers(images, world) == expected
    monkeypatch.setenv("FM_WORKERS", "40")
    assert decode.workers(5) == 40
    monkeypatch.setenv("FM_WORKERS", "many")
    with pytest.raises(UsageError, match="FM_WORKERS is a number of processes"):
        decode.workers(5)


def test_the_digest_follows_names_sizes_labels_and_splits(folder, tmp_path):
    own, copy = data(folder), shutil.copytree(folder, tmp_path / "elsewhere")
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    assert own.digest() == data(copy).digest() == data(folder, train_x=own.train_x[order], train_y=own.train_y[order]).digest()
    others = [data(folder, train_y=own.train_y.flip(0)), data(folder, test_x=own.test_x[:6], test_y=own.test_y[:6]),
              data(folder, train_x=own.test_x, train_y=own.test_y, test_x=own.train_x, test_y=own.train_y)]
    with (copy / "03.jpg").open("ab") as file:
        file.write(b"\0")
    assert len({d.digest() for d in (own, *others, data(copy))}) == 5


def test_boxes_follow_the_crop():
    """A painted box, scaled and cropped by torchvision, is where `in_view` says, to half a pixel and the blur of scaling."""
    view = T.Compose([T.Resize(64), T.CenterCrop(56)])
    shapes, boxes = [(200, 140), (131, 167), (90, 90), (100, 300)], [(60, 40, 110, 99), (20, 33, 101, 150), (0, 0, 90, 45),
                                                                   (20, 90, 80, 190)]
    seen = cub.in_view(np.array(boxes, float), np.array(shapes), 64, 56)
    for size, (x0, y0, x1, y1), expected in zip(shapes, boxes, seen, strict=True):
        canvas = np.zeros((size[1], size[0], 3), np.uint8)
        canvas[y0:y1, x0:x1] = 255
        shown = np.asarray(view(Image.fromarray(canvas)))[..., 0] / 255
        rows, cols = shown.max(1), shown.max(0)
        got = [cols.argmax() if cols[0] > 0.5 else (cols > 0.5).argmax(), (rows > 0.5).argmax(),
               56 - (cols[::-1] > 0.5).argmax(), 56 - (rows[::-1] > 0.5).argmax()]
        assert np.abs(np.array(got) - expected).max() <= 0.51
    assert seen.min() == 0 and seen.max() == 56                                 # the third touches three sides of its photo
    out = cub.in_view(np.array([[0.0, 0, 30, 100]]), np.array([[300, 100]]), 64, 56)[0]
    assert out[0] == out[2] == 0                                                # left of the crop: no area


def test_sizes_are_read_in_order(folder):
    names = data(folder).train_x
    assert cub.sizes(folder, names).tolist() == [[40 + 3 * i, 70 - 2 * i] for i in range(N)]


def test_subsets_index_file_names_like_images(folder):
    """What the small-data study does with any data set."""
    own, index = data(folder), torch.tensor([3, 1, 8])
    small = own._replace(train_x=own.train_x[index], train_y=own.train_y[index])
    batch, = small.loader("cpu", 0, Recipe(batch=BATCH)).batches()
    assert len(batch.crops) == 3 and small.train_x.tolist() == [b"03.jpg", b"01.jpg", b"08.jpg"]
    assert SimpleNamespace(**small._asdict()).true_y is None
