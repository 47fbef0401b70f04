"""Figures 1 and 2: the images of units and of random directions, and whether they differ."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from intriguing_tf.experiments import paper
from intriguing_tf.experiments.results import KeptResult
from intriguing_tf.experiments.workspace import Experiment, ImageSet, Workspace
from intriguing_tf.reporting import Picture, Table, distribution_chart, image_rows
from intriguing_tf.units import Comparison, TwoSampleTest, compare, holm
from intriguing_tf.units.statistics import verdict

NATURAL, RANDOM = "natural", "random"
_NULLS = (
    (NATURAL, "shuffled"),
    (RANDOM, "shuffled"),
    (NATURAL, "pixel space"),
    (RANDOM, "pixel space"),
)
_QUANTILES = np.linspace(0, 1, 41)


@dataclasses.dataclass(frozen=True)
class LayerContrast:
    """One measure of coherence in two populations of directions of one layer.

    Attributes:
        model, layer: where.
        measure: "purity", "entropy", or "distance in ...".
        first, second: the populations.
        medians: of the first and the second.
        test: as it is, without regard to the number of tests.
    """

    model: str
    layer: str
    measure: str
    first: str
    second: str
    medians: tuple[float, ...]
    test: TwoSampleTest


@dataclasses.dataclass(frozen=True)
class LayerResult:
    """One layer's directions.

    Attributes:
        model, layer: where.
        units: how many units were compared, and how many left out because they determine no images.
        left_out: see above.
        quantiles: 41 from the lowest to the highest, by measure and population.
        shown: names of the directions that are drawn, by population.
        images: their top images' places in the test set, by population.
    """

    model: str
    layer: str
    units: int
    left_out: int
    quantiles: dict[str, dict[str, tuple[float, ...]]]
    shown: dict[str, tuple[str, ...]]
    images: dict[str, tuple[tuple[int, ...], ...]]


@dataclasses.dataclass(frozen=True)
class Figures1And2Result(KeptResult):
    """What `Figures1And2` measured; prints as its tables."""

    settings: Figures1And2
    pairs: tuple[LayerContrast, ...]
    layers: tuple[LayerResult, ...]

    reference = "Figures 1 and 2"
    paragraphs = (
        "φ(x) is a layer's activation vector; each place of each channel of a convolutional layer "
        "counts as a unit. For each direction v the held-out images with the largest ⟨φ(x), v⟩ are "
        "found: for units v = e_i, for random directions v is uniform on the sphere.",
        "The paper looks at such rows and finds no distinction. Here the claim is tested: are "
        "units more coherent, and if no difference is found, are the two populations shown to be "
        "equivalent?",
    )

    def verdicts(self) -> list[tuple[LayerContrast, float, float, str]]:
        """Returns units against random directions: pair, Holm's p-values, verdict.

        The p-values of difference and those of equivalence are each adjusted over all layers and
        measures.
        """
        pairs = [p for p in self.pairs if (p.first, p.second) == (NATURAL, RANDOM)]
        different = holm([p.test.p_difference for p in pairs])
        equivalent = holm([p.test.p_equivalence for p in pairs])
        alpha = self.settings.alpha
        return [
            (pair, float(d), float(e), verdict(d < alpha, e < alpha))
            for pair, d, e in zip(pairs, different, equivalent, strict=True)
        ]

    def table(self) -> Table:
        """Returns units against random directions, one row per layer and measure."""
        rows = [
            (
                f"{p.model} {p.layer}",
                p.measure,
                found,
                f"{p.medians[0]:.3f}",
                f"{p.medians[1]:.3f}",
                f"{p.test.delta:+.3f} [{p.test.low:+.3f}, {p.test.high:+.3f}]",
                f"{different:.2g}",
                f"{equivalent:.2g}",
                f"{p.test.power:.2f}",
            )
            for p, different, equivalent, found in self.verdicts()
        ]
        s = self.settings
        head = (
            "layer",
            "measure",
            "verdict",
            "units, median",
            "random, median",
            "Cliff's delta",
            "p different",
            "p equivalent",
            "power",
        )
        units = ", ".join(
            f"{x.model} {x.layer} {x.units}" + (f" ({x.left_out} left out)" if x.left_out else "")
            for x in self.layers
        )
        notes = [
            f"Units compared: {units}; {s.random_number} random directions each; {s.k} images per "
            "direction. Left out: units whose last image ties with the next.",
            f"Delta above 0: larger for units; [{100 - 200 * s.alpha:g} % interval]. p-values: "
            "Mann-Whitney U for a difference, two one-sided tests for equivalence "
            f"(|delta| < {s.margin}), each after Holm over all rows. Power: chance that "
            "equivalence is found, before Holm, if delta is 0. Purity is the share of the "
            "commonest digit, entropy in bits, distances relative to those of any two images.",
        ]
        return Table("Units against random directions", head, rows, notes)

    def nulls(self) -> Table:
        """Returns Cliff's delta of units and random directions against the nulls."""
        deltas = {
            ((p.model, p.layer, p.measure), (p.first, p.second)): p.test.delta for p in self.pairs
        }
        rows = []
        for layer in self.layers:
            for measure in layer.quantiles:
                where = (layer.model, layer.layer, measure)
                against = [f"{deltas[where, pair]:+.3f}" for pair in _NULLS]
                rows.append((f"{layer.model} {layer.layer}", measure, *against))
        note = (
            "Shuffled: the units' images exchanged for random ones. Pixel space: random "
            "directions of the pixels themselves, without any network."
        )
        head = ("layer", "measure", *(f"{first} / {second}" for first, second in _NULLS))
        return Table("Cliff's delta against the nulls", head, rows, [note])

    def tables(self) -> list[Table]:
        return [self.table(), self.nulls()]

    def pictures(self, workspace: Workspace) -> list[Picture]:
        images, _ = workspace.images(self.settings.image_sets[0])
        first = self.layers[0]
        rows = [
            image_rows(
                name,
                f"{what} of {first.model} {first.layer}: the test images that go furthest along "
                "each, one row per direction.",
                images[np.array(first.images[population])],
                first.shown[population],
            )
            for name, what, population in (
                ("figure1", "Figure 1, units", NATURAL),
                ("figure2", "Figure 2, random directions", RANDOM),
            )
        ]
        return [*rows, *map(self._distributions, self.layers)]

    def _distributions(self, layer: LayerResult) -> Picture:
        stem = f"{layer.model}_{layer.layer}".lower().replace("-", "_")
        return distribution_chart(
            f"coherence_{stem}",
            f"{layer.model} {layer.layer}: how coherent the images of a direction are.",
            {
                measure: {name: np.array(q) for name, q in populations.items()}
                for measure, populations in layer.quantiles.items()
            },
        )


