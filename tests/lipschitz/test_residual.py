"""Residual blocks as a whole: closed forms, all patterns of slopes, the semidefinite optimum."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import sparse

from intriguing_tf.lipschitz.blocks import block_of
from intriguing_tf.lipschitz.convolution import Convolution
from intriguing_tf.lipschitz.geometry import Geometry
from intriguing_tf.lipschitz.operators import Block, Operator
from intriguing_tf.lipschitz.residual import Certificate, block_bound
from intriguing_tf.lipschitz.steps import Diagonal, Matrix, Slopes

RELU = Slopes(0.0, 1.0)


def operator(weights: np.ndarray) -> Operator:
    return Operator(weights[None], np.zeros((1, 0), int))


def random_block(sizes, projected: bool, seed: int = 0):
    """Weights W_1 … and V (`None` is the identity) of a dense block."""
    rng = np.random.default_rng(seed)
    sizes = [*sizes, sizes[0] + 2 * projected]
    weights = [rng.normal(size=(n, m)) * (2 / m) ** 0.5 for m, n in itertools.pairwise(sizes)]
    return weights, rng.normal(size=(sizes[-1], sizes[0])) if projected else None


def joint(weights, shortcut) -> float:
    own = None if shortcut is None else operator(shortcut)
    return block_bound(Block([operator(each) for each in weights], own, ()))


def steepest(weights, shortcut, patterns: int = 1500) -> float:
    """The largest norm over random slopes in [0, 1], zeros and ones most of the time."""
    rng = np.random.default_rng(1)
    start = np.eye(weights[0].shape[1]) if shortcut is None else shortcut
    found = 0.0
    for _ in range(patterns):
        product = weights[0]
        for each in weights[1:]:
            slopes = np.clip(rng.normal(0.5, 5, len(product)), 0, 1)
            product = each @ (slopes[:, None] * product)
        found = max(found, np.linalg.norm(start + product, 2))
    return found


@pytest.mark.parametrize("projected", [False, True], ids=["identity", "projected"])
@pytest.mark.parametrize("sizes", [(5, 7), (4, 6, 5)], ids=["one hidden", "two hidden"])
def test_blocks_hold_every_pattern_of_slopes_and_beat_the_sum(sizes, projected):
    weights, shortcut = random_block(sizes, projected)
    apart = 1.0 if shortcut is None else np.linalg.norm(shortcut, 2)
    apart += np.prod([np.linalg.norm(each, 2) for each in weights])
    found = joint(weights, shortcut)
    assert 0.6 * found < steepest(weights, shortcut) <= found < 0.9 * apart


def test_a_gradient_step_of_a_convex_function_is_1_lipschitz():
    """x − Wᵀ relu(W x) with ‖W‖² = 2 moves no two points apart: exactly 1."""
    weights = np.random.default_rng(0).normal(size=(9, 6))
    weights *= 2**0.5 / np.linalg.norm(weights, 2)
    assert 1 <= joint([weights, -weights.T], None) <= 1.001


def test_a_block_of_positive_weights_reaches_its_exact_constant():
    """All slopes at 1 are the worst: ‖I + W₂W₁‖."""
    weights = [np.abs(each) for each in random_block((5, 6), False)[0]]
    exact = np.linalg.norm(np.eye(5) + weights[1] @ weights[0], 2)
    assert exact <= joint(weights, None) <= 1.001 * exact


def test_the_certificate_refuses_less_than_the_optimum():
    weights, _ = random_block((5, 7), False)
    block = Block([operator(each) for each in weights], None, ())
    least = steepest(weights, None) ** 2
    for scale in (0.3, 1.0, 3.0):
        multipliers = [scale * np.linalg.norm(weights[1], 2) ** 2 * np.ones(7)]
        assert Certificate(block, multipliers, 0.99 * least).violations(np.zeros((1, 0))).all()
    assert not Certificate(block, multipliers, 1e4 * least).violations(np.zeros((1, 0))).any()


@pytest.mark.parametrize("projected", [False, True], ids=["identity", "projected"])
@pytest.mark.parametrize("hidden", [1, 2])
def test_blocks_reach_the_optimum_of_the_semidefinite_program(hidden, projected):
    clarabel = pytest.importorskip("clarabel")
    sizes = (6, 12) if hidden == 1 else (6, 7, 8)
    weights, shortcut = random_block(sizes, projected, seed=hidden)
    optimum = least_by_semidefinite_program(clarabel, weights, shortcut)
    assert optimum * (1 - 1e-6) <= joint(weights, shortcut) <= 1.01 * optimum


def least_by_semidefinite_program(clarabel, weights, shortcut) -> float:
    """min L² over L² and Λ ≥ 0 with the block's matrix positive semidefinite."""
    inputs = weights[0].shape[1]
    ends = np.cumsum([inputs, *(len(each) for each in weights[:-1])])
    size = ends[-1]
    last = np.zeros((len(weights[-1]), size))
    last[:, :inputs] = np.eye(inputs) if shortcut is None else shortcut
    last[:, ends[-2] :] += weights[-1]
    columns = [_triangle(np.diag(np.r_[np.ones(inputs), np.zeros(size - inputs)]))]
    for i, matrix in enumerate(weights[:-1]):
        start = 0 if i == 0 else ends[i - 1]
        for unit, row in enumerate(matrix):
            derivative = np.zeros((size, size))
            place = ends[i] + unit
            derivative[place, place] = 2
            derivative[place, start : ends[i]] = -row
            derivative[start : ends[i], place] = -row
            columns.append(_triangle(derivative))
    unknowns = len(columns)
    positive = sparse.hstack([sparse.csc_matrix((unknowns - 1, 1)), -sparse.eye(unknowns - 1)])
    rows = sparse.vstack([-sparse.csc_matrix(np.array(columns).T), positive], format="csc")
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    solution = clarabel.DefaultSolver(
        sparse.csc_matrix((unknowns, unknowns)),
        np.r_[1.0, np.zeros(unknowns - 1)],
        rows,
        np.r_[_triangle(-last.T @ last), np.zeros(unknowns - 1)],
        [clarabel.PSDTriangleConeT(int(size)), clarabel.NonnegativeConeT(unknowns - 1)],
        settings,
    ).solve()
    assert "Solved" in str(solution.status)
    return float(solution.x[0]) ** 0.5


