"""`LBFGSAdversary`: images in, minimal adversarial examples out."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm.auto import tqdm

import intriguing_tf
from intriguing_tf.adversary import inputs
from intriguing_tf.adversary.compiled import CompiledSolver, SearchResult
from intriguing_tf.adversary.problem import LOSSES, Problem
from intriguing_tf.adversary.result import AdversarialResult
from intriguing_tf.adversary.scipy_solver import SciPySolver
from intriguing_tf.adversary.segment import shorten
from intriguing_tf.adversary.targets import choose_targets, class_array
from intriguing_tf.checks import check_choice, check_positive_integer
from intriguing_tf.classifier import Classifier

SOLVERS = ("compiled", "scipy")
_LARGEST_BATCH = 1024
_CANDIDATES = 9  # classes that "nearest" looks at: the likeliest besides the image's own
_SCREEN = 1.5  # ... of these only classes whose linearised distance is this near to the least


class LBFGSAdversary:
    """The paper's attack: the least change r for which the network reads x + r as the target.

    For each image it minimises c |r|^2 + loss(x + r, target) subject to x + r staying in the
    bounds, for the largest c that still succeeds (section 4.1; |r|^2 because |r| has no derivative
    where the search starts).

    Args:
        model: a `keras.Model` with one input and one output: logits, softmax, or one sigmoid or
            logit unit (two classes). It runs with `training=False`. Any input shape.
        layer: a layer or its name: attack the sub-network above it. Images are then activations
            of that layer.
        bounds: (lower, upper) of the variables, floats or arrays that broadcast to an image; may
            be infinite. Default: (0, 1) for images; at a layer, the range of its activation
            function.
        loss: "cross_entropy", the paper's, or "margin", the soft maximum of the other logits
            minus the target's, which comes closer to the minimum.
        solver: "compiled", a batched L-BFGS in TensorFlow that chooses c at every step, or
            "scipy", the reference: SciPy's L-BFGS-B for one c after another.
        maxcor: curvature pairs of L-BFGS.
        maxfun: most gradient evaluations of each image in the compiled search; with "scipy", of
            each image for each c.
        xtol: the compiled search ends when steps get shorter than this share of |r|.
        jit_compile: True, False, or "auto": XLA on a GPU; on a CPU for grouped convolutions only.
            XLA takes seconds to compile and then is a quarter faster on networks without
            convolutions: True pays from some twenty thousand images on.
        memory: bytes that a batch may take; images beyond that wait for the next batch.

    Raises:
        TypeError, ValueError: a model or setting that is not as above.

    Example:

        adversary = LBFGSAdversary(model, loss="margin")
        result = adversary(images, labels)
        print(result)
        result.save("adversarial")
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        layer: keras.layers.Layer | str | None = None,
        bounds: tuple[Any, Any] | None = None,
        loss: str = "cross_entropy",
        solver: str = "compiled",
        maxcor: int = 5,
        maxfun: int = 100,
        xtol: float = 1e-3,
        jit_compile: bool | str = "auto",
        memory: int = 2**30,
    ):
        check_choice("loss", loss, LOSSES)
        check_choice("solver", solver, SOLVERS)
        check_choice("jit_compile", jit_compile, (True, False, "auto"))
        for name, value in (("maxcor", maxcor), ("maxfun", maxfun), ("memory", memory)):
            check_positive_integer(name, value)
        if not 0 < xtol < 1:
            raise ValueError(f"`xtol` must lie between 0 and 1. Received: {xtol!r}.")
        self.classifier = Classifier(model, layer)
        checked = inputs.check_bounds(inputs.default_bounds(model, layer, bounds))
        dtype = self.classifier.dtype.as_numpy_dtype
        self.bounds = (checked[0].astype(dtype), checked[1].astype(dtype))
        self.loss, self.solver = loss, solver
        self.maxcor, self.maxfun, self.xtol = maxcor, maxfun, xtol
        self.jit_compile, self.memory = jit_compile, memory
        self._solvers: dict[tuple[int, ...], CompiledSolver | SciPySolver] = {}

    def __call__(
        self,
        images: Any,
        labels: Any = None,
        targets: Any = "random",
        seed: int = 0,
        verbose: bool | str = "auto",
    ) -> AdversarialResult:
        """Finds an adversarial example for each image.

        Args:
            images: floating array or tensor [n, ...] within the bounds, n > 0.
            labels: integers [n], the true classes. Images that the model misreads already come
                back unchanged. Without labels the model's own predictions stand for them.
            targets: integers [n]; "random" (uniform over the classes besides the label);
                "least_likely"; "nearest" (whichever class is nearest, up to the classes that a
                linear estimate puts at 1.5 times the least distance or more).
            seed: of random targets.
            verbose: show a progress bar; "auto": if the standard error is a terminal.

        Returns:
            An `AdversarialResult`. Every success was checked by a fresh forward pass, and every
            image lies within the bounds.

        Raises:
            TypeError, ValueError: inputs that are not as above.
        """
        started = time.perf_counter()
        images = inputs.check_images(images, self.classifier, self.bounds)
        logits = inputs.check_logits(self.classifier.predict_logits(images))
        n, classes = logits.shape
        finite = np.isfinite(logits).all(axis=1)
        predictions = np.where(finite, logits.argmax(axis=1), -1).astype(np.int64)
        truth = predictions if labels is None else class_array("labels", labels, n, classes)
        chosen = choose_targets(targets, logits, np.maximum(truth, 0), seed)
        already = finite & (predictions != truth)
        if chosen is not None:
            already |= finite & (predictions == chosen)

        rows = np.flatnonzero(finite & ~already)
        solver = self._solver(images.shape[1:])
        flat = images.reshape(n, -1)
        lower, upper = self._box(images)
        with self._progress(len(rows), verbose) as bar:
            if chosen is None:
                chosen, search = self._nearest(solver, flat, logits, rows, lower, upper, bar)
            else:
                search = self._search(
                    solver, flat[rows], chosen[rows], logits[rows], lower, upper, bar
                )
        adversarial = flat.copy()
        adversarial[rows] = search.x
        nfev = np.full(n, 1, np.int64)
        nfev[rows] += search.nfev
        c = np.full(n, np.nan)
        c[rows] = np.where(search.found, search.c, np.nan)

        status = np.full(n, "failed", dtype="<U7")
        status[already] = "already"
        after = self.classifier.predict(adversarial.reshape(images.shape))
        verified = np.zeros(n, bool)
        verified[rows] = search.found
        verified &= after == chosen
        status[verified] = "found"
        adversarial[~verified] = flat[~verified]
        c[~verified] = np.nan
        after = np.where(verified, after, predictions)
        chosen = np.where(already, predictions, chosen) if isinstance(targets, str) else chosen
        return AdversarialResult(
            images=adversarial.reshape(images.shape),
            originals=images,
            targets=chosen.astype(np.int64),
            predictions=after.astype(np.int64),
            original_predictions=predictions,
            status=status,
            distortion=self._distortion(adversarial - flat, status, lower, upper),
            l2=_sizes((adversarial - flat).astype(np.float64), status),
            c=c,
            nfev=nfev,
            settings=self._settings(targets, seed, solver, time.perf_counter() - started),
        )

    def minimise(self, images: Any, targets: Any, c: Any) -> np.ndarray:
        """Returns the minimisers of c |r|^2 + loss(x + r, target) in the box, for given c.

        The paper's problem without the search over c, for looking at how the minimiser depends
        on c.

        Args:
            images: floating [n, ...] within the bounds.
            targets: integers [n].
            c: positive float, or [n].

        Returns:
            The points x + r, an array like `images`.

        Raises:
            TypeError, ValueError: inputs that are not as above.
        """
        images = inputs.check_images(images, self.classifier, self.bounds)
        logits = inputs.check_logits(self.classifier.predict_logits(images))
        targets = class_array("targets", targets, *logits.shape)
        weights = inputs.check_weights(c, len(images))
        solver = self._solver(images.shape[1:])
        flat = images.reshape(len(images), -1)
        lower, upper = self._box(images)
        low, high = (np.broadcast_to(bound, flat.shape) for bound in (lower, upper))
        x, _ = solver.minimise(flat, targets, low, high, weights)
        return np.clip(np.asarray(x), lower, upper).astype(images.dtype).reshape(images.shape)

    def _box(self, images: np.ndarray) -> list[np.ndarray]:
        """The bounds of one image as flat arrays in the images' dtype."""
        return [np.broadcast_to(b, images.shape[1:]).reshape(-1) for b in self.bounds]

    def _solver(self, shape: tuple[int, ...]) -> CompiledSolver | SciPySolver:
        if shape not in self._solvers:
            problem = Problem(self.classifier, shape)
            jit_compile = problem.jit_compile(self.jit_compile)
            if self.solver == "scipy":
                self._solvers[shape] = SciPySolver(
                    problem, loss=self.loss, maxcor=self.maxcor, maxfun=self.maxfun,
                    jit_compile=jit_compile,
                )  # fmt: skip
            else:
                self._solvers[shape] = CompiledSolver(
                    problem, loss=self.loss, maxcor=self.maxcor, maxfun=self.maxfun,
                    xtol=self.xtol, jit_compile=jit_compile,
                )  # fmt: skip
        return self._solvers[shape]

    def batch_size(self, shape: Sequence[int]) -> int:
        """Returns how many images of this shape go into a batch, for the memory allowed."""
        problem = self._solver(tuple(shape)).problem
        history = 6 * self.maxcor + 24  # vectors of an image's size that the search keeps or makes
        per_row = history * problem.size * problem.dtype.size + problem.bytes_per_row()
        return max(1, min(_LARGEST_BATCH, self.memory // per_row))

    def _search(self, solver, x, targets, logits, lower, upper, bar) -> SearchResult:
        """Searches in batches and brings what was found to the boundary."""
        size = self.batch_size(solver.problem.shape)
        parts = []
        for start in range(0, len(x), size):
            batch = slice(start, start + size)
            parts.append(self._batch(solver, x[batch], targets[batch], logits[batch], lower, upper))
            bar.update(len(x[batch]))
        if not parts:
            return SearchResult(x, np.zeros(0, bool), np.zeros(0), np.zeros(0, np.int64))
        return SearchResult(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    def _batch(self, solver, x, targets, logits, lower, upper) -> SearchResult:
        n = len(x)
        padded = _padded(n) if solver.jit_compile else n
        fill = np.minimum(np.arange(padded), n - 1)
        low, high = (np.broadcast_to(bound, x[fill].shape) for bound in (lower, upper))
        search = solver.search(x[fill], targets[fill], low, high, logits[fill])
        best, found, c, nfev = (np.asarray(value)[:n] for value in search)
        best = np.clip(best, lower, upper).astype(x.dtype)
        gap = np.max(np.where(_is(targets, logits), -np.inf, logits), axis=1)
        gap = gap - logits[np.arange(n), targets]
        margin = Margins(solver.problem, targets)
        near = shorten(margin, x, best, gap, solver.problem.clearance(logits), lower, upper)
        return SearchResult(
            np.where(found[:, None], near, x), found, c, nfev.astype(np.int64) + margin.calls
        )

    def _nearest(self, solver, flat, logits, rows, lower, upper, bar):
        """Searches every class that can win, and takes the nearest found."""
        classes = logits.shape[1]
        own = logits[rows].argmax(axis=1)
        others = np.argsort(np.where(_is(own, logits[rows]), np.inf, -logits[rows]), axis=1)
        others = others[:, : min(_CANDIDATES, classes - 1)]
        estimates = np.full(others.shape, np.inf)
        for j in range(others.shape[1]):
            estimates[:, j] = self._linear_distance(solver, flat[rows], others[:, j], lower, upper)
        kept = estimates <= _SCREEN * estimates.min(axis=1, keepdims=True)
        kept[:, 0] |= ~kept.any(axis=1)
        which, k = np.nonzero(kept)
        bar.reset(total=len(which))
        targets = others[which, k]
        search = self._search(
            solver, flat[rows][which], targets, logits[rows][which], lower, upper, bar
        )
        square = ((search.x - flat[rows][which]).astype(np.float64) ** 2).sum(axis=1)
        order = np.lexsort((np.where(search.found, square, np.inf), which))
        first = order[np.searchsorted(which[order], np.arange(len(rows)))]
        nfev = np.bincount(which, search.nfev, len(rows)).astype(np.int64) + others.shape[1]
        chosen = logits.argmax(axis=1)
        chosen[rows] = targets[first]
        return chosen, SearchResult(search.x[first], search.found[first], search.c[first], nfev)

    def _linear_distance(self, solver, x, targets, lower, upper) -> np.ndarray:
        """Distance at which the linearised margin vanishes, for variables that may move."""
        size = self.batch_size(solver.problem.shape)
        parts = []
        for start in range(0, len(x), size):
            there = solver.problem.evaluate_margin(
                x[start : start + size], targets[start : start + size]
            )
            held = ((x[start : start + size] <= lower) & (there.gradient.numpy() > 0)) | (
                (x[start : start + size] >= upper) & (there.gradient.numpy() < 0)
            )
            slope = np.linalg.norm(np.where(held, 0, there.gradient.numpy()), axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                parts.append(there.margin.numpy() / slope)
        distance = np.concatenate(parts) if parts else np.zeros(0)
        return np.where(np.isfinite(distance), distance, np.inf)

    def _distortion(self, change, status, lower, upper) -> np.ndarray:
        width = upper.astype(np.float64) - lower
        scaled = change / np.where(np.isfinite(width), width, 1.0)
        return _sizes(scaled, status) / math.sqrt(change.shape[1])

    def _progress(self, total: int, verbose: bool | str) -> tqdm:
        check_choice("verbose", verbose, (True, False, 0, 1, "auto"))
        disable = None if verbose == "auto" else not verbose  # None: unless on a terminal
        return tqdm(total=total, disable=disable, unit="image", desc="adversary", leave=False)

    def _settings(self, targets, seed, solver, seconds) -> dict[str, Any]:
        return {
            "attack": "L-BFGS",
            "solver": self.solver,
            "loss": self.loss,
            "targets": targets if isinstance(targets, str) else "given",
            "seed": int(seed),
            "maxcor": self.maxcor,
            "maxfun": self.maxfun,
            "xtol": self.xtol,
            "jit_compile": solver.jit_compile,
            "dtype": self.classifier.dtype.name,
            "bounds": [inputs.describe_bound(bound) for bound in self.bounds],
            "model": self.classifier.model.name,
            "seconds": seconds,
            "versions": {
                "intriguing_tf": intriguing_tf.__version__,
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "numpy": np.__version__,
            },
        }


class Margins:
    """Hard margins of points, by forward passes of the model as the user would run it."""

    def __init__(self, problem: Problem, targets: np.ndarray):
        self.problem, self.targets = problem, targets
        self.calls = 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.calls += 1
        logits = self.problem.classifier.predict_logits(
            x.reshape(-1, *self.problem.shape), batch_size=max(len(x), 1)
        )
        is_target = _is(self.targets, logits)
        others = np.where(is_target, -np.inf, logits).max(axis=1)
        return np.asarray(others - logits[is_target], np.float64)


def _is(classes: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Mask [n, classes] of one class in each row."""
    return np.arange(logits.shape[1]) == classes[:, None]


def _sizes(change: np.ndarray, status: np.ndarray) -> np.ndarray:
    norms = np.sqrt((np.asarray(change, np.float64) ** 2).sum(axis=1))
    return np.where(status == "failed", np.inf, norms)


def _padded(n: int) -> int:
    """The next power of four, so that XLA compiles for few batch sizes."""
    return 4 ** math.ceil(math.log(n, 4) - 1e-9)
