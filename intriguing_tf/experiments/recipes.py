"""Training recipes of the zoo: read as data, checked, and carried out.

trained = train(load_recipe("mnist/fc100-100-10"))
trained.model.save("fc100-100-10.keras")
"""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import matplotlib.figure
    import numpy as np

    from ..training import AdversarialModel, FittingCurve

STEPS_PER_CALL = 50  # of `AdversarialModel.fit`; pools are renewed between calls


@dataclasses.dataclass(frozen=True)
class Minibatches:
    """Stochastic gradient descent: see `intriguing_tf.training.fit`."""

    optimiser: str
    learning_rate: float
    schedule: str
    epochs: int
    batch_size: int
    method: str = "minibatches"


@dataclasses.dataclass(frozen=True)
class Optimum:
    """L-BFGS to the optimum of a convex objective: see `intriguing_tf.training.minimise`."""

    tolerance: float
    iterations: int
    method: str = "optimum"


@dataclasses.dataclass(frozen=True)
class SparseAutoencoder:
    """How the first layer is trained to reconstruct, before it is frozen.

    The objective is the cross-entropy of the pixels, summed over an image, plus
    `penalty` Σ_j KL(`sparsity` ‖ mean activation of unit j) plus `weight_decay` Σ w².
    """

    sparsity: float
    penalty: float
    weight_decay: float
    fitting: Minibatches


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How one entry of the zoo is trained.

    Args:
        name: the entry's name in the zoo.
        title: one line that says what the network is.
        builder: the function in `intriguing_tf.models` that builds the network.
        arguments: keyword arguments of the builder.
        data: "train", or its half "p1" or "p2".
        seed: of the initial weights, the order of the data and dropout.
        fitting: `Minibatches` or `Optimum`.
        initialisation: scale and distribution of Keras's `VarianceScaling`; None: the builder's.
        autoencoder: what the first layer learns before the rest; None for the others.
        pools: arguments of each `AdversarialPool` that it is trained with.
        penalties: "kind", "lipschitz" or "gradient", and arguments of each penalty.
        selection: how the values were chosen.
        paper: what the paper has for this network.
    """

    name: str
    title: str
    builder: str
    arguments: Mapping[str, Any]
    data: str
    seed: int
    fitting: Minibatches | Optimum
    selection: str
    paper: Mapping[str, Any]
    initialisation: Mapping[str, Any] | None = None
    autoencoder: SparseAutoencoder | None = None
    pools: tuple[Mapping[str, Any], ...] = ()
    penalties: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def from_json(cls, values: Any) -> Recipe:
        """Returns the recipe that JSON `values` describe.

        Raises:
            ValueError: when they are not as `recipe_schema.json` wants them.
        """
        _validate(values)
        fields = dict(values)
        kind = {"minibatches": Minibatches, "optimum": Optimum}[values["fitting"]["method"]]
        fields["fitting"] = kind(**values["fitting"])
        if "autoencoder" in values:
            stage = values["autoencoder"]
            fitting = Minibatches(**stage["fitting"])
            fields["autoencoder"] = SparseAutoencoder(**{**stage, "fitting": fitting})
        fields |= {key: tuple(values.get(key, ())) for key in ("pools", "penalties")}
        return cls(**fields)

    def to_json(self) -> dict[str, Any]:
        """Returns the values that `from_json` takes."""
        values = dataclasses.asdict(self)
        values |= {key: list(values[key]) for key in ("pools", "penalties")}
        return {key: value for key, value in values.items() if value is not None and value != []}


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """What a recipe gave.

    Args:
        recipe: the recipe, with the seed that was used.
        model: the trained `keras.Model`, images to logits.
        train_error: fraction of the recipe's own training images that it misreads.
        curve: the course of the objective.
        seconds: wall time of the whole training, without reading the data.
        data_sha256: `intriguing_tf.datasets.fingerprint` of the training images.
        autoencoder_curve: that of the autoencoder, if the recipe has one.
    """

    recipe: Recipe
    model: keras.Model
    train_error: float
    curve: FittingCurve
    seconds: float
    data_sha256: str
    autoencoder_curve: FittingCurve | None = None

    def figures(self) -> dict[str, matplotlib.figure.Figure]:
        """Returns the pictures for the model card by file stem: "filters" for an autoencoder."""
        if self.recipe.autoencoder is None:
            return {}
        from .autoencoder import filters_figure

        return {"filters": filters_figure(self.model.get_layer("fc1").kernel.numpy())}

    def __str__(self) -> str:
        return (
            f"{self.recipe.name}: training error {100 * self.train_error:.2f} %, "
            f"{self.seconds:.0f} s ({self.curve})"
        )


def recipes() -> list[str]:
    """Returns the names of all recipes, sorted: the zoo's entries that are trained here."""
    folder = _folder()
    return sorted(str(p.relative_to(folder).with_suffix("")) for p in folder.glob("*/*.json"))


