"""Lipschitz bounds of the networks of keras.applications on the inputs that they take.

    OMP_NUM_THREADS=1 python benchmarks/lipschitz_applications.py --output=applications [names ...]

Of every family the smallest and the best-known member: random weights, default sizes, the domain
that its own `preprocess_input` makes of images in [0, 255]. Each network is bounded in a process of
its own, on one thread, without lower bounds, and is a line of JSON in the output folder, so that a
run that is started again does what is missing. Prints a table of what is there.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# Family: its members.
FAMILIES = {
    "xception": ("Xception",),
    "densenet": ("DenseNet121",),
    "resnet": ("ResNet50",),
    "mobilenet": ("MobileNet",),
    "mobilenet_v2": ("MobileNetV2",),
    "mobilenet_v3": ("MobileNetV3Small", "MobileNetV3Large"),
    "efficientnet": ("EfficientNetB0",),
    "efficientnet_v2": ("EfficientNetV2B0", "EfficientNetV2S"),
    "convnext": ("ConvNeXtTiny", "ConvNeXtBase"),
    "nasnet": ("NASNetMobile", "NASNetLarge"),
    "inception_v3": ("InceptionV3",),
    "vgg16": ("VGG16",),
    "resnet_v2": ("ResNet50V2",),
    "inception_resnet_v2": ("InceptionResNetV2",),
}
# Small ones first, of those that come last.
LAST = ("EfficientNetV2S", "ConvNeXtBase", "InceptionResNetV2", "NASNetLarge")
# The only family whose default is any size.
SIZE_OF_MOBILENET_V3 = (224, 224, 3)


def domain_of(module: Any) -> tuple[Any, Any]:
    """What black and white images become before they enter the network, per channel."""
    import numpy as np

    black, white = (np.full((1, 1, 3), value, "float32") for value in (0.0, 255.0))
    return module.preprocess_input(black), module.preprocess_input(white)


def measure(name: str, file: Path) -> None:
    """Bounds one network, and writes what came of it."""
    import keras
    from threadpoolctl import threadpool_limits

    import intriguing_tf as itf

    family = next(key for key, names in FAMILIES.items() if name in names)
    module = importlib.import_module(f"keras.applications.{family}")
    keras.utils.set_random_seed(0)
    sizes = {"input_shape": SIZE_OF_MOBILENET_V3} if family == "mobilenet_v3" else {}
    model = getattr(keras.applications, name)(weights=None, **sizes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    with threadpool_limits(1):
        report = itf.lipschitz.bound(
            model, unbounded="inf", attained=False, domain=domain_of(module), verbose=False
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {
        "name": name,
        "domain": report.domain,
        "weights": model.count_params(),
        "rows": len(report.rows),
        "total": report.total,
        "product": report.product,
        "unbounded": [f"{row.layer} ({row.kind}): {row.how}" for row in report.unbounded],
        "chains": len(report.chains),
        "seconds": time.process_time() - start,
        "before": before / 2**20,
        "peak": peak / 2**20,
    }
    file.write_text(json.dumps(found, indent=1))


def run(names: list[str], folder: Path, minutes: float) -> None:
    """Bounds the networks of which the folder has nothing yet.

    Args:
        names: of the networks.
        folder: with a file for each.
        minutes: of the processor, for each; it may have other work, too.
    """

    def limit() -> None:
        seconds = round(60 * minutes)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))

    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
    for name in names:
        file = folder / f"{name}.json"
        if file.exists():
            continue
        command = [sys.executable, __file__, "--output", str(folder), "--measure", name]
        done = subprocess.run(
            command, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=limit
        )
        if -done.returncode in (signal.SIGXCPU, signal.SIGKILL):
            failed = f"no end in {minutes:g} minutes"
            file.write_text(json.dumps({"name": name, "failed": failed}))
            continue
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
            file.write_text(json.dumps({"name": name, "failed": lines[-1]}))


def table(names: list[str], folder: Path) -> None:
    """Prints a row per network."""
    print("| network | inputs | weights | CPU s | GiB at most | bound | product | no bound |")
    print("|---|---|---|---|---|---|---|---|")
    for name in names:
        file = folder / f"{name}.json"
        if not file.exists():
            print(f"| {name} | | | | | not run | | |")
            continue
        found = json.loads(file.read_text())
        if "failed" in found:
            print(f"| {name} | | | | | {found['failed']} | | |")
            continue
        inputs = found["domain"] if len(found["domain"]) < 12 else "by channel"
        print(
            f"| {name} | {inputs} | {found['weights'] / 1e6:.1f} M "
            f"| {found['seconds']:.0f} | {found['peak']:.1f} | {shown(found, 'total')} "
            f"| {shown(found, 'product')} | {len(found['unbounded'])} |"
        )


def shown(found: dict[str, Any], name: str) -> str:
    """A product of bounds, which may be larger than any float where every layer has one."""
    if found[name] == float("inf"):
        return "none" if found["unbounded"] else f"over {sys.float_info.max:.2g}"
    return f"{found[name]:.3g}"


def main() -> None:
    everything = [name for names in FAMILIES.values() for name in names if name not in LAST]
    everything += LAST
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=everything)
    parser.add_argument("--output", type=Path, default=Path("applications"))
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="of the processor, for each network"
    )
    parser.add_argument("--table", action="store_true", help="print what is there, run nothing")
    parser.add_argument("--measure", help="of a process that another one has started")
    flags = parser.parse_args()
    flags.output.mkdir(parents=True, exist_ok=True)
    if flags.measure:
        measure(flags.measure, flags.output / f"{flags.measure}.json")
        return
    if not flags.table:
        run(flags.names, flags.output, flags.minutes)
    table(flags.names, flags.output)


if __name__ == "__main__":
    main()
