"""Random bad inputs to every public function: documented errors, never a crash, a hang or NaN.

FAULTS_INPUTS is how many each function gets, by default ten. One or two arguments of a call that
works are replaced by something else; the call must then return finite numbers or raise an error
that its docstring names, or a TypeError or ValueError.
"""

import builtins
import dataclasses
import inspect
import os
import re
import signal

import hypothesis
import keras
import numpy as np
import psutil
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import intriguing_tf as itf
from tests.faults import calls

INPUTS = int(os.environ.get("FAULTS_INPUTS", 10))
NAMES = sorted(calls.CALLS)
MEMORY = 6 * 2**30  # bytes that the test's process may have more than at its start
PATIENCE = 60  # seconds of the processor for one call; ten times as many on the clock

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
# NaN where the documentation promises it: c of what was not found, the bytes of a given array.
PROMISED = {"c", "settings", "originals"}


@pytest.fixture(scope="module", autouse=True)
def memory():
    """An input that takes all memory makes a test fail, not the machine."""
    resource = pytest.importorskip("resource", reason="limits are Unix's")
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + MEMORY, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch, request):
    """Nothing is written to, read from or downloaded into the user's folders."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(request.path.parents[1] / "zoo")
    monkeypatch.setenv("INTRIGUING_TF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("INTRIGUING_TF_OFFLINE", "1")
    monkeypatch.delenv("INTRIGUING_TF_ZOO", raising=False)


def documented(value):
    """The exceptions that a docstring names, its own or that of the class it belongs to."""
    names = set(re.findall(r"\b\w+(?:Error|Exception)\b", inspect.getdoc(value) or ""))
    known = vars(builtins) | {name: getattr(itf.zoo, name) for name in dir(itf.zoo)}
    return (TypeError, ValueError, *(known[name] for name in names if name in known))


def check_numbers(value):
    """Raises if there is a NaN that the documentation does not promise."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            if field.name not in PROMISED:
                check_numbers(getattr(value, field.name))
    elif isinstance(value, dict):
        check_numbers([each for key, each in value.items() if key not in PROMISED])
    elif isinstance(value, (list, tuple)):
        for each in value:
            check_numbers(each)
    elif isinstance(value, (float, np.floating, np.ndarray, tf.Tensor)):
        array = np.asarray(value)
        assert array.dtype.kind != "f" or not np.isnan(array).any()


def allow(seconds):
    """Gives the call that follows so much of the processor's time; 0 ends it."""
    for timer, number, factor in (
        (signal.ITIMER_PROF, signal.SIGPROF, 1),
        (signal.ITIMER_REAL, signal.SIGALRM, 10),
    ):
        signal.signal(number, too_long)
        signal.setitimer(timer, factor * seconds)


def too_long(signum, frame):
    raise AssertionError(f"a call took more than {PATIENCE} seconds")


@pytest.mark.slow
def test_every_public_function_is_tried_or_left_out_for_a_reason():
    public, tried = set(calls.public()), {calls.public_name(name) for name in calls.CALLS}
    assert not public - tried - set(calls.LEFT_OUT), "neither tried nor left out"
    assert not set(calls.LEFT_OUT) - public, "left out, but not public"
    assert not tried & set(calls.LEFT_OUT), "both tried and left out"


def masked(argument, value):
    """Yields what may be given instead of arrays, lists of numbers and bounds: with masks."""
    if isinstance(value, list) and value and isinstance(value[0], (int, float)):
        value = np.array(value)
    if isinstance(value, np.ndarray) and value.ndim:
        yield np.ma.masked_array(value, np.arange(value.size).reshape(value.shape) == 0)
    if isinstance(value, dict):
        for key in value:
            yield from ({**value, key: each} for each in masked(key, value[key]))
    if isinstance(value, tuple) and argument in ("bounds", "domain"):
        yield np.ma.masked_array([value[0]] * 4, [1, 0, 0, 0]), np.full(4, value[1])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in NAMES if name not in calls.OF_TENSORS])
def test_masked_arrays_are_refused(name):
    """NumPy drops masks where an array is made of something: what was masked then counts."""
    call = calls.call(name)
    for argument, value in call.arguments.items():
        for other in masked(argument, value):
            with pytest.raises((TypeError, ValueError), match=r"masked|MaskedArray"):
                call.function(**{**call.arguments, argument: other})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.drawn(len(NAMES) // 8)
@pytest.mark.drawn(8)
def test_bad_inputs_give_documented_errors(name):
    call = calls.call(name)
    allowed = documented(call.documented)
    if name != "zoo.pin":  # which would have to download
        check_numbers(call.function(**call.arguments))

    @hypothesis.settings(
        max_examples=INPUTS,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(
        st.dictionaries(st.sampled_from(sorted(call.arguments)), JUNK, min_size=1, max_size=2)
    )
    def holds(junk):
        allow(PATIENCE)
        try:
            check_numbers(call.function(**{**call.arguments, **junk}))
        except allowed:
            pass
        finally:
            allow(0)

    holds()
