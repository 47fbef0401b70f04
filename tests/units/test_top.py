import tracemalloc
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import intriguing_tf as itf
from intriguing_tf.datasets.image_sets import LazyImages


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((6, 6, 1), name="images"),
            keras.layers.Conv2D(3, 3, activation="relu", name="conv"),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dense(5, "tanh", name="fc"),
            keras.layers.Dense(2, name="logits"),
        ]
    )


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(size=(101, 6, 6, 1)).astype(np.float32)


def features(model, layer, images):
    inner = keras.Model(model.inputs, model.get_layer(layer).output)
    return np.asarray(inner(images)).reshape(len(images), -1)


def brute_force(projections, k):
    return np.argsort(-projections, axis=0, kind="stable")[:k].T


def test_units_of_a_dense_layer(model, images):
    top = itf.units.top_images(model, "fc", images, "natural", k=4)
    phi = features(model, "fc", images)
    np.testing.assert_array_equal(top.indices, brute_force(phi, 4))
    np.testing.assert_allclose(top.values, -np.sort(-phi, axis=0)[:4].T, rtol=1e-6)
    assert top.determined.all() and top.number == 101
    assert top.names()[2] == "unit 2" and "unit 2" in str(top)


def test_other_outputs_of_a_model_do_not_matter(model, images):
    several = keras.Model(model.inputs, {"a": model.outputs[0], "b": model.layers[0].output})
    top = itf.units.top_images(several, "fc", images, k=4)
    np.testing.assert_array_equal(
        top.indices, itf.units.top_images(model, "fc", images, k=4).indices
    )
    b = keras.Input((1,), name="b")
    two = keras.Model({"a": model.inputs[0], "b": b}, model.outputs[0] + b)
    with pytest.raises(ValueError, match=r"one input.*\['a', 'b'\]"):
        itf.units.top_images(two, "fc", images)


def test_units_of_a_convolution_are_every_place_of_every_channel(model, images):
    top = itf.units.top_images(model, model.get_layer("conv"), images, k=1)
    phi = features(model, "conv", images)
    assert top.indices.shape == (4 * 4 * 3, 1)
    np.testing.assert_array_equal(top.indices, brute_force(phi, 1))


def test_layers_of_models_within_the_model(model, images):
    inputs = keras.Input((6, 6, 1), name="raw")
    once = keras.Model(inputs, model(keras.layers.Rescaling(2.0, name="twice")(inputs)))
    deep = keras.Sequential([keras.Input((6, 6, 1)), once])
    phi = features(model, "fc", 2 * images)
    for outer in (once, deep):
        for layer in ("fc", model.get_layer("fc")):
            top = itf.units.top_images(outer, layer, images, k=4)
            np.testing.assert_allclose(top.values, -np.sort(-phi, axis=0)[:4].T, rtol=1e-6)
    with pytest.raises(ValueError, match=r"'fx' is not one .* twice, conv, flatten, fc, logits"):
        itf.units.top_images(deep, "fx", images)
    x = model(model(inputs)[:, :1, None, None] + inputs)
    with pytest.raises(ValueError, match=r"called once.*2 calls"):
        itf.units.top_images(keras.Model(inputs, x), "fc", images)


def test_random_and_given_directions_are_inner_products(model, images):
    vectors = itf.units.random_directions(7, 5, seed=3)
    phi = features(model, "fc", images)
    given = itf.units.top_images(model, "fc", images, vectors, k=6)
    drawn = itf.units.top_images(model, "fc", images, "random", k=6, number=7, seed=3)
    np.testing.assert_array_equal(given.indices, brute_force(phi @ vectors.T, 6))
    np.testing.assert_array_equal(given.indices, drawn.indices)
    assert itf.units.top_images(model, "fc", images, "random", 1).indices.shape == (5, 1)


def test_the_input_layer_is_pixel_space(model, images):
    top = itf.units.top_images(model, "images", images, k=2)
    np.testing.assert_array_equal(top.indices, brute_force(images.reshape(101, -1), 2))


