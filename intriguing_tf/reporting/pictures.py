"""Originals, magnified perturbations and adversarial images, as in Figures 5 and 7."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from intriguing_tf.checks import check_between, check_positive_integer
from intriguing_tf.reporting.charts import Picture, check_finite, check_names

_GAP = 0.12  # between images, in images
_BLOCK_GAP = 0.75  # between blocks of three rows, with room for the titles


def adversarial_rows(
    originals: Any,
    adversarial: Any,
    titles: Sequence[str] = (),
    *,
    magnification: float | None = None,
    columns: int = 8,
    name: str = "adversarial",
    caption: str = "",
) -> Picture:
    """Draws, for each image, the original, the perturbation around gray, and the adversarial.

    Args:
        originals, adversarial: floats in [0, 1], [n, height, width, 1 or 3].
        titles: a line above each image, such as "7 classified as 3".
        magnification: of the perturbation; by default a whole number that shows all but the
            largest hundredth of the changes without clipping.
        columns: images beside each other; more go below.
        name, caption: of the picture; the default caption says how it was magnified.

    Returns:
        A `Picture`.

    Raises:
        TypeError, ValueError: arrays of different shapes, or not of this form; other arguments
            that are not as above.

    Example:

        adversarial_rows(result.originals, result.images).png()
    """
    originals, adversarial = np.asarray(originals), np.asarray(adversarial)
    if originals.shape != adversarial.shape or originals.shape[3:] not in ((1,), (3,)):
        raise ValueError(
            "`originals` and `adversarial` must have one shape [n, height, width, 1 or 3], n > 0. "
            f"Received: {originals.shape} and {adversarial.shape}."
        )
    check_finite("originals", originals, 4)
    check_finite("adversarial", adversarial, 4)
    if len(titles):
        check_names("titles", titles, len(originals))
    check_positive_integer("columns", columns)
    change = adversarial.astype(np.float64) - originals
    if magnification is not None:
        check_between("magnification", magnification, 0)
    else:
        largest = float(np.quantile(np.abs(change), 0.99))
        magnification = max(1, int(0.5 / max(largest, 1e-3)))
    rows = (originals, np.clip(0.5 + magnification * change, 0, 1), adversarial)
    columns = min(columns, len(originals))
    blocks = -(-len(originals) // columns)
    step, block = 1 + _GAP, 3 * (1 + _GAP) + _BLOCK_GAP
    width, height = columns * step, blocks * block
    inches = 0.75 if originals.shape[1] < 64 else 1.6
    size = 8 * inches / 0.75
    figure = Figure(figsize=(inches * width, inches * height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    for i in range(len(originals)):
        left, top = (i % columns) * step, (i // columns) * block + _BLOCK_GAP - _GAP
        for r, images in enumerate(rows):
            image = np.repeat(images[i], 3, axis=2) if images.shape[3] == 1 else images[i]
            extent = (left, left + 1, top + r * step + 1, top + r * step)
            axes.imshow(np.clip(image, 0, 1), extent=extent, interpolation="none")
        if titles:
            middle = left + 0.5
            axes.text(middle, top - 0.08, titles[i], ha="center", va="bottom", fontsize=size)
    axes.set_xlim(-_GAP / 2, width - _GAP / 2)
    axes.set_ylim(height, 0)
    axes.set_aspect("equal")
    magnified = "" if magnification == 1 else f" magnified {magnification:g} times"
    caption = caption or (
        f"From above: original, perturbation{magnified} around gray, adversarial image."
    )
    return Picture(name, caption, figure)
