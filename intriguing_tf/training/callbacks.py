"""Keras callbacks that watch blind spots while a model trains, in its history and TensorBoard."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.adversary import AdversarialResult, LBFGSAdversary
from intriguing_tf.adversary.inputs import check_images
from intriguing_tf.adversary.settings import check_arguments, check_distortion
from intriguing_tf.adversary.targets import KINDS, MOST, class_array
from intriguing_tf.aliases import RenamedAttribute
from intriguing_tf.checks import check_choice, check_positive, check_positive_integer, check_seed
from intriguing_tf.classifier import Classifier
from intriguing_tf.files import expanded
from intriguing_tf.lipschitz import LipschitzReport, bound, certified_radius
from intriguing_tf.reporting import adversarial_rows
from intriguing_tf.training.adversarial_model import AdversarialModel
from intriguing_tf.transfer.distortions import finite_images

_ONLY_IN_FIT = "The callback measures while `fit` runs."


class _Monitor(keras.callbacks.Callback):
    """Measures after some of the epochs and logs to a TensorBoard folder, if there is one."""

    def __init__(self, log_dir: str | os.PathLike | None, every: int):
        super().__init__()
        check_positive_integer("every", every)
        self.every = every
        self._writer = None if log_dir is None else _summary_writer(log_dir)

    @property
    def classifier(self) -> keras.Model:
        """The model in training; of an `AdversarialModel` the one inside."""
        if self.model is None:
            raise ValueError(_ONLY_IN_FIT)
        return self.model.model if isinstance(self.model, AdversarialModel) else self.model

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures if it is time; adds to the logs, so that the history has it."""
        if (epoch + 1) % self.every:
            return
        scalars = self.measure()
        if logs is not None:
            logs.update({name: value for name, value in scalars.items() if "/" not in name})
        if self._writer is not None:
            with self._writer.as_default(step=epoch):
                for name, value in scalars.items():
                    tf.summary.scalar(name, value)
                self.summarize()
            self._writer.flush()

    def measure(self) -> dict[str, float]:
        """Returns what was measured, by name; names with a slash go to TensorBoard only."""
        raise TypeError(f"{type(self).__name__} does not measure anything.")

    def summarize(self) -> None:
        """Writes what is not a number to TensorBoard."""

    summarise = RenamedAttribute("summarize")


