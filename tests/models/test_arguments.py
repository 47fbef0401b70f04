"""What builders say of arguments that they cannot have, and take of NumPy's numbers."""

import keras
import numpy as np
import pytest

from intriguing_tf import models

ONE_DECAY = [models.fc10, models.ae400_10, models.conv]
THREE_DECAYS = [models.fc100_100_10, models.fc200_200_10, models.fc123_456_10]
DROPPING = [models.fc100_100_10, models.conv]
# Builders for photographs, with the least height and width that their windows fit in.
LEAST = {
    models.alexnet: 67,
    models.alexnet_one_tower: 63,
    models.squeezenet_1_1: 3,
    models.googlenet: 1,
    models.efficientnet_lite0: 1,
}


@pytest.mark.parametrize("build", ONE_DECAY)
@pytest.mark.parametrize("value", [None, "a", True, (1e-4,), -1e-4, np.nan, np.inf])
def test_what_is_no_decay_is_refused(build, value):
    kind = ValueError if isinstance(value, float) else TypeError
    with pytest.raises(kind, match=r"weight_decay.*Received"):
        build(weight_decay=value)


@pytest.mark.parametrize("build", THREE_DECAYS)
@pytest.mark.parametrize("value", [None, 1e-4, np.float32(1e-4), np.array(1e-4), (1e-4,) * 2, ""])
def test_what_is_not_one_decay_per_layer_is_refused(build, value):
    with pytest.raises(ValueError, match=r"one λ for each of the 3 layers.*Received"):
        build(weight_decay=value)


@pytest.mark.parametrize("build", THREE_DECAYS)
@pytest.mark.parametrize("value", ["abc", (1e-4, None, 1e-4), (True, 1e-4, 1e-4)])
def test_decays_that_are_none_are_refused(build, value):
    with pytest.raises(TypeError, match=r"`weight_decay` must be one number. Received"):
        build(weight_decay=value)


def test_decays_may_be_numpys():
    one = models.fc10(np.float32(0.5)).get_layer("logits").kernel_regularizer
    three = models.fc100_100_10(np.full(3, 0.5, np.float32)).get_layer("fc1").kernel_regularizer
    assert (one.l2, three.l2) == (0.05, 0.005)


@pytest.mark.parametrize("build", DROPPING)
@pytest.mark.parametrize("value", [None, "x", True, [0.1], 1.0, 1.5, -0.1, np.nan])
def test_what_is_no_share_to_drop_is_refused(build, value):
    kind = ValueError if isinstance(value, float) else TypeError
    with pytest.raises(kind, match=r"dropout.*Received"):
        build(dropout=value)


@pytest.mark.parametrize("build", LEAST)
@pytest.mark.parametrize(
    "shape",
    [None, 227, "227", (227, 227), (None, None, 3), (227.0, 227, 3), (227, 227, 1), (0, 227, 3)],
    ids=str,
)
def test_what_is_no_shape_of_photographs_is_refused(build, shape):
    with pytest.raises(ValueError, match=r"must be \(height, width, 3\).*Received: "):
        build(input_shape=shape)


@pytest.mark.parametrize(
    ("build", "least"), [pair for pair in LEAST.items() if pair[1] > 1], ids=lambda value: ""
)
def test_photographs_in_which_no_window_fits_are_refused(build, least):
    for height, width in [(least - 1, least), (least, least - 1), (1, 1)]:
        with pytest.raises(ValueError, match=f"must be at least {least} pixels each way.*Received"):
            build(input_shape=(height, width, 3))


@pytest.mark.slow
@pytest.mark.parametrize("build", LEAST)
@pytest.mark.drawn(2)
def test_the_least_photographs_are_taken(build):
    least = LEAST[build]
    model = build(classes=2, input_shape=(np.int64(least), least, 3))
    assert model(np.zeros((1, least, least, 3), np.float32)).shape == (1, 2)


def test_what_is_no_name_of_an_application_is_refused():
    with pytest.raises(TypeError, match="`name` must be the name of a network"):
        models.keras_application(3)


def several(inputs, outputs):
    tensors = [keras.Input((4,)) for _ in range(inputs)]
    below = tensors[0] if inputs == 1 else keras.layers.Add()(tensors)
    return keras.Model(tensors, [keras.layers.Dense(2)(below) for _ in range(outputs)])


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.Sequential([keras.layers.Dense(2)]),
        lambda: Subclassed(),
        lambda: several(2, 1),
        lambda: several(1, 2),
    ],
    ids=["not built", "subclassed", "two inputs", "two outputs"],
)
def test_what_has_no_features_of_one_input_is_refused(make):
    with pytest.raises(ValueError, match=r"`features` must be a built .*Received: '"):
        models.with_binary_classifier(make())
