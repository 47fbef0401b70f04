"""Other starting points than the image itself: noisy descents towards the target, and spheres.

A network has many basins, and the nearest adversarial point is often in another one than that to
which the descent from the image leads. A few steps along gradients at randomly shifted points lead
to others.

The noise is that of a seed, the image, the target and the number of the start: it depends neither
on the batch nor on the image's place in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from intriguing_tf.adversary.problem import Problem
from intriguing_tf.adversary.segment import shorten
from intriguing_tf.adversary.settings import AttackSettings
from intriguing_tf.adversary.solver import Batch

_STEPS = 10
_MORE_STEPS = 60  # at most, without noise, to find an adversarial point where none is known
_STRIDE = 0.15  # length of a step, in distances of an adversarial point
_WIDE_STRIDE = 0.25  # of the same where no distance is known
_SHORT_STRIDE = 0.05  # of a step without noise
_NOISE = 3.0  # length of the noise, in the same
_ALIKE = 0.7  # cosine of the gradients at the image and at a noisy point, beyond which they are
_TURNED = 0.5  # the same for the end of the linear model's step, below which the gradient turned
_MANY = 10_000  # variables; with fewer, such turns are those of few units, and pairs follow them
_SHRINKS = 0.05  # by which spheres shrink or grow
_STRIDES = (1.5, 0.02)  # of the first and the last step on spheres, in their radii
_UNKNOWN = 0.2  # that distance where none is known: root mean square, as a share of the box


def first_starts(
    problem: Problem,
    batch: Batch,
    settings: AttackSettings,
    seed: int,
    stop: Callable[[], bool] = lambda: False,
) -> Batch:
    """Returns the batch with its first starts, and with the evaluations that they took.

    Three kinds, by what becomes of the gradient:
    - Where there are many variables, and little of the gradient is left at the end of the linear
      model's step, as on deep networks for photographs, curvature pairs tell nothing: it is what
      steps on spheres find with most of the budget, and the bundle follows. Other starts would
      find nothing nearer: this one has the budget of all.
    - Where noise leaves it much as it is, the end of a noisy descent (number 0), whose gradients
      tell of the pieces around. So too where nothing is known of it.
    - Else noise would lead to other places, and the image itself is the start.

    Args:
        problem: the classifier.
        batch: the searches; their `starts` are not looked at.
        settings: of the adversary.
        seed: of the call.
        stop: asked at each step; once it says so, the points come back as they are.
    """
    distance, gradient = linear_model(problem, batch)
    unknown = np.isinf(distance) | problem.classifier.clips
    gradient = np.where(unknown[:, None], 0, gradient)
    step = np.where(unknown, 0, distance)[:, None]
    starts, spent = batch.originals.copy(), np.full(len(distance), 2)
    most = int(settings.constants.bundle_after * settings.maxfun * settings.starts) - 1
    turned = np.zeros_like(unknown)
    if gradient.shape[1] >= _MANY:
        ends = starts - step * gradient / np.maximum(_norm(gradient), 1e-30)
        there = _gradient(problem, batch, ends)
        turned = ~unknown & (_cosine(gradient, there) < _TURNED)
        spent += 1
    noise = _noises(batch, np.zeros_like(batch.targets), seed, steps=1)[:, 0]
    spread = _NOISE * step / np.sqrt(gradient.shape[1])
    there = _gradient(problem, batch, starts + spread * noise)
    alike = unknown | (_cosine(gradient, there) > _ALIKE)
    rows = np.flatnonzero(turned)
    if rows.size:
        starts[rows], evaluations = on_spheres(
            problem, batch.rows(rows), distance[rows], most - 3, stop
        )
        spent[rows] += evaluations
    rows = np.flatnonzero(alike & ~turned)
    if rows.size:
        starts[rows], more = noisy_starts(
            problem, batch.rows(rows), distance[rows], np.zeros_like(rows), seed, stop
        )
        spent[rows] += more
    shares = np.where(turned, settings.starts, 1)
    return batch._replace(starts=starts, spent=spent, shares=shares)


def on_spheres(
    problem: Problem,
    batch: Batch,
    distance: np.ndarray,
    steps: int,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[np.ndarray, int]:
    """Returns the nearest adversarial points [n, size] that normalised steps find, or their last.

    Each step along the gradient ends on a sphere around the image, which is smaller than the last
    where that point was adversarial, and larger where it was not; steps shorten, so that the points
    average many gradients (DDN: Rony et al. 2019).

    Args:
        problem: the classifier.
        batch: the searches; their `starts` are not looked at.
        distance: [n] of an adversarial point that is expected.
        steps: evaluations, at most.
        stop: asked at each step.
    """
    x, scale = batch.originals, distance[:, None]
    first, last = _STRIDES
    r, nearest, least = np.zeros_like(x), x, np.full_like(scale, np.inf)
    for step in range(steps):
        there = problem.evaluate_unclipped(x + r, batch.targets)
        gradient = np.where(batch.lower < batch.upper, there.gradient.numpy(), 0)
        norm, length = _norm(gradient), _norm(r)
        slopes = np.isfinite(norm) & (norm > 0)
        succeeds = (there.margin.numpy() + batch.confidence < 0)[:, None]
        nearer = succeeds & (length < least)
        nearest, least = (
            np.where(nearer | np.isinf(least), x + r, nearest),
            np.where(nearer, length, least),
        )
        if stop():
            return nearest, step + 1
        if step:
            shrunk = (1 - _SHRINKS) * np.minimum(length, least)
            scale = np.where(succeeds, shrunk, (1 + _SHRINKS) * length)
        stride = last + (first - last) * (1 + np.cos(np.pi * step / steps)) / 2
        known = np.where(np.isfinite(least), least, scale)
        r = r - np.where(slopes, stride * known * gradient / np.where(slopes, norm, 1), 0)
        r *= scale / np.maximum(_norm(r), 1e-30)
        r = (np.clip(x + r, batch.lower, batch.upper) - x).astype(x.dtype)
    return nearest, steps


def linear_model(problem: Problem, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distances [n] at which linear models at the images succeed, and their gradients.

    Infinite where the gradient vanishes; no larger than what is taken where no distance is known.
    """
    there = problem.evaluate_unclipped(batch.originals, batch.targets)
    gradient = np.where(batch.lower < batch.upper, there.gradient.numpy(), 0)
    slope = np.linalg.norm(gradient, axis=1)
    known = np.isfinite(slope) & (slope > 0)
    distance = np.maximum(there.margin.numpy(), batch.gap) / np.where(known, slope, 1.0)
    return np.where(known, np.minimum(distance, _unknown(batch)), np.inf), gradient


