"""How far certified norms lie above the true norms of the zero-padded layers.

    OMP_NUM_THREADS=1 python benchmarks/lipschitz_tightness.py [alexnet.npz]

The true norm is ARPACK's largest singular value of the layer itself (svds, tolerance 1e-7), applied
pixel by pixel without any Fourier transform. Of random weights the worst of five seeds is shown.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from lipschitz_cases import ALEXNET, Case
from scipy.sparse.linalg import LinearOperator, eigsh
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from intriguing_tf.lipschitz.convolution import Convolution
from intriguing_tf.reporting import Table

SEEDS = 5
SMALLER = (
    Case("64→64 at 13", (3, 3, 64, 64), 13),
    Case("64→128 at 16, stride 2", (3, 3, 64, 128), 32, 2),
    Case("64→64 at 28", (3, 3, 64, 64), 28),
    Case("128→128 at 14", (3, 3, 128, 128), 14),
)


def true_norm(layer: Convolution) -> float:
    """The layer's own largest singular value, of the group where it is largest."""
    best = 0.0
    for group in range(layer.groups):
        alone = Convolution(layer.by_group[group], layer.axes)
        shape = (alone.pixels, alone.inputs)

        def normal(x: np.ndarray, alone: Convolution = alone, shape: tuple = shape) -> np.ndarray:
            return alone.adjoint(alone.apply(x.reshape(shape))).ravel()

        size = shape[0] * shape[1]
        operator = LinearOperator((size, size), matvec=normal, dtype=float)
        start = np.random.default_rng(0).normal(size=size)
        value = eigsh(operator, k=1, v0=start, tol=1e-7, ncv=40, return_eigenvectors=False)[0]
        best = max(best, float(value) ** 0.5)
    return best


def cases(trained: str | None) -> Iterator[tuple[str, str, Convolution]]:
    for case in (*ALEXNET[1:], *SMALLER):
        for seed in range(SEEDS):
            yield case.name, "He", case.layer(case.he(seed))
        for seed in range(SEEDS):
            yield case.name, "low-pass", case.layer(case.low_pass(seed))
    if trained:
        with np.load(trained, allow_pickle=False) as kernels:
            for case in ALEXNET[1:]:
                yield case.name, "trained", case.layer(kernels[f"{case.name}/kernel"])


def main() -> None:
    worst: dict[tuple[str, str], tuple] = {}
    with threadpool_limits(1):
        for name, weights, layer in tqdm(list(cases(sys.argv[1] if sys.argv[1:] else None))):
            norm = layer.norm()
            exact = true_norm(layer)
            above, below = norm.upper / exact - 1, 1 - (norm.lower or 0) / exact
            how = norm.how.replace(", Cholesky", "")
            row = (above, norm.upper, exact, below, how)
            worst[name, weights] = max(row, worst.get((name, weights), row))
    columns = (
        "layer",
        "weights",
        "bound",
        "true norm",
        "bound above",
        "lower bound below",
        "method",
    )
    rows = [
        (*key, upper, exact, f"{above:.4%}", f"{below:.4%}", how)
        for key, (above, upper, exact, below, how) in worst.items()
    ]
    print(Table("Tightness", columns, rows, digits=6).markdown())


if __name__ == "__main__":
    main()
