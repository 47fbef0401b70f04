"""Bounds below the truth and certificates that were false, each with its relatives."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from keras import layers, ops

from intriguing_tf.classifier import Classifier
from intriguing_tf.keras_graph import float64_copy, unexported
from intriguing_tf.lipschitz import LayerBound, NoBoundError, bound, certified_radius, register
from tests.lipschitz.random_layers import jacobian


def steepness(model: keras.Model, seed: int = 0, points: int = 3) -> float:
    """The largest norm of the Jacobian of a float64 copy at random points."""
    copy = float64_copy(model)
    rng = np.random.default_rng(seed)
    shape = model.inputs[0].shape[1:]
    return max(
        float(np.linalg.norm(jacobian(copy, rng.normal(size=shape)), 2)) for _ in range(points)
    )


def truth_is_bounded(model: keras.Model, truth: float | None = None) -> float:
    """Checks a bound against the truth, and returns it."""
    truth = steepness(model) if truth is None else truth
    found = bound(model).total
    assert found >= truth * (1 - 1e-12)
    return found


# --- regrouping that changes the order


def _normalized_then(regroup, shape, position: int) -> keras.Model:
    """Channels with factors 1, 1/10, … regrouped, of which one number goes to two classes."""
    x = keras.Input(shape)
    norm, dense = layers.BatchNormalization(epsilon=1e-3), layers.Dense(2, use_bias=False)
    model = keras.Model(x, dense(regroup(norm(x))))
    channels = shape[-1]
    norm.set_weights(
        [
            10.0 ** -np.arange(channels),
            np.zeros(channels),
            np.zeros(channels),
            np.full(channels, 0.999),
        ]
    )
    kernel = np.zeros(dense.kernel.shape)
    kernel[position] = (1, -1)
    dense.set_weights([kernel])
    return model


@pytest.mark.parametrize("position", [1, 2, 7])
@pytest.mark.parametrize(
    "regroup",
    [
        layers.Flatten(data_format="channels_first"),
        layers.Flatten(),
        lambda x: layers.Flatten()(layers.Permute((3, 1, 2))(x)),
        lambda x: layers.Reshape((12,))(layers.Permute((2, 3, 1))(x)),
        lambda x: ops.reshape(ops.transpose(x, (0, 3, 2, 1)), (-1, 12)),
        lambda x: layers.Flatten()(x[..., ::-1]),
        lambda x: layers.Flatten()(ops.flip(x, axis=-1)),
        lambda x: layers.Flatten()(ops.roll(x, 1, axis=-1)),
    ],
    ids=[
        "channels_first",
        "channels_last",
        "permuted",
        "reshaped",
        "ops",
        "slices",
        "flip",
        "roll",
    ],
)
def test_factors_follow_their_numbers_through_any_order(regroup, position):
    model = _normalized_then(regroup, (2, 3, 2), position)
    found = truth_is_bounded(model)
    assert found <= math.sqrt(2) * (1 + 1e-5)


@pytest.mark.slow
def test_no_image_within_the_radius_is_adversarial_after_regrouping():
    position = 1  # from channel 0: a step of 1 changes the logits by (1, −1)
    model = _normalized_then(layers.Flatten(data_format="channels_first"), (2, 3, 2), position)
    image = np.zeros((1, 2, 3, 2))
    image[0, 1, 0, 0] = 1.0
    assert certified_radius(model, image)[0] == pytest.approx(1.0, rel=1e-5)
    assert certified_radius(model, image)[0] <= 1.0 + 1e-6


# --- rounding allowances where branches cancel


@pytest.mark.parametrize("scale", [float(np.float32(1 - 1e-6)), 1 - 1e-6, 1 + 3e-7, 1.0, 1 / 3])
@pytest.mark.parametrize("kind", ["rescaling", "batch", "multiply", "divide", "normalization"])
def test_branches_that_cancel(scale, kind):
    x = keras.Input((4,))
    if kind == "rescaling":
        y = layers.Rescaling(-scale)(x)
    elif kind == "batch":
        norm = layers.BatchNormalization(epsilon=1e-3)
        y = norm(x)
        norm.gamma.assign(np.full(4, -scale * math.sqrt(1.001)))
    elif kind == "multiply":
        y = x * -scale
    elif kind == "divide":
        y = x / (-1 / scale)
    else:
        y = -layers.Normalization(mean=np.zeros(4), variance=np.full(4, scale**-2))(x)
    dense = layers.Dense(4)
    model = keras.Model(x, layers.Add()([x, dense(y)]))
    dense.set_weights([np.eye(4), np.zeros(4)])
    # Keras keeps a variance, and computes with constants, in float32.
    deviation = math.sqrt(np.float32(scale**-2))
    factors = [scale if kind != "normalization" else 1 / deviation]
    factors += [float(np.float32(scale))] if kind in ("rescaling", "multiply") else []
    if kind == "batch":  # the function of the stored weights: gamma is rounded to float32
        factors = [-float(norm.gamma.numpy()[0]) / math.sqrt(1.001)]
    found = bound(model).total
    assert found >= max(abs(1 - factor) for factor in factors) * (1 - 1e-9) - 1e-15
    assert found <= abs(1 - scale) + 1e-5


def test_a_factor_per_pixel_is_not_taken_for_one_number():
    """A Rescaling by [[1, −1]] is no multiple of the identity that a branch could cancel."""
    x = keras.Input((1, 2))
    dense = layers.Dense(2)
    model = keras.Model(x, layers.Add()([x, dense(layers.Rescaling([[1.0, -1.0]])(x))]))
    dense.set_weights([-np.eye(2), np.zeros(2)])
    assert truth_is_bounded(model) == pytest.approx(2.0, rel=1e-5)


def test_constants_that_are_broadcast_are_refused():
    x = keras.Input((4, 1))
    for layer in (
        layers.Rescaling([1.0, 2.0, 3.0]),
        layers.Rescaling(1.0, offset=[1.0, 2.0, 3.0]),
    ):
        with pytest.raises(NoBoundError, match="broadcast"):
            bound(keras.Model(x, layer(x)))
    for y in (x * np.ones(3, "float32"), x + np.ones(3, "float32"), ops.maximum(x, np.ones(3))):
        with pytest.raises(NoBoundError, match="broadcast"):
            bound(keras.Model(x, y))


# --- logits of one function, bound of another


def _head(kind: str, classes: int = 2):
    squash = {"softmax": "softmax", "sigmoid": "sigmoid", "log_softmax": "log_softmax"}.get(kind)
    return layers.Dense(classes, squash)


KINDS = ("logits", "softmax", "sigmoid", "log_softmax")
ENDINGS = ("flatten", "reshape", "permute", "ops", "dropout", "twice")


@pytest.mark.parametrize(
    "kind, ending",
    [
        pytest.param(kind, ending, marks=() if j == i % 4 else pytest.mark.slow)
        for i, ending in enumerate(ENDINGS)
        for j, kind in enumerate(KINDS)
    ],
)
@pytest.mark.drawn(6)
def test_margins_and_bounds_start_from_one_tensor(kind, ending):
    dense = _head(kind)
    endings = {
        "flatten": [layers.Flatten()],
        "reshape": [layers.Reshape((2, 1)), layers.Reshape((2,))],
        "permute": [layers.Permute((2, 1)), layers.Flatten()],
        "dropout": [layers.Dropout(0.5), layers.Flatten(), layers.Identity()],
        "twice": [layers.Reshape((1, 1, 2)), layers.Flatten(), layers.Flatten()],
    }
    x = keras.Input((1, 4))
    y = dense(x)
    if ending == "ops":
        y = ops.reshape(ops.expand_dims(y, 1), (-1, 2))
    for layer in endings.get(ending, []):
        y = layer(y)
    model = keras.Model(x, y)
    kernel = np.zeros((4, 2))
    kernel[0] = (1, -1)
    dense.set_weights([kernel, np.zeros(2)])
    images = np.eye(4, dtype="float32")[:1, None]
    radius = certified_radius(model, images)[0]
    rel = 1e-5 if kind == "sigmoid" else 1e-6  # what rounding may hide of its margins is taken
    assert radius == pytest.approx(1.0, rel=rel) and radius <= 1.0
    np.testing.assert_allclose(Classifier(model).predict_logits(images), [[1.0, -1.0]])


def test_a_softmax_over_a_part_of_the_classes_is_no_monotone_function_of_the_logits():
    """Logits (3, 2 | 9, 8.5): the largest probability is the first group's, not the third logit."""
    dense = layers.Dense(2, "softmax")
    model = keras.Sequential([keras.Input((2, 4)), dense, layers.Flatten()])
    dense.set_weights([np.eye(4, 2), np.zeros(2)])
    image = np.zeros((1, 2, 4), "float32")
    image[0, 0, :2], image[0, 1, :2] = (3, 2), (9, 8.5)
    assert model.predict(image, verbose=0).argmax() == 0
    assert Classifier(model).predict(image)[0] == 0
    radius = certified_radius(model, image)[0]
    assert 0 < radius <= 0.5 / math.sqrt(2)  # the second group's 0.5 grows to 1, and it wins


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16", "float64"])
def test_one_tensor_in_any_policy(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        dense = layers.Dense(3, "softmax")
        model = keras.Sequential([keras.Input((1, 4)), dense, layers.Flatten()])
    finally:
        keras.config.set_dtype_policy(before)
    kernel = np.arange(12).reshape(4, 3) / 8
    dense.set_weights([kernel, np.zeros(3)])
    images = np.ones((2, 1, 4), "float32")
    np.testing.assert_allclose(Classifier(model).predict_logits(images), images[:, 0] @ kernel)
    if policy == "float64":
        assert certified_radius(model, images)[0] > 0
    else:
        with pytest.raises(NoBoundError, match="float32"):
            certified_radius(model, images)


# --- a copy that is another function


@pytest.mark.parametrize("adapted", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_normalization_is_copied_with_its_state(adapted, nested):
    values = np.array([[0.0], [10.0], [20.0], [50.0]])
    if adapted:
        norm = layers.Normalization()
        norm.adapt(values)
    else:
        norm = layers.Normalization(mean=values.mean(), variance=values.var())
    dense = layers.Dense(1)
    first = keras.Sequential([keras.Input((1,)), norm]) if nested else norm
    model = keras.Sequential([keras.Input((1,)), first, dense])
    dense.set_weights([np.ones((1, 1)), -(20 - values.mean(keepdims=True)[0]) / values.std()])
    x = np.array([[0.0], [10.0], [19.0], [40.0]])
    assert certified_radius(model, x) == pytest.approx([20, 10, 1, 20], rel=1e-5)


@keras.saving.register_keras_serializable("cases")
class Secretive(layers.Layer):
    """Keeps a number that is neither in its configuration nor in its weights."""

    factor = 1.0

    def call(self, x):
        return self.factor * x


def test_a_copy_that_computes_something_else_is_refused():
    register(Secretive)(lambda layer, shapes: LayerBound(layer.factor, rounding=2.0))
    x = np.array([[9.0, 0.0]])
    for factor in (1.0, 10.0):
        secretive, dense = Secretive(), layers.Dense(2)
        secretive.factor = factor
        model = keras.Sequential([keras.Input((2,)), secretive, dense])
        dense.set_weights([np.eye(2), np.array([0.0, 5.0])])
        if factor == 1.0:
            assert certified_radius(model, x)[0] == pytest.approx(4 / math.sqrt(2), rel=1e-6)
        else:
            with pytest.raises(ValueError, match="something else"):
                certified_radius(model, x)


# --- rounding of the forward pass


@pytest.mark.parametrize("power", [0, 10, 24, 40])
def test_margins_are_cut_by_what_was_added_up(power):
    dense = layers.Dense(2)
    model = keras.Sequential([keras.Input((2,)), dense])
    dense.set_weights([np.eye(2), np.full(2, 2.0**power)])
    radius = certified_radius(model, np.array([[1.001, 0.999]]))[0]
    exact = 0.002 / math.sqrt(2)
    assert radius <= exact
    if power <= 24:
        assert radius == pytest.approx(exact, rel=1e-3)


@pytest.mark.slow
def test_hidden_biases_that_cancel_later_count_in_full():
    """x + 2⁵⁰ − 2⁵⁰ in float64 keeps steps of 1/8 only: a margin of 0.1 proves nothing."""
    first, second = layers.Dense(2, dtype="float64"), layers.Dense(2, dtype="float64")
    model = keras.Sequential([keras.Input((2,), dtype="float64"), first, second])
    big = 2.0**50
    first.set_weights([np.eye(2), np.full(2, big)])
    second.set_weights([np.eye(2), np.full(2, -big)])
    assert certified_radius(model, np.array([[0.4, 0.3]]))[0] == 0.0
    assert certified_radius(model, np.array([[40.0, 3.0]]))[0] > 1.0


def test_the_radius_is_zero_where_predict_differs_from_the_copy():
    """In float32 2²⁴ + 1 is 2²⁴: predict says class 0, the exact function class 1."""
    dense = layers.Dense(2)
    model = keras.Sequential([keras.Input((2,)), dense])
    dense.set_weights([np.eye(2), np.array([2.0**24 + 2, 2.0**24])])
    x = np.array([[0.0, 2.5], [0.0, 9.0], [9.0, 0.0]])
    classes = model.predict(x, verbose=0).argmax(1)
    exact = np.argmax(x + np.array([2, 0]), axis=1)
    radii = certified_radius(model, x)
    assert np.all(radii[classes != exact] == 0)
    assert np.all(radii[1:] > 1)


# --- arguments that a rule does not read


@pytest.mark.parametrize("alpha", [-2.0, 0.3, 5.0])
def test_operations_read_their_arguments(alpha):
    x = keras.Input((4,))
    truth_is_bounded(keras.Model(x, ops.elu(x, alpha=alpha)), max(1.0, abs(alpha)))
    truth_is_bounded(keras.Model(x, ops.leaky_relu(x, alpha)), max(1.0, abs(alpha)))
    for layer in (layers.ELU(alpha), layers.LeakyReLU(abs(alpha))):
        truth_is_bounded(keras.Model(x, layer(x)), max(1.0, abs(alpha)))
    if alpha > 0:
        assert bound(keras.Model(x, ops.celu(x, alpha))).total == 1.0
    else:
        with pytest.raises(NoBoundError, match="alpha"):
            bound(keras.Model(x, ops.celu(x, alpha)))


def test_gelu_by_tanh_has_its_own_slope():
    x = keras.Input((4,))
    point = np.linspace(1.2, 1.6, 4)
    for approximate in (True, False):
        model = keras.Model(x, ops.gelu(x, approximate=approximate))
        assert 1.128 < np.linalg.norm(jacobian(float64_copy(model), point), 2) <= bound(model).total


@pytest.mark.parametrize(
    "function",
    [
        lambda x: ops.softmax(x, axis=0),
        lambda x: ops.mean(x),
        lambda x: ops.mean(x, axis=0),
        lambda x: ops.transpose(x, (1, 0)),
        lambda x: ops.reshape(x, (-1, 2)),
        lambda x: ops.flip(x, axis=0),
        lambda x: ops.roll(x, 1, axis=0),
        lambda x: ops.concatenate([x, x], axis=0),
        lambda x: ops.stack([x, x], axis=0),
        lambda x: x[:1],
        lambda x: x[0],
        lambda x: layers.Concatenate(axis=0)([x, x]),
        lambda x: layers.Softmax(axis=0)(x),
        lambda x: layers.EinsumDense("ab,bc->ca", (4,))(x),
        lambda x: layers.EinsumDense("ab,bc->c", ())(x),
    ],
)
def test_what_mixes_examples_is_refused(function):
    x = keras.Input((4,))
    try:
        model = keras.Model(x, function(x))
    except Exception as error:  # some of these this Keras does not build
        pytest.skip(f"not built: {error}")
    with pytest.raises(NoBoundError):
        bound(model)


@pytest.mark.parametrize(
    "function, truth",
    [
        (lambda x: ops.repeat(x, 3, axis=1), math.sqrt(3)),
        (lambda x: ops.repeat(x, [1, 2, 5, 1], axis=1), math.sqrt(5)),
        (lambda x: ops.tile(x, (1, 2)), math.sqrt(2)),
        (lambda x: ops.take(x, [0, 0, 0, 1], axis=1), math.sqrt(3)),
        (lambda x: ops.pad(x, ((0, 0), (2, 1)), "reflect"), math.sqrt(3)),
        (lambda x: ops.pad(x, ((0, 0), (2, 2)), "symmetric"), math.sqrt(2)),
        (lambda x: ops.pad(x, ((0, 0), (2, 1)), constant_values=3.0), 1.0),
        (lambda x: ops.sum(x, axis=1), 2.0),
        (lambda x: ops.mean(x, axis=-1, keepdims=True), 0.5),
        (lambda x: ops.max(x, axis=1), 1.0),
        (lambda x: ops.concatenate(ops.split(x, 2, axis=1)[::-1], axis=1), math.sqrt(2)),  # 1
        (lambda x: ops.matmul(x, np.diag([1.0, 2.0, 3.0, 4.0]).astype("float32")), 4.0),
        (lambda x: ops.abs(x - 3.0) * 2.0, 2.0),
        (lambda x: ops.clip(x, -1.0, 1.0) / 0.5, 2.0),
        (lambda x: 5.0 - x, 1.0),
        (lambda x: x + x, 2.0),
    ],
)
def test_operations_that_move_and_sum_numbers(function, truth):
    x = keras.Input((4,))
    assert truth_is_bounded(keras.Model(x, function(x)), truth) == pytest.approx(truth, rel=1e-6)


def test_the_layers_of_convnext_are_bounded():
    scale, drop = (unexported("convnext", name)[0] for name in ("LayerScale", "StochasticDepth"))
    x = keras.Input((2, 4))
    scaled = scale(1.0, 4)
    y = drop(0.5)(scaled(x))
    model = keras.Model(x, layers.Flatten()(y))
    scaled.gamma.assign([1.0, -3.0, 0.5, 2.0])
    assert bound(model).total == pytest.approx(3.0, rel=1e-6)
    point = np.zeros((1, 2, 4))
    point[0, 0, 1], point[0, 1, 3] = -4.0, 1.0  # 12 and 2
    assert certified_radius(model, point)[0] == pytest.approx(10 / (3 * math.sqrt(2)), rel=1e-5)
    narrow = keras.Input((2, 1))
    with pytest.raises(NoBoundError, match="broadcast"):
        bound(keras.Model(narrow, scale(1.0, 4)(narrow)))


def test_the_sums_of_inception_resnet_are_bounded():
    (scaled_sum,) = unexported("inception_resnet_v2", "CustomScaleLayer")
    x = keras.Input((3,))
    kernel = keras.initializers.Constant(np.diag([1.0, 2.0, -4.0]))
    y = layers.Dense(3, use_bias=False, kernel_initializer=kernel)(x)
    for scale, truth in ((0.3, 1.6), (-0.3, 2.2)):  # |1 + s k| at most
        model = keras.Model(x, scaled_sum(scale)([x, y]))
        assert truth <= bound(model).total <= (1 + 0.3 * 4) * (1 + 1e-6)
    wide = keras.Input((1,))
    with pytest.raises(NoBoundError, match="broadcast"):
        bound(keras.Model([x, wide], scaled_sum(0.3)([x, wide])))


# --- computation that is not in floating point, or in another


@pytest.mark.parametrize("dtype", ["int32", "bool", "float16", "bfloat16", "uint8"])
def test_casts_are_refused(dtype):
    x = keras.Input((4,))
    with pytest.raises(NoBoundError, match="float32 and float64"):
        bound(keras.Model(x, ops.cast(ops.cast(x, dtype), "float32")))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize(
    "make",
    [
        lambda dtype: layers.UpSampling2D(3, interpolation="bilinear", dtype=dtype),
        lambda dtype: layers.Conv2D(2, 3, dtype=dtype),
        lambda dtype: layers.Activation("relu", dtype=dtype),
        lambda dtype: layers.TimeDistributed(layers.Dense(2, dtype=dtype)),
        lambda dtype: layers.Dense(2, activation=layers.ReLU(dtype=dtype)),
    ],
)
def test_layers_that_compute_in_half_precision_are_refused(make, dtype):
    x = keras.Input((6, 6, 1))
    with pytest.raises(NoBoundError, match="float32 and float64"):
        bound(keras.Model(x, make(dtype)(x)))


@pytest.mark.slow
def test_quantized_layers_are_refused():
    dense = layers.Dense(8)
    model = keras.Sequential([keras.Input((8,)), dense])
    dense.quantize("int8")
    with pytest.raises(ValueError, match="int8"):
        bound(model)


# --- inputs matched by the wrong order


def _hundred_z_plus_a(build: str) -> keras.Model:
    z, a = keras.Input((1,), name="z"), keras.Input((1,), name="a")
    inputs = {"list": [z, a], "tuple": (z, a), "dict": {"z": z, "a": a}}[build]
    return keras.Model(inputs, layers.Add()([layers.Rescaling(100.0)(z), a]))


@pytest.mark.parametrize("build", ["list", "tuple", "dict"])
@pytest.mark.parametrize("given", ["list", "dict", "reversed dict"])
def test_inputs_of_models_within_are_matched_as_keras_matches_them(build, given):
    inner = _hundred_z_plus_a(build)
    x = keras.Input((1,))
    z, a = layers.Rescaling(10.0)(x), layers.Rescaling(0.001)(x)
    values = {"list": [z, a], "dict": {"z": z, "a": a}, "reversed dict": {"a": a, "z": z}}[given]
    try:
        model = keras.Model(x, inner(values))
        truth = float(model(np.ones((1, 1), "float32"))[0, 0])
    except Exception as error:
        pytest.skip(f"Keras refuses it: {error}")
    assert bound(model).total == pytest.approx(truth, rel=1e-5)


def test_models_within_are_called_on_their_inputs_alone():
    inner = keras.Sequential([keras.Input((3, 2)), layers.GlobalAveragePooling1D()])
    x, mask = keras.Input((3, 2)), keras.Input((3,))
    with pytest.raises(NoBoundError, match="mask"):
        bound(keras.Model([x, mask], inner(x, mask=mask)))
    with pytest.raises(NoBoundError, match="training"):
        bound(keras.Model(x, inner(x, training=True)))


class Louder(keras.Model):
    def __call__(self, *args, **kwargs):
        return 3 * super().__call__(*args, **kwargs)


def test_models_that_override_their_call_are_refused():
    x = keras.Input((3,))
    for model in (Louder(x, layers.Dense(2)(x)), keras.Model(x, layers.Dense(2)(x))):
        if type(model) is not Louder:
            model.call = lambda inputs, training=None: 3 * inputs
        with pytest.raises(ValueError, match="of its own"):
            bound(model)
    y = keras.Input((3,))
    with pytest.raises(ValueError, match="of its own"):
        bound(keras.Model(y, Louder(x, layers.Dense(2)(x))(y)))


# --- a subclass under its parent's rule, a replaced method


class Tripled(layers.Add):
    def call(self, inputs):
        return 3 * super().call(inputs)


class Steeper(layers.Dense):
    def call(self, inputs, training=None):
        return 10 * super().call(inputs)


Relu = type(keras.Model(x := keras.Input((2,)), ops.relu(x)).operations[-1])


class SteeperOp(Relu):
    def call(self, x):
        return 10 * super().call(x)


def test_rules_hold_for_exactly_their_class():
    x = keras.Input((3,))
    with pytest.raises(NoBoundError, match="Tripled"):
        bound(keras.Model(x, Tripled()([x, x])))
    register(Tripled)(lambda layer, input_shapes: LayerBound(3.0, combine="sum"))
    assert bound(keras.Model(x, Tripled()([x, x]))).total == pytest.approx(6.0)
    with pytest.raises(NoBoundError, match="Steeper"):
        bound(keras.Model(x, Steeper(3)(x)))
    with pytest.raises(NoBoundError, match="SteeperOp"):
        bound(keras.Model(x, SteeperOp()(x)))
    dense = layers.Dense(3)
    model = keras.Model(x, dense(x))
    dense.call = lambda inputs, training=None: 10 * inputs
    with pytest.raises(NoBoundError, match="replaced"):
        bound(model)


# --- call arguments that are ignored


@pytest.mark.parametrize(
    "call",
    [
        lambda x, m: layers.GlobalAveragePooling1D()(x, mask=m),
        lambda x, m: layers.Softmax(axis=1)(x, mask=m[..., None]),
        lambda x, m: layers.TimeDistributed(layers.Dense(2))(x, mask=m),
        lambda x, m: layers.BatchNormalization()(x, training=True),
        lambda x, m: layers.Dropout(0.5)(x, training=True),
    ],
)
def test_call_arguments_are_refused(call):
    x, m = keras.Input((2, 3)), keras.Input((2,))
    y = layers.Flatten()(call(x, m))
    z = layers.Concatenate()([y, m])  # which old Keras wants to be used
    with pytest.raises(NoBoundError, match="call argument"):
        bound(keras.Model([x, m], z))


def test_masks_are_refused_where_they_are_made():
    x = keras.Input((4, 3))
    for layer in (layers.Masking(), layers.Embedding(5, 2, mask_zero=True)):
        inputs = x if isinstance(layer, layers.Masking) else keras.Input((4,), dtype="int32")
        with pytest.raises(NoBoundError):
            bound(keras.Model(inputs, layers.GlobalAveragePooling1D()(layer(inputs))))


# --- unknown sizes that may be broadcast


def test_unknown_sizes_that_may_differ_are_refused():
    x, y = keras.Input((None, 3)), keras.Input((None, 3))
    for merged in (layers.Add()([x, y]), layers.Maximum()([x, y]), x + y, ops.maximum(x, y)):
        with pytest.raises(NoBoundError, match="broadcast"):
            bound(keras.Model([x, y], merged))
