"""Section 4.2 and its readers' remedies compared: pools per layer, penalties, decay, dropout."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import numbers
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import scipy.stats

from intriguing_tf.adversary import LBFGSAdversary
from intriguing_tf.aliases import warn_renamed
from intriguing_tf.checks import (
    check_kind,
    check_kinds,
    check_positive,
    check_positive_integer,
    check_seed,
)
from intriguing_tf.classifier import Classifier
from intriguing_tf.experiments.methods import ENTRIES, METHODS, PLAIN, POOLS_AT
from intriguing_tf.experiments.networks import Images, labelled, published_or_trained
from intriguing_tf.files import write_atomically
from intriguing_tf.fingerprints import array_fingerprint, model_fingerprint
from intriguing_tf.lipschitz import bound, certified_radius
from intriguing_tf.progress import progress_bar
from intriguing_tf.publishing import Recipe, load_recipe
from intriguing_tf.publishing.recipes import Initialization
from intriguing_tf.reporting import Table
from intriguing_tf.store import Piece, Store

VALIDATION = 10_000  # the last training images, on which settings are chosen
DROPOUT = 0.2


def load_method(name: str) -> Recipe:
    """Returns the recipe of a way to train: of an entry of the zoo, or made from one.

    Args:
        name: of `METHODS`, or the path of a recipe's `.json`, to try custom settings.

    Raises:
        TypeError: no str.
        ValueError: another name, or a file that is no recipe.

    Example:

        recipe = load_method("pool-input")
    """
    check_kind("name", name, str, f"a str, such as {METHODS[0]!r}")
    if name in ENTRIES:
        return load_recipe(ENTRIES[name])
    if name == "dropout":
        plain = load_recipe(PLAIN)
        arguments = {**plain.arguments, "dropout": DROPOUT, "weight_decay": (0.0, 0.0, 0.0)}
        return plain.replace(arguments=arguments)
    if name in POOLS_AT:
        return _with_pools_at(POOLS_AT[name])
    if name == "pools-moved":
        return _with_images_moved()
    if name.endswith(".json"):
        return load_recipe(name)
    raise ValueError(
        f"Methods are {', '.join(METHODS)}, or the path of a recipe's .json. Received: {name!r}."
    )


def _with_pools_at(layers: tuple[str | None, ...]) -> Recipe:
    """Returns the recipe of the pools' entry with such examples at these layers, taking turns."""
    entry = load_recipe(ENTRIES["pools"])
    pools = tuple(entry.pools[0].replace(layer=layer) for layer in layers)
    return entry.replace(pools=pools)


def _with_images_moved() -> Recipe:
    """Returns the recipe of the least error: images moved by a pixel too, and rectified units."""
    entry = load_recipe(ENTRIES["pools"])
    return entry.replace(
        arguments={"weight_decay": (3e-4, 1e-4, 1e-5), "activation": "relu"},
        initialization=Initialization(scale=1.0, distribution="uniform"),
        fitting=entry.fitting.replace(learning_rate=2e-3, epochs=100, batch_size=125),
        pools=(entry.pools[0].replace(distortion=0.035),),
        shift=1,
    )


@dataclasses.dataclass(frozen=True)
class TrainingRun:
    """What one network, trained by one method from one seed, measured.

    Args:
        method: as `load_method` takes it.
        seed: of the weights, the order of the images, dropout and pools.
        test_error: fraction misclassified of the test set (or of the validation images).
        distortion: average minimal distortion of the attacked images that are classified correctly.
        lipschitz: certified bound of the network's Lipschitz constant.
        certified: fraction of the images classified correctly, and certified within the radius.
        transfer: fraction misclassified of the images that were distorted for the plain network of
            the same seed; `None` for that network itself and where it is not compared.
        seconds: of the training.
    """

    method: str
    seed: int
    test_error: float
    distortion: float
    lipschitz: float
    certified: float
    transfer: float | None
    seconds: float


