"""No layer and no network beats its bound. `LIPSCHITZ_EXAMPLES` multiplies the number of trials."""

from __future__ import annotations

import dataclasses
import math
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import intriguing_tf as itf
from intriguing_tf.lipschitz.registry import apply_rule
from intriguing_tf.lipschitz.walk import single_layer_bound
from tests.lipschitz.random_layers import (
    Drawn,
    convolutions,
    jacobian,
    linear_layers,
    matrix_of,
    networks,
    other_layers,
    steepest,
)

TIMES = float(os.environ.get("LIPSCHITZ_EXAMPLES", "1"))


def trials(examples: int) -> settings:
    return settings(
        max_examples=max(1, round(examples * TIMES)),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.slow
@trials(30)
@given(drawn=linear_layers())
def test_linear_layers_are_bounded_by_the_norm_of_their_own_matrix(drawn: Drawn) -> None:
    exact = np.linalg.norm(matrix_of(drawn.layer, drawn.shape), 2)
    found = single_layer_bound(drawn.layer, [(None, *drawn.shape)])
    assert found.bound >= exact * (1 - 1e-14)
    if "√overlap" not in found.how:
        # Interpolation reads its matrices off a float32 layer and allows for that.
        loose = 3e-5 if "bi" in found.how else 1e-6
        # Where the product of kernels cancels, what is left is the rounding of its factors.
        factors = [np.linalg.norm(each) for each in drawn.layer.weights if len(each.shape) > 1]
        assert found.bound <= exact * (1 + loose) + 1e-13 * math.prod(factors)
    if found.attained is not None:
        assert found.attained <= exact * (1 + 1e-12)


@pytest.mark.slow
@trials(30)
@given(drawn=convolutions())
def test_the_torus_bounds_convolutions_of_every_size(drawn: Drawn) -> None:
    exact = np.linalg.norm(matrix_of(drawn.layer, drawn.shape), 2)
    (step,) = apply_rule(drawn.layer, [(None, *drawn.shape)]).steps
    found = dataclasses.replace(step, dense_size=0).norm()
    assert found.upper >= exact * (1 - 1e-14)
    if found.lower is not None:
        assert found.lower <= exact * (1 + 1e-12)


@pytest.mark.slow
@trials(20)
@given(drawn=other_layers(), seed=st.integers(0, 2**32 - 1))
def test_no_jacobian_is_longer_than_the_bound(drawn: Drawn, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = single_layer_bound(drawn.layer, [(None, *drawn.shape)])
    for scale in (1e-3, 0.3, 3.0, 50.0):
        point = scale * rng.normal(size=drawn.shape) + scale * rng.normal()
        length = np.linalg.norm(jacobian(drawn.layer, point), 2)
        assert length <= found.bound * (1 + 1e-9)


@pytest.mark.slow
@trials(6)
@given(model=networks(), seed=st.integers(0, 2**32 - 1))
def test_no_network_is_steeper_than_its_bounds(model, seed: int) -> None:
    found = steepest(model, seed)
    report = itf.lipschitz.bound(model)
    plain = itf.lipschitz.bound(model, method="product")
    assert found <= report.total * (1 + 1e-9)
    assert report.total <= report.product <= plain.total * (1 + 1e-8)  # errors of folded factors