def test_batches_and_datasets_give_the_same(model, images):
    whole = itf.units.top_images(model, "fc", images, "random", k=9)
    small = itf.units.top_images(model, "fc", images, "random", k=9, batch_size=4)
    dataset = tf.data.Dataset.from_tensor_slices((images, np.zeros(101))).batch(10)
    streamed = itf.units.top_images(model, "fc", dataset, "random", k=9)
    np.testing.assert_array_equal(whole.indices, small.indices)
    np.testing.assert_array_equal(whole.indices, streamed.indices)


def lazy(images):
    return LazyImages(
        [Path(str(i)) for i in range(len(images))],
        lambda file: images[int(file.name)],
        images.shape[1:],
    )


@pytest.mark.parametrize("form", [lazy, tf.constant, tf.Variable, np.asfortranarray])
def test_whatever_gives_rows_is_an_array(form, model, images):
    whole, read = (
        itf.units.top_images(model, "fc", each, k=3, batch_size=40)
        for each in (images, form(images))
    )
    np.testing.assert_array_equal(whole.indices, read.indices)
    arguments = {"k": 3, "random_number": 5, "number": 4}
    whole, read = (
        itf.units.compare(model, "fc", each, np.arange(101) % 3, **arguments)
        for each in (images, form(images))
    )
    assert str(whole) == str(read)
    with pytest.raises(ValueError, match="number of images, 101"):
        itf.units.top_images(model, "fc", form(images), k=102)


def test_a_table_of_pandas_is_an_array():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5, name="fc")])
    rows = np.random.default_rng(0).uniform(size=(20, 4)).astype(np.float32)
    table = pandas.DataFrame(rows, index=np.arange(20)[::-1] / 2)
    whole, read = (itf.units.top_images(model, "fc", each, k=3) for each in (rows, table))
    np.testing.assert_array_equal(whole.indices, read.indices)


def test_equals_are_ordered_by_place_whatever_the_batches(model, images):
    doubled = np.concatenate([images[:20], images[:20]])
    for batch_size in (3, 40):
        top = itf.units.top_images(model, "fc", doubled, k=4, batch_size=batch_size)
        firsts = top.indices[:, 0]
        np.testing.assert_array_equal(top.indices[:, 1], firsts + 20)
        assert (firsts < 20).all()


def test_a_dead_unit_is_not_determined(model, images):
    dead = keras.models.clone_model(model)
    dead.set_weights(model.get_weights())
    kernel, bias = dead.get_layer("fc").get_weights()
    kernel[:, 3] = 0
    dead.get_layer("fc").set_weights([kernel, bias])
    top = itf.units.top_images(dead, "fc", images, k=4)
    np.testing.assert_array_equal(top.determined, [True, True, True, False, True])


