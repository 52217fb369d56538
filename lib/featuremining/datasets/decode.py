"""Image files to pixels, in processes of their own where there are many."""

import multiprocessing
import os
import signal
import stat
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..errors import FMError, UsageError, said

MAX_WORKERS = 16
FEW = 1000              # images that are decoded here before another process would have started

LARGEST = Image.MAX_IMAGE_PIXELS       # 89 million, above which Pillow warns of a bomb; they take 0.3 GB

Ask = list[tuple[bytes, int]]       # a batch before it is decoded: file names and what each image's random numbers follow from


def read(path: str | Path) -> Image.Image:
    """The picture in RGB, however it is stored. `FMError` names a file that is missing, truncated, no image, or larger than
    `LARGEST`, before it is decoded."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError("it is no regular file")
        with Image.open(path) as picture:
            if (pixels := picture.width * picture.height) > LARGEST:
                raise ValueError(f"{picture.width} x {picture.height} are {pixels / 1e6:.0f} million pixels, more than the "
                                 f"{LARGEST / 1e6:.0f} that are read")
            if picture.mode == "F":
                raise ValueError("its pixels are real numbers, which have no known range")
            if picture.mode.startswith("I"):            # 16 bits a pixel, which Pillow would cut off at 255
                grey = np.asarray(picture).clip(0, 65535).astype(np.uint32)
                picture = Image.fromarray(((grey + 128) // 257).astype(np.uint8))
            return picture.convert("RGB")
    except FileNotFoundError:
        raise FMError(f"{path} is missing: unpack its data set again.") from None
    except Exception as error:                      # Pillow's plugins raise what they like: OSError, SyntaxError, struct.error
        raise FMError(f"{path} can't be read as an image ({said(error)}): unpack its data set again.") from None


def path_of(root: Path, name: bytes) -> str:
    """Of one of `Photos`' file names."""
    return os.path.join(root, os.fsdecode(name))


class Views(Dataset):
    """What the decoding processes hold: no list of files, only what is done to one: ``transforms`` of torchvision, each with
    its first argument. A whole batch is one item."""

    def __init__(self, root: Path, size: int, **transforms):
        from torchvision.transforms import v2  # takes seconds, for which those who only read files need not wait

        self.root, self.size, self.view = root, size, v2.Compose([getattr(v2, k)(value) for k, value in transforms.items()])

    def __getitem__(self, ask: Ask) -> Tensor | FMError:
        """uint8 (B, size, size, 3); or the error, because `DataLoader` would bury the sentence of one that is raised."""
        out = np.empty((len(ask), self.size, self.size, 3), np.uint8)
        with torch.random.fork_rng(devices=[]):
            for image, (name, seed) in zip(out, ask, strict=True):
                torch.default_generator.manual_seed(seed)           # torch.manual_seed would reseed the GPU as well
                try:
                    image[:] = self.view(read(path_of(self.root, name)))
                except FMError as error:
                    return error
        return torch.from_numpy(out)


def decoded(views: Dataset, asks: Iterable, processes: int) -> Iterator:
    """``views[ask]`` of every batch, in order; an `FMError` that comes out so is raised. The processes are ended with the
    generator, also when that is closed early.

    They come from a server process that has loaded torch once and has no threads: a fork of this process, which has many,
    may hang, and fresh interpreters would hold one torch each.
    """
    context = _context() if processes else None
    batches = iter(DataLoader(views, batch_size=None, sampler=asks, num_workers=processes, multiprocessing_context=context,
                              worker_init_fn=_begin,                    # torch itself gives its workers one thread
                              generator=torch.Generator()))             # else every epoch draws from the global stream
    try:
        for got in batches:
            if isinstance(got, FMError):
                raise got
            yield got
    except (RuntimeError, OSError, EOFError) as error:
        if not processes or str(error).startswith("Caught"):        # an error of the code, which DataLoader brings over
            raise
        reason = str(error).partition("\n")[0]
        raise FMError(f"A process that decodes images has died ({reason}): set FM_WORKERS=0 or give it more memory and /dev/shm; "
                      "in a script of your own the training must start below `if __name__ == \"__main__\":`.") from None
    finally:
        if processes:
            batches._shutdown_workers()         # now, not when the garbage collector comes by


def _context():
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload([__name__, "torchvision.transforms.v2"])
    return context


def _begin(_: int) -> None:
    """In each process at first: Ctrl-C goes to the training alone, and when that is gone, however it died, so is the process.
    (torch watches the parent, which is the server, and the server lives as long as its children.)"""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    training = multiprocessing.parent_process()
    threading.Thread(target=lambda: (training.join(), os._exit(1)), daemon=True).start()


def workers(images: int, world: int = 1) -> int:
    """How many processes decode ``images`` images, 0 being this one: ``FM_WORKERS``, else all cores that ``world`` trainings
    share but one for each, at most 16."""
    told = os.environ.get("FM_WORKERS", "")
    if told and not told.isdecimal():
        raise UsageError(f"FM_WORKERS is a number of processes, 0 or more, got {told!r}.")
    if told:
        return int(told)
    return 0 if images < FEW else min(max(cores() // world - 1, 1), MAX_WORKERS)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