@dataclasses.dataclass(frozen=True)
class TrainingComparison:
    """Runs of several methods; prints as a table with 95 % intervals over the seeds.

    Args:
        runs: all of them.
        radius: l2 radius of the certificates, for inputs in [0, 1].
        attacked: images attacked per network.
        where: which images were measured.
    """

    runs: tuple[TrainingRun, ...]
    radius: float
    attacked: int
    where: str

    def table(self) -> Table:
        """Returns one row per method."""
        rows = []
        shown = _shown(dict.fromkeys(run.method for run in self.runs))
        for name in shown:
            runs = [run for run in self.runs if run.method == name]

            def column(field: str, scale: float, digits: int, runs=runs) -> str | None:
                values = [getattr(run, field) for run in runs]
                if any(value is None for value in values):
                    return None
                return interval(scale * np.array(values), digits)

            rows.append(
                (
                    shown[name],
                    len(runs),
                    column("test_error", 100, 2),
                    column("distortion", 1, 4),
                    column("lipschitz", 1, 1),
                    column("certified", 100, 1),
                    column("transfer", 100, 1),
                    column("seconds", 1, 0),
                )
            )
        columns = (
            "100-100-10 trained with" if set(shown) <= {*METHODS} else "trained with",
            "seeds", "error, %", "av. min. distortion",
            "Lipschitz bound", f"certified at {self.radius:g}, %", "transfer, %", "seconds",
        )  # fmt: skip
        notes = [
            f"Measured on {self.where}; distortion over {self.attacked} images, nearest class, "
            "margin loss. Transfer: error on the images distorted for the network with weight "
            "decay alone. ±: 95 % interval over seeds (Student's t)."
        ]
        return Table("Training that uses the adversary", columns, rows, notes)

    def __str__(self) -> str:
        return str(self.table())


def _shown(names: Iterable[str]) -> dict[str, str]:
    """Returns what a table calls methods: a file goes by its stem where nothing else does."""
    stems = {name: Path(name).stem for name in names}
    taken = [*METHODS, *(stem for name, stem in stems.items() if name not in METHODS)]
    return {name: stem if taken.count(stem) == 1 else name for name, stem in stems.items()}


def interval(values: np.ndarray, digits: int) -> str:
    """Returns "mean ± half the 95 % interval of the mean" (Student's t); of one value, itself."""
    mean = f"{values.mean():.{digits}f}"
    if len(values) < 2:
        return mean
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{mean} ± {half:.{digits}f}"


def compare(
    names: Sequence[str],
    seeds: Sequence[int],
    folder: str | os.PathLike,
    train_set: tuple[np.ndarray, np.ndarray],
    test_set: tuple[np.ndarray, np.ndarray] | None = None,
    *,
    attacked: int = 256,
    radius: float = 1.0,
    verbose: bool | str = "auto",
) -> TrainingComparison:
    """Trains networks by several methods from several seeds, and measures them.

    Each network and its measurements are kept in the folder (`intriguing_tf.store`): a run that
    was stopped resumes with what is missing.

    Args:
        names: as `load_method` takes them. "decay" is the plain network of the transfer.
        seeds: of the training.
        folder: of networks and measurements.
        train_set: images, and labels: integers `[n]`, which may come as a column or one-hot rows.
        test_set: images and labels to measure on. `None`: the last 10 000 of `train_set`, which
            are then not trained on; this is how settings are chosen.
        attacked: how many of these are attacked, from the first on; all, if there are fewer.
        radius: of the certificates.
        verbose: True or False for the progress bar, or "auto": when stderr is a terminal.

    Raises:
        TypeError: names or seeds that are no sequence of these.
        ValueError: an unknown method, none, a recipe of P1 or P2, no seeds or one twice, labels
            that are not one per image, too few images, or a folder with work of an earlier
            release.
        RuntimeError: another process is at work in the folder.

    Example:

        print(compare(["decay", "gradient"], [0, 1], "runs", itf.datasets.mnist("train")))
    """
    check_kinds("names", names, str, "names of methods, ['decay']")
    check_kinds("seeds", seeds, numbers.Integral, "integers, [0, 1]")
    if not names or not seeds:
        raise ValueError(
            f"There must be a method and a seed. Received: {list(names)}, seeds {list(seeds)}."
        )
    for seed in seeds:
        check_seed(seed)
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"The seeds must differ. Received: {list(seeds)}.")
    check_positive_integer("attacked", attacked)
    check_positive("radius", radius)
    recipes = {name: load_method(name) for name in names}
    _check_data(recipes)
    train_set = labelled(*train_set)
    where = "the test set"
    if test_set is None:
        if len(train_set[0]) <= VALIDATION:
            raise ValueError(
                f"Validation takes the last {VALIDATION} images. Received: {len(train_set[0])}."
            )
        images, labels = train_set
        train_set = images[:-VALIDATION], labels[:-VALIDATION]
        test_set = images[-VALIDATION:], labels[-VALIDATION:]
        where = f"the last {VALIDATION} training images, which were not trained on"
    test_set = labelled(*test_set)
    attacked = min(attacked, len(test_set[0]))  # the table says how many
    ordered = sorted(dict.fromkeys(names), key=lambda name: name != "decay")
    tasks = [(name, seed) for name in ordered for seed in seeds]
    with (
        Store(folder, outdated=["*-*.seconds"]) as store,
        progress_bar(len(tasks), "training", verbose, unit="network") as bar,
    ):
        bench = _Bench(store, recipes, train_set, test_set, attacked, radius)
        runs = []
        for name, seed in tasks:
            bar.set_postfix_str(f"{name}, seed {seed}")
            runs.append(bench.run(name, seed))
            bar.update()
    return TrainingComparison(tuple(runs), radius, attacked, where)


