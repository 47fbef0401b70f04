"""Random classifiers, and the nearest adversarial examples that are found of their inputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import intriguing_tf as itf
from intriguing_tf.keras_graph import called_flat, float64_copy
from intriguing_tf.lipschitz.contradictions import ContradictionError
from tests.lipschitz.random_graphs import SHAPES, Builder, Trial, set_weights, why_not_run

DEEPFOOL_STEPS = 8
# Points that one round of the search along a segment tries, and its rounds.
SPLITS, ROUNDS = 24, 8
# Boxes of inputs, on which products and powers have bounds; none for half of the seeds.
DOMAINS = [None, None, (0.0, 1.0), (-1.0, 1.0)]
Array = np.ndarray
Outputs = Callable[[Any], Any]


def random_classifier(seed: int) -> tuple[Any, Array, Any]:
    """A random classifier, of images, series or tables, five inputs, and the box they lie in.

    Two of three have weights and constants of ordinary sizes: the others mostly have no radius.
    """
    rng = np.random.default_rng(seed)
    tame = bool(rng.random() < 2 / 3)
    builder = Builder(rng, str(rng.choice(["float32", "float64"])), tame)
    body = builder.model(builder.pick(SHAPES), 1, 6, nested=False)
    x = body.outputs[-1] if len(body.outputs[-1].shape) > 1 else body.inputs[0]
    dtype = builder.dtype
    classes = int(rng.integers(1, 5))
    head = builder.pick(["flat", "regrouped", "positions"])
    squash = builder.pick([None, "softmax", "sigmoid", "log_softmax"])
    squash = "sigmoid" if classes == 1 and squash else squash
    if head == "positions" and len(x.shape) == 3:
        y = layers.Flatten()(layers.Dense(classes, squash, dtype=dtype)(x))
    else:
        x = layers.Flatten()(x)
        x = x if head == "flat" else layers.Reshape((1, -1))(x)
        y = layers.Flatten()(layers.Dense(classes, squash, dtype=dtype)(x))
    moved = np.random.default_rng([seed, 1])  # of its own: what other seeds draw stays
    if squash and moved.random() < 0.2:  # what is added decides with what is squashed
        y = y + moved.normal(scale=0.3, size=y.shape[-1]).astype(dtype)
    model = keras.Model(body.inputs, y)
    set_weights(model, rng, tame)
    inputs = 10.0 ** rng.uniform(-1, 1) * rng.normal(size=(5, *model.inputs[0].shape[1:]))
    drawn = np.random.default_rng([seed, 2])
    domain = DOMAINS[int(drawn.integers(len(DOMAINS)))]
    if domain is not None:
        inputs = drawn.uniform(*domain, inputs.shape)
    return model, inputs.astype(dtype), domain


def try_classifier(seed: int, lbfgs: bool = False) -> Trial:
    """Certifies five inputs of a random classifier and looks for nearer adversarial examples.

    Args:
        seed: of the classifier.
        lbfgs: whether `itf.LBFGSAdversary` searches, too; it takes a second.
    """
    model, inputs, domain = random_classifier(seed)
    if why := why_not_run(model):
        return Trial("does not run", why=why)
    try:
        radii = itf.lipschitz.certified_radius(model, inputs, verbose=False, domain=domain)
        copy = float64_copy(model) if model.dtype == "float32" else model
    except ContradictionError as error:
        return Trial("violated", math.inf, str(error))
    except ValueError as error:
        return Trial("refused", why=str(error))
    tried = (radii > 0) & np.isfinite(radii)
    if not tried.any():
        return Trial("no radius")
    points, radii = inputs[tried].astype(np.float64), radii[tried]
    found, targets = nearest_adversarial(copy, points, domain)
    if lbfgs:
        found = np.minimum(found, nearest_by_lbfgs(copy, points, targets, domain))
    ratios = radii / found
    worst = int(np.argmax(ratios))
    if ratios[worst] > 1 + 1e-9:
        why = f"an adversarial example at {found[worst]}, radius {radii[worst]}"
        return Trial("violated", float(ratios[worst]), why)
    return Trial("held" if np.isfinite(found).any() else "not fooled", float(ratios[worst]))


def nearest_adversarial(model: Any, points: Array, domain: Any = None) -> tuple[Array, Array]:
    """The distances [n] of the points of another class that DeepFool and bisection find.

    Within the domain, in float64, by the model's outputs; infinite where none is found. And the
    class that was tried.
    """
    outputs = _two_outputs(model)
    start = points.reshape(len(points), -1)
    labels = outputs(tf.constant(points)).numpy().argmax(axis=1)
    here, found = start.copy(), np.full(len(points), np.inf)
    targets = np.zeros(len(points), int)
    for _ in range(DEEPFOOL_STEPS):
        values, rows = _values_and_rows(outputs, here.reshape(points.shape))
        steps, nearest = _to_the_nearest_boundary(values, rows, labels)
        targets = np.where(np.isinf(found), nearest, targets)
        here = here + 1.05 * np.where(np.isinf(found)[:, None], steps, 0.0)
        here = here if domain is None else np.clip(here, *domain)
        now = outputs(tf.constant(here.reshape(points.shape))).numpy().argmax(axis=1)
        fooled = (now != labels) & np.isinf(found)
        targets = np.where(fooled, now, targets)
        if fooled.any():
            nearer = along(outputs, points[fooled], here.reshape(points.shape)[fooled])
            found[fooled] = nearer
        if not np.isinf(found).any():
            break
    return found, targets


def nearest_by_lbfgs(model: Any, points: Array, targets: Array, domain: Any = None) -> Array:
    """The same by `itf.LBFGSAdversary`, and by bisection along its direction."""
    reach = 100 * float(np.abs(points).max()) + 100
    found = np.full(len(points), np.inf)
    try:
        adversary = itf.LBFGSAdversary(
            model, bounds=domain or (-reach, reach), solver="scipy", jit_compile=False
        )
        result = adversary(points, targets=targets, verbose=False)
    except ValueError as error:
        if "No gradient flows" not in str(error):
            raise
        return found  # nothing to descend: a constant
    if np.any(success := result.success & (result.l2 > 0)):
        images = np.asarray(result.images, np.float64)[success]
        found[success] = along(_two_outputs(model), points[success], images)
    return found


def along(outputs: Outputs, starts: Array, ends: Array) -> Array:
    """The distances [n] at which the class changes between two points; infinite where it does not.

    Each round cuts the segments into parts and keeps the first in which the class changes.
    """
    labels = outputs(tf.constant(starts)).numpy().argmax(axis=1)
    lengths = np.linalg.norm((ends - starts).reshape(len(starts), -1), axis=1)
    low, high = np.zeros(len(starts)), np.ones(len(starts))
    changed = outputs(tf.constant(ends)).numpy().argmax(axis=1) != labels
    for _ in range(ROUNDS):
        shares = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, SPLITS + 1)[1:]
        wide = shares.reshape(*shares.shape, *[1] * (starts.ndim - 1))
        tries = starts[:, None] + wide * (ends - starts)[:, None]
        classes = outputs(tf.constant(tries.reshape(-1, *starts.shape[1:]))).numpy().argmax(axis=1)
        other = classes.reshape(shares.shape) != labels[:, None]
        first = np.where(other.any(axis=1), other.argmax(axis=1), SPLITS - 1)
        rows = np.arange(len(starts))
        low = np.where(first > 0, shares[rows, np.maximum(first - 1, 0)], low)
        high = shares[rows, first]
    return np.where(changed, high * lengths, np.inf)


def _two_outputs(model: Any) -> Outputs:
    """The model's outputs as rows; one unit becomes two classes."""
    squashed = getattr(model.layers[-2], "activation", None) is keras.activations.sigmoid

    def outputs(x: Any) -> Any:
        y = tf.reshape(called_flat(model, [x])[0], [len(x), -1])
        middle = tf.fill([len(x), 1], tf.constant(0.5 if squashed else 0.0, y.dtype))
        return y if y.shape[1] > 1 else tf.concat([middle, y], axis=1)

    return outputs


