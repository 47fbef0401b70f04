"""Models of pixels in [0, 1]: what stands in front of a model that takes others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

UNIT = (0.0, 1.0)


def rescaled(model: keras.Model, bounds: tuple[float, float] | None) -> keras.Model:
    """Returns a model of pixels in [0, 1], which it scales to the bounds.

    Distances and Lipschitz bounds are then those of such pixels, whatever the model takes.

    Args:
        model: of one input, whose shape it says.
        bounds: of its pixels, finite; with (0, 1) or `None` the model itself is returned.
    """
    if bounds in (None, UNIT):
        return model
    lower, upper = bounds
    return _behind(model, *_scaled(model, upper - lower, lower))


def preprocessed(model: keras.Model, mode: str) -> keras.Model:
    """Returns a model of pixels in [0, 1], with the preprocessing as layers in front.

    Args:
        model: that wants the preprocessing.
        mode: of keras.applications, or "pixels" for values from 0 to 255.

    Raises:
        TypeError: no Keras 3 model.
        ValueError: a model that is not built, has several inputs or outputs, or does not say the
            shape of its input; a mode for RGB images where it takes others.
    """
    import keras  # here: --help must not load it

    from intriguing_tf.classifier import check_model, input_shape

    check_model(model)
    shape = input_shape(model)
    if shape is None:
        raise ValueError(
            f"preprocess={mode!r} needs a model that says the shape of its input: begin it with "
            f"a keras.Input. Received: model {model.name!r}, {type(model).__name__}."
        )
    images, pixels = _scaled(model, 255.0)
    if mode != "pixels":
        if len(shape) != 3 or shape[-1] != 3:
            raise ValueError(
                f"preprocess={mode!r} is for RGB inputs [height, width, 3]. Received: {shape}."
            )
        pixels = keras.applications.imagenet_utils.preprocess_input(
            pixels, data_format="channels_last", mode=mode
        )
    return _behind(model, images, pixels)


def _scaled(
    model: keras.Model, scale: float, offset: float = 0.0
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Returns an input like the model's, and what comes of it, scaled."""
    import keras  # here: --help must not load it

    from intriguing_tf.classifier import input_dtype, input_shape

    dtype = input_dtype(model)
    images = keras.Input(input_shape(model), name="image", dtype=dtype)
    return images, keras.layers.Rescaling(scale, offset, name="pixels", dtype=dtype)(images)


def _behind(
    model: keras.Model, images: keras.KerasTensor, pixels: keras.KerasTensor
) -> keras.Model:
    """Returns the model of the images that takes what has come of them."""
    import keras  # here: --help must not load it

    from intriguing_tf.keras_graph import with_policy_of

    return with_policy_of(model, keras.Model(images, model(pixels), name=f"{model.name}_on_pixels"))