def _unknown(batch: Batch) -> np.ndarray:
    """The distances [n] that are taken where none is known.

    A range that is infinite counts as 1, or as the number itself where that is larger.
    """
    with np.errstate(invalid="ignore"):
        width = batch.upper.astype(np.float64) - batch.lower
    width = np.where(np.isfinite(width), width, np.maximum(np.abs(batch.originals), 1.0))
    return _UNKNOWN * np.sqrt((width**2).sum(axis=1))


def noisy_starts(
    problem: Problem,
    batch: Batch,
    distance: np.ndarray,
    numbers: np.ndarray,
    seed: int,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns starting points [n, size], and how many evaluations they took, [n].

    Where the gradient vanishes a step goes wherever the noise points, and noise doubles. Where
    another start found nothing, steps without noise follow until a point is adversarial. What is
    adversarial already is brought to the boundary if no distance was known, or if logits are
    clipped: on such a network the gradient may vanish beyond the boundary too.

    Args:
        problem: the classifier.
        batch: the searches; their `starts` are not looked at.
        distance: [n] of an adversarial point that was found, or expected; infinite if none was.
        numbers: [n] numbers of the starts.
        seed: of the call.
        stop: asked at each step; once it says so, the points come back as they are.
    """
    x, size = batch.originals, batch.originals.shape[1]
    lower, upper = batch.lower, batch.upper
    known = np.isfinite(distance)
    scale = np.where(known, distance, _unknown(batch))[:, None]
    noises = _noises(batch, numbers, seed)
    spread, point = _NOISE * scale / np.sqrt(size), x.copy()
    for step in range(_STEPS):
        if stop():
            break
        shifted = np.clip(point + spread * noises[:, step], lower, upper).astype(x.dtype)
        gradient = problem.evaluate_unclipped(shifted, batch.targets).gradient.numpy()
        norm = np.linalg.norm(gradient, axis=1, keepdims=True)
        flat = ~(np.isfinite(norm) & (norm > 0))
        downhill = np.where(flat, shifted - point, -gradient / np.where(flat, 1.0, norm))
        stride = np.where(flat, 1.0, np.where(known, _STRIDE, _WIDE_STRIDE)[:, None] * scale)
        point = np.clip(point + stride * downhill, lower, upper).astype(x.dtype)
        spread = np.where(flat, 2 * spread, spread)
    spent = np.full(len(known), _STEPS)
    lost = np.flatnonzero(~known & (numbers > 0))  # the first start leaves others their budget
    if lost.size:
        point[lost], more = descend(problem, batch.rows(lost), point[lost], stop)
        spent[lost] += more
    beyond = ~known | problem.classifier.clips
    if not beyond.any():
        return point, spent
    near, evaluations = shorten(
        lambda points: problem.hard_margins(points, batch.targets),
        x, point, np.maximum(batch.gap - batch.confidence, 0), batch.confidence, lower, upper,
    )  # fmt: skip
    return np.where(beyond[:, None], near, point), spent + evaluations


def descend(
    problem: Problem,
    batch: Batch,
    point: np.ndarray,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns adversarial points down the gradient from some [n, size], and the evaluations [n].

    Short steps without noise, until the point is adversarial, or so many that it is hopeless.
    """
    stride = _SHORT_STRIDE * _unknown(batch)[:, None]
    spent, lost = np.zeros(len(point), np.int64), np.ones(len(point), bool)
    for _ in range(_MORE_STEPS):
        there = problem.evaluate_unclipped(point, batch.targets)
        margin, gradient = there.margin.numpy(), there.gradient.numpy()
        spent += lost
        if problem.classifier.clips:
            margin = problem.hard_margins(point, batch.targets)
            spent += lost
        lost &= margin >= 0
        if stop() or not lost.any():
            break
        norm = np.linalg.norm(gradient, axis=1, keepdims=True)
        slopes = lost[:, None] & np.isfinite(norm) & (norm > 0)
        down = np.where(slopes, stride * gradient / np.where(slopes, norm, 1.0), 0)
        point = np.clip(point - down, batch.lower, batch.upper).astype(point.dtype)
    return point, spent


def _noises(batch: Batch, numbers: np.ndarray, seed: int, steps: int = _STEPS) -> np.ndarray:
    """Standard normal float32 [n, steps, size], of each image, target and number its own."""
    rows = zip(batch.originals, batch.targets, numbers, strict=True)
    return np.stack([_noise(steps, seed, *row) for row in rows])


def _noise(steps: int, seed: int, image: np.ndarray, target: int, number: int) -> np.ndarray:
    """Standard normal float32 [steps, size]; fewer steps are the first of more."""
    content = hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()[:8]
    key = [seed, int.from_bytes(content, "big"), int(target), int(number)]
    return np.random.default_rng(key).standard_normal((steps, len(image)), np.float32)


def _gradient(problem: Problem, batch: Batch, points: np.ndarray) -> np.ndarray:
    """The gradients [n, size] of the margin at points, brought into the box."""
    points = np.clip(points, batch.lower, batch.upper).astype(batch.originals.dtype)
    return problem.evaluate_unclipped(points, batch.targets).gradient.numpy()


def _norm(rows: np.ndarray) -> np.ndarray:
    return np.linalg.norm(rows, axis=1, keepdims=True)


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cosines [n] of rows; of a zero -1."""
    with np.errstate(invalid="ignore", over="ignore"):
        norms = (_norm(a) * _norm(b))[:, 0]
        return np.where(norms > 0, (a * b).sum(axis=1) / np.where(norms > 0, norms, 1), -1.0)
