"""`LBFGSAdversary`: images in, minimal adversarial examples out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import intriguing_tf
from intriguing_tf.adversary import inputs
from intriguing_tf.adversary.batching import batch_size
from intriguing_tf.adversary.bounds import default_bounds, make_box
from intriguing_tf.adversary.compiled import CompiledSolver
from intriguing_tf.adversary.losses import Loss, find_loss
from intriguing_tf.adversary.problem import Problem
from intriguing_tf.adversary.result import AdversarialResult
from intriguing_tf.adversary.scipy_solver import SciPySolver
from intriguing_tf.adversary.search import Search
from intriguing_tf.adversary.settings import AttackSettings, SearchConstants
from intriguing_tf.adversary.solver import Solver
from intriguing_tf.adversary.stopping import AttackInterrupted, Stopping
from intriguing_tf.adversary.targets import class_array
from intriguing_tf.adversary.task import confirm, make_task
from intriguing_tf.aliases import RenamedAttribute
from intriguing_tf.checks import check_positive, check_seed
from intriguing_tf.classifier import Classifier
from intriguing_tf.keras_graph import find_layer
from intriguing_tf.progress import progress_bar

_SOLVERS: dict[str, type[Solver]] = {"compiled": CompiledSolver, "scipy": SciPySolver}
_SETTINGS = {field.name for field in dataclasses.fields(AttackSettings)}


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
        bounds: (lower, upper) of the variables, floats or arrays that broadcast to an image, or to
            all images of a call; may be infinite, or equal, which holds a variable. Default: (0, 1)
            for images; at a layer, the range of its activation function.
        loss: "margin", the soft maximum of the other logits minus the target's, which leads to the
            minimum itself, or "cross_entropy", the paper's, which ends slightly farther away; or
            an object of a subclass of `Loss`.
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
        starts: starting points of each image and target: the end of a noisy descent where noise
            leaves the gradient much as it is, the image itself, then other noisy descents. With
            "nearest", `enough`, cross-entropy, "scipy", or `maxfun` below 50 the image itself comes
            first. The nearest point of all is kept. Each takes up to `maxfun` evaluations, the
            descent's included; where the first leads nowhere, three others are tried in any case.
            Where little of the gradient is left on the way, as on photographs, one search has the
            evaluations of all.
        confidence: how far the target's logit must lie above every other, at least 0. Of
            probabilities (`outputs`) it is their logarithms that count.
        levels: how many values a pixel of the result may have, from its lower to its upper bound:
            256 for images that survive a file of 8 bits. Success means success there, if values
            that a mask or equal bounds hold are such levels. Takes up to 16 evaluations more, and
            needs finite bounds.
        outputs: what the model returns: "logits", "probabilities" (of which the logarithms are
            attacked), or "auto": what enters its softmax or sigmoid if its graph ends in one (twice
            that for the tanhs of several units), the logarithms if it averages softmaxes (an
            ensemble), else its outputs are the logits.
        constants: of the compiled search, for experiments with the method.

    Attributes:
        classifier: the model, or its part above `layer`, as a map to logits.
        settings: an `AttackSettings`. It cannot change, and neither can the adversary, so that what
            a result records is what ran. Its fields are attributes of the adversary, too; `loss`
            is its name there.

    Raises:
        TypeError, ValueError: a model or setting that is not as above.
        AttributeError: an attribute is set after construction.

    Example:

        adversary = LBFGSAdversary(model)
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
        loss: Loss | str = "margin",
        solver: str = "compiled",
        maxcor: int = 5,
        maxfun: int = 100,
        xtol: float = 1e-3,
        jit_compile: bool | str = "auto",
        memory: int = 2**30,
        starts: int = 1,
        confidence: float = 0.0,
        levels: int | None = None,
        outputs: str = "auto",
        constants: SearchConstants = SearchConstants(),  # noqa: B008 (frozen)
    ):
        classifier = Classifier(model, layer, outputs)
        settings = AttackSettings(
            layer=None if layer is None else find_layer(model, layer).name,
            bounds=default_bounds(model, layer, bounds),
            dtype=classifier.dtype.name,
            loss=find_loss(loss),
            solver=solver,
            maxcor=maxcor,
            maxfun=maxfun,
            xtol=xtol,
            jit_compile=jit_compile,
            memory=memory,
            starts=starts,
            confidence=confidence,
            levels=levels,
            outputs=outputs,
            constants=constants,
        )
        vars(self).update(classifier=classifier, settings=settings, _solvers={})

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            "An adversary cannot change, so that what a result records is what ran. Make another "
            f"one: LBFGSAdversary(model, {name}=...). Received: {name!r} set to {value!r}."
        )

    def __getattr__(self, name: str) -> Any:
        """Reads a setting."""
        if name not in _SETTINGS:
            raise AttributeError(f"An LBFGSAdversary has no attribute {name!r}.")
        value = getattr(self.settings, name)
        return str(value) if isinstance(value, Loss) else value

    def __call__(
        self,
        images: Any,
        labels: Any = None,
        targets: Any = "random",
        mask: Any = None,
        enough: float | None = None,
        time_limit: float | None = None,
        seed: int = 0,
        verbose: bool | str = "auto",
    ) -> AdversarialResult:
        """Finds an adversarial example for each image.

        Args:
            images: floating array or tensor [n, ...] within the bounds, n > 0, or a finite
                `tf.data.Dataset` of images or of pairs (images, labels). What rounding led out of
                the bounds is clipped.
            labels: the true classes, integers [n] or [n, 1], one class for all, or one-hot rows.
                Without labels the model's own predictions stand for them.
            targets: classes in a form that labels may have, or "random" (uniform over the classes
                besides the label); "least_likely"; "nearest" (whichever class is nearest, up to
                the classes that a linear estimate puts at 1.5 times the least distance or more;
                it fails only once every class was tried). Given classes, every image that is not
                yet classified as its target is attacked; otherwise images that are misclassified
                as they are come back unchanged.
            mask: booleans that broadcast to the images; where false, the pixel is held.
            enough: l2 at which the search for an image ends.
            time_limit: seconds after which the best found so far comes back.
            seed: of random targets and of noise.
            verbose: show a progress bar; "auto": if the standard error is a terminal.

        Returns:
            An `AdversarialResult`. Every success was checked by a fresh forward pass, and every
            image lies within the bounds.

        Raises:
            TypeError, ValueError: inputs that are not as above.
            AttackInterrupted: a `KeyboardInterrupt`, on Ctrl-C; its `result` has what was found.
        """
        started = time.perf_counter()
        enough = 0.0 if enough is None else check_positive("enough", enough)
        limit = None if time_limit is None else check_positive("time_limit", time_limit)
        task = make_task(
            self.classifier, self.settings, images, labels, targets, mask, check_seed(seed)
        )
        solver = self._solver(task.images.shape[1:])
        with progress_bar(len(task.rows), "adversary", verbose) as bar, Stopping(limit) as stop:
            search = Search(solver, self.settings, task, enough, int(seed), stop, bar)
            aimed_at, found = search.run()
            chosen = task.logits.argmax(axis=1) if task.targets is None else task.targets.copy()
            chosen[task.rows] = aimed_at
            if isinstance(targets, str):
                chosen = np.where(task.already, task.predictions, chosen)
            arrays = confirm(self.classifier, self.settings, task, chosen.astype(np.int64), found)
        asked = {"enough": enough or None, "time_limit": limit, "masked": mask is not None}
        record = self._record(solver, targets, seed, asked, stop.reason, started)
        result = AdversarialResult(
            **arrays,
            settings=record,
            classifier=self.classifier,
            bounds=self.bounds,
            mask=None if mask is None else np.asarray(mask),
        )
        if stop.reason == "interrupted":
            raise AttackInterrupted(result)
        return result

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
        logits = inputs.check_logits(self.classifier.predict_logits(images), self.classifier)
        targets = class_array("targets", targets, *logits.shape)
        weights = inputs.check_weights(c, len(images))
        solver, box = self._solver(images.shape[1:]), make_box(self.bounds, images)
        flat = images.reshape(len(images), -1)
        x, _ = solver.minimize(flat, targets, box.lower, box.upper, weights)
        return box.clip(np.asarray(x)).reshape(images.shape)

    minimise = RenamedAttribute("minimize")

    def _solver(self, shape: tuple[int, ...]) -> Solver:
        known = self._solvers.get(shape)
        if known is None or known.problem.graph is not self.classifier.graph(shape):
            problem = Problem(self.classifier, shape, self.settings.confidence)
            self._solvers[shape] = _SOLVERS[self.settings.solver](problem, self.settings)
        return self._solvers[shape]

    def batch_size(self, shape: Sequence[int]) -> int:
        """Returns how many images of this shape go into a batch, for the memory allowed."""
        return batch_size(self._solver(tuple(shape)).problem, self.settings)

    def _record(
        self,
        solver: Solver,
        targets: Any,
        seed: int,
        asked: dict[str, Any],
        stopped: str | None,
        started: float,
    ) -> dict[str, Any]:
        """The settings of a result."""
        return {
            "attack": "L-BFGS",
            **self.settings.to_json(),
            "targets": targets if isinstance(targets, str) else "given",
            "seed": int(seed),
            **{name: value for name, value in asked.items() if value},
            **({"stopped": stopped} if stopped else {}),
            "jit_compile": solver.jit_compile,
            "model": self.classifier.model.name,
            "seconds": time.perf_counter() - started,
            "versions": {
                "intriguing_tf": intriguing_tf.__version__,
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "numpy": np.__version__,
            },
        }
