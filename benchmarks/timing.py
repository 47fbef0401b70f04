"""How the benchmarks take times."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def timed(
    run: Callable[[], Any], repeats: int = 1, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, Any]:
    """Returns the shortest time of some runs in seconds, and what the last returned.

    With `time.process_time` it is processor time, of all threads, which other programs disturb
    less.
    """
    times = []
    for _ in range(repeats):
        started = clock()
        result = run()
        times.append(clock() - started)
    return min(times), result
