"""Random bad inputs to public functions: documented errors, never a crash, a hang or NaN.

FAULTS_INPUTS is how many each function gets (50 by default). One or two arguments of a call that
works are replaced by something else; the call must then return finite numbers or raise an error
that its docstring names, or a TypeError or ValueError.
"""

import dataclasses
import inspect
import os
import re
import signal
import tempfile

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import intriguing_tf as itf
from intriguing_tf.sweeps import Sweep

INPUTS = int(os.environ.get("FAULTS_INPUTS", 50))
PATIENCE = 60  # seconds for one call

FAST = {"solver": "scipy", "maxfun": 5, "jit_compile": False}
NUMBERS = st.one_of(
    st.integers(-3, 12), st.sampled_from([0.0, -1.0, 0.5, 1e300, 1e-300, np.nan, np.inf, -np.inf])
)
ARRAYS = arrays.arrays(
    st.sampled_from(["float32", "float64", "int64", "uint8", "bool", "complex64", "<U3", "O"]),
    arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3),
    elements=None,
    fill=st.nothing(),
)
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    st.text(max_size=5),
    st.binary(max_size=5),
    st.lists(NUMBERS, max_size=4),
    st.tuples(NUMBERS, NUMBERS),
    st.dictionaries(st.text(max_size=2), NUMBERS, max_size=2),
    ARRAYS,
    st.builds(object),
    st.just(keras.layers.Dense),
)


def network(units=3):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, name="scores")])
    random = np.random.default_rng(0)
    model.set_weights([4 * random.normal(size=(4, units)), random.normal(size=units)])
    return model


MODEL = network()
IMAGES = np.random.default_rng(1).uniform(size=(3, 4)).astype(np.float32)
LABELS = np.array([0, 1, 2])
ADVERSARY = itf.LBFGSAdversary(MODEL, **FAST)
KERNEL = np.ones((2, 2, 1, 2), np.float32)


def sweep(**arguments):
    with tempfile.TemporaryDirectory() as folder:
        return itf.sweep(**arguments, folder=folder + "/new").result()


CALLS = {
    "LBFGSAdversary": (
        itf.LBFGSAdversary,
        {"model": MODEL, "bounds": (0, 1), "layer": None, **FAST},
    ),
    "LBFGSAdversary()": (
        ADVERSARY,
        {"images": IMAGES, "labels": LABELS, "targets": "random", "seed": 0, "verbose": False},
    ),
    "AdversarialResult.load": (itf.AdversarialResult.load, {"path": "nowhere"}),
    "sweep": (
        sweep,
        {
            "models": MODEL,
            "images": IMAGES,
            "labels": LABELS,
            "targets": "random",
            "settings": {"fast": FAST},
            "seed": 0,
            "shard_size": 4,
            "ray": None,
            "workers": None,
            "verbose": False,
        },
    ),
    "Sweep": (Sweep, {"folder": "nowhere"}),
    "bound": (itf.lipschitz.bound, {"model": MODEL, "method": "best", "unbounded": "raise"}),
    "certified_radius": (itf.lipschitz.certified_radius, {"model": MODEL, "images": IMAGES}),
    "conv_norm": (
        itf.lipschitz.conv_norm,
        {
            "kernel": KERNEL,
            "spatial_shape": (4, 4),
            "strides": 1,
            "padding": "same",
            "dilation_rate": 1,
            "groups": 1,
        },
    ),
    "dense_norm": (itf.lipschitz.dense_norm, {"kernel": np.eye(3)}),
    "error_matrix": (
        itf.transfer.error_matrix,
        {"models": {"m": MODEL}, "image_sets": {"a": IMAGES}, "labels": LABELS, "batch_size": 2},
    ),
    "gaussian_noise": (
        itf.transfer.gaussian_noise,
        {"images": IMAGES, "stddev": 0.1, "seed": 0},
    ),
    "zoo.list": (itf.zoo.list, {"pattern": "*"}),
    "zoo.info": (itf.zoo.info, {"name": "mnist/conv"}),
    "mnist": (itf.datasets.mnist, {"split": "train", "subset": "p3"}),
    "LipschitzMonitor": (itf.training.LipschitzMonitor, {"method": "best", "every": 1}),
    "AdversarialAccuracy": (
        itf.training.AdversarialAccuracy,
        {"images": IMAGES, "labels": LABELS, "distortion": 0.1, "every": 1, "shown": 4},
    ),
    "AdversarialPool": (
        itf.training.AdversarialPool,
        {"size": 8, "share": 0.5, "refresh": 4, "interval": 1, "seed": 0},
    ),
    "adversarial_rows": (
        itf.reporting.adversarial_rows,
        {"originals": np.zeros((1, 4, 4, 1)), "adversarial": np.ones((1, 4, 4, 1)), "columns": 1},
    ),
}


def documented(function):
    """The exceptions that a docstring names."""
    original = {sweep: itf.sweep, ADVERSARY: type(ADVERSARY).__call__}.get(function, function)
    names = re.findall(r"\b\w+(?:Error|Exception)\b", inspect.getdoc(original) or "")
    known = {**vars(__import__("builtins")), **vars(itf.lipschitz), **vars(itf.zoo)}
    for module in (itf.lipschitz, itf.zoo):
        known |= {name: getattr(module, name) for name in dir(module)}
    return (TypeError, ValueError, *(known[name] for name in names if name in known))


def check_numbers(value):
    """Raises if there is a NaN that the documentation does not promise."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            if field.name not in ("c", "settings"):
                check_numbers(getattr(value, field.name))
    elif isinstance(value, (list, tuple)):
        for each in value:
            check_numbers(each)
    elif isinstance(value, (float, np.floating)) or (
        isinstance(value, np.ndarray) and value.dtype.kind == "f"
    ):
        assert not np.isnan(value).any()


def too_long(signum, frame):
    raise AssertionError(f"a call took more than {PATIENCE} seconds")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_bad_inputs_give_documented_errors(name):
    function, valid = CALLS[name]
    allowed = documented(function)

    @hypothesis.settings(
        max_examples=INPUTS,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(st.dictionaries(st.sampled_from(sorted(valid)), JUNK, min_size=1, max_size=2))
    def holds(junk):
        signal.signal(signal.SIGALRM, too_long)
        signal.alarm(PATIENCE)
        try:
            check_numbers(function(**{**valid, **junk}))
        except allowed:
            pass
        finally:
            signal.alarm(0)

    holds()
