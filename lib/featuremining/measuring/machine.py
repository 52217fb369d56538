"""What a training finds on this machine: versions, device, threads, disk, commit, and whether equal trainings give equal bits."""

import os
import shutil
from collections.abc import Iterator

import torch

from .. import paths
from ..errors import FMError
from ..records import provenance
from ..training.engine import pick_device
from ..training.loop import repeats
from ..training.threads import idle


def facts() -> Iterator[str]:
    """A line each, as soon as it is known; an `FMError` where equal trainings differ."""
    device = pick_device("auto")
    yield " · ".join(f"{name} {version}" for name, version in provenance.versions().items())
    yield (f"device       {device.type}: {provenance.device_name(device)}; {torch.get_num_threads()} threads of {os.cpu_count()}"
           f", {idle():.1f} cores idle now")
    for name, folder in (("data", paths.raw()), ("records", paths.runs()), ("build", paths.build())):
        there = next(p for p in (folder, *folder.parents) if p.exists())
        free = shutil.disk_usage(there).free / 2**30
        yield f"{name:12} {folder}  {free:.1f} GiB free" + ("" if os.access(there, os.W_OK) else ", not writable")
    commit = provenance.commit()
    yield f"commit       {commit['commit'] or 'not a git checkout'}{', with uncommitted changes' if commit['dirty'] else ''}"
    equal = repeats(device)
    yield f"determinism  two equal trainings {'give equal bits' if equal else 'DIFFER: records made here are not repeatable'}"
    if not equal:
        raise FMError("Equal trainings differ on this machine; please check its memory, drivers and torch build.")