class LipschitzMonitor(_Monitor):
    """Bounds the model's Lipschitz constant after each epoch (section 4.3).

    Adds to the logs `lipschitz`, the best rigorous bound of the network, and `lipschitz_product`,
    the product of its layers' bounds. TensorBoard gets these and each layer's bound
    (`lipschitz/<layer>`).

    Args:
        log_dir: folder for TensorBoard; by default none.
        method: "best" or "product"; as in `itf.lipschitz.bound`.
        every: epochs from one measurement to the next.

    Attributes:
        report: the last `LipschitzReport`.

    Raises:
        ValueError: `every` is not a positive integer; in `fit`: the model has weights that are
            not finite.
        NoBoundError: in `fit`: the model has a layer without a rule.
        ImportError: `log_dir` is given, but TensorBoard is not installed.

    Example:

        model.fit(images, labels, callbacks=[itf.training.LipschitzMonitor("logs")])
    """

    def __init__(
        self, log_dir: str | os.PathLike | None = None, method: str = "best", every: int = 1
    ):
        super().__init__(log_dir, every)
        if method not in ("best", "product"):
            raise ValueError(f"`method` must be 'best' or 'product'. Received: {method!r}.")
        self.method = method
        self.report: LipschitzReport | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Checks that there is a bound, before the training that its absence would end."""
        bound(self.classifier, method="product", attained=False, verbose=False)

    def measure(self) -> dict[str, float]:
        """Returns the bounds of the network and of its layers."""
        self.report = bound(self.classifier, method=self.method)
        return {
            "lipschitz": float(self.report.total),
            "lipschitz_product": float(self.report.product),
            **{f"lipschitz/{row.layer}": float(row.bound) for row in self.report.rows},
        }


class CertifiedAccuracy(_Monitor):
    """Certifies a fixed set of images after each epoch (section 4.3).

    Adds to the logs `vra_<radius>`, the verified-robust accuracy: the share of images that are
    classified correctly and certified within that l2 radius, by `itf.lipschitz.certified_radius` in
    float64. No attack can bring the accuracy below it. TensorBoard gets these and a histogram of
    the radii.

    Args:
        images: floating [n, ...].
        labels: integers [n].
        radii: l2 radii, above 0.
        log_dir: folder for TensorBoard; by default none.
        every: epochs from one measurement to the next.

    Attributes:
        certified: the last radii, float64 [n]; 0 where an image is misclassified.

    Raises:
        TypeError, ValueError: arguments that are not as above; in `fit`: a model that does not fit
            them, or with weights that are not finite.
        NoBoundError: in `fit`: the model has a layer through which nothing is certified.
        ImportError: `log_dir` is given, but TensorBoard is not installed.

    Example:

        monitor = itf.training.CertifiedAccuracy(images[:1000], labels[:1000], radii=(0.3, 1.58))
        history = model.fit(images, labels, epochs=5, callbacks=[monitor])
        print(history.history["vra_0.3"])
    """

    def __init__(
        self,
        images: Any,
        labels: Any,
        radii: Sequence[float] = (0.3, 1.0),
        log_dir: str | os.PathLike | None = None,
        every: int = 1,
    ):
        super().__init__(log_dir, every)
        self.images = finite_images("images", images)
        self.labels = class_array("labels", labels, len(self.images), MOST)
        if np.ndim(radii) != 1 or not len(radii):
            raise ValueError(f"`radii` must be a list of numbers. Received: {radii!r}.")
        self.radii = tuple(check_positive("radii", radius) for radius in radii)
        if len(set(map(_logged, self.radii))) < len(self.radii):
            raise ValueError(f"`radii` must differ in six digits. Received: {radii!r}.")
        self.certified: np.ndarray | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Checks images, labels and that there is a radius, before the training."""
        _check_fit(Classifier(self.classifier), self.images, self.labels, (-np.inf, np.inf))
        certified_radius(self.classifier, self.images[:1], verbose=False)

    def measure(self) -> dict[str, float]:
        """Returns the verified-robust accuracy at each radius."""
        predicted = Classifier(self.classifier).predict(self.images)
        radii = certified_radius(self.classifier, self.images)
        self.certified = np.where(predicted == self.labels, radii, 0.0)
        return {_logged(r): float((self.certified >= r).mean()) for r in self.radii}

    def summarize(self) -> None:
        """Writes the radii to TensorBoard."""
        if self.certified is not None:
            tf.summary.histogram("certified_radii", self.certified)


