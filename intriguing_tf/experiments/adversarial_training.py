"""Section 4.2 and its readers' remedies compared: pools per layer, penalties, decay, dropout."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import scipy.stats
from tqdm import tqdm

from ..adversary import LBFGSAdversary
from ..classifier import Classifier
from ..datasets import fingerprint
from ..files import write_atomically
from ..lipschitz import bound, certified_radius
from ..models.mnist import CLASSES, IMAGE_SHAPE
from ..reporting import Table
from ..training import AdversarialModel, AdversarialPool, GradientPenalty, LipschitzPenalty

VALIDATION = 10_000  # the last training images, on which settings are chosen
_STEPS_PER_CALL = 50


@dataclasses.dataclass(frozen=True)
class Method:
    """One way to train a 100-100-10 network.

    Args:
        title: what it is, for the table.
        activation: of the hidden layers.
        weight_decay: λ in λ Σ w² of every layer.
        dropout: share of the hidden activations that are dropped.
        pools, penalties: functions that make them, so that each network has its own.
        epochs: how often the images are visited.
        learning_rate: of Adam at the start; it falls to 0 along a cosine.
        batch_size: images per step.
    """

    title: str
    activation: str = "sigmoid"
    weight_decay: float = 1e-5
    dropout: float = 0.0
    pools: Callable[[], list[AdversarialPool]] = list
    penalties: Callable[[], list[Any]] = list
    epochs: int = 20
    learning_rate: float = 2e-3
    batch_size: int = 100

    def network(self) -> keras.Model:
        """Returns the untrained network, images `[n, 28, 28, 1]` to logits."""
        layers: list[Any] = [keras.Input(IMAGE_SHAPE, name="images"), keras.layers.Flatten()]
        sigmoid = self.activation == "sigmoid"
        for name, units in (("fc1", 100), ("fc2", 100), ("logits", CLASSES)):
            layers.append(
                keras.layers.Dense(
                    units,
                    None if name == "logits" else self.activation,
                    # Sigmoids pass on a quarter of what comes in at most.
                    kernel_initializer=keras.initializers.VarianceScaling(
                        4.0 if sigmoid else 1.0, "fan_avg", "uniform"
                    ),
                    kernel_regularizer=keras.regularizers.L2(self.weight_decay)
                    if self.weight_decay
                    else None,
                    name=name,
                )
            )
            if self.dropout and name != "logits":
                layers.append(keras.layers.Dropout(self.dropout))
        return keras.Sequential(layers, name="fc100-100-10")


def _pools(*layers: str | None) -> Callable[[], list[AdversarialPool]]:
    return lambda: [
        AdversarialPool(
            layer, size=4096, share=0.5, refresh=256, interval=100, attack={"maxfun": 20}
        )
        for layer in layers
    ]


METHODS: dict[str, Method] = {
    "decay": Method("weight decay alone"),
    "dropout": Method("dropout", weight_decay=0.0, dropout=0.2),
    "pool-input": Method("pool at the input", pools=_pools(None)),
    "pools-hidden": Method("pools at fc1, fc2", pools=_pools("fc1", "fc2")),
    "pools-all": Method("pools at the input, fc1, fc2", pools=_pools(None, "fc1", "fc2")),
    "gradient": Method("gradient penalty", penalties=lambda: [GradientPenalty(0.1)]),
    "jacobian": Method(
        "Jacobian penalty", penalties=lambda: [GradientPenalty(1e-2, of="jacobian")]
    ),
    "lipschitz": Method(
        "Lipschitz penalty", penalties=lambda: [LipschitzPenalty(total=30.0)], weight_decay=0.0
    ),
    "certified-relu": Method(
        "Lipschitz penalty, ReLU, for certificates",
        activation="relu",
        penalties=lambda: [LipschitzPenalty(total=4.0)],
        weight_decay=0.0,
    ),
    "combined": Method(
        "gradient and Lipschitz penalties, pools at fc1, fc2",
        pools=_pools("fc1", "fc2"),
        penalties=lambda: [GradientPenalty(0.1), LipschitzPenalty(total=30.0)],
    ),
}


@dataclasses.dataclass(frozen=True)
class Run:
    """What one network, trained by one method from one seed, measured.

    Args:
        method: a name of `METHODS`.
        seed: of the weights, the order of the images, dropout and pools.
        test_error: fraction misread of the test set (or of the validation images).
        distortion: average minimal distortion of the attacked images that are read correctly.
        lipschitz: certified bound of the network's Lipschitz constant.
        certified: fraction of the images read correctly, and certified within the radius.
        transfer: fraction misread of the images that were distorted for the plain network of the
            same seed; `None` for that network itself and where it was not trained.
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


