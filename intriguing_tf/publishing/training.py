"""Carries out recipes.

trained = train("mnist/fc100-100-10")
trained.model.save("fc100-100-10.keras")
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import keras
import matplotlib.figure
import numpy as np
import tensorflow as tf

from intriguing_tf import datasets, models
from intriguing_tf.classifier import Classifier
from intriguing_tf.keras_graph import above, up_to
from intriguing_tf.models.mnist import sparse_autoencoder
from intriguing_tf.progress import shows_progress
from intriguing_tf.publishing.autoencoder import filters_figure, sparse_reconstruction
from intriguing_tf.publishing.backup import Backup
from intriguing_tf.publishing.recipes import (
    Certified,
    Gradient,
    Lipschitz,
    Minibatches,
    Optimum,
    Recipe,
    SparseAutoencoder,
    fingerprint,
    load_recipe,
)
from intriguing_tf.training import (
    AdversarialModel,
    AdversarialPool,
    CertifiedMargin,
    FittingCurve,
    GradientPenalty,
    LipschitzPenalty,
    OrthogonalConstraint,
    fit,
    minimize,
)
from intriguing_tf.training.adversarial_model import Penalty
from intriguing_tf.training.fitting import use_xla

STEPS_PER_CALL = 50  # of `AdversarialModel.fit`, at most
ITERATORS = 2  # that Keras makes of a dataset in an epoch: one to read, at its end one to drop


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """What a recipe gave.

    Args:
        recipe: the recipe, with the seed that was used.
        model: the trained `keras.Model`, images to logits.
        train_error: fraction of the recipe's own training images that it misclassifies.
        curve: the course of the objective.
        seconds: wall time of the training, without reading the data; of one that was resumed,
            since then.
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
        return {"filters": filters_figure(self.model.get_layer("fc1").kernel.numpy())}

    def __str__(self) -> str:
        return (
            f"{self.recipe.name}: training error {100 * self.train_error:.2f} %, "
            f"{self.seconds:.0f} s ({self.curve})"
        )


