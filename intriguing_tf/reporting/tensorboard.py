"""A report and its numbers as TensorBoard events."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from intriguing_tf.checks import check_kind
from intriguing_tf.files import expanded
from intriguing_tf.reporting.pages import Report


def log_to_tensorboard(
    report: Report, scalars: Mapping[str, float], folder: str | os.PathLike, step: int = 0
) -> None:
    """Writes a report's numbers, tables and pictures for TensorBoard.

    Args:
        report: its tables become text, its pictures images.
        scalars: numbers by tag.
        folder: of the events; made when it is not there.
        step: where on TensorBoard's axis of steps they stand.

    Raises:
        TypeError, ValueError: not a report, or not numbers by tag.
        ImportError: TensorBoard is not installed.

    Example:

        log_to_tensorboard(reproduction.report, reproduction.scalars(), "logs")
    """
    check_kind("report", report, Report, "a Report")
    check_kind("scalars", scalars, Mapping, "a dictionary of numbers by tag")
    for tag, value in scalars.items():
        check_kind("scalars", tag, str, "a dictionary of numbers by tag")
        check_kind(f"scalars[{tag!r}]", value, (int, float, np.number), "a number")
    if isinstance(step, bool) or not isinstance(step, (int, np.integer)) or step < 0:
        raise ValueError(f"`step` must be an integer of at least 0. Received: {step!r}.")
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise ImportError("TensorBoard is not installed: pip install tensorboard.") from error
    with tf.summary.create_file_writer(str(expanded(folder))).as_default(step=step):
        for tag, value in scalars.items():
            tf.summary.scalar(tag, value)
        for anchor, section in zip(report.anchors, report.sections, strict=True):
            for i, table in enumerate(section.tables):
                tf.summary.text(f"{anchor}/{table.title or i}", table.markdown())
            for picture in section.pictures:
                image = tf.io.decode_png(picture.png(), channels=3)
                tf.summary.image(picture.name, image[None], description=picture.caption)
