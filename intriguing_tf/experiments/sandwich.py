"""Certified radius ≤ true distance ≤ adversary's distance, image by image."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from intriguing_tf.adversary import LBFGSAdversary
from intriguing_tf.checks import real_numbers
from intriguing_tf.digits import rounded_down, rounded_up
from intriguing_tf.experiments.results import Result
from intriguing_tf.lipschitz import certified_radius
from intriguing_tf.reporting import Picture, Table, sandwich


@dataclasses.dataclass(frozen=True)
class Sandwich(Result):
    """Two bounds of each image's distance to the nearest other prediction.

    Args:
        certified: float64 [n], l2 radii within which no prediction changes; `inf` where no input
            has another.
        found: float64 [n], l2 distances of adversarial images in the box; `inf` where none was
            found.

    Raises:
        TypeError, ValueError: anything else than these.

    Example:

        print(Sandwich.of(model, images[:64]))
    """

    certified: np.ndarray
    found: np.ndarray

    def __post_init__(self) -> None:
        numbers = {name: real_numbers(name, value) for name, value in vars(self).items()}
        shapes = [each.shape for each in numbers.values()]
        if shapes[0] != shapes[1] or len(shapes[0]) != 1:
            raise ValueError(
                "`certified` and `found` must be arrays [n] of one length. Received: shapes "
                f"{shapes[0]} and {shapes[1]}."
            )
        for name, each in numbers.items():
            if not (each >= 0).all():
                raise ValueError(
                    f"`{name}` must be distances of at least 0. Received: {each[~(each >= 0)][0]}."
                )

    @classmethod
    def of(
        cls,
        model: keras.Model,
        images: Any,
        bounds: tuple[float, float] = (0.0, 1.0),
        method: str = "global",
    ) -> Sandwich:
        """Certifies and attacks each image, towards the nearest of all other classes.

        Args:
            model: a Keras classifier.
            images: float [n, *input shape], within `bounds`.
            bounds: of the pixels.
            method: "global" or "local", as in `certified_radius`.
        """
        certified = certified_radius(model, images, method=method)  # complains before the attack
        adversary = LBFGSAdversary(model, bounds=bounds, loss="cross_entropy")
        result = adversary(images, targets="nearest")
        found = np.where(result.success, result.l2, np.inf).astype(np.float64)
        return cls(certified, found)

    @property
    def violations(self) -> int:
        """Images whose certificate the adversary refutes: 0, or there is a bug."""
        return int(np.sum(self.found < self.certified))

    def table(self) -> Table:
        """Returns quartiles of all radii, and of the distances that were found with their ratio."""
        shown = np.isfinite(self.found)
        ratio = self.certified[shown] / self.found[shown]
        return Table(
            f"Distance to the nearest other prediction, {len(self.found)} images, l2",
            ("", "25 %", "median", "75 %"),
            [
                ("certified radius", *_quartiles(self.certified, rounded_down)),
                ("adversary's distance", *_quartiles(self.found[shown], rounded_up)),
                ("ratio", *_quartiles(ratio, rounded_down)),
            ],
            [
                f"violations: {self.violations}; the adversary found none for "
                f"{int(np.sum(~shown))} images"
                + (f"; {self._infinite} radii are infinite" if self._infinite else "")
            ],
        )

    def picture(self) -> Picture:
        """Draws both per image."""
        caption = "Each image's nearest other prediction lies between its two marks."
        if self._infinite:
            caption += f" {self._infinite} radii are infinite and not drawn."
        return sandwich("sandwich", caption, self.certified.tolist(), self.found.tolist())

    @property
    def _infinite(self) -> int:
        return int(np.isposinf(self.certified).sum())


def _quartiles(values: np.ndarray, rounded: Callable[[float], float]) -> list[float | None]:
    """Returns quartiles; one that lies between a number and an infinite one is infinite."""
    if not len(values):
        return [None] * 3
    quarters = [25, 50, 75]
    below, above = (np.percentile(values, quarters, method=each) for each in ("lower", "higher"))
    with np.errstate(invalid="ignore"):  # the difference of two that are infinite
        between = np.percentile(values, quarters)
    return [*map(rounded, np.where(np.isfinite(above) & (below < above), between, above))]
