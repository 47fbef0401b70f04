"""Fits a Keras model fast: whole epochs in one compiled call, or L-BFGS to the optimum.

For networks as small as the paper's MNIST ones, `keras.Model.fit` spends most of its time between
steps. `fit` keeps the data on the device and runs an epoch of minibatches as one `tf.function`
(`benchmarks/training_speed.py` measures the difference). `minimize` is for convex problems, whose
optimum does not depend on how it is reached.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import scipy.optimize
import tensorflow as tf
from threadpoolctl import threadpool_limits

from intriguing_tf.aliases import renamed_function
from intriguing_tf.checks import (
    check_choice,
    check_kind,
    check_positive,
    check_positive_integer,
    check_seed,
)
from intriguing_tf.classifier import Classifier
from intriguing_tf.keras_graph import float64_copy, layers_in
from intriguing_tf.lipschitz.differentiable import in_one_dtype
from intriguing_tf.progress import progress_bar
from intriguing_tf.training.fitting_data import check_data

Loss = Callable[[tf.Tensor, Any], tf.Tensor]


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns the mean cross-entropy of logits `[n, classes]` with integer labels `[n]`."""
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


@dataclasses.dataclass(frozen=True)
class FittingCurve:
    """How a fit went.

    Args:
        loss: float64 `[epochs]`, the objective (loss and decay): its mean over the epoch for
            `fit`, its value after each iteration for `minimize`.
        seconds: how long it took, in all.
        gradient_norm: l∞ norm of the objective's gradient where `minimize` ended; None for `fit`.
    """

    loss: np.ndarray
    seconds: float
    gradient_norm: float | None = None

    def __str__(self) -> str:
        text = f"loss {self.loss[0]:.4g} → {self.loss[-1]:.4g} in {len(self.loss)} rounds"
        if self.gradient_norm is not None:
            text += f", gradient {self.gradient_norm:.2g}"
        return f"{text}, {self.seconds:.1f} s"


def fit(
    model: keras.Model,
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    optimizer: keras.optimizers.Optimizer,
    epochs: int,
    batch_size: int = 100,
    loss: Loss = cross_entropy,
    seed: int = 0,
    jit_compile: bool | str = "auto",
    verbose: bool | str = "auto",
) -> FittingCurve:
    """Trains a model in place by minibatches, an epoch per compiled call.

    The objective is `loss` plus what the model's layers add (weight decay). Each epoch visits the
    data in a new random order; what does not fill the last batch is left out of that epoch. Ctrl-C
    ends it between epochs.

    Args:
        model: a built Keras model; it runs with `training=True`.
        inputs: array `[n, ...]` that the model takes.
        targets: array `[n, ...]` that `loss` takes; for the cross-entropy integers `[n]` or
            `[n, 1]`, or one-hot rows.
        optimizer: a Keras optimizer, with its learning rate or schedule (counted in batches), or
            the name of one.
        epochs: how often the data is visited, at least 1.
        batch_size: at least 1 and at most n.
        loss: `loss(targets, outputs)` gives the mean over a batch, a scalar. By default the
            cross-entropy of the logits, also of a model that ends in softmax or sigmoid.
        seed: of the order of the data. Dropout and initialization have Keras's seeds.
        jit_compile: True or False for XLA, or "auto": whichever was measured to be faster for
            training, where thousands of steps pay for compiling: XLA on a GPU, and on a CPU for
            models without convolutions; never for layers that say that they cannot be compiled.
        verbose: True or False for the progress bar, or "auto": when stderr is a terminal.

    Returns:
        The course of the objective.

    Raises:
        TypeError: not a Keras model, optimizer or function, or data that is no array of numbers.
        ValueError: for arrays of different length, labels that are not the model's classes, a loss
            that gives more than one number, the cross-entropy of other outputs than scores, a batch
            size or a number of epochs out of range, a model without trainable weights or one
            that trains in a way of its own, or when the objective is no longer finite.

    Example:

        model = itf.models.fc100_100_10()
        images, labels = itf.datasets.mnist_sample()
        curve = itf.training.fit(
            model, images, labels, optimizer=keras.optimizers.Adam(), epochs=5
        )
    """
    inputs, targets = check_data(model, inputs, targets, loss, loss is cross_entropy)
    optimizer = keras.optimizers.get(optimizer)
    check_kind("optimizer", optimizer, keras.optimizers.Optimizer, "a Keras optimizer, or its name")
    count = len(inputs)
    check_positive_integer("batch_size", batch_size)
    if batch_size > count:
        raise ValueError(f"`batch_size` must lie in [1, {count}]. Received: {batch_size!r}.")
    check_positive_integer("epochs", epochs)
    seed = check_seed(seed)
    start = time.perf_counter()
    xla = use_xla(model, jit_compile)
    run_epoch = compile_epoch(model, inputs, targets, optimizer, loss, batch_size, xla)
    random = np.random.default_rng(seed)
    losses = []
    with progress_bar(epochs, model.name, verbose, unit="epoch") as bar:
        for epoch in range(epochs):
            order = tf.constant(random.permutation(count), tf.int32)
            losses.append(float(run_epoch(order)))
            if not np.isfinite(losses[-1]):
                raise ValueError(
                    f"The objective of {model.name} is {losses[-1]} in epoch {epoch + 1}: the "
                    "learning rate is too large or the data is not finite."
                )
            bar.set_postfix(loss=f"{losses[-1]:.4g}")
            bar.update()
    optimizer.finalize_variable_values(model.trainable_variables)  # averages, if it keeps them
    return FittingCurve(np.array(losses), time.perf_counter() - start)