def _values_and_rows(outputs: Outputs, points: Array) -> tuple[Array, Array]:
    """Outputs [n, classes] and their Jacobians [n, classes, numbers]."""
    classes = outputs(tf.constant(points[:1])).shape[1]
    copies = tf.constant(np.repeat(points, classes, axis=0))
    with tf.GradientTape() as tape:
        tape.watch(copies)
        values = outputs(copies)
        # Copy i of a point keeps its output i only.
        kept = tf.reduce_sum(values * np.tile(np.eye(classes), (len(points), 1)))
    rows = tape.gradient(kept, copies, unconnected_gradients="zero").numpy()
    return values.numpy()[::classes], rows.reshape(len(points), classes, -1)


def _to_the_nearest_boundary(values: Array, rows: Array, labels: Array) -> tuple[Array, Array]:
    """The shortest step [n, numbers] to another class, were the outputs linear, and that class."""
    each = np.arange(len(labels))
    gaps = values[each, labels][:, None] - values
    normals = rows - rows[each, labels][:, None]
    lengths = np.linalg.norm(normals, axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = np.where(lengths > 0, gaps / lengths, np.inf)
        distances[each, labels] = np.inf
        target = distances.argmin(axis=1)
        scale = distances[each, target] / lengths[each, target]
    steps = np.where(np.isfinite(scale), scale, 0.0)[:, None] * normals[each, target]
    return np.where(np.isfinite(steps), steps, 0.0), target
