"""Certified radii beside the distances that an attack finds, for cards of certified networks."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np

from intriguing_tf import lipschitz
from intriguing_tf.adversary import LBFGSAdversary
from intriguing_tf.lipschitz.contradictions import ContradictionError
from intriguing_tf.reporting import Picture, accuracy_curves, sandwich
from intriguing_tf.zoo.cards import ModelCard

ATTACKED = 256  # images
STARTS = 4
SHOWN = 64
STEPS = 121  # radii at which accuracies are drawn


@dataclasses.dataclass(frozen=True)
class CertifiedAndFound:
    """Two bounds of each image's distance to the nearest image that is classified otherwise.

    Args:
        correct: bool [n], whether the network is right about the image itself.
        certified: float64 [n], l2 radii within which no prediction changes.
        found: float64 [n], l2 distances of the nearest adversarial images that were found; `inf`
            where none was.
    """

    correct: np.ndarray
    certified: np.ndarray
    found: np.ndarray

    @classmethod
    def of(
        cls,
        model: keras.Model,
        images: np.ndarray,
        labels: np.ndarray,
        bounds: tuple[float, float],
        verbose: bool | str = "auto",
    ) -> CertifiedAndFound:
        """Certifies images, and attacks them towards the nearest of all other classes.

        Args:
            model: images to logits.
            images, labels: `[n, …]` within `bounds`, and their classes `[n]`.
            bounds: of the pixels.
            verbose: True or False for progress bars, or "auto".

        Raises:
            ContradictionError: an image was found nearer than its certificate; nothing may be
                published then.
        """
        adversary = LBFGSAdversary(model, bounds=bounds, loss="margin", starts=STARTS)
        result = adversary(images, targets="nearest", verbose=verbose)
        found = np.where(result.success, result.l2, np.inf).astype(np.float64)
        correct = np.asarray(result.original_predictions) == labels
        both = cls(correct, lipschitz.certified_radius(model, images, verbose=verbose), found)
        both.check()
        return both

    def check(self) -> None:
        """Raises `ContradictionError` if the attack refutes a certificate."""
        if (refuted := self.found < self.certified).any():
            first = int(np.argmax(refuted))
            raise ContradictionError(
                f"{np.sum(refuted)} of {len(refuted)} certificates are refuted: image {first} is "
                f"certified within {self.certified[first]:.9g}, and classified otherwise at "
                f"{self.found[first]:.9g}. One of the rules is wrong: please report the network."
            )

    def metrics(self) -> dict[str, float]:
        """Returns how many times as far as certified the attack has to go, in the median."""
        known = self.correct & np.isfinite(self.found) & (self.certified > 0)
        if not known.any():
            return {}
        return {"found_over_certified": float(np.median((self.found / self.certified)[known]))}

    def pictures(self) -> dict[str, Picture]:
        """Returns the pictures for the card by file stem: "sandwich" and "radius"."""
        chosen = self.correct.nonzero()[0][:SHOWN]
        between = "Each image's nearest other prediction lies between its two marks."
        return {
            "sandwich": sandwich(
                "sandwich", between, self.certified[chosen].tolist(), self.found[chosen].tolist()
            ),
            "radius": self._curves(),
        }

    def _curves(self) -> Picture:
        far = self.found[np.isfinite(self.found)]
        radii = np.linspace(0, float(np.percentile(far, 99)) if len(far) else 1.0, STEPS)
        curves = {
            "attacked": [(self.correct & (self.found > r)).mean() for r in radii],
            "certified": [(self.correct & (self.certified >= r)).mean() for r in radii],
        }
        caption = "The accuracy under any change of that length lies between the two curves."
        return accuracy_curves("radius", caption, radii, curves, "l2 radius")


def is_certified(card: ModelCard) -> bool:
    """Whether an entry was trained for certificates."""
    penalties = card.recipe.json().get("penalties", [])
    return any(each.get("kind") == "certified" for each in penalties)
