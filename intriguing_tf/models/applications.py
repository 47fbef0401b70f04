"""Networks of `keras.applications` with their preprocessing inside."""

from __future__ import annotations

import sys

import keras

from intriguing_tf.checks import check_kind


def keras_application(name: str, weights: str | None = "imagenet") -> keras.Model:
    """Returns a classifier of `keras.applications` that takes pixels in [0, 1].

    Whatever the network wants to read (a mean taken off, blue before red, [−1, 1]) happens inside,
    so that an adversary's box is the box of pixels. It ends in softmax, as Keras has it; the
    adversary finds the logits.

    Args:
        name: of the function: "MobileNetV2", "ResNet50", "VGG16", ...
        weights: "imagenet" (Keras downloads them), a file of weights, or `None`.

    Returns:
        A `keras.Model`: RGB images `[n, height, width, 3]` in [0, 1] to 1000 probabilities.

    Raises:
        TypeError: `name` is not a str.
        ValueError: `keras.applications` has no such classifier, or Keras cannot get the weights.

    Example:

        model = itf.models.keras_application("MobileNetV2")
        itf.LBFGSAdversary(model)(images, labels, targets=ostriches)
    """
    check_kind("name", name, str, "the name of a network, a str")
    build = getattr(keras.applications, name, None)
    if not callable(build):
        valid = sorted(n for n in dir(keras.applications) if callable(_attribute(n)))
        raise ValueError(f"keras.applications has {', '.join(valid)}. Received: {name!r}.")
    try:
        network = build(weights=weights)
    except Exception as error:  # Keras raises a plain one where a download fails
        if weights is None:
            raise
        raise ValueError(
            f"Keras cannot get the weights of {name}: {error}. Without a network, put the file "
            "into ~/.keras/models."
        ) from error
    preprocess = sys.modules[build.__module__].preprocess_input
    images = keras.Input(network.input_shape[1:], name="image")
    pixels = keras.layers.Rescaling(255.0, name="pixels")(images)
    return keras.Model(images, network(preprocess(pixels)), name=f"{network.name}_on_pixels")


def _attribute(name: str) -> object:
    return getattr(keras.applications, name)
