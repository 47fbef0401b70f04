"""The seeds of the random tests, cases that are drawn by it, Ctrl-C, and training without XLA."""

from __future__ import annotations

import errno
import functools
import gc
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest

from tests.seeds import not_drawn, seed


@pytest.hookimpl(tryfirst=True)  # before hypothesis looks at its own option
def pytest_configure(config: pytest.Config) -> None:
    """Examples are drawn by the seed alone: none are kept from an earlier run.

    A shell starts what runs in the background with Ctrl-C ignored, and tests send it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    hypothesis.settings.register_profile("house", database=None, deadline=None, print_blob=True)
    hypothesis.settings.load_profile("house")
    if config.getoption("--hypothesis-seed") is None:
        config.option.hypothesis_seed = str(seed())


@pytest.hookimpl(trylast=True)  # among those that `-m` leaves
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out cases of tests that are marked `drawn`, unless cases are named."""
    left_out = set() if any("[" in each for each in config.args) else not_drawn(items)
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(tryfirst=True)  # before fixtures, those of modules too
def pytest_runtest_setup() -> None:
    """The weights that Keras draws are those of every run, whichever tests ran before."""
    random.seed(0)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was imported by now stays: TensorFlow's objects need not be looked through again.

    Tracing makes many objects that live for long: looking for garbage took an eighth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)


@pytest.fixture
def keras_without_xla(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that do not ask Keras for XLA are not given it: they take few steps."""
    import keras  # which the process that hands out the tests does without

    without = functools.partialmethod(keras.Model.compile, jit_compile=False)
    monkeypatch.setattr(keras.Model, "compile", without)


@pytest.fixture(params=["mixed_bfloat16", "float64"])
def other_precision(request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """A call that sets Keras's default precision to another one, until the test ends."""
    import keras

    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()

    def change() -> None:
        if request.param == "float64":
            keras.config.set_floatx(request.param)
        keras.config.set_dtype_policy(request.param)

    yield change
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras cannot save a model, and says no more than the system does."""
    import keras

    def save(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(keras.Model, "save", save)


@pytest.fixture
def signed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A call that makes an entry of the zoo in use one that takes pixels in [-1, 1]."""
    from intriguing_tf.zoo import catalogue

    def sign(entry: str) -> None:
        info = catalogue.info
        changed = info(entry).replace(bounds=(-1.0, 1.0))
        monkeypatch.setattr(
            catalogue, "info", lambda name: changed if name == entry else info(name)
        )

    return sign


@pytest.fixture(scope="module")
def without_xla() -> Iterator[None]:
    """Recipes train without it: for a few epochs compiling takes longer than it saves."""
    from intriguing_tf.publishing import training
    from intriguing_tf.training import fitting

    with pytest.MonkeyPatch.context() as patch:
        for module in (fitting, training):
            patch.setattr(module, "use_xla", lambda *_: False)
        yield


def pytest_report_header(config: pytest.Config) -> str:
    """Says by which seed to repeat the run."""
    return f"random tests: TEST_SEED={config.getoption('--hypothesis-seed')}"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Says at once what failed: a run that is stopped from outside prints no summary."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\nFAILED {report.nodeid}\n{report.longreprtext[-3000:]}", file=sys.__stderr__)
