"""A call that works of every public function, for test_inputs.py to spoil.

A name is that of the package and what it exports, and after it that of a method. What is built for
a call is built when it is asked for.
"""

import functools
import importlib
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

import intriguing_tf as itf

PACKAGES = (
    "", "adversary", "datasets", "evaluation", "experiments", "layers", "lipschitz", "models",
    "reporting", "sweeps", "training", "transfer", "units", "zoo", "zoo.importers",
)  # fmt: skip
FAST = {"solver": "scipy", "maxfun": 5, "jit_compile": False}
RANDOM = np.random.default_rng(1)
IMAGES = RANDOM.uniform(size=(3, 4)).astype(np.float32)
LABELS = np.array([0, 1, 2])
MAPS = RANDOM.uniform(size=(2, 6, 6, 2)).astype(np.float32)
PICTURES = RANDOM.uniform(size=(1, 4, 4, 1))
KERNEL = np.ones((2, 2, 1, 2), np.float32)
MANY = RANDOM.uniform(size=(30, 4)).astype(np.float32)

_RESULT = "made by the package, not by its users"
_EXPERIMENT = "settings of an experiment that takes minutes: the functions that it calls check them"
_ERROR = "an exception"
LEFT_OUT = {
    **dict.fromkeys(
        [
            "adversary.MinimizeResult", "adversary.SavedImages", "datasets.ImageFiles",
            "datasets.ImageSet", "evaluation.Evaluation", "lipschitz.LipschitzReport",
            "units.Coherence", "units.Comparison", "units.TopImages", "units.TwoSampleTest",
            "training.FittingCurve", "zoo.Check", "zoo.Pin",
            "experiments.Reproduction",
        ],
        _RESULT,
    ),
    **dict.fromkeys(
        [
            "experiments.Figure6", "experiments.Figure7", "experiments.Figures1And2",
            "experiments.Sandwich", "experiments.Seeds", "experiments.Table1",
            "experiments.Table2", "experiments.Table3", "experiments.Table4",
            "experiments.Table5", "experiments.reproduce",
        ],
        _EXPERIMENT,
    ),
    "adversary.Loss": "an abstract class",
    "reporting.ShownAsTable": "an abstract class",
    "training.minimise": "the old name of training.minimize",
    "layers.GroupedConv2D": "its arguments are those of keras.layers.Conv2D, which checks them",
    **dict.fromkeys(
        [
            "adversary.AttackInterrupted", "lipschitz.ContradictionError",
            "lipschitz.NoBoundError", "zoo.CatalogueError", "zoo.DownloadError",
            "zoo.IntegrityError", "zoo.UnpinnedError",
        ],
        _ERROR,
    ),
    **dict.fromkeys(
        [
            "datasets.imagenet_class_names", "datasets.imagenet_wnids", "datasets.mnist_sample",
            "reporting.sorting_script",
        ],
        "it takes no arguments",
    ),
}  # fmt: skip


OF_TENSORS = ("training.LipschitzConstraint", "training.LipschitzRegularizer")  # Keras calls them


class Call(NamedTuple):
    """A function with arguments that it takes, and the object whose docstring holds for it."""

    function: Callable[..., Any]
    arguments: dict[str, Any]
    documented: Any


def public() -> dict[str, Any]:
    """Everything callable that the packages export, each object once, by name."""
    found: dict[int, tuple[str, Any]] = {}
    for package in reversed(PACKAGES):  # the longest names first
        module = importlib.import_module(".".join(filter(None, ("intriguing_tf", package))))
        for name in module.__all__:
            value = getattr(module, name)
            if callable(value):
                found.setdefault(id(value), (f"{package}.{name}", value))
    return dict(found.values())


def call(name: str) -> Call:
    """Returns the call of that name."""
    exported = public_name(name)
    value = public()[exported]
    for attribute in filter(None, name.removeprefix(exported).split(".")):
        value = getattr(value, attribute)
    made = CALLS[name]()
    function, arguments = made if isinstance(made, tuple) else (value, made)
    return Call(function, arguments, value)


