"""The paper's MNIST networks (its table 1): builders without weights.

All take images `[n, 28, 28, 1]` in [0, 1] and return logits `[n, 10]`. The weight decay is the
paper's: λ Σ w² / k for each layer, where k is the number of units of the layer; biases are
free.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from intriguing_tf.checks import check_positive_integer, one_number
from intriguing_tf.layers import GroupSort

IMAGE_SHAPE = (28, 28, 1)
CLASSES = 10
PAPER_DECAY = (1e-5, 1e-5, 1e-6)


def fc10(weight_decay: float = 1e-4, kernel_initializer="glorot_uniform") -> keras.Model:
    """Returns FC10(λ): a softmax classifier on pixels.

    Args:
        weight_decay: λ, at least 0; the paper has 1e-4, 1e-2 and 1.
        kernel_initializer: Keras initialiser, or its name.

    Raises:
        TypeError: when λ is no number.
        ValueError: when λ is negative or not finite.

    Example:

        model = itf.models.fc10(weight_decay=1e-2)
    """
    return _perceptron("fc10", (CLASSES,), (weight_decay,), kernel_initializer)


def fc100_100_10(
    weight_decay: Sequence[float] = PAPER_DECAY,
    kernel_initializer="glorot_uniform",
    activation: str = "sigmoid",
    dropout: float = 0.0,
) -> keras.Model:
    """Returns FC100-100-10: two hidden layers of 100 sigmoid units.

    Args:
        weight_decay: λ of the three layers, each at least 0.
        kernel_initializer: Keras initialiser of every layer, or its name.
        activation: of the hidden layers, a name that Keras knows.
        dropout: share of the hidden activations dropped in training, in [0, 1).

    Raises:
        TypeError: when a λ or the dropout is no number.
        ValueError: when there are not three λ, or one is negative or not finite; a dropout out of
            range; an activation that Keras does not know.

    Example:

        model = itf.models.fc100_100_10()
    """
    widths = (100, 100, CLASSES)
    return _perceptron(
        "fc100-100-10", widths, weight_decay, kernel_initializer, activation, dropout
    )


def fc200_200_10(
    weight_decay: Sequence[float] = PAPER_DECAY, kernel_initializer="glorot_uniform"
) -> keras.Model:
    """Returns FC200-200-10: two hidden layers of 200 sigmoid units.

    Args, Raises: as `fc100_100_10`.

    Example:

        model = itf.models.fc200_200_10()
    """
    return _perceptron("fc200-200-10", (200, 200, CLASSES), weight_decay, kernel_initializer)


def fc123_456_10(
    weight_decay: Sequence[float] = PAPER_DECAY, kernel_initializer="glorot_uniform"
) -> keras.Model:
    """Returns FC123-456-10: hidden layers of 123 and 456 sigmoid units.

    Args, Raises: as `fc100_100_10`.

    Example:

        model = itf.models.fc123_456_10()
    """
    return _perceptron("fc123-456-10", (123, 456, CLASSES), weight_decay, kernel_initializer)


def ae400_10(weight_decay: float = 1e-6, kernel_initializer="glorot_uniform") -> keras.Model:
    """Returns AE400-10: 400 sigmoid units of a sparse autoencoder below a softmax classifier.

    The first layer, "fc1", is not trainable: its weights come from a sparse autoencoder and are not
    fine-tuned. `itf.publishing.train("mnist/ae400-10")` trains both, one after the other.

    Args:
        weight_decay: λ of the classifier, at least 0.
        kernel_initializer: Keras initialiser of both layers, or its name.

    Raises:
        TypeError: when λ is no number.
        ValueError: when λ is negative or not finite.

    Example:

        model = itf.models.ae400_10()
    """
    model = _perceptron("ae400-10", (400, CLASSES), (0.0, weight_decay), kernel_initializer)
    model.get_layer("fc1").trainable = False
    return model


def conv(
    weight_decay: float = 0.0,
    filters: int = 32,
    units: int = 256,
    dropout: float = 0.5,
    kernel_initializer="he_normal",
) -> keras.Model:
    """Returns Conv: one convolution, max pooling, one fully connected layer, dropout, softmax.

    The paper names these layers and no sizes; it uses the network for figures 1 and 2.

    Args:
        weight_decay: λ of every layer, at least 0.
        filters: number of 5 × 5 filters, rectified, without padding; pooling takes 3 × 3 blocks.
        units: width of the fully connected layer, rectified.
        dropout: share of its activations dropped in training, in [0, 1).
        kernel_initializer: Keras initialiser of every layer, or its name.

    Raises:
        TypeError: when λ or the dropout is no number.
        ValueError: when λ is negative or not finite, a dropout is out of range, or a number of
            filters or units is not a positive integer.

    Example:

        model = itf.models.conv()
    """
    check_positive_integer("filters", filters)
    check_positive_integer("units", units)
    options = {"kernel_initializer": kernel_initializer}
    return keras.Sequential(
        [
            keras.Input(IMAGE_SHAPE, name="images"),
            keras.layers.Conv2D(
                filters,
                5,
                activation="relu",
                kernel_regularizer=_decay(weight_decay, filters),
                name="conv1",
                **options,
            ),
            keras.layers.MaxPooling2D(3, name="pool1"),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dense(
                units,
                activation="relu",
                kernel_regularizer=_decay(weight_decay, units),
                name="fc1",
                **options,
            ),
            keras.layers.Dropout(_dropout(dropout), name="dropout"),
            keras.layers.Dense(
                CLASSES,
                kernel_regularizer=_decay(weight_decay, CLASSES),
                name="logits",
                **options,
            ),
        ],
        name="conv",
    )


def group_sort(
    units: int = 512,
    depth: int = 2,
    activation: str = "group_sort",
    kernel_initializer="orthogonal",
) -> keras.Model:
    """Returns a dense network that is trained for certificates: it sorts pairs instead of ReLU.

    It is none of the paper's. Sorting keeps the norm of gradients, so that the product of the
    layers' norms is close to the network's Lipschitz constant (Anil, Lucas and Grosse, ICML 2019).

    Args:
        units: of each hidden layer, "fc1", "fc2", …; an even number.
        depth: number of hidden layers, at least 1.
        activation: "group_sort", or the name of one that Keras knows, to compare with.
        kernel_initializer: Keras initializer of every layer, or its name.

    Raises:
        ValueError: numbers that are not as above; an activation that Keras does not know.

    Example:

        model = itf.models.group_sort(units=256)
    """
    check_positive_integer("units", units)
    check_positive_integer("depth", depth)
    layers = [keras.Input(IMAGE_SHAPE, name="images"), keras.layers.Flatten(name="flatten")]
    for i in range(1, depth + 1):
        initializer = keras.initializers.get(kernel_initializer)
        layers.append(keras.layers.Dense(units, kernel_initializer=initializer, name=f"fc{i}"))
        if activation == "group_sort":
            layers.append(GroupSort(2, name=f"sort{i}"))
        else:
            layers.append(keras.layers.Activation(activation, name=f"{activation}{i}"))
    initializer = keras.initializers.get(kernel_initializer)
    layers.append(keras.layers.Dense(CLASSES, kernel_initializer=initializer, name="logits"))
    return keras.Sequential(layers, name=f"group_sort{units}x{depth}")


def sparse_autoencoder(
    units: int = 400, weight_decay: float = 0.0, kernel_initializer="glorot_uniform"
) -> keras.Model:
    """Returns the autoencoder whose code layer becomes the first layer of AE400-10.

    Args:
        units: number of sigmoid units of the code.
        weight_decay: λ in λ Σ w² over both layers, at least 0.
        kernel_initializer: Keras initialiser of both layers, or its name.

    Returns:
        A model with two outputs: the reconstruction's logits `[n, 784]` (a sigmoid gives
        pixels in [0, 1]) and the code `[n, units]`, the layer "fc1".
    """
    options = {
        "kernel_initializer": keras.initializers.get(kernel_initializer),
        "kernel_regularizer": _decay(weight_decay, 1),
    }
    images = keras.Input(IMAGE_SHAPE, name="images")
    pixels = keras.layers.Flatten(name="flatten")(images)
    code = keras.layers.Dense(units, "sigmoid", name="fc1", **options)(pixels)
    width = pixels.shape[-1]
    reconstruction = keras.layers.Dense(width, name="reconstruction", **options)(code)
    return keras.Model(images, [reconstruction, code], name="sparse_autoencoder")


def _perceptron(
    name: str,
    widths: Sequence[int],
    weight_decay: Sequence[float],
    kernel_initializer,
    activation: str = "sigmoid",
    dropout: float = 0.0,
) -> keras.Model:
    """Layers "fc1", "fc2", ... of these widths; the last one, "logits", is linear."""
    dropout = _dropout(dropout)
    decays = list(weight_decay) if np.iterable(weight_decay) else []
    if len(decays) != len(widths):
        raise ValueError(
            f"weight_decay must hold one λ for each of the {len(widths)} layers of {name}. "
            f"Received: {weight_decay!r}"
        )
    layers = [keras.Input(IMAGE_SHAPE, name="images"), keras.layers.Flatten(name="flatten")]
    for i, (units, decay) in enumerate(zip(widths, decays, strict=True), start=1):
        last = i == len(widths)
        layers.append(
            keras.layers.Dense(
                units,
                activation=None if last else activation,
                kernel_initializer=keras.initializers.get(kernel_initializer),
                kernel_regularizer=_decay(decay, units),
                name="logits" if last else f"fc{i}",
            )
        )
        if dropout and not last:
            layers.append(keras.layers.Dropout(dropout, name=f"dropout{i}"))
    return keras.Sequential(layers, name=name)


def _decay(weight_decay: float, units: int) -> keras.regularizers.Regularizer | None:
    """The paper's λ Σ w² / k for a layer of k units."""
    weight_decay = one_number("weight_decay", weight_decay)
    if not 0 <= weight_decay < float("inf"):
        raise ValueError(
            f"weight_decay (λ) must be finite and at least 0. Received: {weight_decay!r}"
        )
    return keras.regularizers.L2(weight_decay / units) if weight_decay else None


def _dropout(dropout: float) -> float:
    """Returns the share that a layer drops, as a float, or raises."""
    dropout = one_number("dropout", dropout)
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must lie in [0, 1). Received: {dropout!r}")
    return dropout
