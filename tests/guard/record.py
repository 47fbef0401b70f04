"""Records what the code gives, so that `test_guard.py` can tell whether a change kept it.

    python tests/guard/record.py                  # renews tests/guard/data: `make guard-record`
    python tests/guard/record.py FOLDER sweep     # one part only, into another folder

A change that is meant to alter results (another search, a tighter bound) renews the data in the
same commit and says what differs; a change of structure never does. Each part is a JSON file of
cases and their fields. JSON keeps every bit of a float64. `machine.json` says where the numbers
were made: there, and in the same environment, they are equal to the bit, elsewhere within rounding.

Everything runs on one thread of the CPU. Only names of the public API are used.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import os
import pathlib
import pkgutil
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

FOLDER = pathlib.Path(__file__).parent / "data"
NETWORKS = ("mnist/fc100-100-10", "mnist/fc100-100-10-lipschitz", "mnist/conv")
DIGITS = 64
TARGETS = ("given", "random", "least_likely", "nearest")
RESULTS = ("status", "predictions", "original_predictions", "targets", "nfev", "c", "l2")
SETTINGS = {"bounds": (0.0, 1.0), "maxcor": 5, "maxfun": 100, "xtol": 1e-3, "jit_compile": False}
SEED = 7
# Recipes and their epochs here: the optimum of a convex objective has none.
RECIPES = {"mnist/fc10-1": None, "mnist/fc100-100-10": 2}
MORE_RECIPES = {"mnist/fc100-100-10-combined": 1, "mnist/conv-lipschitz": 1, "mnist/ae400-10": 1}

Cases = Iterator[tuple[str, dict[str, Any]]]


def attack(network: str, solver: str, losses: Sequence[str], number: int) -> Cases:
    """Every kind of targets for one network and one solver."""
    import intriguing_tf as itf

    images, labels = (values[:number] for values in itf.datasets.mnist_sample())
    for loss in losses:
        adversary = itf.LBFGSAdversary(itf.zoo.load(network), loss=loss, solver=solver, **SETTINGS)
        for kind in TARGETS:
            targets = (labels + 1) % 10 if kind == "given" else kind
            result = adversary(images, labels, targets, seed=SEED, verbose=False)
            yield f"{network}, {solver}, {loss}, {kind}", fields_of(result)


def lipschitz(pattern: str) -> Cases:
    """Rows, product, total and radii of entries of the zoo."""
    import intriguing_tf as itf

    images = itf.datasets.mnist_sample()[0][:DIGITS]
    for name in itf.zoo.list(pattern):
        model = itf.zoo.load(name)
        report = itf.lipschitz.bound(model)
        yield (
            name,
            {
                "layer": [row.layer for row in report.rows],
                "bound": [row.bound for row in report.rows],
                "attained": [row.attained for row in report.rows],
                "how": [row.how for row in report.rows],
                "product": report.product,
                "total": report.total,
                "radius": itf.lipschitz.certified_radius(model, images).tolist(),
            },
        )


def sweep() -> Cases:
    """Two models, two kinds of targets, three shards."""
    import intriguing_tf as itf

    images, labels = (values[:25] for values in itf.datasets.mnist_sample())
    models = {name: itf.zoo.load(name) for name in NETWORKS[:2]}
    kinds = ["random", "nearest"]
    settings = {"margin": {"loss": "margin", "solver": "compiled", **SETTINGS}}
    with tempfile.TemporaryDirectory() as folder:
        done = itf.sweep(
            models, images, labels, folder=folder, targets=kinds, settings=settings, seed=SEED,
            shard_size=10, verbose=False,
        )  # fmt: skip
        for name in models:
            for kind in kinds:
                yield f"{name}, {kind}", fields_of(done.result(name, kind))


def training(epochs_of: Mapping[str, int | None]) -> Cases:
    """Short recipes on the bundled sample."""
    import numpy as np

    import intriguing_tf as itf

    recipes = recipes_module()
    images, labels = itf.datasets.mnist_sample()
    for name, epochs in epochs_of.items():
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "recipe.json")
            path.write_text(json.dumps(shortened(name, epochs)))
            recipe = recipes.load_recipe(path)
        trained = recipes.train_on(recipe, images, labels, verbose=False)
        weights = trained.model.get_weights()
        yield (
            name,
            {
                "train_error": trained.train_error,
                "loss": np.asarray(trained.curve.loss, np.float64)[[0, -1]].tolist(),
                "norm": [float(np.linalg.norm(w.astype(np.float64))) for w in weights],
                "sha256": sha256(*weights),
            },
        )


def names() -> Cases:
    """The public names of the package and of its subpackages."""
    import intriguing_tf as itf

    packages = [itf.__name__]
    packages += [
        f"{itf.__name__}.{found.name}"
        for found in pkgutil.iter_modules(itf.__path__)
        if found.ispkg
    ]
    for package in packages:
        public = getattr(importlib.import_module(package), "__all__", ())
        if public:
            yield package, {"names": sorted(public)}


partial = functools.partial
LOSSES = {"compiled": ("cross_entropy", "margin"), "scipy": ("cross_entropy",)}
PARTS: dict[str, Callable[[], Cases]] = {
    "names": names,
    "sweep": sweep,
    "lipschitz-fc": partial(lipschitz, "mnist/fc*"),
    "lipschitz-ae": partial(lipschitz, "mnist/ae*"),
    "lipschitz-conv": partial(lipschitz, "mnist/conv*"),
    "training": partial(training, RECIPES),
    "training-more": partial(training, MORE_RECIPES),
    "scipy": partial(attack, NETWORKS[0], "scipy", ("cross_entropy",), 4),
    **{
        f"{solver}-{name.removeprefix('mnist/')}": partial(attack, name, solver, losses, DIGITS)
        for solver, losses in LOSSES.items()
        for name in NETWORKS
    },
}
# `make test` compares these, `make guard` all.
QUICK = ("lipschitz-ae", "training", "compiled-fc100-100-10")


def fields_of(result: Any) -> dict[str, Any]:
    """An `AdversarialResult` as JSON, without its images."""
    fields = {name: getattr(result, name).tolist() for name in RESULTS}
    return {**fields, "sha256": sha256(result.images)}


def shortened(name: str, epochs: int | None) -> dict[str, Any]:
    """The JSON of a recipe of the zoo, with fewer epochs."""
    path = pathlib.Path(__file__).parents[2] / "zoo" / "recipes" / f"{name}.json"
    recipe = json.loads(path.read_text(encoding="utf-8"))
    if epochs is not None:
        recipe["fitting"]["epochs"] = epochs
    if "autoencoder" in recipe:
        recipe["autoencoder"]["fitting"]["epochs"] = epochs
    return recipe


def recipes_module() -> Any:
    """Where recipes are: `publishing` since 0.2, `experiments` before."""
    try:
        return importlib.import_module("intriguing_tf.publishing")
    except ModuleNotFoundError:
        return importlib.import_module("intriguing_tf.experiments.recipes")


def sha256(*arrays: Any) -> str:
    """Of the arrays' bytes, one after another."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.tobytes())
    return digest.hexdigest()


