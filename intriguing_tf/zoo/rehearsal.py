"""How many weights a network would have, found without making them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import keras


def count_weights(build: Callable[[], keras.Model]) -> int:
    """Builds a network whose variables have shapes and no values, and returns their size.

    A few bytes can describe a network that fills the memory; this says so before it is made. Keras
    keeps variables without values, and the names that it has given, per thread: with the thread
    they are gone.

    Args:
        build: makes the network; what it raises is raised here.
    """

    def rehearse() -> int:
        with keras.StatelessScope(initialize_variables=False):
            return build().count_params()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(rehearse).result()
