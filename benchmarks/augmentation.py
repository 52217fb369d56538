"""Random crop and flip of a batch of 128: one gather of pixels, against torchvision on PIL images, for the same draws."""

import torch
from bench import Row, main, random_data
from PIL import Image
from torchvision.transforms import functional as T

from featuremining.datasets import augment
from featuremining.measuring.cost import ratio, side_by_side

PAD, BATCH = 4, 128


def with_pil(data, index, drawn):
    """The draws given, so that only the work on pixels is compared."""
    images = []
    for i, top, left, mirror in zip(index.tolist(), *(t.tolist() for t in drawn), strict=True):
        image = T.crop(T.pad(Image.fromarray(data[i]), PAD), top, left, 32, 32)
        image = T.hflip(image) if mirror else image
        images.append(T.normalize(T.to_tensor(image), (0.5,) * 3, (0.25,) * 3))
    return torch.stack(images)


def measure() -> list[Row]:
    torch.set_num_threads(1)
    pixels = random_data().train_x
    store, arrays = augment.padded(pixels, PAD), pixels.numpy()
    mean, std = torch.full((3,), 0.5), torch.full((3,), 0.25)
    g = torch.Generator().manual_seed(0)
    index, drawn = torch.randint(len(pixels), (BATCH,), generator=g), augment.draw(BATCH, PAD, True, g)
    works = {"PIL": lambda: with_pil(arrays, index, drawn),
             "gather": lambda: augment.normalise(augment.crop_flip(store, index, drawn, 32, 32), mean, std)}
    apart = (works["PIL"]() - works["gather"]()).abs().max().item()
    took = side_by_side(works, torch.device("cpu"), rounds=60)
    value, low, high = ratio(took, "PIL", "gather")
    rows = [Row("augmentation", f"{name}, a batch of {BATCH}", 1000 * sorted(t)[len(t) // 2], "ms", note="1 thread")
            for name, t in took.items()]
    rows.append(Row("augmentation", "speed over torchvision on PIL images", value, low=low, high=high, goal=">= 15"))
    rows.append(Row("augmentation", "largest difference for the same draws", apart, "", goal="<= 3e-7"))
    return rows


if __name__ == "__main__":
    main(measure)
