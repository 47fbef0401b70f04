"""From a sweep's shards to the numbers of an evaluation, with two shards in memory at most."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from intriguing_tf.adversary import AdversarialResult
from intriguing_tf.adversary.pictures import kind_of
from intriguing_tf.adversary.result import ARRAYS
from intriguing_tf.archives import read_arrays
from intriguing_tf.classifier import Classifier
from intriguing_tf.digits import percent, rounded_up
from intriguing_tf.files import read_content, write_atomically
from intriguing_tf.lipschitz import Certifier, LipschitzReport
from intriguing_tf.progress import progress_bar
from intriguing_tf.sweeps import Sweep
from intriguing_tf.sweeps.shards import Shard

METHODS = ("global", "local", "none")
NOT_ASKED = "it was not asked for."
_SHOWN = 16  # examples that are kept with their images, of the nearest and of the farthest
_BATCH = 256
# Radii as shares of the bounds' width that are worth no certificate, and none that takes long.
_LEAST_RADIUS, _SMALL_RADIUS = 1e-12, 1e-2
# A certificate may exceed what was found by so much of it, since distances are rounded.
_ROUNDING = 1e-4
_FEW = 0.05  # share of failed attacks
_QUARTER, _UNLIKE = 0.25, 10  # so many of the ranges of a table's values are so much smaller


@dataclasses.dataclass(frozen=True, eq=False)
class Collected:
    """What the shards tell of each image, and what was seen on the way.

    Attributes:
        labels: int64 [n], the true classes, or `None`.
        predictions: int64 [n], the classes of the images; -1 where outputs are not finite.
        adversarial_predictions: int64 [n], those of the adversarial images.
        status: str [n], "found", "already" (misclassified as it is) or "failed".
        l2: float64 [n], distance of the adversarial image: an upper bound of that of the nearest
            image of another class. 0 for "already", infinite for "failed".
        distortion: float64 [n], the same as root mean square per variable, in units of the bounds;
            `None` where these are infinite.
        survives_rounding: bool [n], whether the example still is one after rounding to 8 bits;
            `None` for data that are no images, or have infinite bounds.
        certified: float64 [n], l2 radius within which the prediction cannot change, or `None`.
        why_not_certified: why there are no certified radii; "" where there are.
        nearest, farthest: examples at the smallest and at the largest distance, with their images.
        attack_seconds: of the attack.
        evaluations: of the model by the attack: gradients and forward passes.
        extent: least and largest value of the images.
        ranges_seen: float64 [size], by how much each value differs between the rows of a table;
            `None` for other data.
    """

    labels: np.ndarray | None
    predictions: np.ndarray
    adversarial_predictions: np.ndarray
    status: np.ndarray
    l2: np.ndarray
    distortion: np.ndarray | None
    survives_rounding: np.ndarray | None
    certified: np.ndarray | None
    why_not_certified: str
    nearest: AdversarialResult
    farthest: AdversarialResult
    attack_seconds: float
    evaluations: int
    extent: tuple[float, float]
    ranges_seen: np.ndarray | None

    @property
    def failed(self) -> np.ndarray:
        """bool [n]: whether the attack found nothing, where there was a prediction to change."""
        return (self.status == "failed") & (self.predictions >= 0)

    def own_doubts(self) -> Iterator[str]:
        """Yields what to look into first, a sentence or two each."""
        without = int((self.predictions < 0).sum())
        if without:
            yield (
                f"The model's outputs are NaN or infinite for {without} of {len(self.status)}, "
                "which therefore have no class. They were not attacked, and count as robust at no "
                "radius. Do the data have the scale that the model was trained on?"
            )
        failed = float(self.failed.mean())
        if failed > _FEW:
            yield (
                f"For {percent(failed, 0)} the attack found nothing within the bounds. They count "
                "as robust at every radius, though another attack may find examples. Do the data "
                "have the scale that the model was trained on?"
            )
        varied = np.array([]) if self.ranges_seen is None else self.ranges_seen
        varied = varied[varied > 0]
        if len(varied) and np.quantile(varied, _QUARTER) * _UNLIKE < varied.max():
            yield (
                f"The values of a row have ranges from {varied.min():.3g} to {varied.max():.3g}, "
                "and a distance adds up their changes as they are. With the bounds 'data' each is "
                "measured in units of its own range."
            )
        yield from self._contradictions()

    def _contradictions(self) -> Iterator[str]:
        """Yields a sentence if an example was found within a certified radius."""
        if self.certified is None:
            return
        wrong = (self.status == "found") & (self.certified > self.l2 * (1 + _ROUNDING))
        if wrong.any():
            yield (
                f"{int(wrong.sum())} examples lie within a radius that was certified. That is a "
                "fault of this package: please report it with the model."
            )


class Certification:
    """The certified radii of a model, whose bounds are found once, or why there are none.

    Args:
        classifier: the model.
        method: one of `METHODS`.
        report: bounds of the layers, or `None`.
        why_not: why there are none.
        width: of the bounds of the images; where it is infinite, that of the images counts.
        done: the sweep, whose images decide together whether and how radii are certified.
        verbose: show progress.

    Attributes:
        why_not: why there are no radii; "" where there are.
    """

    def __init__(
        self,
        classifier: Classifier,
        method: str,
        report: LipschitzReport | None,
        why_not: str,
        width: float,
        done: Sweep,
        verbose: bool | str,
    ):
        self._classifier, self._method, self._verbose = classifier, method, verbose
        self._total = math.inf if report is None else report.total
        self._width, self._done = width, done
        self._certifier: Certifier | None = None
        self.why_not = why_not
        if report is not None and math.isinf(self._total):
            self.why_not = next((row.how for row in report.rows if math.isinf(row.bound)), "")

    def radii(self, index: int, shard: Shard, folder: Path) -> np.ndarray | None:
        """Returns a shard's certified radii, from its file if they are there, or `None`."""
        file = folder / f"{self._method}-{index:06d}.npz"
        key = np.array("{plan} {images}".format(**shard.provenance))
        if self.why_not or (kept := _kept(file, key, len(shard.result))) is not None:
            return None if self.why_not else kept
        try:
            if self._certifier is None:
                self._certifier = self._made()
            radii = self._certifier.radius(shard.result.originals, verbose=self._verbose)
        except (ValueError, TypeError) as error:
            self.why_not = str(error)
            return None
        buffer = io.BytesIO()
        np.savez(buffer, radii=radii, images=key)
        write_atomically(file, buffer.getvalue())
        return radii

    def _made(self) -> Certifier:
        """Returns what certifies, once all images say that it is worth its while.

        Raises:
            ValueError: it is not, or cannot be done.
        """
        most, extent = _spreads(self._classifier, self._done.shards())
        width = self._width if math.isfinite(self._width) else extent or 1.0
        if most < _LEAST_RADIUS * width * self._total:
            raise ValueError(
                f"the bounds of the layers multiply to {rounded_up(self._total, 3):.3g}, by which "
                f"radii would be about {most / self._total:.1g}. They are left out; "
                "`itf.lipschitz.certified_radius` finds them, and may find larger ones."
            )
        quick = most < _SMALL_RADIUS * width * self._total
        return Certifier(
            self._classifier.model, self._verbose, method=self._method, quick=quick,
            outputs=self._classifier.outputs,
        )  # fmt: skip