@dataclasses.dataclass(frozen=True)
class Figures1And2(Experiment[Figures1And2Result]):
    """Finds top images of units and of random directions and compares their coherence.

    Args:
        number: held-out (test) images; the paper took all 10 000.
        k: images per direction.
        shown: directions drawn.
        units: most units compared in a layer, drawn at random in wider ones.
        random_number: random directions compared in each layer.
        margin: |Cliff's delta| from which a difference would matter.
        alpha: level of the tests.
        seed: of the directions.
    """

    number: int = 10_000
    k: int = 9
    shown: int = 6
    units: int = 1000
    random_number: int = 2000
    margin: float = 0.147
    alpha: float = 0.05
    seed: int = 0

    # Each layer, and whose features stand for content: always another network's.
    layers: ClassVar[tuple[tuple[str, str, str, str], ...]] = (
        ("Conv", "fc1", "FC200-200-10", "fc2"),
        ("Conv", "pool1", "FC200-200-10", "fc2"),
        ("FC100-100-10", "fc1", "Conv", "fc1"),
        ("FC100-100-10", "fc2", "Conv", "fc1"),
        ("AE400-10", "fc1", "Conv", "fc1"),
    )
    record = Figures1And2Result
    models: ClassVar[tuple[str, ...]] = ("Conv", "FC100-100-10", "FC200-200-10", "AE400-10")

    @property
    def image_sets(self) -> tuple[ImageSet, ...]:
        return (ImageSet("test", self.number),)

    def run(self, workspace: Workspace) -> Figures1And2Result:
        """Compares every layer."""
        pairs, layers = [], []
        for place in self.layers:
            found = self._compared(workspace, *place)
            pairs += _pairs(*place[:2], found)
            layers.append(self._layer(*place[:2], found))
        return Figures1And2Result(self, tuple(pairs), tuple(layers))

    def _compared(
        self, workspace: Workspace, model: str, layer: str, feature_model: str, feature_layer: str
    ) -> Comparison:
        images, labels = workspace.images(self.image_sets[0])
        network = workspace.model(model)
        width = int(np.prod(network.get_layer(layer).output.shape[1:]))
        return compare(
            network,
            layer,
            images,
            labels,
            feature_model=workspace.model(feature_model),
            feature_layer=feature_layer,
            k=self.k,
            number=min(width, self.units),
            random_number=self.random_number,
            margin=self.margin,
            alpha=self.alpha,
            seed=self.seed,
        )

    def _layer(self, model: str, layer: str, found: Comparison) -> LayerResult:
        # The first directions that determine their images are drawn.
        tops = {NATURAL: found.natural, RANDOM: found.random}
        rows = {name: np.flatnonzero(top.determined)[: self.shown] for name, top in tops.items()}
        natural = found.populations[NATURAL].measures
        return LayerResult(
            model,
            layer,
            units=len(natural["purity"]),
            left_out=found.left_out[NATURAL],
            quantiles={
                _measure_name(measure): {
                    name: tuple(np.quantile(each.measures[measure], _QUANTILES).tolist())
                    for name, each in found.populations.items()
                }
                for measure in natural
            },
            shown={n: tuple(top.names()[row] for row in rows[n]) for n, top in tops.items()},
            images={n: tuple(map(tuple, top.indices[rows[n]].tolist())) for n, top in tops.items()},
        )


def _pairs(model: str, layer: str, found: Comparison) -> list[LayerContrast]:
    return [
        LayerContrast(model, layer, _measure_name(c.measure), c.first, c.second, c.medians, c.test)
        for c in found.contrasts
    ]


def _measure_name(measure: str) -> str:
    """Tells the reader whose features a distance is in, by the paper's name."""
    for name, entry in paper.ZOO.items():
        model = entry.split("/")[1]
        if measure.endswith(f" of {model}"):
            return f"{measure.removesuffix(model)}{name}"
    return measure
