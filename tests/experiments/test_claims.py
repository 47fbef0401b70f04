"""Claims are decided by the numbers: hand-made results that do and do not bear them out."""

import dataclasses

import numpy as np
import pytest

from intriguing_tf.experiments import Figures1And2, Table1, Table2, Table4, paper
from intriguing_tf.experiments.claims import claims, table
from intriguing_tf.experiments.figures1_2 import Figures1And2Result, LayerContrast
from intriguing_tf.experiments.matrices import SetErrors, SetRow
from intriguing_tf.experiments.records import Estimate
from intriguing_tf.experiments.table1 import AttackedModel, Table1Result
from intriguing_tf.experiments.table2 import Table2Result
from intriguing_tf.experiments.table4 import Table4Result
from intriguing_tf.units import two_sample_test


def about(value, width=0.01):
    return Estimate(value, value - width, value + width, 1000)


def table1(distortions, found=1.0):
    rows = [
        AttackedModel(name, about(0.1), about(0.1), found, about(d, 0.002), *[about(d)] * 4)
        for name, d in zip(paper.TABLE_1, distortions, strict=True)
    ]
    return Table1Result(Table1(), tuple(rows))


def matrix(columns, rows, across, noise):
    """Every model at 100 % on its own images and at `across` on the others'."""
    made = [
        SetRow(name, about(d), tuple(about(1.0 if name.startswith(c) else across) for c in columns))
        for name, d in rows.items()
    ]
    made += [
        SetRow(f"Gaussian noise {s}", about(0.7 * s), tuple(about(noise[s]) for _ in columns))
        for s in noise
    ]
    return SetErrors(tuple(columns), tuple(made))


def figures(shift):
    """Units whose purity lies `shift` standard deviations above that of random directions."""
    rng = np.random.default_rng(0)
    samples = {
        "natural": rng.normal(shift, 1, 2000),
        "random": rng.normal(0, 1, 2000),
        "shuffled": rng.normal(-9, 1, 2000),
        "pixel space": rng.normal(-1, 1, 2000),
    }
    pairs = [
        LayerContrast(
            "Conv", "fc1", "purity", a, b, (0.0, 0.0), two_sample_test(samples[a], samples[b])
        )
        for a, b in [("natural", "random"), ("random", "shuffled"), ("random", "pixel space")]
    ]
    return Figures1And2Result(Figures1And2(), tuple(pairs), ())


def decided(*, distortions=(0.06, 0.1, 0.14, 0.06, 0.06, 0.09), found=1.0, across=0.3, shift=0.0):
    names = dict.fromkeys(paper.TABLE_1, 0.06)
    noise = {0.1: 0.02, 0.2: 0.05, 0.3: 0.1}
    halves = {**dict.fromkeys(paper.TABLE_3, 0.06)}
    halves |= {f"{name}, amplified to 0.1": 0.1 for name in paper.TABLE_3}
    result = claims(
        table1(distortions, found),
        Table2Result(Table2(), matrix(paper.TABLE_1, names, across, noise)),
        Table4Result(Table4(), matrix(paper.TABLE_3, halves, across, noise)),
        figures(shift),
    )
    assert len(table(result).rows) == len(result)
    return {claim.claim.split(" (")[0]: claim for claim in result}


def test_a_world_like_the_papers_bears_out_every_claim():
    found = decided()
    sturdier = next(c for name, c in found.items() if name.startswith("AE400"))
    assert sturdier.holds == "partly"  # all networks classify the others' images equally well
    assert {c.holds for c in found.values() if c is not sturdier} == {"yes"}


@pytest.mark.parametrize(
    ("change", "claim"),
    [
        ({"across": 0.02}, "Images distorted for one network"),
        ({"across": 0.02}, "They are misclassified by networks"),
        ({"across": 0.02}, "Amplified"),
        ({"found": 0.99}, "Every image"),
        ({"distortions": (0.1,) * 6}, "More weight decay"),
        ({"shift": 1.0}, "There is no distinction"),
        ({"shift": 1.0}, "Units are no more meaningful"),
    ],
)
def test_a_claim_that_the_numbers_contradict_does_not_hold(change, claim):
    found = decided(**change)
    assert next(c for name, c in found.items() if name.startswith(claim)).holds == "no"


def test_units_that_are_less_coherent_contradict_one_claim_and_bear_out_the_other():
    found = decided(shift=-1.0)
    assert found["There is no distinction between units and random directions"].holds == "no"
    better = next(c for name, c in found.items() if name.startswith("Units are no more"))
    assert better.holds == "yes" and "in 1 units are significantly less" in better.measured


def test_the_noise_compared_with_is_as_strong_after_clipping():
    """Noise 0.1 keeps 0.07: weaker than distortions of 0.1, so noise 0.2 is the measure there."""
    found = decided(across=0.055)  # above noise 0.1's 2 %, within noise 0.2's interval
    assert found["They are misclassified by networks trained on other images"].holds == "yes"
    amplified = next(c for name, c in found.items() if name.startswith("Amplified"))
    assert amplified.holds == "no"


def test_claims_are_plain_records():
    assert all(isinstance(cell, str) for claim in decided().values() for cell in claim)
    assert dataclasses.is_dataclass(Table1)
