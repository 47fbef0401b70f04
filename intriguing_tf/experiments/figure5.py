"""Figure 5: any image becomes an ostrich, by a change too small to see."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf.adversary import AdversarialResult
from intriguing_tf.adversary.inputs import check_images
from intriguing_tf.adversary.naming import name_of, whole_name
from intriguing_tf.adversary.pixels import in_8_bits
from intriguing_tf.checks import check_kinds
from intriguing_tf.datasets import imagenet_class_index, imagenet_class_names
from intriguing_tf.experiments import paper
from intriguing_tf.experiments.networks import papers_adversary
from intriguing_tf.experiments.results import Result
from intriguing_tf.files import expanded, short_stem, write_atomically
from intriguing_tf.reporting import Picture, Table, image_triples
from intriguing_tf.transfer import rms

_MAGNIFICATION = 10
_BATCH = 16  # images of this size in memory at once, activations included


@dataclasses.dataclass(frozen=True)
class Figure5:
    """Makes every image a given class.

    Args:
        target: the class's name, WordNet number or index among ImageNet's 1000.
        survive_rounding: search pixels of 8 bits near an example that rounding would undo; else
            it is only rounded.
        options: further keywords of `LBFGSAdversary` (solver, loss, ...), without `bounds`.
    """

    target: str | int = paper.FIGURE_5.target
    survive_rounding: bool = True
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def run(self, model: keras.Model, images: np.ndarray, names: Sequence[str]) -> Figure5Result:
        """Attacks the images and checks what is left of it after rounding to 8 bits.

        Args:
            model: an ImageNet network on pixels in [0, 1], such as an entry `imagenet/...`.
            images: float32 `[n, height, width, 3]` in [0, 1], of the size that the model wants.
            names: of the images, for the table and for file names.

        Raises:
            TypeError: names that are no str, or options that are no dictionary.
            ValueError: an unknown target, a network of other classes, images that it does not take,
                another number of names, or options with `bounds`.
        """
        check_kinds("names", names, str, "names")
        if len(names) != len(images):
            raise ValueError(f"`names` must be {len(images)} names. Received: {len(names)}.")
        target = imagenet_class_index(self.target)
        adversary = papers_adversary(model, self.options)
        classifier = adversary.classifier
        images = check_images(images, classifier, adversary.bounds)
        wanted, classes = (
            len(imagenet_class_names()),
            classifier.predict_logits(images[:1]).shape[1],
        )
        if classes != wanted:
            raise ValueError(
                f"Figure 5 wants a network with ImageNet's {wanted} classes. Received: "
                f"{model.name!r} with {classes}."
            )
        result = adversary(images, targets=np.full(len(images), target, np.int64))
        rounded = to_bytes(result.images)
        if self.survive_rounding:
            found = np.flatnonzero(result.status == "found")
            rounded[found], _ = in_8_bits(result[found], classifier)
        return Figure5Result(
            names=tuple(names),
            target=target,
            adversarial=result,
            rounded=rounded,
            rounded_predictions=classifier.predict(_to_floats(rounded), _BATCH),
            rounded_distortion=rms(_to_floats(rounded), np.asarray(result.originals)),
        )


@dataclasses.dataclass(frozen=True)
class Figure5Result(Result):
    """Images made one class; prints as a table.

    Attributes:
        names: of the images.
        target: index of the class.
        adversarial: what the adversary found, in floats.
        rounded: uint8 `[n, height, width, 3]`, what a PNG holds.
        rounded_predictions: int64 `[n]`, the model's reading of `rounded`.
        rounded_distortion: float64 `[n]`, of `rounded` from the original.
    """

    names: tuple[str, ...]
    target: int
    adversarial: AdversarialResult
    rounded: np.ndarray
    rounded_predictions: np.ndarray
    rounded_distortion: np.ndarray

    @property
    def distortion(self) -> float:
        """Average over the images that had to be changed and were; nan, if there are none."""
        return self.adversarial.mean_distortion

    def table(self) -> Table:
        """Returns one row per image, and the paper's average beside this one."""
        classes = imagenet_class_names()
        result = self.adversarial
        rows = [
            (
                name,
                whole_name(result.original_predictions[i], classes),
                whole_name(result.predictions[i], classes),
                f"{result.distortion[i]:.6f}",
                whole_name(self.rounded_predictions[i], classes),
                f"{self.rounded_distortion[i]:.6f}",
                str(int(result.nfev[i])),
            )
            for i, name in enumerate(self.names)
        ]
        found, already = (int((result.status == each).sum()) for each in ("found", "already"))
        outlived = int((self.rounded_predictions == self.target).sum())
        notes = [
            f"{found} of {len(rows)} became {classes[self.target]!r}"
            + (f", and {already} were from the start" if already else "")
            + f"; {outlived} still are after rounding to 8 bits.",
        ]
        if found:
            notes.append(
                f"Average distortion {self.distortion:.6f} (the paper, AlexNet, "
                f"{paper.FIGURE_5.examples} images: {paper.FIGURE_5.distortion}); "
                f"{result.nfev.mean():.0f} evaluations per image."
            )
        head = ("image", "seen", "distorted", "distortion", "rounded", "distortion", "evaluations")
        return Table(f"Figure 5: everything is {classes[self.target]!r}", head, rows, notes)

    def picture(self) -> Picture:
        """Returns the paper's picture with the classes above the images, and its caption.

        Rows of original, difference and adversarial image; the difference is shown ten times as
        large around gray (128), clamped, as in the paper.
        """
        classes = imagenet_class_names()
        triples = np.stack(
            [
                np.asarray(self.adversarial.originals),
                np.stack([_to_floats(self._difference(i)) for i in range(len(self.names))]),
                _to_floats(self.rounded),
            ],
            axis=1,
        )
        titles = [
            (
                name_of(before, classes),
                f"difference, {_MAGNIFICATION} times",
                name_of(after, classes),
            )
            for before, after in zip(
                self.adversarial.original_predictions, self.rounded_predictions, strict=True
            )
        ]
        caption = (
            "From left to right: the original and its class, the difference magnified "
            f"{_MAGNIFICATION} times around gray, the adversarial image of 8 bits and its class."
        )
        return image_triples("figure5", caption, triples, titles)

    def save(self, folder: str | Path) -> Path:
        """Writes the result as `.npz`, each image's three pictures as PNG, table and `picture`.

        Files of these names (`files`) in the folder are replaced. Long names of images are cut.

        Returns:
            The file of `picture`, "figure5.png".
        """
        folder = expanded(folder)
        self.adversarial.save(folder / "result.npz")
        originals = np.asarray(self.adversarial.originals)
        for i in range(len(self.names)):
            pictures = (to_bytes(originals[i]), self._difference(i), self.rounded[i])
            for file, pixels in zip(self._pngs(i), pictures, strict=True):
                write_atomically(folder / file, tf.io.encode_png(pixels).numpy())
        write_atomically(folder / "table.txt", str(self.table()))
        return write_atomically(folder / "figure5.png", self.picture().png())

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files that `save` writes, those of the result first."""
        pngs = (file for i in range(len(self.names)) for file in self._pngs(i))
        return ("result.npz", "result.json", *pngs, "table.txt", "figure5.png")

    def _pngs(self, i: int) -> list[str]:
        stem = f"{i:03d}_{short_stem(Path(self.names[i]).stem)}"
        return [f"{stem}_{kind}.png" for kind in ("original", "difference", "adversarial")]

    def _difference(self, i: int) -> np.ndarray:
        change = _to_floats(self.rounded[i]) - np.asarray(self.adversarial.originals)[i]
        return np.clip(128 + _MAGNIFICATION * 255 * change, 0, 255).round().astype(np.uint8)


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Rounds images in [0, 1] to the uint8 that a PNG holds."""
    return np.rint(255 * np.clip(np.asarray(images, np.float64), 0, 1)).astype(np.uint8)


def _to_floats(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32) / np.float32(255)