def public_name(name: str) -> str:
    """What a call belongs to: "sweeps.Sweep" for "sweeps.Sweep.result"."""
    return max((each for each in public() if f"{name}.".startswith(f"{each}.")), key=len)


@functools.cache
def folder() -> pathlib.Path:
    """A folder for the files that calls read, and a name that is free."""
    return pathlib.Path(_kept().name)


@functools.cache
def _kept() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory()


def into_folder(function: Callable[..., Any], argument: str) -> Callable[..., Any]:
    """A function whose path, where it is one, lies below a folder of its own."""

    def within(**arguments: Any) -> Any:
        with tempfile.TemporaryDirectory() as place:
            path = arguments[argument]
            if isinstance(path, str):
                arguments[argument] = f"{place}/{path.replace('/', '_').replace('..', '_')}"
            return function(**arguments)

    return within


@functools.cache
def network(units: int = 3) -> keras.Model:
    layers = [keras.Input((4,), name="inputs"), keras.layers.Dense(units, name="scores")]
    model = keras.Sequential(layers, name=f"network{units}")
    random = np.random.default_rng(0)
    model.set_weights([4 * random.normal(size=(4, units)), random.normal(size=units)])
    return model


@functools.cache
def convolutional(classes: int = 3) -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            keras.layers.Conv2D(2, 3, name="conv"),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dense(classes, name="fc"),
        ],
        name=f"convolutional{classes}",
    )


@functools.cache
def adversary() -> Any:
    return itf.LBFGSAdversary(network(), **FAST)


@functools.cache
def result() -> itf.AdversarialResult:
    return adversary()(IMAGES, verbose=False)


@functools.cache
def pictured() -> itf.AdversarialResult:
    images = RANDOM.uniform(size=(2, 6, 6, 3)).astype(np.float32)
    return itf.LBFGSAdversary(convolutional(), **FAST)(images, verbose=False)


@functools.cache
def swept() -> Any:
    return itf.sweep(
        network(), IMAGES, folder=folder() / "sweep", settings={"fast": FAST}, shard_size=2
    )


@functools.cache
def images_folder() -> pathlib.Path:
    """Two images of a class of ImageNet."""
    place = folder() / "images"
    (place / "n01518878").mkdir(parents=True)
    for i in range(2):
        image = tf.fill([9, 8, 3], tf.cast(100 * i, tf.uint8))
        tf.io.write_file(str(place / "n01518878" / f"{i}.png"), tf.io.encode_png(image))
    return place


@functools.cache
def weights_file(kind: str) -> pathlib.Path:
    """Weights of `network()`, in a format that there is an importer for."""
    from tests.zoo import foreign_files

    kernel, bias = (np.ascontiguousarray(w) for w in convolutional().get_weights()[:2])
    first, second = (np.ascontiguousarray(w) for w in convolutional().get_weights()[2:])
    place = folder() / f"weights.{kind}"
    if kind == "npz":
        names = ("conv/kernel", "conv/bias", "fc/kernel", "fc/bias")
        np.savez(place, **dict(zip(names, (kernel, bias, first, second), strict=True)))
        return place
    turned = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
    dense = np.ascontiguousarray(first.T)
    if kind == "pth":
        names = ("conv.weight", "conv.bias", "fc.weight", "fc.bias")
        arrays = dict(zip(names, (turned, bias, dense, second), strict=True))
        foreign_files.write_pth(place, arrays)
    else:
        layers = {"conv": [turned, bias], "fc": [dense, second]}
        foreign_files.write_caffemodel(place, layers)
    return place


def sweep(**arguments: Any) -> Any:
    with tempfile.TemporaryDirectory() as place:
        return itf.sweep(**arguments, folder=place + "/new").result()


