"""The networks and images on which attacks are compared, some trained for the purpose.

Those that are trained are kept in evidence/networks, so that one set of rows is of one network.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

DENSE = ("fc100-100-10", "fc200-200-10", "fc100-100-10-lipschitz")
CONVOLUTIONAL = ("conv", "conv-pools", "conv-lipschitz")
TRAINED = ("tanh", "resnet", "soft-binarised", "distilled", "relu6-logits")
PHOTOGRAPHS = ("efficientnet-lite0", "squeezenet")
NETWORKS = (*DENSE, "fc10-1e-4", *CONVOLUTIONAL, *TRAINED, "logits-100", *PHOTOGRAPHS)


class Case(NamedTuple):
    """A network, and images [n, ...] in [0, 1] that it classifies as their labels."""

    model: object
    images: np.ndarray
    labels: np.ndarray
    targets: np.ndarray  # random


def case(name: str, folder: Path) -> Case:
    """Returns the network of that name with its images; `folder` keeps what is trained."""
    import intriguing_tf as itf
    from intriguing_tf.adversary.targets import choose_targets

    model = network(name, folder)
    if name in PHOTOGRAPHS:
        files = itf.datasets.imagenet_files(os.environ["IMAGENET_IMAGES"])
        sample = itf.datasets.read_images(files[::3], model.input_shape[1:3])
        images, labels, number = sample.images, sample.labels, 16
    else:
        (images, labels), number = itf.datasets.mnist_sample(), 64
        number = 32 if name in (*CONVOLUTIONAL, "resnet") else 64
        images, labels = images[:256], labels[:256]
    logits = model.predict(images, batch_size=16, verbose=0)
    right = np.flatnonzero(logits.argmax(1) == labels)[:number]
    targets = choose_targets("random", logits[right], labels[right], seed=0)
    return Case(model, images[right], labels[right], targets)


def network(name: str, folder: Path):
    """Returns the network of that name."""
    import intriguing_tf as itf

    if name == "efficientnet-lite0":
        return itf.zoo.load("imagenet/efficientnet-lite0")
    if name == "squeezenet":
        model = itf.models.squeezenet_1_1()
        itf.zoo.importers.npz(os.environ["SQUEEZENET_WEIGHTS"], model, "bgr")
        return model
    if name == "logits-100":
        model = itf.zoo.load("mnist/fc100-100-10")
        last = model.layers[-1]
        last.set_weights([100 * weights for weights in last.get_weights()])
        return model
    return _trained(name, folder) if name in TRAINED else itf.zoo.load(f"mnist/{name}")


def _trained(name: str, folder: Path):
    import keras

    file = folder / f"{name}.keras"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        keras.utils.set_random_seed(0)
        _distilled().save(file) if name == "distilled" else _fit(_BUILDERS[name](keras)).save(file)
    return keras.models.load_model(file, compile=False)


def _fit(model, epochs: int = 6, labels=None, temperature: float = 1.0):
    """Trains on the 60 000 training digits; `labels` may be other probabilities than the true."""
    import keras

    import intriguing_tf as itf

    images, digits = itf.datasets.mnist("train")
    truth = keras.utils.to_categorical(digits, 10) if labels is None else labels

    def loss(true, logits):
        return keras.losses.categorical_crossentropy(true, logits / temperature, from_logits=True)

    model.compile(keras.optimizers.Adam(1e-3), loss)
    model.fit(images, truth, batch_size=128, epochs=epochs, verbose=0)
    return model


def _dense(keras, activation: str, before=(), last=None):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)), layers.Flatten(), *before,
            layers.Dense(100, activation), layers.Dense(100, activation), layers.Dense(10, last),
        ]
    )  # fmt: skip


def _soft_binarised(keras):
    """A steep sigmoid on the pixels: hardly a gradient at black and white."""
    layers = keras.layers
    return _dense(keras, "relu", [layers.Rescaling(10.0, -5.0), layers.Activation("sigmoid")])


def _resnet(keras):
    layers = keras.layers

    def normed(x, filters, strides=1):
        x = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    images = keras.Input((28, 28, 1))
    x = layers.ReLU()(normed(images, 8))
    for filters, strides in ((8, 1), (16, 2), (32, 2)):
        short = layers.Conv2D(filters, 1, strides)(x)
        long = normed(layers.ReLU()(normed(x, filters, strides)), filters)
        x = layers.ReLU()(layers.Add()([short, long]))
    return keras.Model(images, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def _distilled(temperature: float = 50.0):
    """Trained on another's probabilities at a high temperature, and used at 1: logits are large."""
    import keras

    import intriguing_tf as itf

    teacher = _fit(_dense(keras, "relu"), temperature=temperature)
    images, _ = itf.datasets.mnist("train")
    soft = keras.ops.softmax(teacher.predict(images, verbose=0) / temperature)
    return _fit(_dense(keras, "relu"), labels=np.asarray(soft), temperature=temperature)


_BUILDERS: dict[str, Callable] = {
    "tanh": lambda keras: _dense(keras, "tanh"),
    "resnet": _resnet,
    "soft-binarised": _soft_binarised,
    "relu6-logits": lambda keras: _dense(keras, "relu", last="relu6"),
}
