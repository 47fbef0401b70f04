"""Whole networks of keras.applications with random weights: CPU seconds and peak memory.

    OMP_NUM_THREADS=1 python benchmarks/lipschitz_models.py [names ...]

Each in a process of its own. "product" takes layer by layer and looks for attained values; "best"
folds batch normalization and bounds chains as a whole.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time

NAMES = ("VGG16", "ResNet50", "MobileNetV2", "EfficientNetB0")


def measure(name: str, method: str) -> None:
    import keras
    from threadpoolctl import threadpool_limits

    import intriguing_tf as itf

    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    with threadpool_limits(1):
        report = itf.lipschitz.bound(model, method=method, unbounded="inf")
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kinds = " ".join(sorted({row.kind for row in report.unbounded}))
    print(
        f"| {name} | {method} | {len(report.rows)} | {seconds:.1f} | {before / 2**20:.2f} | "
        f"{peak / 2**20:.2f} | {report.total:.4g} | {len(report.unbounded)} {kinds} |",
        flush=True,
    )


def main() -> None:
    if len(sys.argv) == 3 and sys.argv[2] in ("best", "product"):
        measure(sys.argv[1], sys.argv[2])
        return
    print(
        "| network | method | rows | CPU s | GiB before | GiB at most | bound | without a bound |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name in sys.argv[1:] or NAMES:
        for method in ("product", "best"):
            command = [sys.executable, __file__, name, method]
            environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
            subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
