"""Pictures of how far images are from another class: accuracy by radius, distances by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from intriguing_tf.checks import check_kind
from intriguing_tf.reporting.charts import (
    COLORS,
    STYLE,
    Picture,
    check_finite,
    check_fractions,
    check_named,
    printable_names,
)
from intriguing_tf.text import printable


def accuracy_curves(
    name: str,
    caption: str,
    radii: Any,
    curves: Mapping[str, Any],
    axis: str,
    share: str = "images, %",
) -> Picture:
    """Draws accuracies against the radius, the space between the first two filled.

    Args:
        name, caption: of the picture.
        radii: floats [m], ascending.
        curves: by name, accuracies [m] in [0, 1]; the upper bound first, then the lower one.
        axis: what the radii are, with their unit.
        share: what the accuracies are of, with their unit.

    Raises:
        TypeError, ValueError: arguments that are not as above.
    """
    radii = check_finite("radii", radii)
    check_named("curves", curves)
    check_kind("axis", axis, str, "a str")
    check_kind("share", share, str, "a str")
    for label, values in curves.items():
        check_fractions(f"curves[{label!r}]", values, radii.shape)
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.4))
        axes = figure.add_subplot()
        lines = [np.asarray(values, np.float64) for values in curves.values()]
        if len(lines) > 1:
            axes.fill_between(radii, 100 * lines[1], 100 * lines[0], color="#80808022", step="post")
        for i, (label, values) in enumerate(zip(curves, lines, strict=True)):
            axes.step(
                radii, 100 * values, where="post", color=COLORS[(1, 0)[i] if i < 2 else i % 5],
                linewidth=1.6, linestyle=("-", "--", ":")[i % 3], label=printable(label),
            )  # fmt: skip
        axes.set_xlim(radii.min(), radii.max())
        axes.set_ylim(0, 102)
        axes.set_xlabel(printable(axis))
        axes.set_ylabel(printable(share))
        axes.grid(color="#80808040", linewidth=0.6)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(lines))
    return Picture(name, caption, figure)


def distances_by_class(
    name: str, caption: str, classes: Sequence[str], distances: Sequence[Any], axis: str
) -> Picture:
    """Draws, for each class, its images' distances as marks, and their median as a bar.

    Args:
        name, caption: of the picture.
        classes: their names; they are drawn from top to bottom.
        distances: for each class, finite floats of at least 0, at least one.
        axis: what the distances are, with their unit.

    Raises:
        TypeError, ValueError: arguments that are not as above.
    """
    check_kind("axis", axis, str, "a str")
    if len(classes) != len(distances) or not len(classes):
        raise ValueError(
            f"`distances` must be one list for each class. Received: {len(distances)} for "
            f"{len(classes)}."
        )
    classes = printable_names("classes", classes)
    values = [check_finite(f"distances[{i}]", each) for i, each in enumerate(distances)]
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 0.9 + 0.3 * len(classes)))
        axes = figure.add_subplot()
        for y, each in enumerate(values):
            axes.plot(each, np.full(len(each), y), "|", color=COLORS[1], alpha=0.5, markersize=9)
            axes.plot([np.median(each)] * 2, [y - 0.36, y + 0.36], color=COLORS[0], linewidth=2.4)
        axes.set_yticks(range(len(classes)), classes)
        axes.set_ylim(len(classes) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_xlabel(printable(axis))
        axes.grid(axis="x", color="#80808040", linewidth=0.6)
    return Picture(name, caption, figure)
