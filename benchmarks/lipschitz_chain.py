"""The Λ-chain against LipSDP-Neuron, and product against chain for every MNIST entry of the zoo.

    OMP_NUM_THREADS=1 python benchmarks/lipschitz_chain.py [--large]

LipSDP-Neuron (Fazlyab et al. 2019, arXiv 1906.04893) minimizes the same bound over the multipliers
as a semidefinite programme, here with clarabel. --large adds two networks that take it minutes.
"""

from __future__ import annotations

import itertools
import sys
import time

import clarabel
import keras
import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

import intriguing_tf as itf
from intriguing_tf.lipschitz.certificate import MatrixChain
from intriguing_tf.lipschitz.chains import chain_bound
from intriguing_tf.lipschitz.multipliers import Recursion, optimize
from intriguing_tf.lipschitz.steps import Matrix
from intriguing_tf.reporting import Table

SMALL = ((10, 20, 20, 5), (16, 32, 32, 10), (20, 30, 30, 30, 10))
LARGE = ((64, 50, 50, 10), (30, 60, 60, 60, 10))


def lipsdp_neuron(weights: list[np.ndarray]) -> float:
    """Least L with a diagonal T: the matrix of the chain's quadratic form is ⪰ 0."""
    sizes = [weights[0].shape[1], *(len(w) for w in weights[:-1])]
    ends = np.cumsum([0, *sizes])
    size = ends[-1]
    constant = np.zeros((size, size))
    constant[ends[-2] :, ends[-2] :] = -weights[-1].T @ weights[-1]
    columns = [triangle(np.diag(np.r_[np.ones(sizes[0]), np.zeros(size - sizes[0])]))]
    for i, matrix in enumerate(weights[:-1]):
        for unit in range(len(matrix)):
            row = ends[i + 1] + unit
            derivative = np.zeros((size, size))
            derivative[row, row] = 2
            derivative[row, ends[i] : ends[i + 1]] = -matrix[unit]
            derivative[ends[i] : ends[i + 1], row] = -matrix[unit]
            columns.append(triangle(derivative))
    return float(solved(constant, columns)[0]) ** 0.5


def solved(constant: np.ndarray, columns: list[np.ndarray], sign: float = 1.0) -> np.ndarray:
    """Returns x with the least `sign` · x₀, F + Σ x_i F_i ⪰ 0 and the others ≥ 0, by clarabel.

    Args:
        constant: F.
        columns: the F_i, as `triangle` gives them.
        sign: 1 or −1.
    """
    size, unknowns = len(constant), len(columns)
    positive = sparse.hstack([sparse.csc_matrix((unknowns - 1, 1)), -sparse.eye(unknowns - 1)])
    rows = sparse.vstack([-sparse.csc_matrix(np.array(columns).T), positive], format="csc")
    limits = np.r_[triangle(constant), np.zeros(unknowns - 1)]
    objective = np.r_[sign, np.zeros(unknowns - 1)]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    cones = [clarabel.PSDTriangleConeT(int(size)), clarabel.NonnegativeConeT(unknowns - 1)]
    quadratic = sparse.csc_matrix((unknowns, unknowns))
    solution = clarabel.DefaultSolver(quadratic, objective, rows, limits, cones, settings).solve()
    if "Solved" not in str(solution.status):
        raise RuntimeError(f"clarabel: {solution.status}")
    return np.asarray(solution.x)


def triangle(matrix: np.ndarray) -> np.ndarray:
    """The upper triangle column by column, off-diagonal entries times √2."""
    rows, columns = np.triu_indices(len(matrix))
    order = np.lexsort((rows, columns))
    rows, columns = rows[order], columns[order]
    return matrix[rows, columns] * np.where(rows == columns, 1.0, 2**0.5)


def against_lipsdp(widths: tuple[int, ...]) -> tuple:
    rng = np.random.default_rng(0)
    pairs = itertools.pairwise(widths)
    weights = [rng.normal(size=(n, m)) * (2 / m) ** 0.5 for m, n in pairs]
    product = float(np.prod([np.linalg.norm(w, 2) for w in weights]))
    problem = MatrixChain([Matrix(w) for w in weights])
    fast = Recursion(problem.stages(np.arange(1)))
    eclipse = fast.largest(optimize(fast, 0)) ** 0.5
    start = time.process_time()
    ours = chain_bound(problem)
    middle = time.process_time()
    sdp = lipsdp_neuron(weights)
    end = time.process_time()
    name = "-".join(map(str, widths))
    seconds = middle - start, end - middle
    return (name, product, eclipse, ours, sdp, f"{ours / sdp - 1:.3%}", *seconds,
            seconds[1] / seconds[0])  # fmt: skip


def zoo_row(name: str) -> tuple:
    model = itf.zoo.load(name)
    product = itf.lipschitz.bound(model, method="product").total
    start = time.process_time()
    report = itf.lipschitz.bound(model)
    seconds = time.process_time() - start
    return name, product, report.total, product / report.total, seconds


def main() -> None:
    keras.utils.set_random_seed(0)
    with threadpool_limits(1):
        rows = [against_lipsdp(widths) for widths in SMALL + LARGE * ("--large" in sys.argv)]
        columns = ("network", "product", "ECLipsE-Fast", "Λ-chain", "LipSDP-Neuron")
        columns += ("above LipSDP", "chain, s", "SDP, s", "times faster")
        print(Table("Λ-chain, He weights", columns, rows).markdown(), "\n")
        rows = [zoo_row(name) for name in itf.zoo.list("mnist/*")]
        columns = ("entry", "product", "best", "product/best", "s")
        print(Table("Product against the best bound", columns, rows).markdown())


if __name__ == "__main__":
    main()
