"""Figures 3 and 4: units and random directions of an ImageNet network's layers; exploratory."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

from intriguing_tf.experiments.results import Result
from intriguing_tf.progress import shows_progress
from intriguing_tf.reporting import Picture, Table, image_rows
from intriguing_tf.units import Comparison, compare
from intriguing_tf.units.top import activations

_POPULATIONS = ("natural", "random")


@dataclasses.dataclass(frozen=True)
class Figures3And4:
    """Finds the images of units and of random directions, and compares how alike they are.

    The paper shows such rows for AlexNet on ImageNet's validation set. Where a class has few
    images, as in a sample, the purity of labels says nothing; only distances are compared, in pixel
    space and among the features of another network. That is a look, not a test of the claim.

    Args:
        k: images per direction.
        number: units compared, drawn at random; as many random directions.
        seed: of the directions.
        batch_size: images in one forward pass; bounds the memory.
    """

    k: int = 9
    number: int = 200
    seed: int = 0
    batch_size: int = 16

    def run(
        self,
        model: keras.Model,
        layer: str,
        images: Any,
        feature_model: keras.Model,
        feature_layer: str,
        verbose: bool | str = "auto",
    ) -> Figures3And4Result:
        """Compares one layer.

        Args:
            model: an ImageNet network on pixels in [0, 1].
            layer: name of one of its layers.
            images: float array `[n, height, width, 3]` of the model's size.
            feature_model: another network that takes the same images (see `at_size`).
            feature_layer: its layer whose activations stand for content.
            verbose: whether to show progress bars; "auto": if stderr is a terminal.

        Raises:
            TypeError: not a Keras model.
            ValueError: no such layer, or fewer than k images.
        """
        comparison = compare(
            model,
            layer,
            images,
            np.zeros(len(images), np.int64),  # labels are not looked at
            feature_model=feature_model,
            feature_layer=feature_layer,
            k=self.k,
            number=min(self.number, activations(model, layer)[1]),
            random_number=self.number,
            seed=self.seed,
            batch_size=self.batch_size,
            verbose=shows_progress(verbose),
        )
        return Figures3And4Result(self, model.name, comparison)


@dataclasses.dataclass(frozen=True)
class Figures3And4Result(Result):
    """What `Figures3And4` found; prints as a table.

    Attributes:
        settings: what was asked for.
        model: name of the network.
        comparison: of units and random directions; its distances count.
    """

    settings: Figures3And4
    model: str
    comparison: Comparison

    def table(self) -> Table:
        """Returns units against random directions and both against the nulls, by distance."""
        every = self.comparison.table().rows
        rows = [row[:4] for row in every if row[0].startswith("distance")]
        notes = [
            f"Exploratory: {self.settings.k} images per direction, out of few; distances relative "
            "to those of any two images.",
            "Delta above 0: the first's images lie further apart.",
        ]
        title = f"Figures 3 and 4: {self.model}, layer {self.comparison.layer}"
        head = ("measure", "of", "medians", "Cliff's delta")
        return Table(title, head, rows, notes)

    def pictures(self, images: np.ndarray, shown: int = 6) -> tuple[Picture, Picture]:
        """Draws the top images of the first units (Figure 3) and random directions (Figure 4)."""
        drawn = []
        for name, population in zip(("figure3", "figure4"), _POPULATIONS, strict=True):
            top = getattr(self.comparison, population)
            rows = np.flatnonzero(top.determined)[:shown]
            names = [top.names()[row] for row in rows]
            caption = f"{self.model}, {self.comparison.layer}: one {population} direction per row."
            drawn.append(image_rows(name, caption, np.asarray(images)[top.indices[rows]], names))
        return drawn[0], drawn[1]
