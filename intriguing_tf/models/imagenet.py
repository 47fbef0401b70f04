"""What the ImageNet networks share: their input, and preprocessing inside the model.

Every builder takes RGB images in [0, 1] and returns logits. What the published weights expect
(0 to 255, a mean taken off, a scale) happens in the first layer, so that an adversary's box is
the box of pixels. Channel order needs no layer: an importer turns the first kernel around.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from intriguing_tf.checks import check_positive_integer

CLASSES = 1000

# Caffe's networks: pixels in [0, 255] minus the mean of the training set; red, green, blue.
CAFFE_MEAN = (123.0, 117.0, 104.0)


def pixels(
    input_shape: tuple[int, int, int],
    mean: Sequence[float],
    stddev: Sequence[float] | float,
    classes: int,
    least: int = 1,
) -> tuple[Any, Any]:
    """Returns the input of a network and the same with mean and scale taken off.

    Args:
        input_shape: `(height, width, 3)`.
        mean: of red, green and blue, for pixels in [0, 255].
        stddev: likewise, or one for all; what the difference is divided by.
        classes: of the network; checked here, before anything large is built.
        least: pixels each way, below which the network's windows do not fit.

    Raises:
        ValueError: when `input_shape` is not three positive integers, the last of them 3, or less
            than the least size, or `classes` is not a positive integer.
    """
    check_positive_integer("classes", classes)
    shape = tuple(input_shape) if isinstance(input_shape, Iterable) else ()
    whole = all(isinstance(size, (int, np.integer)) for size in shape)
    if len(shape) != 3 or not whole or min(shape) < 1 or shape[2] != 3:
        raise ValueError(
            "`input_shape` must be (height, width, 3), two positive integers and the colors. "
            f"Received: {input_shape!r}."
        )
    if min(shape[:2]) < least:
        raise ValueError(
            f"`input_shape` must be at least {least} pixels each way. Received: {input_shape!r}."
        )
    spread = [stddev] * 3 if isinstance(stddev, (int, float)) else list(stddev)
    inputs = keras.Input(shape, name="image")
    scaled = layers.Rescaling(
        scale=[255.0 / s for s in spread],
        offset=[-m / s for m, s in zip(mean, spread, strict=True)],
        name="preprocessing",
    )(inputs)
    return inputs, scaled
