"""The paper's figures as data: Tables 1 to 5, section 4.2 and the numbers of Figures 5 and 7.

Everything comes from "Intriguing properties of neural networks" (arXiv 1312.6199). Errors are
fractions in [0, 1]; distortions are root mean square changes per pixel, with pixels in [0, 1].
Models carry the paper's names; `ZOO` gives the name of the zoo's entry for each.
"""

from __future__ import annotations

from typing import NamedTuple

ZOO = {
    "FC10(1e-4)": "mnist/fc10-1e-4",
    "FC10(1e-2)": "mnist/fc10-1e-2",
    "FC10(1)": "mnist/fc10-1",
    "FC100-100-10": "mnist/fc100-100-10",
    "FC200-200-10": "mnist/fc200-200-10",
    "AE400-10": "mnist/ae400-10",
    "Conv": "mnist/conv",
    "FC100-100-10 (P1)": "mnist/fc100-100-10-p1",
    "FC123-456-10 (P1)": "mnist/fc123-456-10-p1",
    "FC100-100-10' (P2)": "mnist/fc100-100-10-p2",
    "AlexNet": "imagenet/alexnet",
}

# The paper does not say how many images it distorted per model. Three quarters of the errors in
# Tables 2 and 4 are multiples of 1/256 to the printed digits (by chance it would be 28 %; the
# exceptions are noise rows and entries printed to a whole percent), so it seems to be 256.
IMAGES = 256


class Table1Row(NamedTuple):
    """A model's errors and the average distortion that brings its training accuracy to 0 %."""

    train_error: float
    test_error: float
    distortion: float


TABLE_1 = {
    "FC10(1e-4)": Table1Row(0.067, 0.074, 0.062),
    "FC10(1e-2)": Table1Row(0.10, 0.094, 0.1),
    "FC10(1)": Table1Row(0.212, 0.20, 0.14),
    "FC100-100-10": Table1Row(0.0, 0.0164, 0.058),
    "FC200-200-10": Table1Row(0.0, 0.0154, 0.065),
    "AE400-10": Table1Row(0.0057, 0.019, 0.086),
}


class TransferTable(NamedTuple):
    """Errors of the columns' models on the rows' sets of distorted images."""

    columns: tuple[str, ...]
    errors: dict[str, tuple[float, ...]]
    distortions: dict[str, float]


TABLE_2 = TransferTable(
    columns=tuple(TABLE_1),
    errors={
        "FC10(1e-4)": (1.0, 0.117, 0.227, 0.02, 0.039, 0.027),
        "FC10(1e-2)": (0.871, 1.0, 0.352, 0.359, 0.273, 0.098),
        "FC10(1)": (0.719, 0.762, 1.0, 0.481, 0.47, 0.344),
        "FC100-100-10": (0.289, 0.137, 0.211, 1.0, 0.066, 0.02),
        "FC200-200-10": (0.382, 0.14, 0.238, 0.203, 1.0, 0.027),
        "AE400-10": (0.234, 0.16, 0.248, 0.094, 0.066, 1.0),
        "Gaussian noise 0.1": (0.05, 0.101, 0.183, 0.0, 0.0, 0.008),
        "Gaussian noise 0.3": (0.156, 0.113, 0.227, 0.05, 0.043, 0.031),
    },
    distortions={
        "FC10(1e-4)": 0.062,
        "FC10(1e-2)": 0.1,
        "FC10(1)": 0.14,
        "FC100-100-10": 0.058,
        "FC200-200-10": 0.065,
        "AE400-10": 0.086,
        "Gaussian noise 0.1": 0.1,
        "Gaussian noise 0.3": 0.3,
    },
)


class Table3Row(NamedTuple):
    """Errors of a model trained on one half of the training set, and its average distortion."""

    trained_on: str
    p1_error: float
    p2_error: float
    test_error: float
    distortion: float


TABLE_3 = {
    "FC100-100-10 (P1)": Table3Row("p1", 0.0, 0.024, 0.02, 0.062),
    "FC123-456-10 (P1)": Table3Row("p1", 0.0, 0.025, 0.021, 0.059),
    "FC100-100-10' (P2)": Table3Row("p2", 0.023, 0.0, 0.021, 0.058),
}

TABLE_4 = TransferTable(
    columns=tuple(TABLE_3),
    errors={
        "FC100-100-10 (P1)": (1.0, 0.262, 0.059),
        "FC123-456-10 (P1)": (0.0625, 1.0, 0.051),
        "FC100-100-10' (P2)": (0.082, 0.082, 1.0),
        "Gaussian noise 0.06": (0.022, 0.026, 0.024),
        "FC100-100-10 (P1), amplified to 0.1": (1.0, 0.98, 0.43),
        "FC123-456-10 (P1), amplified to 0.1": (0.96, 1.0, 0.22),
        "FC100-100-10' (P2), amplified to 0.1": (0.27, 0.50, 1.0),
        "Gaussian noise 0.1": (0.026, 0.028, 0.027),
    },
    distortions={
        "FC100-100-10 (P1)": 0.062,
        "FC123-456-10 (P1)": 0.059,
        "FC100-100-10' (P2)": 0.058,
        "Gaussian noise 0.06": 0.06,
        "FC100-100-10 (P1), amplified to 0.1": 0.1,
        "FC123-456-10 (P1), amplified to 0.1": 0.1,
        "FC100-100-10' (P2), amplified to 0.1": 0.1,
        "Gaussian noise 0.1": 0.1,
    },
)


class AdversarialTraining(NamedTuple):
    """Test errors of a 100-100-10 network (section 4.2)."""

    with_pools_below: float
    weight_decay: float
    dropout_about: float


SECTION_4_2 = AdversarialTraining(with_pools_below=0.012, weight_decay=0.016, dropout_about=0.013)


class Table5Row(NamedTuple):
    """A layer of AlexNet: its size as printed, its stride and the bound of its operator norm."""

    size: str
    stride: int | None
    upper_bound: float


TABLE_5 = {
    "Conv 1": Table5Row("3 × 11 × 11 × 96", 4, 2.75),
    "Conv 2": Table5Row("96 × 5 × 5 × 256", 1, 10.0),
    "Conv 3": Table5Row("256 × 3 × 3 × 384", 1, 7.0),
    "Conv 4": Table5Row("384 × 3 × 3 × 384", 1, 7.5),
    "Conv 5": Table5Row("384 × 3 × 3 × 256", 1, 11.0),
    "FC 1": Table5Row("conv 5's pooled output × 4096", None, 3.12),
    "FC 2": Table5Row("4096 × 4096", None, 4.0),
    "FC 3": Table5Row("4096 × 1000", None, 4.0),
}


class Ostriches(NamedTuple):
    """AlexNet's adversarial examples: one target for all, and their average distortion."""

    target: str
    examples: int
    distortion: float


FIGURE_5 = Ostriches("ostrich, Struthio camelus", 64, 0.006508)


class Figure7Panel(NamedTuple):
    """Distorted digits: what they were made for, their stddev and the accuracy on them."""

    model: str | None
    stddev: float
    accuracy: float


FIGURE_7 = {
    "linear": Figure7Panel("FC10(1e-4)", 0.06, 0.0),
    "200-200-10": Figure7Panel("FC200-200-10", 0.063, 0.0),
    "Gaussian noise": Figure7Panel(None, 1.0, 0.51),
}