def _spreads(classifier: Classifier, shards: Iterable[Shard]) -> tuple[float, float]:
    """Returns by how much one image's logits, and all images' values, differ at most."""
    most, low, high = -np.inf, np.inf, -np.inf
    for shard in shards:
        images = shard.result.originals
        logits = classifier.predict_logits(images, _BATCH).astype(np.float64)
        most = np.maximum(most, np.ptp(logits, axis=1).max())  # unlike `max`, keeps NaN
        low, high = np.minimum(low, images.min()), np.maximum(high, images.max())
    return float(most), float(high) - float(low)


def _kept(file: Path, key: np.ndarray, number: int) -> np.ndarray | None:
    """Returns the radii of these images in a file, or `None`."""
    if not file.is_file():
        return None
    try:
        kept = read_arrays(read_content(file), ("radii", "images"))
    except ValueError:
        return None
    radii = kept["radii"]
    return radii if radii.shape == (number,) and kept["images"] == key else None


def collect(
    classifier: Classifier,
    done: Sweep,
    folder: Path,
    bounds: tuple[float, float],
    certification: Certification,
    verbose: bool | str,
) -> Collected:
    """Reads the shards of a sweep; certifies their images; keeps the nearest and the farthest.

    Args:
        classifier: the model that was attacked, as a map to logits.
        done: a sweep with one cell.
        folder: where certified radii are kept, a file for each shard.
        bounds: of the images.
        certification: of the model.
        verbose: show progress.
    """
    columns: dict[str, list[np.ndarray]] = {}
    shown: dict[str, AdversarialResult | None] = {"nearest": None, "farthest": None}
    low: np.ndarray | float = np.inf
    high: np.ndarray | float = -np.inf
    seconds = 0.0
    bounded = math.isfinite(bounds[1] - bounds[0])
    with progress_bar(done.plan.images, "certified radii, 8 bits", verbose) as bar:
        for index, shard in enumerate(done.shards()):
            result = shard.result
            arrays = {name: getattr(result, name) for name in ARRAYS[2:]}
            if bounded and kind_of(result.originals) == "images":
                arrays["rounded"] = _survives_rounding(classifier, result, bounds)
            if shard.labels is not None:
                arrays["labels"] = shard.labels
            radii = certification.radii(index, shard, folder)
            if radii is not None:
                arrays["certified"] = radii
            for name, values in arrays.items():
                columns.setdefault(name, []).append(values)
            for which, kept in shown.items():
                shown[which] = _extreme(kept, result, which == "nearest")
            low = np.minimum(low, result.originals.min(0))
            high = np.maximum(high, result.originals.max(0))
            seconds += float(result.settings["seconds"])
            bar.update(len(result))
    whole = {name: np.concatenate(values) for name, values in columns.items()}
    nearest, farthest = shown["nearest"], shown["farthest"]
    assert nearest is not None and farthest is not None
    is_table = kind_of(nearest.originals) == "table"
    return Collected(
        labels=whole.get("labels"),
        predictions=whole["original_predictions"],
        adversarial_predictions=whole["predictions"],
        status=whole["status"],
        l2=whole["l2"],
        distortion=whole["distortion"] if bounded else None,
        survives_rounding=whole.get("rounded"),
        certified=None if certification.why_not else whole["certified"],
        why_not_certified=certification.why_not,
        nearest=dataclasses.replace(nearest, classifier=classifier),
        farthest=dataclasses.replace(farthest, classifier=classifier),
        attack_seconds=seconds,
        evaluations=int(whole["nfev"].sum()),
        extent=(float(np.min(low)), float(np.max(high))),
        ranges_seen=np.ravel(np.subtract(high, low)) if is_table else None,
    )


def _survives_rounding(
    classifier: Classifier, result: AdversarialResult, bounds: tuple[float, float]
) -> np.ndarray:
    """Whether each example, rounded to 256 levels between the bounds, is of another class."""
    lower, upper = bounds
    found = result.status == "found"
    survives = np.zeros(len(result), bool)
    if found.any():
        levels = np.rint(255 * (result.images[found].astype(np.float64) - lower) / (upper - lower))
        rounded = (lower + (upper - lower) * levels / 255).astype(result.images.dtype)
        classes = classifier.predict(rounded, _BATCH)
        survives[found] = (classes >= 0) & (classes != result.original_predictions[found])
    return survives


def _extreme(
    kept: AdversarialResult | None, result: AdversarialResult, nearest: bool
) -> AdversarialResult:
    """Returns the found examples at the smallest or the largest distance of both results."""
    found = result[result.status == "found"]
    if kept is not None:
        both: dict[str, Any] = {
            name: np.concatenate([getattr(kept, name), getattr(found, name)]) for name in ARRAYS
        }
        found = dataclasses.replace(found, **both)  # the bounds are those of all images
    order = np.argsort(found.l2 if nearest else -found.l2, kind="stable")
    return found[order[:_SHOWN]]
