"""`LBFGSAdversary`: images in, minimal adversarial examples out."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import intriguing_tf
from intriguing_tf.adversary import inputs
from intriguing_tf.adversary.batching import batch_size
from intriguing_tf.adversary.compiled import CompiledSolver
from intriguing_tf.adversary.losses import Loss, find_loss
from intriguing_tf.adversary.problem import Problem
from intriguing_tf.adversary.result import AdversarialResult
from intriguing_tf.adversary.scipy_solver import SciPySolver
from intriguing_tf.adversary.search import Search
from intriguing_tf.adversary.settings import AttackSettings, SearchConstants
from intriguing_tf.adversary.solver import SearchResult, Solver
from intriguing_tf.adversary.targets import choose_targets, class_array
from intriguing_tf.aliases import RenamedAttribute
from intriguing_tf.classifier import Classifier
from intriguing_tf.keras_graph import find_layer
from intriguing_tf.progress import progress_bar

_SOLVERS: dict[str, type[Solver]] = {"compiled": CompiledSolver, "scipy": SciPySolver}


class LBFGSAdversary:
    """The paper's attack: the least r for which the network classifies x + r as the target.

    For each image it minimizes c |r|^2 + loss(x + r, target) subject to x + r staying in the
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

        constants: of the compiled search, for experiments with the method.

    Attributes:
        classifier: the model, or its part above `layer`, as a map to logits.
        settings: an `AttackSettings`. It cannot change, and neither can the adversary, so that what
            a result records is what ran. `bounds`, `loss`, `solver`, `maxcor`, `maxfun`, `xtol`,
            `jit_compile` and `memory` are there too.

    Raises:
        TypeError, ValueError: a model or setting that is not as above.
        AttributeError: an attribute is set after construction.

    Example:

        adversary = LBFGSAdversary(model, loss="margin")
        result = adversary(images, labels)
        print(result)
        result.save("adversarial")
    """

    classifier: Classifier
    settings: AttackSettings
    _solvers: dict[tuple[int, ...], Solver]  # by shape of an image

    def __init__(
        self,
        model: keras.Model,
        *,
        layer: keras.layers.Layer | str | None = None,
        bounds: tuple[Any, Any] | None = None,
        loss: Loss | str = "cross_entropy",
        solver: str = "compiled",
        maxcor: int = 5,
        maxfun: int = 100,
        xtol: float = 1e-3,
        jit_compile: bool | str = "auto",
        memory: int = 2**30,
        constants: SearchConstants = SearchConstants(),  # noqa: B008 (frozen)
    ):
        classifier = Classifier(model, layer)
        settings = AttackSettings(
            layer=None if layer is None else find_layer(model, layer).name,
            bounds=inputs.default_bounds(model, layer, bounds),
            dtype=classifier.dtype.name,
            loss=find_loss(loss),
            solver=solver,
            maxcor=maxcor,
            maxfun=maxfun,
            xtol=xtol,
            jit_compile=jit_compile,
            memory=memory,
            constants=constants,
        )
        vars(self).update(classifier=classifier, settings=settings, _solvers={})

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            "An adversary cannot change, so that what a result records is what ran. Make another "
            f"one: LBFGSAdversary(model, {name}=...). Received: {name!r} set to {value!r}."
        )

    bounds = property(lambda self: self.settings.bounds)
    loss = property(lambda self: str(self.settings.loss))
    solver = property(lambda self: self.settings.solver)
    maxcor = property(lambda self: self.settings.maxcor)
    maxfun = property(lambda self: self.settings.maxfun)
    xtol = property(lambda self: self.settings.xtol)
    jit_compile = property(lambda self: self.settings.jit_compile)
    memory = property(lambda self: self.settings.memory)

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
            labels: integers [n], the true classes. Images that the model misclassifies already
                come back unchanged. Without labels its own predictions stand for them.
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
        with progress_bar(len(rows), "adversary", verbose) as bar:
            solver, (lower, upper) = self._solver(images.shape[1:]), self._box(images)
            search = Search(solver, self.settings, lower, upper, bar)
            x = images.reshape(n, -1)[rows]
            if chosen is None:
                chosen = logits.argmax(axis=1)
                chosen[rows], found = search.nearest(x, logits[rows])
            else:
                found = search(x, chosen[rows], logits[rows])
        if isinstance(targets, str):
            chosen = np.where(already, predictions, chosen)
        results = self._results(images, predictions, chosen.astype(np.int64), already, rows, found)
        record = self._record(images, targets, seed, time.perf_counter() - started)
        return AdversarialResult(**results, settings=record, classifier=self.classifier)

    def minimize(self, images: Any, targets: Any, c: Any) -> np.ndarray:
        """Returns the minimizers of c |r|^2 + loss(x + r, target) in the box, for given c.

        The paper's problem without the search over c, for looking at how the minimizer depends
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
        x, _ = solver.minimize(flat, targets, low, high, weights)
        return np.clip(np.asarray(x), lower, upper).astype(images.dtype).reshape(images.shape)

    minimise = RenamedAttribute("minimize")

    def _box(self, images: np.ndarray) -> list[np.ndarray]:
        """The bounds of one image as flat arrays in the images' dtype."""
        return [np.broadcast_to(b, images.shape[1:]).reshape(-1) for b in self.bounds]

    def _solver(self, shape: tuple[int, ...]) -> Solver:
        if shape not in self._solvers:
            problem = Problem(self.classifier, shape)
            self._solvers[shape] = _SOLVERS[self.settings.solver](problem, self.settings)
        return self._solvers[shape]

    def batch_size(self, shape: Sequence[int]) -> int:
        """Returns how many images of this shape go into a batch, for the memory allowed."""
        return batch_size(self._solver(tuple(shape)).problem, self.settings)

    def _results(
        self,
        images: np.ndarray,
        predictions: np.ndarray,
        targets: np.ndarray,
        already: np.ndarray,
        rows: np.ndarray,
        search: SearchResult,
    ) -> dict[str, np.ndarray]:
        """The arrays of a result: what was found for some rows and a forward pass confirms."""
        n = len(images)
        points = images.reshape(n, -1).copy()
        points[rows] = search.x
        after = self.classifier.predict(points.reshape(images.shape))
        found = np.zeros(n, bool)
        found[rows] = search.found
        found &= after == targets
        points[~found] = images.reshape(n, -1)[~found]
        c = np.full(n, np.nan)
        c[rows] = search.c
        nfev = np.full(n, 1, np.int64)
        nfev[rows] += search.nfev
        status = np.full(n, "failed", dtype="<U7")
        status[already] = "already"
        status[found] = "found"
        change = points - images.reshape(n, -1)
        lower, upper = self._box(images)
        width = upper.astype(np.float64) - lower
        scaled = change / np.where(np.isfinite(width), width, 1.0)
        return {
            "images": points.reshape(images.shape),
            "originals": images,
            "targets": targets,
            "predictions": np.where(found, after, predictions),
            "original_predictions": predictions,
            "status": status,
            "distortion": _norms(scaled, status) / math.sqrt(change.shape[1]),
            "l2": _norms(change, status),
            "c": np.where(found, c, np.nan),
            "nfev": nfev,
        }

    def _record(
        self, images: np.ndarray, targets: Any, seed: int, seconds: float
    ) -> dict[str, Any]:
        return {
            "attack": "L-BFGS",
            **self.settings.to_json(),
            "targets": targets if isinstance(targets, str) else "given",
            "seed": int(seed),
            "jit_compile": self._solver(images.shape[1:]).jit_compile,
            "model": self.classifier.model.name,
            "seconds": seconds,
            "versions": {
                "intriguing_tf": intriguing_tf.__version__,
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "numpy": np.__version__,
            },
        }


def _norms(change: np.ndarray, status: np.ndarray) -> np.ndarray:
    norms = np.sqrt((change.astype(np.float64) ** 2).sum(axis=1))
    return np.where(status == "failed", np.inf, norms)
