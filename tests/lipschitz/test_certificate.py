"""The certificate of a chain, against what the recursion says of every frequency by itself."""

from __future__ import annotations

import numpy as np
import pytest

from intriguing_tf.lipschitz import certificate
from intriguing_tf.lipschitz.certificate import ConvolutionChain, MatrixChain
from intriguing_tf.lipschitz.convolution import Convolution
from intriguing_tf.lipschitz.geometry import Geometry
from intriguing_tf.lipschitz.multipliers import Recursion, optimize
from intriguing_tf.lipschitz.steps import Matrix

pytestmark = pytest.mark.processor


def chain_of(kind: str):
    if kind == "matrices":
        rng = np.random.default_rng(0)
        sizes = [(9, 7), (8, 9), (6, 8), (5, 6)]
        return MatrixChain([Matrix(rng.normal(size=size) / 2) for size in sizes])
    strides = {"two": (1, 1), "strides first": (2, 1, 1), "strides last": (1, 1, 2)}[kind]
    rng = np.random.default_rng(1)
    layers, shape, inputs = [], (9, 8), 2
    for i, stride in enumerate(strides):
        taps = rng.normal(size=(3, 3, inputs, 4 + i)) / 4
        layers.append(Convolution.of(taps, Geometry(shape, stride, "same")))
        shape, inputs = tuple(-(-n // stride) for n in shape), 4 + i
    return ConvolutionChain(layers)


@pytest.mark.parametrize("blocked", [False, True], ids=["whole", "block by block"])
@pytest.mark.parametrize("kind", ["matrices", "two", "strides first", "strides last"])
def test_the_certificate_fails_just_where_the_bound_is_too_small(kind, blocked, monkeypatch):
    monkeypatch.setattr(certificate, "BATCHED_SIZE", 0 if blocked else 1000)
    chain = chain_of(kind)
    every = np.arange(chain.count)
    multipliers = optimize(Recursion(chain.stages(every[::7])), 10)
    multipliers = [0.7 * each for each in multipliers]
    least = np.array(
        [Recursion(chain.stages(every[i : i + 1])).largest(multipliers) for i in every]
    )
    assert np.all(np.isfinite(least))
    square = float(np.quantile(least, 0.6)) * (1 - 1e-6)
    failed = chain.violations(multipliers, square, every)
    np.testing.assert_array_equal(failed, np.flatnonzero(least > square))
    top = float(np.max(least))
    assert not len(chain.violations(multipliers, top * (1 + 1e-7), every))
    assert len(chain.violations(multipliers, top * (1 - 1e-7), every))


@pytest.mark.parametrize("blocked", [False, True], ids=["whole", "block by block"])
def test_a_matrix_beside_the_norm_is_certified_as_tightly(blocked, monkeypatch):
    """K itself, not only a multiple of I: what radii need."""
    monkeypatch.setattr(certificate, "BATCHED_SIZE", 0 if blocked else 1000)
    chain = chain_of("matrices")
    recursion = Recursion(chain.stages(np.arange(1)))
    multipliers = optimize(recursion, 10)
    joint = recursion.joint(multipliers)[0]
    lift = 1e-7 * np.linalg.norm(joint, 2) * np.eye(len(joint))
    assert not len(chain.violations(multipliers, joint + lift, np.arange(1)))
    assert len(chain.violations(multipliers, joint - lift, np.arange(1)))