def minimize(
    model: keras.Model,
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    tolerance: float = 1e-6,
    iterations: int = 10_000,
    loss: Loss = cross_entropy,
    verbose: bool | str = "auto",
) -> FittingCurve:
    """Trains a model in place to a stationary point, by L-BFGS on all the data at once.

    For a convex objective (softmax regression with weight decay) that is the optimum, whatever
    the initial weights. The search runs in float64, because float32's rounding stops it short of
    the optimum; the model gets the weights rounded to its own dtype.

    Args:
        model: a Sequential or Functional model with one input; it runs with `training=False`.
        inputs: array `[n, ...]` that the model takes.
        targets: array `[n, ...]` that `loss` takes; for the cross-entropy integers `[n]` or
            `[n, 1]`, or one-hot rows.
        tolerance: largest component of the gradient at which the search ends.
        iterations: at most so many.
        loss: `loss(targets, outputs)` gives the mean over the data, a scalar, in float64: targets
            that are floats, and outputs, are given in float64, and losses of Keras compute in it.
        verbose: True or False for the progress bar, or "auto": when stderr is a terminal.

    Returns:
        The course of the objective, with the norm of the gradient that was reached.

    Raises:
        TypeError: not a Keras model or a function, or data that is no array of numbers.
        ValueError: as `fit`; a tolerance or a number of iterations out of range, or a model without
            a graph of layers; a loss that gives less than float64. The weights are as before.
        RuntimeError: when the search ends with the gradient above the tolerance. The model holds
            the weights that it reached.

    Example:

        model = itf.models.fc10(weight_decay=1e-2)
        print(itf.training.minimize(model, *itf.datasets.mnist_sample(), tolerance=1e-4))
    """
    inputs, targets = check_data(model, inputs, targets, loss, loss is cross_entropy)
    check_positive("tolerance", tolerance)
    check_positive_integer("iterations", iterations)
    precise = float64_copy(model)
    weights = [variable.value for variable in precise.trainable_variables]
    inputs, targets, loss = (
        tf.cast(inputs, tf.float64),
        _floats_in_float64(targets),
        _in_float64(loss),
    )

    @tf.function(jit_compile=use_xla(model, "auto"), autograph=False)
    def value_and_gradient(inputs, targets):
        with tf.GradientTape() as tape:
            value = _objective(precise, loss, inputs, targets, training=False)
        zero = tf.UnconnectedGradients.ZERO
        gradients = tape.gradient(value, weights, unconnected_gradients=zero)
        return value, tf.concat([tf.reshape(gradient, [-1]) for gradient in gradients], 0)

    # Traced once for all; TensorFlow would warn of short searches that trace one after another.
    value_and_gradient = value_and_gradient.get_concrete_function(inputs, targets)

    def evaluate(point):
        _assign(weights, point)
        value, gradient = value_and_gradient(inputs, targets)
        if not np.isfinite(value):
            raise ValueError(f"The objective of {model.name} is {float(value)}.")
        return float(value), gradient.numpy()

    start = time.perf_counter()
    losses: list[float] = []
    with (
        progress_bar(iterations, model.name, verbose, unit="iteration") as bar,
        threadpool_limits(1, "blas"),  # several threads slow SciPy's small steps down
    ):

        def after_iteration(intermediate_result):
            losses.append(intermediate_result.fun)
            bar.set_postfix(loss=f"{losses[-1]:.6g}")
            bar.update()

        result = scipy.optimize.minimize(
            evaluate,
            np.concatenate([np.ravel(w) for w in weights]),
            jac=True,
            method="L-BFGS-B",
            callback=after_iteration,
            options={
                "maxcor": 30,
                "maxiter": iterations,
                "maxfun": 2 * iterations,
                "ftol": 0.0,
                "gtol": tolerance,
            },
        )
    _assign(weights, result.x)
    model.set_weights(precise.get_weights())
    gradient_norm = float(np.abs(result.jac).max())
    if gradient_norm > tolerance:
        raise RuntimeError(
            f"L-BFGS on {model.name} ended after {result.nit} iterations with a gradient of "
            f"{gradient_norm:.3g}, above the tolerance {tolerance:.3g}: {result.message}"
        )
    losses = losses or [float(result.fun)]  # it started where the gradient vanishes
    return FittingCurve(np.array(losses), time.perf_counter() - start, gradient_norm)