def register(layer_class: Any, rule: Any) -> None:
    """Registers a rule, and forgets it."""
    from intriguing_tf.lipschitz import registry

    with mock.patch.dict(registry._registered):
        itf.lipschitz.register(layer_class)(rule)


def mnist(**arguments: Any) -> Any:
    from intriguing_tf.datasets import mnist_data

    sample = [RANDOM.integers(0, 256, (20, 28, 28, 1), np.uint8), np.arange(20) % 10]
    with mock.patch.object(mnist_data, "_read", lambda *_: sample):
        return itf.datasets.mnist(**arguments)


def layer(name: str, **arguments: Any) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Makes the layer of that name, and calls it on maps."""
    return lambda **given: getattr(itf.layers, name)(**given)(MAPS), arguments


def built(name: str, **arguments: Any) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Builds the network of that name; returns its weights."""
    return lambda **given: getattr(itf.models, name)(**given).get_weights(), arguments


def shown(kind: str, **arguments: Any) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Makes something of that kind, and shows it."""
    show = {"Table": str, "Report": lambda made: (made.html(), made.markdown())}
    made = getattr(itf.reporting, kind)
    return lambda **given: show.get(kind, lambda each: each.svg())(made(**given)), arguments


def trained(function: Any, **arguments: Any) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Trains a copy of the network."""

    def train(**given: Any) -> Any:
        if given["model"] is network():
            given["model"] = keras.models.clone_model(network())
        return function(**given)

    data = {"model": network(), "inputs": IMAGES, "targets": LABELS, "verbose": False}
    return train, {**data, **arguments}


def workspace_images(**arguments: Any) -> Any:
    """The images of a set, cut from a split of three."""
    with tempfile.TemporaryDirectory() as place:
        workspace = itf.experiments.Workspace(place, load_images=lambda *_: (IMAGES, LABELS))
        return workspace.images(itf.experiments.ImageSet(**arguments))


def workspace(folder: Any, **arguments: Any) -> None:
    with itf.experiments.Workspace(folder=folder, **arguments):
        pass


SIZES = {"classes": 3, "input_shape": (67, 67, 3)}
STAGE = itf.models.QuocNetConfig((8, 8, 1), (3,), maps=2, pool_size=2, contrast_size=3)
DIRECTIONS = {"model": network(8), "layer": "scores", "seed": 0, "batch_size": 7, "k": 3}
TABLE = itf.reporting.Table("Errors", ("model", "error"), [("FC10", 0.075)])
CURVES = {"name": "chart", "caption": "A chart."}
ATTACK = {"images": IMAGES, "labels": LABELS, "targets": "random", "seed": 0, "verbose": False}
LINEAR = {"x0": MANY[:3], "lower": -1.0, "upper": 1.0}


def square(x: Any) -> Any:
    return tf.reduce_sum(x**2, axis=1), 2 * x


def minimizer(x0: Any, lower: Any, upper: Any, **options: Any) -> Any:
    return itf.adversary.Minimizer(square, **options)(x0, lower, upper)