def _triangle(matrix: np.ndarray) -> np.ndarray:
    rows, columns = np.triu_indices(len(matrix))
    order = np.lexsort((rows, columns))
    rows, columns = rows[order], columns[order]
    return matrix[rows, columns] * np.where(rows == columns, 1.0, 2**0.5)


def convolution(size: int, inputs: int, outputs: int, kernel: int, stride: int, seed: int):
    taps = np.random.default_rng(seed).normal(size=(kernel, inputs, outputs)) / kernel
    return Convolution.of(taps, Geometry((size,), stride, "same"))


def matrix_of(layer: Convolution) -> np.ndarray:
    shape = (layer.pixels, layer.inputs)
    columns = [layer.apply(each.reshape(shape)).ravel() for each in np.eye(np.prod(shape))]
    return np.array(columns).T


@pytest.mark.slow
@pytest.mark.parametrize(
    "path, shortcut",
    [
        ([(9, 3, 4, 3, 1), (9, 4, 3, 3, 1)], []),
        ([(9, 3, 4, 3, 2), (5, 4, 5, 3, 1)], [(9, 3, 5, 1, 2)]),
        ([(8, 3, 4, 1, 2), (4, 4, 4, 3, 1), (4, 4, 5, 1, 1)], [(8, 3, 5, 1, 2)]),
        ([(7, 2, 3, 3, 1), (7, 3, 4, 3, 1)], [(7, 2, 4, 3, 1)]),
    ],
    ids=["identity", "stride", "bottleneck with stride", "wide shortcut"],
)
def test_blocks_of_convolutions_hold_on_the_image_and_are_tight(path, shortcut):
    """Against the block of the layers' own matrices, with a multiplier per pixel, which is less."""
    layers = [convolution(*sizes, seed=i) for i, sizes in enumerate(path)]
    beside = [convolution(*sizes, seed=9) for sizes in shortcut]
    steps = [each for layer in layers for each in (layer, RELU)][:-1]
    block = block_of([beside, steps])
    assert block is not None
    found = block_bound(block)
    dense = [matrix_of(layer) for layer in layers]
    own = matrix_of(beside[0]) if beside else None
    assert steepest(dense, own, 300) <= found
    assert joint(dense, own) <= found * (1 + 1e-4)
    assert found <= 1.15 * joint(dense, own)


def test_what_is_no_residual_block_is_none():
    matrix = Matrix(np.eye(3))
    assert block_of([[], [matrix, RELU, matrix]]) is not None
    assert block_of([[], [Diagonal(np.ones(3)), RELU, matrix]]) is not None
    assert block_of([[], [RELU, matrix]]) is not None
    assert block_of([[], [matrix]]) is None
    assert block_of([[], [matrix, Slopes(-0.1, 1.1), matrix]]) is None
    assert block_of([[matrix, RELU], [matrix, RELU, matrix]]) is None
    assert block_of([[], [], [matrix, RELU, matrix]]) is None