minimise = renamed_function("minimise", minimize)


def compile_epoch(
    model: keras.Model,
    inputs: tf.Tensor,
    targets: tf.Tensor,
    optimizer: keras.optimizers.Optimizer,
    loss: Loss,
    batch_size: int,
    jit_compile: bool,
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the function that trains over the data in a given order.

    Args:
        model, optimizer, loss, batch_size, jit_compile: as in `fit`.
        inputs, targets: the data as tensors, which stay on their device.

    Returns:
        A function from the order, int32 `[n]`, to the mean of the objective, a scalar.
    """
    variables = model.trainable_variables
    optimizer.build(variables)

    def train_step(inputs, targets):
        with tf.GradientTape() as tape:
            value = _objective(model, loss, inputs, targets, training=True)
            scaled = optimizer.scale_loss(value)
        optimizer.apply(tape.gradient(scaled, [v.value for v in variables]), variables)
        return value

    # AutoGraph would warn of what it cannot convert, and lengthen every error.
    @tf.function(jit_compile=jit_compile, autograph=False)
    def run_epoch(inputs, targets, order):
        batches = order.shape[0] // batch_size

        def step(i, total):
            batch = tf.slice(order, [i * batch_size], [batch_size])
            value = train_step(tf.gather(inputs, batch), tf.gather(targets, batch))
            return i + 1, total + tf.cast(value, total.dtype)

        # Half precision would lose the later batches beside the sum of the earlier ones.
        dtype = "float64" if model.variable_dtype == "float64" else "float32"
        start = (0, tf.zeros((), dtype))
        _, total = tf.while_loop(lambda i, _: i < batches, step, start)
        return total / batches

    order = tf.TensorSpec([len(inputs)], tf.int32)
    run_epoch = run_epoch.get_concrete_function(inputs, targets, order)
    return lambda order: run_epoch(inputs, targets, order)


def _floats_in_float64(tensor: tf.Tensor) -> tf.Tensor:
    return tf.cast(tensor, tf.float64) if tensor.dtype.is_floating else tensor


def _in_float64(loss: Loss) -> Loss:
    """Returns a loss that gives float64, those of Keras computed in it, or raises in its call."""
    if loss is cross_entropy:
        return loss
    if isinstance(loss, keras.losses.Loss) and type(loss).__module__.startswith("keras."):
        # What else a loss of the user's is made of, its configuration may not say.
        loss = type(loss).from_config(loss.get_config() | {"dtype": "float64"})

    def in_float64(targets: tf.Tensor, outputs: Any) -> tf.Tensor:
        value = tf.convert_to_tensor(loss(targets, outputs))
        if value.dtype != tf.float64:
            raise ValueError(
                "`loss` must give float64, which the search needs: compute in the dtype of the "
                'outputs, or give a loss of your own `dtype="float64"`. Received: a loss that '
                f"gives {value.dtype.name}."
            )
        return value

    return in_float64


def _objective(model, loss: Loss, inputs, targets, training: bool) -> tf.Tensor:
    outputs = model(inputs, training=training)
    if loss is cross_entropy:
        outputs = Classifier(model).logits_of(inputs, outputs)
    value = tf.convert_to_tensor(loss(targets, outputs))
    if value.shape.rank != 0:
        raise ValueError(
            "`loss` must give one number, the mean over a batch. Received: a tensor of shape "
            f"{value.shape}."
        )
    return tf.add_n(in_one_dtype([value, *model.losses]))


def _assign(weights, point: np.ndarray) -> None:
    ends = np.cumsum([np.prod(w.shape, dtype=int) for w in weights])
    for w, part in zip(weights, np.split(point, ends[:-1]), strict=True):
        w.assign(part.reshape(w.shape))


def use_xla(model: keras.Model, jit_compile: bool | str = "auto") -> bool:
    """Whether to train with XLA: as said, or by the rule for "auto" that `fit` states."""
    check_choice("jit_compile", jit_compile, (True, False, "auto"))
    if isinstance(jit_compile, bool):
        return jit_compile
    if not all(layer.supports_jit for layer in layers_in(model)):
        return False
    if tf.config.list_logical_devices("GPU"):
        return True
    return not any("Conv" in type(layer).__name__ for layer in layers_in(model))