def train(
    recipe: Recipe | str | Path,
    *,
    seed: int | None = None,
    verbose: bool | str = "auto",
    backup: str | os.PathLike | None = None,
) -> TrainedModel:
    """Trains the network of a recipe from scratch.

    On the same machine, with the same versions and number of threads, the same seed gives the
    same weights. Keras's global random seed is set.

    Args:
        recipe: a recipe, or what `load_recipe` takes.
        seed: instead of the recipe's.
        verbose: True or False for progress bars, or "auto": when stderr is a terminal.
        backup: folder in which training with pools or penalties is kept from epoch to epoch, so
            that it resumes; remove it when you have saved what it gave. What is there of another
            training, or cannot be read, is dropped with a warning.

    Raises:
        ValueError: as `load_recipe` and `train_on`.
        FileNotFoundError: when MNIST is unavailable.

    Example:

        trained = itf.publishing.train("mnist/fc10-1")
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    if seed is not None:
        recipe = recipe.replace(seed=seed)
    return train_on(recipe, *datasets.mnist("train", recipe.subset), verbose=verbose, backup=backup)


def train_on(
    recipe: Recipe,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    verbose: bool | str = "auto",
    backup: str | os.PathLike | None = None,
) -> TrainedModel:
    """Trains the network of a recipe on other images than the recipe's.

    This is how a recipe is chosen on held-out training images.

    Args:
        recipe: the recipe.
        images: float32 `[n, 28, 28, 1]` in [0, 1].
        labels: int64 `[n]`.
        verbose, backup: as in `train`.

    Raises:
        ValueError: the recipe's batches are larger than there are images, or its builder does not
            take its arguments; or `training.npz` in `backup` is none of a training.
    """
    data_sha256 = datasets.fingerprint(images, labels)
    start = time.perf_counter()
    _check_batches(recipe, len(images))
    keras.utils.set_random_seed(recipe.seed)
    seed = recipe.seed % 2**31  # as far as the order of batches takes them
    model = build(recipe)
    trainable, inputs, autoencoder_curve = model, images, None
    if recipe.autoencoder is not None:
        autoencoder_curve = _pretrain(model, recipe.autoencoder, images, seed, verbose)
        # The first layer stays as it is, so it is computed once.
        trainable = above(model, "fc1")
        inputs = up_to(model, "fc1").predict(images, batch_size=1000, verbose=0)
    if recipe.pools or recipe.penalties:
        made_from = {"recipe": fingerprint(recipe), "data": data_sha256}
        kept = None if backup is None else Backup(backup, made_from)
        curve = _fit_with_adversary(recipe, model, images, labels, verbose, kept)
    else:
        curve = _fit(trainable, recipe.fitting, inputs, labels, seed, verbose)
    if recipe.rounding:
        model.set_weights([w.astype(recipe.rounding).astype(w.dtype) for w in model.get_weights()])
    train_error = float((Classifier(model).predict(images) != labels).mean())
    return TrainedModel(
        recipe=recipe,
        model=model,
        train_error=train_error,
        curve=curve,
        seconds=time.perf_counter() - start,
        data_sha256=data_sha256,
        autoencoder_curve=autoencoder_curve,
    )


def build(recipe: Recipe) -> keras.Model:
    """Returns the untrained network of a recipe; Keras's global seed decides its weights.

    Raises:
        ValueError: the builder does not take the recipe's arguments.
    """
    builder = getattr(models, recipe.builder)
    arguments = dict(recipe.arguments)
    _check_arguments(recipe, builder)
    if recipe.initialization is not None:
        arguments["kernel_initializer"] = keras.initializers.VarianceScaling(
            mode="fan_avg", **recipe.initialization.keywords()
        )
    return builder(**arguments)


def _check_arguments(recipe: Recipe, builder: Callable[..., keras.Model]) -> None:
    known = inspect.signature(builder).parameters
    for name in recipe.arguments.keys() - known.keys():
        raise ValueError(
            f"The recipe {recipe.name!r} gives {recipe.builder} `arguments` that it does not take. "
            f"Valid: {', '.join(known)}. Received: {name!r}."
        )


def _check_batches(recipe: Recipe, images: int) -> None:
    """An epoch has at least one batch, or a schedule would have no steps."""
    fits = [recipe.fitting, recipe.autoencoder and recipe.autoencoder.fitting]
    for fitting in fits:
        if isinstance(fitting, Minibatches) and fitting.batch_size > images:
            raise ValueError(
                f"The recipe {recipe.name!r} is trained on {images:,} images, which is the largest "
                f"`batch_size`. Received: {fitting.batch_size:,}."
            )


def adversarial_model(recipe: Recipe, model: keras.Model, images: int = 60_000) -> AdversarialModel:
    """Returns the model that trains a network with the recipe's pools and penalties.

    Args:
        recipe: the recipe.
        model: its network.
        images: how many it is trained on, which says how long the schedules are.
    """
    pools = [AdversarialPool(**pool.keywords()) for pool in recipe.pools]
    steps = _steps(cast(Minibatches, recipe.fitting), images)
    return AdversarialModel(model, pools, [_penalty(each, steps) for each in recipe.penalties])


def steps_per_call(recipe: Recipe) -> int:
    """Returns how many steps a compiled call has: pools are renewed between calls only."""
    intervals = [pool.interval for pool in recipe.pools if pool.interval]
    return min([STEPS_PER_CALL, *intervals])


def _penalty(part: Lipschitz | Gradient | Certified, steps: int) -> Penalty:
    keywords = part.keywords()
    if isinstance(part, Lipschitz):
        return LipschitzPenalty(**keywords)
    if isinstance(part, Gradient):
        return GradientPenalty(**keywords)
    ramp = keywords.pop("ramp", 0)
    if ramp:
        growth = max(1, int(ramp * steps))
        growing = keras.optimizers.schedules.PolynomialDecay(0.0, growth, part.radius)
        keywords["radius"] = growing
    return CertifiedMargin(**keywords)


def _fit_with_adversary(
    recipe: Recipe, model, images, labels, verbose, backup: Backup | None
) -> FittingCurve:
    start = time.perf_counter()
    fitting = cast(Minibatches, recipe.fitting)  # or the recipe would not be valid
    trainer = adversarial_model(recipe, model, len(images))
    if recipe.constraint:
        # Of the variables, not of the layers: what is published knows nothing of it.
        for layer in model.layers[:-1]:
            if isinstance(layer, keras.layers.Dense):
                layer.kernel.constraint = OrthogonalConstraint()
    trainer.compile(
        _optimizer(fitting, len(images)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=steps_per_call(recipe),
        jit_compile=use_xla(model),
    )
    if backup is not None:
        backup.restore(trainer)
    before = [] if backup is None else list(backup.loss)
    options: dict[str, Any] = {"x": images, "y": labels, "batch_size": fitting.batch_size}
    if recipe.shift:
        options = {"x": _shifted_batches(recipe, images, labels, len(before))}
    history = trainer.fit(
        **options,
        initial_epoch=len(before),
        epochs=fitting.epochs,
        verbose=2 if shows_progress(verbose) else 0,
        callbacks=[] if backup is None else [backup],
    ).history
    loss = [*before, *history.get("loss", [])]  # nothing where every epoch had been done
    return FittingCurve(np.array(loss), time.perf_counter() - start)


def _shifted_batches(
    recipe: Recipe, images: np.ndarray, labels: np.ndarray, done: int = 0
) -> tf.data.Dataset:
    """Batches in a new order each epoch, each moved by a few pixels; what enters is black.

    The first epoch is that after those that are `done`.
    """
    size, most = cast(Minibatches, recipe.fitting).batch_size, recipe.shift
    frame = [[0, 0], [most, most], [most, most], [0, 0]]
    height, width = images.shape[1:3]

    def shift(rows: tuple[tf.Tensor, tf.Tensor], seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch, classes = rows
        place = tf.random.stateless_uniform([2], seed, 0, 2 * most + 1, tf.int32)
        moved = tf.pad(batch, frame)[:, place[0] : place[0] + height, place[1] : place[1] + width]
        return tf.ensure_shape(moved, batch.shape), classes

    batches = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(len(images), recipe.seed)
    batches = batches.batch(size, drop_remainder=True)
    seeds = tf.data.Dataset.random(recipe.seed, rerandomize_each_iteration=True).batch(2)
    shifted = tf.data.Dataset.zip(batches, seeds).map(shift)
    for _ in range(ITERATORS * done):
        iter(shifted)  # draws new seeds, and reads nothing
    return shifted


def _fit(model, fitting, inputs, targets, seed, verbose, **options) -> FittingCurve:
    if isinstance(fitting, Optimum):
        return minimize(
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
        optimizer=_optimizer(fitting, len(inputs)),
        epochs=fitting.epochs,
        batch_size=fitting.batch_size,
        seed=seed,
        verbose=verbose,
        **options,
    )


def _optimizer(fitting: Minibatches, images: int) -> keras.optimizers.Optimizer:
    steps = _steps(fitting, images)
    schedules = keras.optimizers.schedules
    rate = {
        "constant": lambda rate: rate,
        "cosine": lambda rate: schedules.CosineDecay(rate, steps),
        "linear": lambda rate: schedules.PolynomialDecay(rate, steps, 0.0),
    }[fitting.schedule](fitting.learning_rate)
    if fitting.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=0.9)
    return keras.optimizers.Adam(rate)


def _steps(fitting: Minibatches, images: int) -> int:
    return fitting.epochs * (images // fitting.batch_size)


def _pretrain(model, stage: SparseAutoencoder, images, seed, verbose) -> FittingCurve:
    """Trains the first layer of `model` as the code of a sparse autoencoder."""
    first = model.get_layer("fc1")
    autoencoder = sparse_autoencoder(first.units, stage.weight_decay)
    loss = functools.partial(sparse_reconstruction, sparsity=stage.sparsity, penalty=stage.penalty)
    curve = _fit(autoencoder, stage.fitting, images, images, seed, verbose, loss=loss)
    first.set_weights(autoencoder.get_layer("fc1").get_weights())
    return curve