CALLS: dict[str, Callable[[], Any]] = {
    "adversary.LBFGSAdversary": lambda: {
        "model": network(), "bounds": (0, 1), "layer": None, "loss": "margin", **FAST
    },
    "adversary.LBFGSAdversary.__call__": lambda: (adversary(), ATTACK),
    "adversary.AdversarialResult.load": lambda: {"path": result().save(folder() / "result")},
    "adversary.AdversarialResult.save": lambda: (
        into_folder(result().save, "path"), {"path": "result"}
    ),
    "adversary.AdversarialResult.plot": lambda: (
        result().plot, {"class_names": ["a", "b", "c"], "model": None, "number": 2, "columns": 2}
    ),
    "adversary.AdversarialResult.save_images": lambda: (
        into_folder(pictured().save_images, "folder"),
        {"folder": "images", "model": convolutional(), "class_names": ["a", "b", "c"]},
    ),
    "adversary.AttackSettings": lambda: {
        "layer": None, "bounds": (0, 1), "dtype": "float32", "loss": "margin", "maxcor": 3, **FAST
    },
    "adversary.SearchConstants": lambda: {"near": 0.2, "patience": 9, "least_log_weight": -9.0},
    "adversary.Minimizer": lambda: (
        minimizer,
        {**LINEAR, "maxcor": 3, "ftol": 1e-9, "gtol": 1e-5, "maxiter": 9, "maxls": 5},
    ),
    "adversary.minimize": lambda: {"value_and_grad": square, **LINEAR, "args": (), "maxiter": 9},
    "evaluation.evaluate": lambda: (
        into_folder(itf.evaluate, "folder"),
        {
            "model": network(), "data": IMAGES, "labels": LABELS, "bounds": (0, 1),
            "radii": [0.1], "class_names": ["a", "b", "c"], "number": None, "attack": FAST,
            "certify": "global", "folder": None, "shard_size": 2, "ray": None, "workers": None,
            "name": "m", "verbose": False,
        },
    ),
    "sweeps.sweep": lambda: (
        sweep,
        {
            "models": network(),
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
    "sweeps.Sweep": lambda: {"folder": swept().folder},
    "sweeps.Sweep.result": lambda: (
        swept().result, {"model": "network3", "targets": "random", "settings": "fast"}
    ),
    "sweeps.Sweep.shards": lambda: (
        lambda **given: [shard.result for shard in swept().shards(**given)],
        {"model": "network3", "targets": "random", "settings": "fast"},
    ),
    "sweeps.Sweep.dataset": lambda: (
        lambda **given: list(swept().dataset(**given).as_numpy_iterator()),
        {"model": "network3", "targets": "random", "settings": "fast"},
    ),
    "sweeps.Sweep.write_table": lambda: (
        into_folder(swept().write_table, "path"), {"path": "table.csv"}
    ),
    "lipschitz.bound": lambda: {
        "model": network(), "method": "best", "unbounded": "raise", "attained": False,
        "verbose": False,
    },
    "lipschitz.certified_radius": lambda: {
        "model": network(), "images": IMAGES, "batch_size": 2, "verbose": False
    },
    "lipschitz.Certifier": lambda: {"model": network(), "verbose": False},
    "lipschitz.Certifier.radius": lambda: (
        itf.lipschitz.Certifier(network(), verbose=False).radius,
        {"images": IMAGES, "batch_size": 2, "verbose": False},
    ),
    "lipschitz.conv_norm": lambda: {
        "kernel": KERNEL, "spatial_shape": (4, 4), "strides": 1, "padding": "same",
        "dilation_rate": 1, "groups": 1,
    },
    "lipschitz.depthwise_norm": lambda: {
        "kernel": KERNEL, "spatial_shape": (4, 4), "strides": 1, "padding": "same",
        "dilation_rate": 1,
    },
    "lipschitz.conv_transpose_norm": lambda: {
        "kernel": KERNEL, "spatial_shape": (4, 4), "output_shape": (8, 8), "strides": 2,
        "padding": "same", "dilation_rate": 1,
    },
    "lipschitz.dense_norm": lambda: {"kernel": np.eye(3)},
    "lipschitz.torus_shape": lambda: {
        "spatial_shape": (4, 4), "kernel_size": (2, 2), "strides": 1, "padding": "same",
        "dilation_rate": 1,
    },
    "lipschitz.LayerBound": lambda: {
        "bound": 2.0, "attained": 1.0, "how": "definition", "combine": "joint"
    },
    "lipschitz.register": lambda: (
        register, {"layer_class": keras.layers.Layer, "rule": lambda layer, shapes: None}
    ),
    "transfer.error_matrix": lambda: {
        "models": {"m": network()}, "image_sets": {"a": IMAGES}, "labels": LABELS,
        "originals": IMAGES, "bounds": (0, 1), "batch_size": 2,
    },
    "transfer.ErrorMatrix.intervals": lambda: (
        itf.transfer.error_matrix({"m": network()}, {"a": IMAGES}, LABELS).intervals,
        {"confidence": 0.9},
    ),
    "transfer.gaussian_noise": lambda: {
        "images": IMAGES, "stddev": 0.1, "seed": 0, "bounds": (0, 1)
    },
    "transfer.amplify": lambda: {"result": result(), "stddev": 0.1, "bounds": (0, 1)},
    "transfer.rms": lambda: {"images": IMAGES, "originals": IMAGES / 2, "bounds": (0, 1)},
    "transfer.error_interval": lambda: {"wrong": [3, 0], "number": 10, "confidence": 0.9},
    "transfer.mean_interval": lambda: {
        "values": [1.0, 2.0, 4.0], "confidence": 0.9, "resamples": 50, "seed": 0
    },
    "units.random_directions": lambda: {"number": 3, "width": 4, "seed": 0},
    "units.top_images": lambda: {
        **DIRECTIONS, "images": MANY, "directions": "random", "number": 4
    },
    "units.compare": lambda: {
        **DIRECTIONS, "images": MANY, "labels": np.arange(30) % 3, "number": 6,
        "random_number": 9, "feature_model": network(), "feature_layer": "scores",
        "margin": 0.2, "alpha": 0.05,
    },
    "units.coherence": lambda: {
        "indices": [[0, 1], [2, 3]], "labels": [0, 1, 1, 2], "spaces": {"pixels": MANY[:4]},
        "scales": {"pixels": 1.0},
    },
    "units.two_sample_test": lambda: {
        "x": [3.0, 4, 5, 2], "y": [0.0, 1, 2, 3], "margin": 0.2, "alpha": 0.05
    },
    "units.cliffs_delta": lambda: {"x": [3.0, 4, 5], "y": [0.0, 1, 2]},
    "units.holm": lambda: {"p_values": [0.01, 0.04]},
    ".load_model": lambda: (
        lambda **given: itf.load_model(**given).get_weights(),
        {"name": "mnist/fc10-1", "preprocess": None, "application_weights": None},
    ),
    "zoo.list": lambda: {"pattern": "*", "classes": 10, "pinned": True},
    "zoo.info": lambda: {"name": "mnist/conv"},
    "zoo.path": lambda: {"name": "mnist/fc10-1", "verbose": False},
    "zoo.load": lambda: (
        lambda **given: itf.zoo.load(**given).get_weights(),
        {"name": "mnist/fc10-1", "weights": True, "progress": False},
    ),
    "zoo.pin": lambda: {"name": "imagenet/googlenet", "verbose": False},
    "zoo.Patience": lambda: {"attempts": 2, "pause": 0.1, "window": 5.0},
    "zoo.clear": lambda: {"pattern": "*"},
    "zoo.verify": lambda: {"pattern": "mnist/fc10-*"},
    "zoo.ModelCard.from_json": lambda: {"values": itf.zoo.info("mnist/fc10-1").json()},
    "zoo.importers.caffe": lambda: {"file": weights_file("caffemodel"), "model": convolutional()},
    "zoo.importers.npz": lambda: {
        "file": weights_file("npz"), "model": convolutional(), "channel_order": "bgr"
    },
    "zoo.importers.pytorch": lambda: {"file": weights_file("pth"), "model": convolutional()},
    "datasets.mnist": lambda: (mnist, {"split": "train", "subset": "p1"}),
    "datasets.fingerprint": lambda: {"images": IMAGES, "labels": LABELS},
    "datasets.imagenet": lambda: (
        lambda **given: next(iter(itf.datasets.imagenet(**given))),
        {"source": images_folder(), "split": "validation", "size": (4, 5), "batch_size": 2},
    ),
    "datasets.imagenet_files": lambda: {"folder": images_folder()},
    "datasets.image_files": lambda: {"folder": images_folder() / "n01518878"},
    "datasets.read_images": lambda: {
        "files": itf.datasets.imagenet_files(images_folder()), "size": (4, 5), "number": 1,
    },
    "datasets.image_folder": lambda: {
        "path": images_folder(), "size": 4, "channels": 3, "class_names": None, "resize": "crop",
        "number": 2, "memory": 1e6, "verbose": False,
    },
    "datasets.imagenet_class_index": lambda: {"name": "ostrich"},
    "layers.LocallyConnected2D": lambda: layer(
        "LocallyConnected2D", filters=2, kernel_size=3, strides=1, activation="relu",
        use_bias=True, kernel_initializer="zeros",
    ),
    "layers.LocalContrastNormalization": lambda: layer(
        "LocalContrastNormalization", size=3, stddev=1.0, floor=0.1
    ),
    "layers.LocalResponseNormalization": lambda: layer(
        "LocalResponseNormalization", size=3, alpha=1e-4, beta=0.75, k=1.0
    ),
    "layers.CeilAveragePooling2D": lambda: layer(
        "CeilAveragePooling2D", pool_size=3, strides=2, padding=1
    ),
    "layers.CeilMaxPooling2D": lambda: layer(
        "CeilMaxPooling2D", pool_size=3, strides=2, padding=1
    ),
    "layers.L2Pooling2D": lambda: layer("L2Pooling2D", pool_size=3, strides=2),
    "layers.GroupSort": lambda: layer("GroupSort", group_size=2, axis=1),
    "models.alexnet": lambda: built("alexnet", **SIZES),
    "models.alexnet_one_tower": lambda: built("alexnet_one_tower", **SIZES),
    "models.squeezenet_1_1": lambda: built("squeezenet_1_1", **SIZES),
    "models.googlenet": lambda: built("googlenet", **SIZES),
    "models.efficientnet_lite0": lambda: built("efficientnet_lite0", **SIZES),
    "models.efficientnet_lite1": lambda: built("efficientnet_lite1", **SIZES),
    "models.efficientnet_lite2": lambda: built("efficientnet_lite2", **SIZES),
    "models.keras_application": lambda: (
        lambda **given: itf.models.keras_application(**given).get_weights(),
        {"name": "MobileNet", "weights": None},
    ),
    "models.fc10": lambda: built("fc10", weight_decay=1e-4, kernel_initializer="zeros"),
    "models.fc100_100_10": lambda: built(
        "fc100_100_10", weight_decay=(1e-4, 1e-4, 0), kernel_initializer="zeros"
    ),
    "models.fc123_456_10": lambda: built(
        "fc123_456_10", weight_decay=(1e-4, 1e-4, 0), kernel_initializer="zeros"
    ),
    "models.fc200_200_10": lambda: built(
        "fc200_200_10", weight_decay=(1e-4, 1e-4, 0), kernel_initializer="zeros"
    ),
    "models.ae400_10": lambda: built("ae400_10", weight_decay=1e-4, kernel_initializer="zeros"),
    "models.conv": lambda: built(
        "conv", weight_decay=1e-4, filters=2, units=3, dropout=0.1, kernel_initializer="zeros"
    ),
    "models.group_sort": lambda: built(
        "group_sort", units=4, depth=1, activation="relu", kernel_initializer="zeros"
    ),
    "models.QuocNetConfig": lambda: {
        "image_shape": (8, 8, 1), "receptive_fields": (3,), "maps": 2, "pool_size": 2,
        "contrast_size": 3,
    },
    "models.quocnet": lambda: built("quocnet", config=STAGE),
    "models.with_binary_classifier": lambda: built(
        "with_binary_classifier", features=itf.models.quocnet(STAGE)
    ),
    "reporting.Table": lambda: shown(
        "Table", title="Errors", columns=("model", "error"), rows=[("FC10", 0.075)],
        notes=("a note",), digits=3,
    ),
    "reporting.Section": lambda: (
        lambda **given: itf.reporting.Report("", (), [itf.reporting.Section(**given)]).html(),
        {"title": "Errors", "paragraphs": ["text"], "tables": [TABLE], "pictures": []},
    ),
    "reporting.Report": lambda: shown(
        "Report", title="Digits", summary=["text"],
        sections=[itf.reporting.Section("Errors", tables=[TABLE])],
    ),
    "reporting.Report.save": lambda: (
        into_folder(itf.reporting.Report("", (), ()).save, "folder"), {"folder": "report"}
    ),
    "reporting.Picture": lambda: shown("Picture", **CURVES, figure=Figure((1, 1))),
    "reporting.Picture.png": lambda: (
        itf.reporting.Picture(**CURVES, figure=Figure((1, 1))).png,
        {"dpi": 20, "captioned": True},
    ),
    "reporting.adversarial_rows": lambda: {
        "originals": PICTURES, "adversarial": PICTURES, "titles": ["7"], "magnification": 2.0,
        "columns": 1, **CURVES,
    },
    "reporting.changed_series": lambda: {
        "originals": PICTURES[..., 0], "changed": PICTURES[..., 0] / 2, "titles": ["7"],
        "columns": 1, **CURVES,
    },
    "reporting.image_triples": lambda: {
        **CURVES, "images": np.stack([PICTURES] * 3, 1), "titles": [["a", "b", "c"]]
    },
    "reporting.image_rows": lambda: {
        **CURVES, "images": PICTURES[None], "row_names": ["a"], "gap": 1
    },
    "reporting.interval_chart": lambda: {
        **CURVES, "groups": ["a"], "series": {"b": [(2.0, 1.0, 3.0)]}, "axis": "error"
    },
    "reporting.heat_maps": lambda: {
        **CURVES, "panels": {"a": [[0.5]]}, "rows": ["b"], "columns": ["c"]
    },
    "reporting.distribution_chart": lambda: {
        **CURVES, "panels": {"purity": {"units": [0.5, 1.0]}}, "height": 2.0
    },
    "reporting.accuracy_curves": lambda: {
        **CURVES, "radii": [0.0, 1.0], "curves": {"attack": [1.0, 0.5]}, "axis": "l2"
    },
    "reporting.distances_by_class": lambda: {
        **CURVES, "classes": ["a"], "distances": [[1.0, 2.0]], "axis": "l2"
    },
    "reporting.layer_bars": lambda: {
        **CURVES, "layers": ["a"], "bounds": [2.0], "attained": [1.0]
    },
    "reporting.sandwich": lambda: {**CURVES, "certified": [0.5], "found": [1.0]},
    "reporting.log_to_tensorboard": lambda: (
        into_folder(itf.reporting.log_to_tensorboard, "folder"),
        {
            "report": itf.reporting.Report("", (), ()), "scalars": {"a": 1.0}, "folder": "log",
            "step": 0,
        },
    ),
    "training.LipschitzMonitor": lambda: {"log_dir": None, "method": "best", "every": 1},
    "training.AdversarialAccuracy": lambda: {
        "images": IMAGES, "labels": LABELS, "distortion": 0.1, "every": 1, "shown": 4,
        "targets": "nearest", "seed": 0,
    },
    "training.AdversarialPool": lambda: {
        "layer": None, "size": 8, "share": 0.5, "refresh": 4, "interval": 1, "seed": 0,
        "distortion": None, "targets": "runner_up", "bounds": (0, 1), "attack": FAST,
    },
    "training.AdversarialModel": lambda: {
        "model": network(),
        "pools": [itf.training.AdversarialPool(size=4, refresh=2, attack=FAST)],
        "penalties": [itf.training.GradientPenalty()],
    },
    "training.GradientPenalty": lambda: {
        "weight": 1.0, "of": "jacobian", "projections": 1, "seed": 0
    },
    "training.CertifiedMargin": lambda: {
        "radius": 1.0, "weight": 1.0, "loss": "worst", "bounds": (0.0, 1.0)
    },
    "training.CertifiedAccuracy": lambda: {
        "images": IMAGES, "labels": LABELS, "radii": (0.5,), "log_dir": None, "every": 1
    },
    "training.OrthogonalConstraint": lambda: {"iterations": 1},
    "training.LipschitzPenalty": lambda: {"weight": 1.0, "target": 2.0, "total": None},
    "training.LipschitzRegularizer": lambda: (
        lambda kernel, **given: itf.training.LipschitzRegularizer(**given)(kernel),
        {
            "kernel": KERNEL, "weight": 1.0, "target": 1.0, "input_shape": (4, 4), "strides": 1,
            "padding": "same", "dilation_rate": 1, "groups": 1, "depthwise": False,
        },
    ),
    "training.LipschitzConstraint": lambda: (
        lambda kernel, **given: itf.training.LipschitzConstraint(**given)(kernel),
        {
            "kernel": KERNEL, "bound": 1.0, "input_shape": (4, 4), "strides": 1,
            "padding": "same", "dilation_rate": 1, "groups": 1, "depthwise": False,
        },
    ),
    "training.fit": lambda: trained(
        lambda **given: itf.training.fit(optimizer=keras.optimizers.SGD(0.01), **given),
        epochs=1, batch_size=2, seed=0, jit_compile=False,
    ),
    "training.minimize": lambda: trained(
        itf.training.minimize, tolerance=1e3, iterations=5
    ),
    "experiments.at_size": lambda: (
        lambda **given: itf.experiments.at_size(**given).get_weights(),
        {"model": convolutional(), "size": (7, 8)},
    ),
    "experiments.ReconstructionICA": lambda: {
        "filtering": itf.layers.LocallyConnected2D(2, 3, use_bias=False),
        "pooling": itf.layers.L2Pooling2D(2), "sparsity": 0.1,
    },
    "experiments.train_features": lambda: (
        lambda **given: itf.experiments.train_features(**given).get_weights(),
        {
            "config": STAGE, "images": RANDOM.uniform(size=(4, 8, 8, 1)).astype(np.float32),
            "sparsity": 0.1, "epochs": 1, "batch_size": 2, "learning_rate": 1e-3, "seed": 0,
            "verbose": 0,
        },
    ),
    "experiments.Estimate.of_errors": lambda: {"wrong": [True, False]},
    "experiments.Estimate.of_mean": lambda: {"values": [1.0, 2.0, 4.0]},
    "experiments.ImageSet": lambda: (
        workspace_images, {"split": "train", "number": 2, "subset": None}
    ),
    "experiments.Workspace": lambda: (
        into_folder(workspace, "folder"), {"folder": "w", "training_seed": None, "verbose": False}
    ),
    "experiments.Figures3And4": lambda: (
        lambda model, layer, images, **given: itf.experiments.Figures3And4(**given).run(
            model, layer, images, network(), "scores"
        ).comparison,
        {
            "model": network(8), "layer": "scores", "images": MANY, "k": 3, "number": 6,
            "seed": 0, "batch_size": 7,
        },
    ),
    "experiments.Figure5": lambda: (
        lambda images, names, **given: itf.experiments.Figure5(**given).run(
            convolutional(1000), images, names
        ),
        {
            "images": RANDOM.uniform(size=(1, 6, 6, 3)).astype(np.float32), "names": ["a"],
            "target": "ostrich", "survive_rounding": False, "options": FAST,
        },
    ),
    "experiments.ImagenetTransfer": lambda: (
        lambda models, images, labels, **given: itf.experiments.ImagenetTransfer(**given).run(
            models, images, labels
        ),
        {
            "models": {"m": network()}, "images": IMAGES, "labels": LABELS, "stddevs": (0.1,),
            "seed": 0, "batch_size": 2, "options": FAST,
        },
    ),
}  # fmt: skip
