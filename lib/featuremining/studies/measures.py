"""What an order compares its cells by: the accuracy of their runs, or what was measured of each trained network and kept beside
its record (`records.findings`). A measure of a network is named by the kind of its finding and the name of its value."""

from typing import NamedTuple

TOP1, GAIN = "top1", "gain"

# name -> what it is, and its unit
MEASURES = {
    TOP1: ("test top-1", "percentage points"),
    GAIN: ("test top-1 above the baseline's of the same seed", "percentage points"),
    "detail.before": ("how a low-rank layer's maps, before it, vary where the image does", "hundredths of a correlation"),
    "detail.after": ("how a low-rank layer's maps, after it, vary where the image does", "hundredths of a correlation"),
    "view.area": ("area that holds four fifths of the class activation", "percent of the image"),
    "confusion.near": ("images taken for the other class of a pair, in the half of pairs at the smaller angles",
                       "percent of a class's images"),
    "confusion.far": ("the same in the half of pairs at the larger angles", "percent of a class's images"),
    "confusion.similar": ("images taken for another class of their superclass", "percent of the test images"),
    "confusion.similar_angle": ("angle between class vectors of one superclass", "degrees"),
    "landscape.loss_range": ("range of the loss within a step along the gradient, median over a short training", "nats"),
    "landscape.gradient_change": ("how far the gradient moves within such a step, median over a short training",
                                  "nats per unit of a weight"),
}


class Alone(NamedTuple):
    """What counts of a kind: the lowest seed, and how long the trainings are and what is measured of them."""

    first: int
    plan: dict


# Kinds that are measured along short trainings of their own, which leave no record. Seed 0 was looked at before the sentences
# were to be judged by it.
ALONE = {"landscape": Alone(1, {"epochs": 3, "steps": 40, "probe": 20, "images": 200, "severities": [1, 3, 5]})}
ALONE_SCOPE = "short trainings only"
