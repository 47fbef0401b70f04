"""Arguments that cannot be meant are refused where they are given."""

import fractions
import inspect

import keras
import numpy as np
import pytest

import intriguing_tf as itf
from intriguing_tf import training
from intriguing_tf.datasets.imagenet_data import image_size

IMAGES, LABELS = np.full((3, 4), 0.5, np.float32), np.array([0, 1, 2])
DATA = {"images": IMAGES, "labels": LABELS}
# What is needed beside the argument that is tried.
MADE = {
    training.AdversarialPool: {},
    training.CertifiedMargin: {"radius": 0.3},
    training.GradientPenalty: {},
    training.LipschitzPenalty: {"target": 1.0},
    training.LipschitzRegularizer: {"input_shape": (8, 8)},
    training.LipschitzConstraint: {"input_shape": (8, 8)},
    training.OrthogonalConstraint: {},
    training.LipschitzMonitor: {},
    training.CertifiedAccuracy: DATA,
    training.AdversarialAccuracy: DATA,
}
# Never a number of anything here, nor a name.
JUNK = [-1, -0.5, float("nan"), float("inf"), "x", b"x", (1,), (1, 0, -1), [], {"a": 1}]
MEANT = {  # what of the junk can be
    "layer": ["x"],
    "log_dir": JUNK,  # Python refuses them in its own words
    "target": [{"a": 1}],
    "input_shape": [(1,)],
    "settings": JUNK,
    "radii": [(1,)],
}


@pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)
def test_junk_is_refused_by_name(kind):
    kind(**MADE[kind])
    for name in inspect.signature(kind).parameters:
        for junk in JUNK:
            if junk in MEANT.get(name, ()):
                continue
            with pytest.raises((TypeError, ValueError), match="Received"):
                pytest.fail(f"{name}={junk!r}: {kind(**{**MADE[kind], name: junk})}")


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (training.AdversarialPool, {"distortion": 5}),
        (training.AdversarialPool, {"distortion": True}),
        (training.AdversarialPool, {"distortion": 1.5, "bounds": (0, 255)}),
        (training.AdversarialPool, {"attack": {"steps": 3}}),
        (training.AdversarialPool, {"attack": {"maxfun": 0}}),
        (training.AdversarialPool, {"attack": {"bounds": (0, 1)}}),
        (training.AdversarialPool, {"bounds": (1, 0)}),
        (training.AdversarialPool, {"size": 2**31}),
        (training.CertifiedMargin, {"bounds": (1,)}),
        (training.CertifiedMargin, {"bounds": None}),
        (training.CertifiedAccuracy, {"radii": 0.3}),
        (training.CertifiedAccuracy, {"images": np.zeros((3, 4), np.uint8)}),
        (training.AdversarialAccuracy, {"distortion": 5}),
        (training.AdversarialAccuracy, {"targets": "nearset"}),
        (training.AdversarialAccuracy, {"steps": 3}),
        (training.LipschitzRegularizer, {"strides": (1, 2, 3)}),
        (training.LipschitzRegularizer, {"padding": "full"}),
    ],
)
def test_values_beyond_what_can_be_meant(kind, arguments):
    with pytest.raises((TypeError, ValueError), match="Received"):
        kind(**{**MADE[kind], **arguments})


def test_a_distortion_may_be_large_where_the_range_has_no_end():
    assert training.AdversarialPool("fc", distortion=5).distortion == 5.0
    pool = training.AdversarialPool("fc", distortion=5, interval=0)
    layers = [keras.layers.Dense(3, "sigmoid", name="fc"), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    with pytest.raises(ValueError, match="at most 1"):
        training.AdversarialModel(model, pools=[pool])
    layers[0].activation = keras.activations.relu
    training.AdversarialModel(model, pools=[pool])


@pytest.mark.parametrize("seed", [-1, 1.5, "1", None, True])
def test_seeds_are_integers_of_at_least_0(seed):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    given = {"optimizer": keras.optimizers.SGD(), "epochs": 1, "batch_size": 3}
    for call in (
        lambda: itf.transfer.gaussian_noise(IMAGES, seed=seed),
        lambda: itf.transfer.mean_interval([1.0, 2.0], seed=seed),
        lambda: itf.units.random_directions(2, 3, seed),
        lambda: training.fit(model, IMAGES, LABELS, seed=seed, **given),
    ):
        with pytest.raises((TypeError, ValueError), match=r"`seed` must be .* Received"):
            call()


@pytest.mark.parametrize(
    "changed", [{"tolerance": -1}, {"tolerance": np.nan}, {"iterations": -1}, {"iterations": 1.5}]
)
def test_a_search_has_a_tolerance_and_iterations(changed):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match=f"{next(iter(changed))}.*Received"):
        training.minimize(model, IMAGES, LABELS, **changed)


def small_model():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


def fitted(weights):
    model = training.AdversarialModel(small_model())
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(IMAGES, LABELS, sample_weight=weights, verbose=0)


# What takes real numbers, under the name that the error must give.
OF_NUMBERS = [
    ("x", lambda given: itf.units.two_sample_test(given, [1.0, 2.0, 3.0])),
    ("y", lambda given: itf.units.cliffs_delta([1.0, 2.0, 3.0], given)),
    ("p_values", itf.units.holm),
    ("indices", lambda given: itf.units.coherence(given, LABELS, {}, {})),
    ("spaces", lambda given: itf.units.coherence([[0, 1]], LABELS, {"a": given}, {"a": 1.0})),
    ("values", itf.transfer.mean_interval),
    ("radii", lambda given: itf.evaluate(small_model(), (IMAGES, LABELS), radii=given)),
    ("bounds", lambda given: itf.LBFGSAdversary(small_model(), bounds=(given, 1.0))),
    ("c", lambda given: itf.LBFGSAdversary(small_model()).minimize(IMAGES, LABELS, given)),
    ("domain", lambda given: itf.lipschitz.bound(small_model(), domain=(given, 1.0))),
    ("sample_weight", fitted),
]


@pytest.mark.parametrize("given", ["a", "0.5", ["0.5"] * 3, [1j] * 3, [None] * 3, {"a": 1.0},
                                   [[0.1], [0.2, 0.3]]], ids=str)  # fmt: skip
@pytest.mark.parametrize(("name", "call"), OF_NUMBERS, ids=[name for name, _ in OF_NUMBERS])
def test_what_is_no_array_of_real_numbers_is_refused_by_name(name, call, given):
    with pytest.raises((TypeError, ValueError), match=rf"(?s)`?{name}.*Received"):
        call(given)


def test_numbers_of_any_kind_are_real_numbers():
    values = [fractions.Fraction(1, 2), 2**70, np.float16(1.5), True]
    assert itf.units.cliffs_delta(values, values)[0] == 0
    assert image_size(np.array([3, 4])) == (3, 4)


@pytest.mark.parametrize("name", [["mnist/conv"], 3, None, b"mnist/conv"])
@pytest.mark.parametrize("call", [itf.zoo.info, itf.zoo.load, itf.zoo.list])
def test_names_of_the_zoo_are_text(call, name):
    with pytest.raises(TypeError, match=r"must be .*Received: "):
        call(name)
