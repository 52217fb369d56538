"""What is measured of a training or of a trained network: its cost, where it looks, how large its activations are, what it
detects. In come trainings and weights, out go numbers, kept as findings. What they say about the paper does not belong here."""

from importlib import import_module


def measure(runs, device: str = "auto", engine: str = "auto", threads: int = 0):
    """The findings of costs of these trainings, side by side, with torch's own number of ``threads`` unless one is named. Torch
    is imported on demand."""
    if not runs:
        return []
    import_module("..training.threads", __name__).settle(threads, choose=False)
    return import_module(".iterations", __name__).measure(runs, device, engine)


def look(cell, run) -> None:
    """Measure of a finished run's network what the notebook of its cell shows of it, and keep it as findings; nothing where that
    shows nothing, it is measured, or the weights are not at hand. They are no part of a record, and another machine may
    train others: measure while they are there."""
    if cell.notebook == "detection":
        import_module(".detections", __name__).look(cell, run)
    elif cell.notebook in ("class_activation", "cub"):
        import_module(".diagnostics", __name__).localise(cell, run)
    elif cell.notebook == "neighbours":
        import_module(".diagnostics", __name__).neighbours(cell, run)


def verify(run):
    """The finding of whether the network of test time is the plain one, by how the run is made."""
    return import_module(".construction", __name__).verify(run)


def facts():
    """What a training finds on this machine, a line each."""
    return import_module(".machine", __name__).facts()
