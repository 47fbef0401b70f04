"""Natural against random directions: is there a distinction (the question of section 3)?"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import keras
import numpy as np

from intriguing_tf.checks import check_labels, check_positive_integer, check_seed
from intriguing_tf.classifier import takes
from intriguing_tf.reporting import ShownAsTable, Table
from intriguing_tf.units.directions import NATURAL, RANDOM, Projection
from intriguing_tf.units.measures import Coherence, coherence, mean_distance
from intriguing_tf.units.statistics import (
    TwoSampleTest,
    check_levels,
    holm,
    two_sample_test,
    verdict,
)
from intriguing_tf.units.top import (
    TopImages,
    activations,
    gather,
    is_array,
    layer_name,
    passed_over,
    scan,
)

SHUFFLED, PIXELS = "shuffled", "pixel space"
CONTRASTS = (
    (NATURAL, RANDOM),
    (NATURAL, SHUFFLED),
    (RANDOM, SHUFFLED),
    (NATURAL, PIXELS),
    (RANDOM, PIXELS),
)
# Images from which the mean distance between any two is taken.
_REFERENCE = 500
_SHARE = 4  # more than one image in so many is a large k


@dataclasses.dataclass(frozen=True)
class Contrast:
    """One measure of coherence in two populations of directions.

    Attributes:
        measure: "purity", "entropy" or "distance in ...".
        first, second: names of the populations; delta above 0 means that the first is larger.
        medians: of the first and of the second.
        test: difference, effect and equivalence, with p-values, and the power, as they are before
            Holm's adjustment.
        p_difference: Holm's, among all contrasts of the comparison.
        p_equivalence: Holm's, among the measures of this pair.
        verdict: "different", "equivalent", "different, but negligibly", or "undecided", by Holm's
            p-values.
    """

    measure: str
    first: str
    second: str
    medians: tuple[float, float]
    test: TwoSampleTest
    p_difference: float
    p_equivalence: float
    verdict: str


@dataclasses.dataclass(frozen=True)
class Comparison(ShownAsTable):
    """What `compare` returns; prints as a table.

    Attributes:
        layer: name of the layer.
        k: images per direction.
        margin: |Cliff's delta| from which a difference would matter.
        alpha: level of the tests.
        natural, random, pixels: the directions' top images.
        populations: coherence by population: "natural", "random", "shuffled" (the natural
            directions' images replaced by a random permutation, the null of no meaning at all)
            and "pixel space" (random directions of the pixels themselves).
        left_out: per population, how many directions do not determine their top images and are
            not in it: of units behind a ReLU, those that are active for fewer than k images; of
            units that saturate, those that do for more.
        contrasts: every measure in each of five pairs of populations.
    """

    layer: str
    k: int
    margin: float
    alpha: float
    natural: TopImages
    random: TopImages
    pixels: TopImages
    populations: dict[str, Coherence]
    left_out: dict[str, int]
    contrasts: tuple[Contrast, ...]

    def table(self) -> Table:
        """Returns one row per contrast."""
        rows = [
            (
                c.measure,
                f"{c.first} / {c.second}",
                f"{c.medians[0]:.3f} / {c.medians[1]:.3f}",
                f"{c.test.delta:+.3f} [{c.test.low:+.3f}, {c.test.high:+.3f}]",
                f"{c.p_difference:.2g}",
                f"{c.p_equivalence:.2g}",
                f"{c.test.power:.2f}",
                c.verdict,
            )
            for c in self.contrasts
        ]
        sizes = ", ".join(
            f"{len(p.measures['purity'])} {name}" + (f" ({left} left out)" if left else "")
            for (name, p), left in zip(
                self.populations.items(), self.left_out.values(), strict=True
            )
        )
        notes = [
            f"Directions: {sizes}; {self.k} images each.",
            f"Cliff's delta [{100 - 200 * self.alpha:g} % interval]; p-values after Holm; "
            f"equivalence: |delta| < {self.margin}; power: chance of finding it, before Holm's "
            "adjustment, in samples of one distribution.",
            "Distances are shares of the mean distance between two images.",
        ]
        head = ("measure", "of", "medians", "delta", "p diff.", "p equiv.", "power", "verdict")
        return Table(f"Coherence in layer {self.layer}", head, rows, notes)


def compare(
    model: keras.Model,
    layer: keras.layers.Layer | str,
    images: Any,
    labels: Any,
    *,
    feature_model: keras.Model | None = None,
    feature_layer: keras.layers.Layer | str | None = None,
    k: int = 9,
    number: int | None = None,
    random_number: int = 1000,
    margin: float = 0.147,
    alpha: float = 0.05,
    seed: int = 0,
    batch_size: int = 256,
    verbose: bool | str = "auto",
) -> Comparison:
    """Tests the claim that random directions are as coherent as units (section 3).

    For each direction the k images that reach furthest along it are found, and their coherence is
    measured: purity and entropy of their labels, and their mean distance in pixel space and, if
    given, in another model's feature space. Units and random directions are then compared on each
    measure, by a test of difference and by one of equivalence, and both against two nulls: images
    drawn without regard to meaning, and random directions of the pixels.

    The tests speak of this network and these images: units are the whole population of units,
    random directions a sample of all directions.

    Args:
        model: a Sequential or Functional Keras model.
        layer: one of its layers, or the name of one.
        images: as in `top_images`; passed over several times.
        labels: integers `[n]` of at least 0, or one-hot rows, in the order of the images.
        feature_model: another model, whose `feature_layer` gives a second space for distances.
        feature_layer: a layer of `feature_model`, or its name.
        k: images per direction, at least 2.
        number: how many units (drawn at random); by default all.
        random_number: how many random directions of the layer, and of pixel space.
        margin: |Cliff's delta| from which a difference would matter (see `two_sample_test`).
        alpha: level of the tests.
        seed: of directions, of the permutation and of the choice of units.
        batch_size: images per forward pass.
        verbose: show progress bars; "auto": if the standard error is a terminal.

    Returns:
        A `Comparison`.

    Raises:
        TypeError: as `top_images`.
        ValueError: as `top_images` and `two_sample_test`; k below 2; labels that do not fit; only
            one of `feature_model` and `feature_layer`; fewer than 3 directions that determine
            their images.

    Example:

        print(itf.units.compare(model, "fc1", images, labels, feature_model=other,
                                feature_layer="fc2"))
    """
    check_positive_integer("k", k)
    if k < 2:
        raise ValueError(f"`k` must be at least 2, for distances between images. Received: {k!r}.")
    check_levels(margin, alpha)
    check_seed(seed)
    if (feature_model is None) != (feature_layer is None):
        raise ValueError("`feature_model` and `feature_layer` go together. Received: one of them.")
    labels = check_labels(labels)
    features, width = activations(model, layer)
    images = passed_over(images, features, batch_size)
    if is_array(images):
        _check_lengths(labels, len(images))
    name = layer_name(layer)
    projections = [
        Projection(NATURAL, width, number, seed),
        Projection(RANDOM, width, random_number, seed),
    ]
    for projection in projections:
        _check_directions(projection.kind, len(projection), len(projection))
    space = None if feature_model is None else _feature_space(feature_model, feature_layer, model)
    natural, random = scan(features, name, images, projections, k, batch_size, verbose)
    _check_lengths(labels, natural.number)
    if _SHARE * k > len(labels):
        warnings.warn(
            f"k = {k} is a large part of {len(labels)} images: the images of all directions "
            f"overlap, whatever the directions mean. Give at least {_SHARE * k} images, or a "
            "smaller k.",
            stacklevel=2,
        )
    pixel_space, width = activations(model, model.inputs[0].name)
    projections = [Projection(RANDOM, width, random_number, seed)]
    pixels = scan(pixel_space, PIXELS, images, projections, k, batch_size, verbose)[0]

    # The null of no meaning: the units' images exchanged for others, labels and all.
    shuffled = dataclasses.replace(
        natural, indices=_generator(seed).permutation(len(labels))[natural.indices]
    )
    tops = {NATURAL: natural, RANDOM: random, SHUFFLED: shuffled, PIXELS: pixels}
    for kind, top in tops.items():
        _check_directions(kind, int(top.determined.sum()), len(top.determined))
    indices = {kind: top.indices[top.determined] for kind, top in tops.items()}
    populations = _coherences(indices, images, labels, space, seed, batch_size)
    return Comparison(
        layer=name,
        k=k,
        margin=margin,
        alpha=alpha,
        natural=natural,
        random=random,
        pixels=pixels,
        populations=populations,
        left_out={name: int((~top.determined).sum()) for name, top in tops.items()},
        contrasts=_contrasts(populations, margin, alpha),
    )


def _check_lengths(labels: np.ndarray, images: int) -> None:
    if len(labels) != images:
        raise ValueError(
            f"`labels` must be one per image. Received: {len(labels)} labels and {images} images."
        )


def _check_directions(kind: str, determined: int, number: int) -> None:
    if determined < 3:
        raise ValueError(
            "Of each kind at least 3 directions must determine their `k` images, which reach "
            "further than the others: take another layer, or a smaller `k`. Received: "
            f"{determined} of {number} {kind} ones."
        )


def _feature_space(
    model: keras.Model, layer: keras.layers.Layer | str | None, images_of: keras.Model
) -> tuple[str, keras.Model]:
    """Returns what the second space is called, and the model into it, which takes the images."""
    assert layer is not None
    space, _ = activations(model, layer)
    taken, given = space.inputs[0].shape[1:], images_of.inputs[0].shape[1:]
    if None not in given and not takes(taken, given):
        raise ValueError(
            f"`feature_model` must take the images of `model`, {given}. Received: a model of "
            f"inputs {taken}."
        )
    return f"{layer_name(layer)} of {model.name}", space


def _coherences(
    indices: dict[str, np.ndarray],
    images: Any,
    labels: np.ndarray,
    features: tuple[str, keras.Model] | None,
    seed: int,
    batch_size: int,
) -> dict[str, Coherence]:
    """Measures each population in the same spaces, holding only the images that are needed."""
    reference = _generator(seed + 1).permutation(len(labels))[:_REFERENCE]
    needed = np.unique(np.concatenate([reference, *(i.ravel() for i in indices.values())]))
    spaces = {"pixels": gather(images, needed, batch_size)}
    if features is not None:
        name, model = features
        found = model.predict(spaces["pixels"], batch_size=batch_size, verbose=0)
        spaces[name] = np.asarray(found, np.float32)  # bfloat16 is no float to NumPy

    def places(which: np.ndarray) -> np.ndarray:
        return np.searchsorted(needed, which)

    scales = {name: mean_distance(space[places(reference)]) for name, space in spaces.items()}
    for name, scale in scales.items():
        if scale == 0:
            raise ValueError(f"The images must differ in {name}. Received: images of distance 0.")
    return {
        name: coherence(places(which), labels[needed], spaces, scales)
        for name, which in indices.items()
    }


def _contrasts(
    populations: dict[str, Coherence], margin: float, alpha: float
) -> tuple[Contrast, ...]:
    """Every measure in each pair of populations, with p-values adjusted for their number."""
    measures = list(populations[NATURAL].measures)
    cells = [(measure, *pair) for pair in CONTRASTS for measure in measures]
    samples = [
        (populations[first].measures[measure], populations[second].measures[measure])
        for measure, first, second in cells
    ]
    tests = [two_sample_test(x, y, margin, alpha) for x, y in samples]
    different = holm([test.p_difference for test in tests])
    by_pair = np.reshape([test.p_equivalence for test in tests], (len(CONTRASTS), -1))
    equivalent = np.concatenate([holm(p_values) for p_values in by_pair])
    return tuple(
        Contrast(
            *cell,
            medians=(float(np.median(x)), float(np.median(y))),
            test=test,
            p_difference=float(p_difference),
            p_equivalence=float(p_equivalence),
            verdict=verdict(p_difference < alpha, p_equivalence < alpha),
        )
        for cell, (x, y), test, p_difference, p_equivalence in zip(
            cells, samples, tests, different, equivalent, strict=True
        )
    )


def _generator(seed: int) -> np.random.Generator:
    # Not the stream that the directions come from.
    return np.random.default_rng([seed, 1])