def train(method: Method, images: np.ndarray, labels: np.ndarray, seed: int) -> keras.Model:
    """Trains a network by a method with `AdversarialModel.fit` and returns the plain network.

    Args:
        method: how.
        images: float32 `[n, 28, 28, 1]` in [0, 1].
        labels: int64 `[n]`.
        seed: Keras's global seed is set to it.

    Example:

        network = train(METHODS["gradient"], *itf.datasets.mnist_sample(), seed=0)
    """
    keras.utils.set_random_seed(seed)
    network = method.network()
    model = AdversarialModel(network, method.pools(), method.penalties())
    steps = method.epochs * -(-len(images) // method.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(method.learning_rate, steps)
    model.compile(
        keras.optimizers.Adam(rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=_STEPS_PER_CALL,
    )
    model.fit(images, labels, batch_size=method.batch_size, epochs=method.epochs, verbose=0)
    return network


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Runs of several methods; prints as a table with 95 % intervals over the seeds.

    Args:
        runs: all of them.
        radius: l2 radius of the certificates, for inputs in [0, 1].
        attacked: images attacked per network.
        where: which images were measured.
    """

    runs: tuple[Run, ...]
    radius: float
    attacked: int
    where: str

    def table(self) -> Table:
        """Returns one row per method."""
        rows = []
        for name in dict.fromkeys(run.method for run in self.runs):
            runs = [run for run in self.runs if run.method == name]

            def column(field: str, scale: float, digits: int, runs=runs) -> str | None:
                values = [getattr(run, field) for run in runs]
                if any(value is None for value in values):
                    return None
                return interval(scale * np.array(values), digits)

            rows.append(
                (
                    METHODS[name].title,
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
            "100-100-10 trained with", "seeds", "error, %", "av. min. distortion",
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
) -> Comparison:
    """Trains networks by several methods from several seeds, and measures them.

    Each network and its measurements are kept in the folder under a name that holds the method's
    settings, written whole: a run that was stopped goes on with what is missing.

    Args:
        names: of `METHODS`. "decay" is the plain network of the transfer.
        seeds: of the training.
        folder: of networks and measurements.
        train_set: images and labels.
        test_set: images and labels to measure on. `None`: the last 10 000 of `train_set`, which
            are then not trained on; this is how settings are chosen.
        attacked: how many of these are attacked, from the first on.
        radius: of the certificates.
        verbose: True or False for the progress bar, or "auto": when stderr is a terminal.

    Raises:
        ValueError: an unknown method, no seeds, or too few images.

    Example:

        print(compare(["decay", "gradient"], [0, 1], "runs", itf.datasets.mnist("train")))
    """
    unknown = sorted(set(names) - set(METHODS))
    if unknown or not names or not seeds:
        raise ValueError(
            f"Methods must be among {', '.join(METHODS)}, and there must be a seed. Received: "
            f"{list(names)}, seeds {list(seeds)}."
        )
    where = "the test set"
    if test_set is None:
        if len(train_set[0]) <= VALIDATION:
            raise ValueError(
                f"Validation takes the last {VALIDATION} images. Received: {len(train_set[0])}."
            )
        test_set = tuple(each[-VALIDATION:] for each in train_set)  # type: ignore[assignment]
        train_set = tuple(each[:-VALIDATION] for each in train_set)  # type: ignore[assignment]
        where = f"the last {VALIDATION} training images, which were not trained on"
    assert test_set is not None
    bench = _Bench(Path(folder), train_set, test_set, attacked, radius)
    # The plain networks first: the others are measured against them.
    ordered = sorted(dict.fromkeys(names), key=lambda name: name != "decay")
    tasks = [(name, seed) for name in ordered for seed in seeds]
    hide = None if verbose == "auto" else not verbose
    with tqdm(tasks, unit="network", disable=hide) as bar:
        runs = []
        for name, seed in bar:
            bar.set_postfix_str(f"{name}, seed {seed}")
            runs.append(bench.run(name, seed))
    return Comparison(tuple(runs), radius, attacked, where)


@dataclasses.dataclass(frozen=True)
class _Bench:
    """Trains, measures and keeps."""

    folder: Path
    train_set: tuple[np.ndarray, np.ndarray]
    test_set: tuple[np.ndarray, np.ndarray]
    attacked: int
    radius: float

    def run(self, name: str, seed: int) -> Run:
        images, labels = self.test_set
        file = self._file(name, seed, "json")
        if file.is_file():
            return Run(**json.loads(file.read_text("utf-8")))
        network, seconds = self._network(name, seed)
        adversary = LBFGSAdversary(network, loss="margin")
        some, truth = images[: self.attacked], labels[: self.attacked]
        result = adversary(some, truth, targets="nearest", verbose=False)
        buffer = io.BytesIO()
        np.save(buffer, result.images)
        write_atomically(self._file(name, seed, "npy"), buffer.getvalue())
        plain = self._file("decay", seed, "npy")
        classifier = Classifier(network)
        transfer = None
        if name != "decay" and plain.is_file():
            transfer = float((classifier.predict(np.load(plain)) != truth).mean())
        right = classifier.predict(images) == labels
        certified = right & (certified_radius(network, images) >= self.radius)
        run = Run(
            name,
            seed,
            float(1 - right.mean()),
            result.mean_distortion,
            float(bound(network).total),
            float(certified.mean()),
            transfer,
            seconds,
        )
        write_atomically(file, json.dumps(dataclasses.asdict(run), indent=1))
        return run

    def _network(self, name: str, seed: int) -> tuple[keras.Model, float]:
        """Returns the network from the folder, or trains it."""
        weights, record = self._file(name, seed, "keras"), self._file(name, seed, "seconds")
        if record.is_file():
            return keras.models.load_model(weights), float(record.read_text("utf-8"))
        start = time.perf_counter()
        network = train(METHODS[name], *self.train_set, seed)
        seconds = time.perf_counter() - start
        weights.parent.mkdir(parents=True, exist_ok=True)
        network.save(weights)
        write_atomically(record, str(seconds))  # last: it says that the weights are whole
        return network, seconds

    @functools.cached_property
    def _data(self) -> list[str]:
        return [fingerprint(*self.train_set), fingerprint(*self.test_set)]

    def _file(self, name: str, seed: int, kind: str) -> Path:
        method = METHODS[name]
        settings = {
            "method": {
                field.name: getattr(method, field.name)
                for field in dataclasses.fields(method)
                if field.name not in ("title", "pools", "penalties")
            },
            "parts": [part.get_config() for part in (*method.pools(), *method.penalties())],
            "measured": [self.attacked, self.radius],
            "data": self._data,
        }
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
        return self.folder / f"{name}-{seed}-{digest}.{kind}"