def _check_data(recipes: Mapping[str, Recipe]) -> None:
    """Raises if a recipe names a part of the training set: all are trained on the one given."""
    parts = {name: recipe.data for name, recipe in recipes.items() if recipe.subset}
    if parts:
        raise ValueError(
            "Methods are compared on one training set: a recipe's `data` must be 'train'. "
            f"Received: {parts}."
        )


def __getattr__(name: str) -> Any:
    new = {"Run": "TrainingRun", "Comparison": "TrainingComparison"}.get(name)
    if new is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warn_renamed(f"{__name__}.{name}", new)
    return globals()[new]


@dataclasses.dataclass(frozen=True)
class _Bench:
    """Trains, measures and keeps."""

    store: Store
    recipes: dict[str, Recipe]
    train_set: Images
    test_set: Images
    attacked: int
    radius: float

    def run(self, name: str, seed: int) -> TrainingRun:
        piece, seconds = self._measured(name, seed)
        measured = json.loads((piece.folder / "measured.json").read_text("utf-8"))
        return TrainingRun(name, seed, **measured, seconds=seconds)

    def _measured(self, name: str, seed: int) -> tuple[Piece, float]:
        """Returns a network's measurements, and the seconds of its training."""
        recipe = self.recipes[name].replace(seed=seed)
        network, seconds = published_or_trained(self.store, recipe, self.train_set, verbose=False)
        plain = None
        if name != "decay" and "decay" in self.recipes:
            plain = self._measured("decay", seed)[0].folder / "adversarial.npy"
        made_from = {
            "network": model_fingerprint(network),
            "data": self._test_fingerprint,
            "attacked": self.attacked,
            "radius": self.radius,
            "transfer": None if plain is None else plain.parent.name,
        }

        def measure(folder: Path) -> None:
            measured = self._measure(network, plain, folder)
            write_atomically(folder / "measured.json", json.dumps(measured, indent=1))

        label = f"{Path(name).stem}, seed {seed}"
        return self.store.make(f"measurements/{label}", made_from, measure), seconds

    def _measure(self, network: keras.Model, plain: Path | None, folder: Path) -> dict:
        """Measures a network; leaves the images that were distorted for it in the folder."""
        images, labels = self.test_set
        some, truth = images[: self.attacked], labels[: self.attacked]
        adversary = LBFGSAdversary(network, loss="margin")
        result = adversary(some, truth, targets="nearest", verbose=False)
        buffer = io.BytesIO()
        np.save(buffer, result.images)
        write_atomically(folder / "adversarial.npy", buffer.getvalue())
        classifier = Classifier(network)
        transfer = None
        if plain is not None:
            transfer = float((classifier.predict(np.load(plain)) != truth).mean())
        right = classifier.predict(images) == labels
        certified = right & (certified_radius(network, images) >= self.radius)
        return {
            "test_error": float(1 - right.mean()),
            "distortion": result.mean_distortion,
            "lipschitz": float(bound(network).total),
            "certified": float(certified.mean()),
            "transfer": transfer,
        }

    @functools.cached_property
    def _test_fingerprint(self) -> str:
        return array_fingerprint(*self.test_set)