@pytest.mark.parametrize("batch_size", [1, 4, 40])
@pytest.mark.parametrize("saturated, determined", [(3, True), (4, True), (5, False)])
def test_units_that_saturate_for_more_than_k_images_are_not_determined(
    saturated, determined, batch_size
):
    """The earliest of equals would be its images: another order of the data has others."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Activation("relu6", name="unit")])
    images = np.linspace(1, 5, 40, dtype=np.float32)[:, None]
    images[-saturated:] = 7
    found = [
        itf.units.top_images(model, "unit", each, k=4, batch_size=batch_size)
        for each in (images, images[::-1])
    ]
    assert [top.determined.tolist() for top in found] == [[determined]] * 2
    first, second = found[0].indices[0], 39 - found[1].indices[0]
    assert ({*first} == {*second}) == determined


def test_where_there_are_no_other_images_all_are_determined(model, images):
    top = itf.units.top_images(model, "fc", np.repeat(images[:1], 4, axis=0), k=4)
    assert top.determined.all() and top.indices.shape == top.values.shape == (5, 4)


@pytest.mark.slow
def test_memory_is_bounded_by_the_batch(model):
    def stream(batches):
        return [np.full((500, 6, 6, 1), 0.5, np.float32)] * batches  # 96 kB of activations each

    itf.units.top_images(model, "conv", stream(1), k=2)
    peaks = []
    for number in (4, 80):
        tracemalloc.start()
        itf.units.top_images(model, "conv", stream(number), k=2, number=5)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 10**6, peaks


def test_some_units_only(model, images):
    top = itf.units.top_images(model, "conv", images, k=1, number=6, seed=1)
    assert len(set(top.units)) == 6
    phi = features(model, "conv", images)[:, top.units]
    np.testing.assert_array_equal(top.indices, brute_force(phi, 1))


def test_random_directions_are_uniform_on_the_sphere():
    drawn = itf.units.random_directions(4000, 8)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(drawn.T @ drawn / 4000, np.eye(8) / 8, atol=0.02)
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=0.02)
    np.testing.assert_array_equal(itf.units.random_directions(10, 8), drawn[:10])
    assert (itf.units.random_directions(10, 8, seed=1) != drawn[:10]).all()
    with pytest.raises(ValueError, match=r"number=924"):
        itf.units.random_directions(290400, 290400)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"layer": "fc9"}, ValueError, "Valid: conv, flatten, fc, logits"),
        ({"directions": "units"}, ValueError, '"natural", "random"'),
        ({"directions": np.zeros((3, 4))}, ValueError, r"shape \[d, 5\]"),
        ({"directions": np.full((3, 5), np.nan)}, ValueError, "NaN"),
        (
            {"directions": np.ma.masked_array(np.ones((3, 5)), 1)},
            TypeError,
            "without masked elements.*15",
        ),
        ({"directions": np.full((3, 5), 1j)}, ValueError, "finite array.*complex128"),
        ({"directions": [["a"] * 5]}, ValueError, "finite array.*<U1"),
        ({"directions": [[1.0], [1.0, 2.0]]}, ValueError, "finite array.*inhomogeneous"),
        ({"directions": np.full((3, 5), 3e38)}, ValueError, "finite in float32; scale"),
        ({"images": None}, TypeError, "give an array.*NoneType"),
        ({"directions": np.eye(5), "number": 3}, ValueError, "number=3 and 5 directions"),
        ({"directions": np.eye(5), "seed": "x"}, TypeError, "`seed`"),
        ({"directions": "random", "seed": "x"}, TypeError, "`seed`"),
        ({"directions": "natural", "seed": 1.5}, TypeError, "`seed`"),
        ({"k": 0}, ValueError, "positive integer"),
        ({"k": 102}, ValueError, "number of images, 101"),
        ({"number": 6}, ValueError, "between 1 and the layer's 5"),
        ({"images": np.zeros((9, 6, 6, 1), np.uint8)}, TypeError, "uint8"),
        ({"images": np.full((9, 6, 6, 1), np.nan)}, ValueError, "`images` must be finite"),
        ({"images": iter([])}, TypeError, "iterator"),
        ({"images": np.float32(1)}, TypeError, "give an array.*float32"),
        ({"images": np.array(1.0)}, TypeError, "give an array.*ndarray"),
        ({"images": tf.constant(1.0)}, TypeError, "give an array.*ndarray"),
        ({"images": np.zeros((9, 6, 7, 1))}, ValueError, r"\[n, 6, 6, 1\]. Received: .*7"),
        ({"model": "mnist"}, TypeError, "keras.Model"),
    ],
)
def test_bad_input_is_refused(model, images, change, error, message):
    arguments = {"model": model, "layer": "fc", "images": images, **change}
    with pytest.raises(error, match=message):
        itf.units.top_images(**arguments)


class Subclassed(keras.Model):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, inputs, training=None):
        return self.inner(inputs)


def test_models_without_a_graph_are_refused_by_name(model, images):
    own = Subclassed(model)
    own(images)
    with pytest.raises(ValueError, match=r"Subclassed.* no graph of layers"):
        itf.units.top_images(own, "fc", images)
    arguments = {"feature_model": own, "feature_layer": "fc", "random_number": 10, "number": 3}
    with pytest.raises(ValueError, match=r"Subclassed.* no graph of layers"):
        itf.units.compare(model, "fc", images, np.arange(101) % 3, **arguments)
