"""The paper's claims about MNIST, each held against what was measured."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise, permutations
from typing import NamedTuple

import numpy as np

from intriguing_tf.experiments import paper
from intriguing_tf.experiments.figures1_2 import Figures1And2Result
from intriguing_tf.experiments.matrices import NOT_CLIPPED, SetErrors
from intriguing_tf.experiments.table1 import Table1Result
from intriguing_tf.experiments.table2 import Table2Result
from intriguing_tf.experiments.table4 import Table4Result
from intriguing_tf.reporting import Table
from intriguing_tf.units import holm

# |Cliff's delta| from which Romano et al. (2006) call a difference large.
_LARGE = 0.474


class Claim(NamedTuple):
    """A claim, whether it holds here ("yes", "no" or "partly"), and what was measured."""

    claim: str
    holds: str
    measured: str


def claims(
    table1: Table1Result,
    table2: Table2Result,
    table4: Table4Result,
    figures1_2: Figures1And2Result,
) -> list[Claim]:
    """Returns the paper's claims in its order."""
    amplified = f"amplified to {table4.settings.amplified}"
    return [
        _no_distinction(figures1_2),
        _units_not_better(figures1_2),
        _coherent(figures1_2),
        _all_attackable(table1),
        _more_decay_more_distortion(table1),
        _autoencoder_is_sturdier(table1, table2),
        _above_noise(
            "Images distorted for one network are misclassified by others, far above noise "
            "(Table 2)",
            table2.matrix,
            permutations(paper.TABLE_1, 2),
        ),
        _above_noise(
            "They are misclassified by networks trained on other images (Table 4)",
            table4.matrix,
            permutations(paper.TABLE_3, 2),
        ),
        _above_noise(
            "Amplified to 0.1, they are misclassified far more often (Table 4)",
            table4.matrix,
            ((f"{row}, {amplified}", column) for row, column in permutations(paper.TABLE_3, 2)),
        ),
    ]


def table(found: Iterable[Claim]) -> Table:
    """Returns the claims for printing."""
    head = ("the paper's claim", "holds here", "measured here")
    return Table("The paper's claims", head, list(found))


def _verdict(holding: int, total: int) -> str:
    return "yes" if holding == total else "no" if holding == 0 else "partly"


def _no_distinction(result: Figures1And2Result) -> Claim:
    verdicts = [verdict for *_, verdict in result.verdicts()]
    alike = sum(verdict in ("equivalent", "different, but negligibly") for verdict in verdicts)
    return Claim(
        "There is no distinction between units and random directions (section 3)",
        _verdict(alike, len(verdicts)),
        f"over {len(verdicts)} tests: shown alike {alike}, different "
        f"{verdicts.count('different')}, undecided {verdicts.count('undecided')}",
    )


def _units_not_better(result: Figures1And2Result) -> Claim:
    verdicts = result.verdicts()
    # More coherent is a higher purity, but a lower entropy or distance.
    p_values = holm(
        [p.test.p_not_above if p.measure == "purity" else p.test.p_not_below for p, *_ in verdicts]
    )
    alpha = result.settings.alpha
    shown = int((p_values < alpha).sum())
    worse = sum(
        different < alpha and (p.test.delta < 0) == (p.measure == "purity")
        for p, different, *_ in verdicts
    )
    return Claim(
        "Units are no more meaningful than random directions: the space matters (section 3)",
        _verdict(shown, len(verdicts)),
        f"shown in {shown} of {len(verdicts)} tests (delta below {result.settings.margin} in "
        f"favour of units); in {worse} units are significantly less coherent",
    )


def _coherent(result: Figures1And2Result) -> Claim:
    purity, pixels = (
        [
            p.test.delta
            for p in result.pairs
            if (p.measure, p.first, p.second) == ("purity", "random", null)
        ]
        for null in ("shuffled", "pixel space")
    )
    return Claim(
        "The images of a random direction share a meaning (section 3)",
        _verdict(sum(delta > _LARGE for delta in purity), len(purity)),
        f"purity against shuffled images: delta {min(purity):+.2f} to {max(purity):+.2f}; against "
        f"random directions of the pixels: {min(pixels):+.2f} to {max(pixels):+.2f}",
    )


def _all_attackable(result: Table1Result) -> Claim:
    found = [row.found for row in result.rows]
    distortions = [row.distortion.value for row in result.rows]
    return Claim(
        "Every image of every network has an adversarial example nearby (section 4)",
        _verdict(sum(share == 1 for share in found), len(found)),
        f"found for at least {100 * min(found):.4g} % of each network's images; average "
        f"distortion {min(distortions):.3f} to {max(distortions):.3f}",
    )


def _more_decay_more_distortion(result: Table1Result) -> Claim:
    linear = [row.distortion for row in result.rows if row.model.startswith("FC10(")]
    rising = sum(a.high < b.low for a, b in pairwise(linear))
    return Claim(
        "More weight decay makes a linear network need more distortion (Table 1)",
        _verdict(rising, len(linear) - 1),
        ", ".join(distortion.decimal() for distortion in linear),
    )


def _autoencoder_is_sturdier(table1: Table1Result, table2: Table2Result) -> Claim:
    autoencoder, *others = "AE400-10", "FC100-100-10", "FC200-200-10"
    distortion = {row.model: row.distortion for row in table1.rows}
    farther = sum(distortion[autoencoder].low > distortion[other].high for other in others)
    mean = {
        column: 100
        * np.mean([table2.matrix.error(row, column).value for row in distortion if row != column])
        for column in distortion
    }
    least = min(mean, key=lambda column: mean[column])
    return Claim(
        "AE400-10 resists more than the other sigmoid networks, yet is not immune (section 4.2)",
        _verdict(farther + (least == autoencoder), len(others) + 1),
        f"distortion {distortion[autoencoder].value:.3f} against "
        f"{' and '.join(f'{distortion[other].value:.3f}' for other in others)}; mean error on the "
        f"other networks' images {mean[autoencoder]:.1f} %, the least being {least}'s "
        f"{mean[least]:.1f} %",
    )


def _above_noise(claim: str, matrix: SetErrors, pairs: Iterable[tuple[str, str]]) -> Claim:
    """Compares each pair of a set and a model with noise that is at least as strong."""
    noises = sorted(
        (
            row
            for row in matrix.rows
            if row.name.startswith("Gaussian noise") and not row.name.endswith(NOT_CLIPPED)
        ),
        key=lambda row: row.distortion.value,
    )
    cells = []
    for row, column in pairs:
        # What is left of the noise after clipping counts, not what was asked for.
        strength = matrix.row(row).distortion.value
        noise = next((n for n in noises if n.distortion.value >= strength), noises[-1])
        cells.append((matrix.error(row, column), matrix.error(noise.name, column)))
    above = sum(error.low > noise.high for error, noise in cells)
    errors, controls = (sorted(100 * cell[i].value for cell in cells) for i in (0, 1))
    return Claim(
        claim,
        _verdict(above, len(cells)),
        f"{above} of {len(cells)} pairs lie above noise at least as strong, intervals apart; "
        f"errors {errors[0]:.1f} to {errors[-1]:.1f} %, median {np.median(errors):.1f} %, against "
        f"{np.median(controls):.1f} % under noise",
    )
