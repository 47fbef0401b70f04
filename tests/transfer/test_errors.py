import weakref

import keras
import numpy as np
import pytest

import intriguing_tf as itf

CLASSES, PIXELS = 4, 6


def linear(seed, name):
    """A model whose classes are the largest of four known projections."""
    kernel = np.random.default_rng(seed).normal(size=(PIXELS, CLASSES)).astype(np.float32)
    model = keras.Sequential(
        [keras.Input((PIXELS,)), keras.layers.Dense(CLASSES, use_bias=False)], name=name
    )
    model.set_weights([kernel])
    return model, kernel


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(300, PIXELS)).astype(np.float32)
    (a, kernel_a), (b, kernel_b) = linear(1, "a"), linear(2, "b")
    labels = (images @ kernel_a).argmax(axis=1)
    labels[:30] = (labels[:30] + 1) % CLASSES  # a misclassifies exactly these
    return images, labels, {"a": a, "b": b}, {"a": kernel_a, "b": kernel_b}


def test_errors_are_those_of_each_model_on_each_set(world):
    images, labels, models, kernels = world
    sets = {"clean": images, "mirrored": 1 - images}
    matrix = itf.transfer.error_matrix(models, sets, labels, originals=images, batch_size=64)
    assert matrix.rows == ("clean", "mirrored") and matrix.columns == ("a", "b")
    for row, batch in sets.items():
        for column, kernel in kernels.items():
            expected = np.mean((batch @ kernel).argmax(axis=1) != labels)
            assert matrix[row, column] == pytest.approx(expected)
    assert matrix["clean", "a"] == pytest.approx(0.1)
    np.testing.assert_allclose(matrix.distortion, [0, itf.transfer.rms(1 - images, images).mean()])


def test_batches_do_not_matter(world):
    images, labels, models, _ = world
    matrices = [
        itf.transfer.error_matrix(models, {"x": images}, labels, batch_size=b).wrong
        for b in (1000, 7)
    ]
    np.testing.assert_array_equal(*matrices)


def test_sets_given_as_functions_are_made_one_at_a_time(world):
    images, labels, models, _ = world
    made, most = [], 0

    def make():
        nonlocal most
        fresh = images.copy()
        made.append(weakref.ref(fresh))
        most = max(most, sum(each() is not None for each in made))
        return fresh

    matrix = itf.transfer.error_matrix(models, dict.fromkeys("uvwxyz", make), labels)
    assert matrix.errors.shape == (6, 2)
    assert most <= 2  # the next is made while the last one's name still holds it


def test_intervals_hold_the_errors_and_the_table_prints_them(world):
    images, labels, models, _ = world
    matrix = itf.transfer.error_matrix(models, {"x": images}, labels, originals=images)
    low, high = np.moveaxis(matrix.intervals(), -1, 0)
    assert ((low <= matrix.errors) & (matrix.errors <= high)).all()
    assert (high - low < 0.15).all()
    text = str(matrix)
    assert "10.0 [" in text and "av. distortion" in text and "300 images" in text


def test_a_sequence_of_models_goes_by_their_names(world):
    images, labels, models, _ = world
    matrix = itf.transfer.error_matrix(list(models.values()), {"x": images}, labels)
    assert matrix.columns == ("a", "b")
    with pytest.raises(ValueError, match="own name"):
        itf.transfer.error_matrix([models["a"], models["a"]], {"x": images}, labels)
    for several in (dict(models).values(), (each for each in models.values())):
        assert itf.transfer.error_matrix(several, {"clean": images}, labels).columns == ("a", "b")