class AdversarialAccuracy(_Monitor):
    """Attacks a fixed set of images after each epoch (section 4.1).

    Adds to the logs `adversarial_accuracy`, the share of images that are classified correctly and
    for which no adversarial example was found within `distortion`, and `adversarial_distortion`,
    the average distortion of the examples found (missing if there are none). The accuracy is an
    upper bound of the robust accuracy: an attack that fails proves nothing. TensorBoard gets these,
    a histogram of the distortions, and a picture of the first images with their magnified changes.

    Args:
        images: floating [n, ...] within the bounds.
        labels: integers [n].
        log_dir: folder for TensorBoard; by default none.
        distortion: root mean square change per variable, in units of the range of the bounds.
        targets: as in `LBFGSAdversary`; "nearest" finds the least change over all classes.
        seed: of random targets.
        every: epochs from one measurement to the next.
        shown: images in the picture, at most.
        **settings: of `LBFGSAdversary`.

    Attributes:
        result: the last `AdversarialResult`.

    Raises:
        TypeError, ValueError: arguments that are not as above; in `fit`: a model that does not
            fit them.
        ImportError: `log_dir` is given, but TensorBoard is not installed.

    Example:

        monitor = itf.training.AdversarialAccuracy(images[:64], labels[:64], log_dir="logs")
        history = model.fit(images, labels, epochs=5, callbacks=[monitor])
        print(history.history["adversarial_accuracy"], monitor.result)
    """

    def __init__(
        self,
        images: Any,
        labels: Any,
        log_dir: str | os.PathLike | None = None,
        distortion: float = 0.1,
        targets: Any = "nearest",
        seed: int = 0,
        every: int = 1,
        shown: int = 16,
        **settings: Any,
    ):
        super().__init__(log_dir, every)
        check_positive_integer("shown", shown)
        check_arguments("settings", settings)
        at_a_layer = settings.get("layer") is not None
        known = settings.get("bounds")
        if known is None:
            known = (-np.inf, np.inf) if at_a_layer else (0, 1)
        if isinstance(distortion, bool) or distortion != 0:
            check_distortion(distortion, known)
        self.images = finite_images("images", images)
        count = len(self.images)
        self.labels = class_array("labels", labels, count, MOST)
        if isinstance(targets, str):
            check_choice("targets", targets, KINDS)
        else:
            class_array("targets", targets, count, MOST)
        self.distortion, self.targets, self.seed = distortion, targets, check_seed(seed)
        self.shown, self.settings = shown, settings
        self.result: AdversarialResult | None = None
        self._adversary: LBFGSAdversary | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Prepares the attack on the model, which follows its weights from then on."""
        self._adversary = LBFGSAdversary(self.classifier, **self.settings)
        bounds = self._adversary.bounds
        _check_fit(self._adversary.classifier, self.images, self.labels, bounds)

    def measure(self) -> dict[str, float]:
        """Returns the accuracy within the distortion, and the average distortion."""
        if self._adversary is None:
            raise ValueError(_ONLY_IN_FIT)
        self.result = self._adversary(
            self.images, self.labels, targets=self.targets, seed=self.seed, verbose=False
        )
        # Towards given targets, misclassified images are attacked, too.
        correct = self.result.original_predictions == self.labels
        withstood = correct & (self.result.distortion > self.distortion)
        scalars = {"adversarial_accuracy": float(withstood.mean())}
        if (self.result.status == "found").any():
            scalars["adversarial_distortion"] = self.result.mean_distortion
        return scalars

    def summarize(self) -> None:
        """Writes the distortions and, of images, a picture."""
        result, adversary = self.result, self._adversary
        if result is None or adversary is None:
            return
        found = result.status == "found"
        if found.any():
            tf.summary.histogram("adversarial_distortions", result.distortion[found])
        lower, upper = adversary.bounds
        drawable = result.images.ndim == 4 and result.images.shape[-1] in (1, 3)
        if not drawable or not (np.isfinite(lower).all() and np.isfinite(upper).all()):
            return
        rows = slice(self.shown)
        originals, images = (
            (each[rows] - lower) / (upper - lower) for each in (result.originals, result.images)
        )
        pairs = zip(result.original_predictions[rows], result.predictions[rows], strict=True)
        titles = [f"{before} → {after}" for before, after in pairs]
        picture = adversarial_rows(originals, images, titles)
        pixels = tf.io.decode_png(picture.png(), channels=3)
        tf.summary.image("adversarial_images", pixels[None], description=picture.caption)


def _logged(radius: float) -> str:
    return f"vra_{radius:g}"


def _check_fit(classifier: Classifier, images: np.ndarray, labels: np.ndarray, bounds: Any) -> None:
    """Raises unless images and labels are those of a classifier, and within bounds."""
    lower, upper = map(np.asarray, bounds)
    images = check_images(images, classifier, (lower, upper))
    classes = classifier.predict_logits(images[:1]).shape[1]
    class_array("labels", labels, len(images), classes)


def _summary_writer(log_dir: str | os.PathLike) -> Any:
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise ImportError("TensorBoard is not installed: pip install tensorboard.") from error
    return tf.summary.create_file_writer(str(expanded(log_dir)))
