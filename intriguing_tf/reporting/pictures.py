"""Originals, magnified perturbations and adversarial images, as in Figures 5 and 7."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from intriguing_tf.checks import check_between, check_kinds, check_positive_integer
from intriguing_tf.reporting.charts import (
    COLORS,
    INK,
    STYLE,
    Picture,
    check_finite,
    printable_names,
)

_GAP = 0.12  # between images, in images
_BLOCK_GAP = 0.3  # between blocks of three rows, besides the room for their titles
_LINE = 1.25 / 72  # inches of a line of letters of one point


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
        titles: a line or two above each image, such as "7 classified as 3".
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
    originals = check_finite("originals", originals, 4)
    adversarial = check_finite("adversarial", adversarial, 4)
    if originals.shape != adversarial.shape or originals.shape[3:] not in ((1,), (3,)):
        raise ValueError(
            "`originals` and `adversarial` must have one shape [n, height, width, 1 or 3], n > 0. "
            f"Received: {originals.shape} and {adversarial.shape}."
        )
    if len(titles):
        titles = printable_names("titles", titles, len(originals))
    check_positive_integer("columns", columns)
    change = adversarial.astype(np.float64) - originals
    if magnification is not None:
        check_between("magnification", magnification, 0)
    else:
        largest = float(np.quantile(np.abs(change), 0.99))
        magnification = max(1, int(0.5 / max(largest, 1e-3)))
    inches = 0.75 if originals.shape[1] < 64 else 1.6
    longest = max((len(line) for title in titles for line in title.split("\n")), default=0)
    size = min(11 * inches / 0.75, 110 * inches / max(longest, 1))  # titles stay over their image
    lines = max((title.count("\n") + 1 for title in titles), default=0)
    block_gap = _BLOCK_GAP + lines * size * _LINE / inches
    rows = (originals, np.clip(0.5 + magnification * change, 0, 1), adversarial)
    columns = min(columns, len(originals))
    blocks = -(-len(originals) // columns)
    step, block = 1 + _GAP, 3 * (1 + _GAP) + block_gap
    width, height = columns * step, blocks * block
    figure = Figure(figsize=(inches * width, inches * height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    for i in range(len(originals)):
        left, top = (i % columns) * step, (i // columns) * block + block_gap - _GAP
        for r, images in enumerate(rows):
            image = np.repeat(images[i], 3, axis=2) if images.shape[3] == 1 else images[i]
            extent = (left, left + 1, top + r * step + 1, top + r * step)
            axes.imshow(np.clip(image, 0, 1), extent=extent, interpolation="none")
        if titles:
            middle = left + 0.5
            place = (middle, top - 0.08, titles[i])
            axes.text(*place, ha="center", va="bottom", fontsize=size, color=INK)
    axes.set_xlim(-_GAP / 2, width - _GAP / 2)
    axes.set_ylim(height, 0)
    axes.set_aspect("equal")
    magnified = "" if magnification == 1 else f" magnified {magnification:g} times"
    caption = caption or (
        f"From above: original, perturbation{magnified} around gray, adversarial image."
    )
    return Picture(name, caption, figure)


def image_triples(name: str, caption: str, images: Any, titles: Sequence[Sequence[str]]) -> Picture:
    """Draws three images side by side in each row, each with a line above it (as Figure 5).

    Args:
        name, caption: of the picture.
        images: floats in [0, 1], `[rows, 3, height, width, 1 or 3]`.
        titles: three per row.

    Raises:
        TypeError, ValueError: arguments that are not as above.
    """
    images = check_finite("images", images, 5)
    check_kinds("titles", titles, Sequence, "rows of three names")
    if images.shape[1] != 3 or images.shape[4] not in (1, 3) or len(titles) != len(images):
        raise ValueError(
            "`images` must have the shape [rows, 3, height, width, 1 or 3], with three titles a "
            f"row. Received: {images.shape} and {len(titles)} rows of titles."
        )
    with rc_context(STYLE):
        figure = Figure(figsize=(6.6, 2.35 * len(images)))
        panels = figure.subplots(len(images), 3, squeeze=False)
        for i, row in enumerate(images):
            above = printable_names("titles", titles[i], 3)
            for axes, image, title in zip(panels[i], row, above, strict=True):
                colors = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
                axes.imshow(np.clip(colors, 0, 1), interpolation="none")
                axes.set_title(title, fontsize=9)
                axes.set_axis_off()
        figure.tight_layout(pad=0.4, h_pad=1.6)  # an axis that is off has a title, and no room
    return Picture(name, caption, figure)


def changed_series(
    originals: Any,
    changed: Any,
    titles: Sequence[str] = (),
    *,
    columns: int = 4,
    name: str = "adversarial",
    caption: str = "Each series as it was (gray) and as it was changed (colored).",
) -> Picture:
    """Draws series before and after a change, a panel for each.

    Args:
        originals, changed: floats [n, steps, channels].
        titles: a line or two above each panel.
        columns: panels beside each other; more go below.
        name, caption: of the picture.

    Raises:
        TypeError, ValueError: arguments that are not as above.

    Example:

        changed_series(result.originals, result.images).png()
    """
    originals = check_finite("originals", originals, 3)
    changed = check_finite("changed", changed, 3)
    if originals.shape != changed.shape:
        raise ValueError(
            "`originals` and `changed` must have one shape [n, steps, channels]. "
            f"Received: {originals.shape} and {changed.shape}."
        )
    if len(titles):
        titles = printable_names("titles", titles, len(originals))
    check_positive_integer("columns", columns)
    columns = min(columns, len(originals))
    rows = -(-len(originals) // columns)
    with rc_context(STYLE):
        figure = Figure(figsize=(2.4 * columns, 1.7 * rows))
        panels = figure.subplots(rows, columns, sharex=True, squeeze=False).flat
        for i, axes in enumerate(panels):
            if i >= len(originals):
                axes.set_axis_off()
                continue
            axes.plot(originals[i], color="#80808090", linewidth=2.2)
            for channel in range(changed.shape[2]):
                axes.plot(changed[i, :, channel], color=COLORS[channel % 5], linewidth=1)
            if len(titles):
                axes.set_title(titles[i], fontsize=8)
            axes.tick_params(labelsize=7)
        figure.tight_layout()
    return Picture(name, caption, figure)