def test_unknown_names_of_a_cell_are_refused(world):
    images, labels, models, _ = world
    matrix = itf.transfer.error_matrix(models, {"x": images}, labels)
    with pytest.raises(KeyError, match="'y' is not one of 'x'"):
        matrix["y", "a"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"models": {}}, ValueError, "at least one"),
        ({"models": {"a": "no model"}}, TypeError, "keras.Model"),
        ({"image_sets": {}}, ValueError, "at least one set"),
        ({"image_sets": {1: np.zeros((300, PIXELS))}}, TypeError, "sets' names.*int"),
        (
            {"image_sets": np.zeros((300, PIXELS))},
            TypeError,
            "dictionary of images by name.*ndarray",
        ),
        ({"image_sets": {"x": np.zeros((300, PIXELS), np.uint8)}}, TypeError, "uint8"),
        ({"image_sets": {"x": np.zeros((299, PIXELS))}}, ValueError, "one per label"),
        ({"image_sets": {"x": np.zeros((300, 5))}}, ValueError, "of shape"),
        ({"image_sets": {"x": np.full((300, PIXELS), np.nan)}}, ValueError, "finite"),
        ({"labels": np.full(300, 4)}, ValueError, "below the 4 classes"),
        ({"labels": np.full(300, -1)}, ValueError, "at least 0"),
        ({"labels": np.zeros(300)}, ValueError, "integers"),
    ],
)
def test_bad_input_is_refused(world, change, error, message):
    images, labels, models, _ = world
    arguments = {"models": models, "image_sets": {"x": images}, "labels": labels, **change}
    with pytest.raises(error, match=message):
        itf.transfer.error_matrix(**arguments)


def test_models_names_are_text(world):
    images, labels, models, _ = world
    with pytest.raises(TypeError, match=r"models' names. Received: \['int'\]"):
        itf.transfer.error_matrix({1: models["a"]}, {"x": images}, labels)


def test_a_model_with_non_finite_outputs_is_refused(world):
    images, labels, _models, _ = world
    broken, kernel = linear(3, "broken")
    broken.set_weights([kernel * np.nan])
    with pytest.raises(ValueError, match="NaN"):
        itf.transfer.error_matrix([broken], {"x": images}, labels)


def test_nothing_is_measured_before_all_that_is_given_fits(world, monkeypatch):
    """A set that comes last, or a model, is not refused after hours with the others."""
    images, labels, models, _ = world
    other = keras.Sequential([keras.Input((PIXELS + 1,)), keras.layers.Dense(CLASSES)], name="c")
    fewer = keras.Sequential([keras.Input((PIXELS,)), keras.layers.Dense(2)], name="c")
    monkeypatch.setattr("intriguing_tf.transfer.errors._predict", None)
    for change, message in (
        ({"models": {**models, "c": other}}, "'c' takes images of shape"),
        ({"models": {**models, "c": fewer}}, "below the 2 classes of model 'c'"),
        ({"image_sets": {"x": images, "y": images[:3]}}, "'y' must be one per label"),
        ({"originals": images[:3]}, "'originals' must be one per label"),
        ({"originals": images[:, 1:]}, "'x' must have the shape of `originals`"),
        (
            {"originals": images, "image_sets": {"x": lambda: images[:, 1:]}},
            "'x' must have the shape of `originals`",
        ),
        ({"originals": images, "bounds": (1, 0)}, "bounds"),
        ({"originals": 2 * images - 1}, r"within the bounds \[0, 1\]"),
        ({"batch_size": 0}, "batch_size"),
    ):
        arguments = {"models": models, "image_sets": {"x": images}, "labels": labels, **change}
        with pytest.raises(ValueError, match=message):
            itf.transfer.error_matrix(**arguments)


def test_errors_are_those_of_what_predict_says_where_sigmoids_saturate():
    model = keras.Sequential([keras.Input((PIXELS,)), keras.layers.Dense(CLASSES, "sigmoid")])
    random = np.random.default_rng(0)
    model.set_weights([100 * random.normal(size=(PIXELS, CLASSES)), 50 * np.ones(CLASSES)])
    images = random.uniform(size=(200, PIXELS)).astype(np.float32)
    labels = model.predict(images, verbose=0).argmax(axis=1)
    assert itf.transfer.error_matrix({"m": model}, {"x": images}, labels)["x", "m"] == 0
