"""Training ResNet-56 end to end, against a plain public loop and against the machine's own peak.

The plain loop is what one finds: torchvision's blocks, PIL images and torchvision transforms, a DataLoader in the same
process (workers only take cores away from a CPU that trains), the default memory format, ``loss.item()`` for the log.
"""

import multiprocessing

import torch
import torch.nn.functional as F
from bench import Row, endless, main, random_data, training
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms
from torchvision.models.resnet import BasicBlock

from featuremining.measuring.cost import ratio, seconds, side_by_side
from featuremining.training.engine import deterministic, keep_freed_memory
from featuremining.training.evaluation import evaluate

STEPS = 5           # per turn
CPU = torch.device("cpu")


class Images(Dataset):
    """torchvision's CIFAR-100 in form: an array in memory, a PIL image per item."""

    def __init__(self, data, transform):
        self.x, self.y, self.transform = data.train_x.numpy(), data.train_y.tolist(), transform

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.transform(Image.fromarray(self.x[i])), self.y[i]


def plain_resnet56() -> torch.nn.Sequential:
    layers, c_in = [torch.nn.Conv2d(3, 16, 3, padding=1, bias=False), torch.nn.BatchNorm2d(16), torch.nn.ReLU(inplace=True)], 16
    for width, stride in ((16, 1), (32, 2), (64, 2)):
        for i in range(9):
            changes = i == 0 and stride == 2
            shortcut = torch.nn.Sequential(torch.nn.Conv2d(c_in, width, 1, stride, bias=False),
                                           torch.nn.BatchNorm2d(width)) if changes else None
            layers.append(BasicBlock(c_in, width, stride if i == 0 else 1, shortcut))
            c_in = width
    return torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(64, 100))


def plain_loop(data):
    """One step per ``next``."""
    transform = transforms.Compose([transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(),
                                    transforms.ToTensor(), transforms.Normalize(data.mean, data.std)])
    net = plain_resnet56()
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    while True:
        running = 0.0
        for x, y in DataLoader(Images(data, transform), 128, shuffle=True, drop_last=True):
            loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            running += loss.item()
            yield


def _serve(pipe, data) -> None:
    loop = plain_loop(data)
    while pipe.recv():
        pipe.send([next(loop) for _ in range(STEPS)])


class Elsewhere:
    """The plain loop in a process of its own, whose memory is handled as the C library does by default."""

    def __init__(self, data):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, data), daemon=True)
        self.process.start()

    def __call__(self):
        self.pipe.send(True)
        self.pipe.recv()


def our_loop(ready):
    """One step per ``next``, with the sums that `Training.one_epoch` keeps."""
    sums = 0
    for one in endless(ready):
        sums = sums + ready.advance(one) * one.size
        yield


def peak(dtype: torch.dtype) -> float:
    """FLOP/s of the fastest of three large convolutions."""
    best = 0.0
    for channels, size in ((256, 28), (512, 14), (512, 28)):
        x = torch.randn(32, channels, size, size, dtype=dtype).to(memory_format=torch.channels_last)
        conv = torch.nn.Conv2d(channels, channels, 3, padding=1, bias=False, dtype=dtype).to(memory_format=torch.channels_last)
        flop = 2 * 32 * size * size * channels * channels * 9
        with torch.no_grad():
            took = [seconds(lambda conv=conv, x=x: conv(x), CPU) for _ in range(8)]
        best = max(best, flop / min(took))
    return best


def measure() -> list[Row]:
    deterministic()
    keep_freed_memory()
    data = random_data()
    ready, half = training(data), training(data, precision="bf16")
    with FlopCounterMode(display=False) as counted:
        ready.update(next(endless(ready)))
    loops = {"fp32": our_loop(ready), "bf16": our_loop(half)}
    works = {name: lambda loop=loop: [next(loop) for _ in range(STEPS)] for name, loop in loops.items()}
    took = side_by_side({"plain": Elsewhere(data), **works}, CPU, rounds=12, warm=1)
    steps = {name: sorted(t)[len(t) // 2] / STEPS for name, t in took.items()}
    flop = counted.get_total_flops()
    fp32_peak, bf16_peak = peak(torch.float32), peak(torch.bfloat16)
    testing = seconds(lambda: evaluate(ready.model, data, CPU), CPU)
    threads = f"{torch.get_num_threads()} threads"
    rows = [Row("loop", f"{name}, one step of 128", steps[name], "s", note=threads) for name in steps]
    for name, goal in (("fp32", ">= 1.4"), ("bf16", ">= 2.0")):
        value, low, high = ratio(took, "plain", name)
        rows.append(Row("loop", f"speed of {name} over the plain loop", value, low=low, high=high, goal=goal))
    for name, top, goal in (("fp32", fp32_peak, ">= 60"), ("bf16", bf16_peak, "")):
        rows.append(Row("loop", f"{name} convolution peak of this machine", top / 1e9, "GFLOP/s", note=threads))
        rows.append(Row("loop", f"{name} loop, share of that peak", 100 * flop / steps[name] / top, "%", goal=goal,
                        note=f"{flop / 1e9:.1f} GFLOP a step"))
    share = 100 * testing / (len(ready.loader) * steps["fp32"])
    rows.append(Row("loop", "evaluation of 10,000 images, share of an epoch's steps", share, "%", goal="<= 8"))
    return rows


if __name__ == "__main__":
    main(measure)