def load_recipe(name: str | Path) -> Recipe:
    """Returns a recipe by the name of its entry, or from a JSON file.

    Args:
        name: a name of `recipes()`, or a path that ends in ".json".

    Raises:
        ValueError: when there is no recipe of that name, or the file is not a valid recipe.
        FileNotFoundError: when there is no such file.

    Example:

        print(load_recipe("mnist/fc10-1e-4").arguments)
    """
    if str(name) in recipes():
        path = _folder() / f"{name}.json"
    elif str(name).endswith(".json"):
        path = Path(name)
    else:
        raise ValueError(
            f"No recipe is called {str(name)!r}. Known: {', '.join(recipes())}; or give the path "
            "of a .json file."
        )
    try:
        return Recipe.from_json(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def train(
    recipe: Recipe | str | Path, *, seed: int | None = None, verbose: bool | str = "auto"
) -> TrainedModel:
    """Trains the network of a recipe from scratch.

    On the same machine, with the same versions and number of threads, the same seed gives the
    same weights. Keras's global random seed is set.

    Args:
        recipe: a recipe, or what `load_recipe` takes.
        seed: instead of the recipe's.
        verbose: True or False for progress bars, or "auto": when stderr is a terminal.

    Raises:
        ValueError: as `load_recipe`.
        FileNotFoundError: when MNIST cannot be had.

    Example:

        trained = itf.experiments.recipes.train("mnist/fc10-1")
    """
    from .. import datasets

    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    if seed is not None:
        recipe = dataclasses.replace(recipe, seed=seed)
    subset = None if recipe.data == "train" else recipe.data
    return train_on(recipe, *datasets.mnist("train", subset), verbose=verbose)


def train_on(
    recipe: Recipe, images: np.ndarray, labels: np.ndarray, *, verbose: bool | str = "auto"
) -> TrainedModel:
    """Trains the network of a recipe on other images than the recipe's.

    This is how a recipe is chosen on held-out training images.

    Args:
        recipe: the recipe.
        images: float32 `[n, 28, 28, 1]` in [0, 1].
        labels: int64 `[n]`.
        verbose: as in `train`.
    """
    import keras

    from intriguing_tf.classifier import Classifier
    from intriguing_tf.keras_graph import above, up_to

    from .. import datasets

    start = time.perf_counter()
    keras.utils.set_random_seed(recipe.seed)
    model = build(recipe)
    trainable, inputs, autoencoder_curve = model, images, None
    if recipe.autoencoder is not None:
        autoencoder_curve = _pretrain(model, recipe.autoencoder, images, recipe.seed, verbose)
        # The first layer stays as it is, so it is computed once.
        trainable = above(model, "fc1")
        inputs = up_to(model, "fc1").predict(images, batch_size=1000, verbose=0)
    if recipe.pools or recipe.penalties:
        curve = _fit_with_adversary(recipe, model, images, labels, verbose)
    else:
        curve = _fit(trainable, recipe.fitting, inputs, labels, recipe.seed, verbose)
    train_error = float((Classifier(model).predict(images) != labels).mean())
    return TrainedModel(
        recipe=recipe,
        model=model,
        train_error=train_error,
        curve=curve,
        seconds=time.perf_counter() - start,
        data_sha256=datasets.fingerprint(images, labels),
        autoencoder_curve=autoencoder_curve,
    )


def _folder() -> Path:
    from ..zoo.locations import bundled_folder

    return bundled_folder() / "recipes"


def build(recipe: Recipe) -> keras.Model:
    """Returns the untrained network of a recipe; Keras's global seed decides its weights."""
    import keras

    from .. import models

    arguments = dict(recipe.arguments)
    if recipe.initialisation is not None:
        arguments["kernel_initializer"] = keras.initializers.VarianceScaling(
            mode="fan_avg", **recipe.initialisation
        )
    return getattr(models, recipe.builder)(**arguments)


def adversarial_model(recipe: Recipe, model: keras.Model) -> AdversarialModel:
    """Returns the model that trains a network with the recipe's pools and penalties."""
    from ..training import AdversarialModel, AdversarialPool, GradientPenalty, LipschitzPenalty

    kinds: dict[str, Any] = {"lipschitz": LipschitzPenalty, "gradient": GradientPenalty}
    penalties = [
        kinds[values["kind"]](**{key: v for key, v in values.items() if key != "kind"})
        for values in recipe.penalties
    ]
    pools = [AdversarialPool(**values) for values in recipe.pools]
    return AdversarialModel(model, pools, penalties)


def _fit_with_adversary(recipe: Recipe, model, images, labels, verbose) -> FittingCurve:
    import keras
    import numpy as np

    from ..training import FittingCurve
    from ..training.fitting import silent, use_xla

    start = time.perf_counter()
    fitting = recipe.fitting
    assert isinstance(fitting, Minibatches)  # the schema wants it
    trainer = adversarial_model(recipe, model)
    trainer.compile(
        _optimiser(fitting, len(images)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=STEPS_PER_CALL,
        jit_compile=use_xla(model),
    )
    history = trainer.fit(
        images,
        labels,
        batch_size=fitting.batch_size,
        epochs=fitting.epochs,
        verbose=0 if silent(verbose) else 2,
    )
    return FittingCurve(np.array(history.history["loss"]), time.perf_counter() - start)


def _fit(model, fitting, inputs, targets, seed, verbose, **options) -> FittingCurve:
    from ..training import fit, minimise

    if isinstance(fitting, Optimum):
        return minimise(
            model,
            inputs,
            targets,
            tolerance=fitting.tolerance,
            iterations=fitting.iterations,
            verbose=verbose,
        )
    return fit(
        model,
        inputs,
        targets,
        optimizer=_optimiser(fitting, len(inputs)),
        epochs=fitting.epochs,
        batch_size=fitting.batch_size,
        seed=seed,
        verbose=verbose,
        **options,
    )


def _optimiser(fitting: Minibatches, images: int) -> keras.optimizers.Optimizer:
    import keras

    steps = fitting.epochs * (images // fitting.batch_size)
    schedules = keras.optimizers.schedules
    rate = {
        "constant": lambda rate: rate,
        "cosine": lambda rate: schedules.CosineDecay(rate, steps),
        "linear": lambda rate: schedules.PolynomialDecay(rate, steps, 0.0),
    }[fitting.schedule](fitting.learning_rate)
    if fitting.optimiser == "sgd":
        return keras.optimizers.SGD(rate, momentum=0.9)
    return keras.optimizers.Adam(rate)


def _pretrain(model, stage: SparseAutoencoder, images, seed, verbose) -> FittingCurve:
    """Trains the first layer of `model` as the code of a sparse autoencoder."""
    from ..models.mnist import sparse_autoencoder
    from .autoencoder import sparse_reconstruction

    first = model.get_layer("fc1")
    autoencoder = sparse_autoencoder(first.units, stage.weight_decay)
    loss = functools.partial(sparse_reconstruction, sparsity=stage.sparsity, penalty=stage.penalty)
    curve = _fit(autoencoder, stage.fitting, images, images, seed, verbose, loss=loss)
    first.set_weights(autoencoder.get_layer("fc1").get_weights())
    return curve


@functools.cache
def _validator():
    import jsonschema

    schema = json.loads(Path(__file__).with_name("recipe_schema.json").read_text("utf-8"))
    return jsonschema.Draft202012Validator(schema)


def _validate(values: Any) -> None:
    from jsonschema.exceptions import best_match

    error = best_match(_validator().iter_errors(values))
    if error is not None:
        place = "".join(f"[{key!r}]" for key in error.absolute_path) or "the recipe"
        raise ValueError(f"not a recipe: {place}: {error.message}")
