"""How the benchmarks take times."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def timed(run: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    """Returns the shortest time of some runs in seconds, and what the last returned."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - started)
    return min(times), result