def machine() -> dict[str, Any]:
    """What the last bits depend on: processor, kernels, versions."""
    import threadpoolctl

    kernels = sorted(
        f"{each.get('internal_api')} {each.get('version')} {each.get('architecture')}"
        for each in threadpoolctl.threadpool_info()
    )
    versions = {
        name: importlib.import_module(name).__version__
        for name in ("numpy", "scipy", "tensorflow", "keras")
    }
    environment = (
        "OPENBLAS_CORETYPE", "TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA", "XLA_FLAGS"
    )  # fmt: skip
    return {
        "system": [platform.system(), platform.machine(), *platform.libc_ver()],
        "processor": processor(),
        "kernels": kernels,
        "versions": {"python": platform.python_version(), **versions},
        "environment": {name: os.environ.get(name, "") for name in environment},
    }


def processor() -> dict[str, str]:
    """Model and instruction sets, as Linux tells them; elsewhere what Python knows."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return {"model name": platform.processor()}
    there = {key.strip(): value.strip() for key, _, value in (s.partition(":") for s in lines)}
    wanted = ("vendor_id", "cpu family", "model", "model name", "stepping")
    flags = " ".join(sorted(there.get("flags", "").split()))
    return {
        **{key: there.get(key, "") for key in wanted},
        "flags": hashlib.sha256(flags.encode()).hexdigest(),
    }


def use_one_thread() -> None:
    """Makes sums run in one order. Called before NumPy and TensorFlow are imported."""
    os.environ |= {
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def as_json(cases: dict[str, dict[str, Any]]) -> str:
    """One line per field, so that a difference shows which."""
    blocks = []
    for case, fields in cases.items():
        lines = [
            f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in fields.items()
        ]
        blocks.append(f" {json.dumps(case)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def main(folder: str | os.PathLike = FOLDER, *parts: str) -> None:
    """Writes the parts that are named, by default all."""
    use_one_thread()
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "machine.json").write_text(json.dumps(machine(), indent=1) + "\n")
    for part in parts or PARTS:
        cases, start = {}, time.process_time()
        for case, fields in PARTS[part]():
            cases[case] = fields
            print(f"{part}, {case}: {time.process_time() - start:.1f} s of CPU", flush=True)
        (folder / f"{part}.json").write_text(as_json(cases), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
