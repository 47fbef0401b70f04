"""Lipschitz bounds beside those of other methods: the same weights, one run, one thread.

    OMP_NUM_THREADS=1 python benchmarks/lipschitz_peers.py

Chains of matrices: ECLipsE and ECLipsE-Fast as their authors ship them (`pip install eclipse-nn`;
Xu and Sivaranjani 2024, arXiv 2410.02907), the former also by clarabel, since the package falls
back to the latter where its solver is not exact enough; LipSDP-Neuron (Fazlyab et al. 2019, arXiv
1906.04893) by clarabel where that ends within minutes. "0 steps" is where our search starts.
Convolutions: Gram iteration (Delattre et al. 2023, arXiv 2305.16173) as published: on the Fourier
transform at the image's own size, in single precision, 6 iterations; and again with as many as end
within our time. True norms of the zero-padded layers are ARPACK's.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from collections.abc import Callable, Iterator

import keras
import numpy as np
import torch
from eclipse_nn import LipConstEstimator
from lipschitz_cases import ALEXNET, Case
from lipschitz_chain import lipsdp_neuron, solved, triangle
from lipschitz_tightness import SMALLER, true_norm
from threadpoolctl import threadpool_limits

import intriguing_tf as itf
from intriguing_tf.lipschitz.certificate import MatrixChain
from intriguing_tf.lipschitz.chains import chain_bound
from intriguing_tf.lipschitz.multipliers import Recursion, optimize
from intriguing_tf.lipschitz.steps import Matrix
from intriguing_tf.reporting import Table

Weights = list[np.ndarray]
RANDOM = ((10, 20, 20, 5), (20, 30, 30, 30, 10), (100, 100, 100, 100, 100, 10))
ENTRIES = ("mnist/fc100-100-10", "mnist/fc200-200-10")
# Hidden units up to which the semidefinite programme of all layers is solved.
SOLVED = 100
GRAM_ITERATIONS = 6
MOST_ITERATIONS = 14


def random_weights(sizes: tuple[int, ...]) -> Weights:
    """Normal weights as He et al. (2015) scale them."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=(n, m)) * (2 / m) ** 0.5 for m, n in itertools.pairwise(sizes)]


def weights_of(name: str) -> Weights:
    """The matrices of an entry of the zoo; the slopes of its sigmoids, 1/4, are moved into them."""
    layers = [layer for layer in itf.zoo.load(name).layers if hasattr(layer, "kernel")]
    sigmoid = keras.activations.sigmoid
    slopes = [1.0, *(0.25 if layer.activation is sigmoid else 1.0 for layer in layers[:-1])]
    weights = [keras.ops.convert_to_numpy(layer.kernel).T.astype(float) for layer in layers]
    return [each * slope for each, slope in zip(weights, slopes, strict=True)]


def eclipse_by_clarabel(weights: Weights) -> float:
    """ECLipsE: for each layer the largest s with M_i ⪰ s W_(i+1)ᵀ W_(i+1), one after the other."""
    inverse = np.eye(weights[0].shape[1])
    for own, following in itertools.pairwise(weights):
        size = len(own)
        gram = own @ inverse @ own.T / 4
        values, vectors = np.linalg.eigh(gram)
        root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
        constant = np.zeros((2 * size, 2 * size))
        constant[size:, size:] = np.eye(size)
        columns = [np.zeros_like(constant) for _ in range(size + 1)]
        columns[0][:size, :size] = -following.T @ following
        for unit in range(size):
            columns[unit + 1][unit, unit] = 1
            columns[unit + 1][unit, size:] = columns[unit + 1][size:, unit] = root[unit]
        # A little less, so that M_i stays positive definite.
        own_multipliers = 0.999 * solved(constant, [triangle(each) for each in columns], -1.0)[1:]
        matrix = np.diag(own_multipliers) - np.outer(own_multipliers, own_multipliers) * gram
        inverse = np.linalg.inv(matrix)
    return float(np.linalg.eigvalsh(weights[-1] @ inverse @ weights[-1].T)[-1]) ** 0.5


def timed(function: Callable[[], float]) -> tuple[float, float]:
    """What it returns, and the seconds of the processor that it took."""
    start = time.process_time()
    value = float(function())
    return value, time.process_time() - start


def chain_methods(weights: Weights) -> Iterator[tuple[str, Callable[[], float]]]:
    """The methods, each with what runs it."""
    problem = MatrixChain([Matrix(each) for each in weights])

    def start() -> float:
        recursion = Recursion(problem.stages(np.arange(1)))
        return recursion.largest(optimize(recursion, 0)) ** 0.5

    def eclipse(method: str) -> Callable[[], float]:
        estimator = LipConstEstimator(weights=[torch.from_numpy(each) for each in weights])

        def run() -> float:
            with contextlib.redirect_stdout(sys.stderr):  # it says where it falls back
                return float(estimator.estimate(method))

        return run

    yield "product of norms", lambda: float(np.prod([np.linalg.norm(w, 2) for w in weights]))
    yield "ECLipsE-Fast (eclipse-nn)", eclipse("ECLipsE_Fast")
    yield "Λ-chain, 0 steps, not certified", start
    yield "ECLipsE (eclipse-nn)", eclipse("ECLipsE")
    yield "**Λ-chain, certified**", lambda: chain_bound(problem)
    if sum(map(len, weights[:-1])) <= SOLVED:
        yield "ECLipsE (clarabel)", lambda: eclipse_by_clarabel(weights)
        yield "LipSDP-Neuron (clarabel)", lambda: lipsdp_neuron(weights)


def chain_rows() -> Iterator[tuple]:
    """Bound and time of each method on each network."""
    networks = {"-".join(map(str, sizes)): random_weights(sizes) for sizes in RANDOM}
    networks |= {name: weights_of(name) for name in ENTRIES}
    for name, weights in networks.items():
        for _, function in itertools.islice(chain_methods(weights), 3):
            function()  # what is computed for the first time takes longer
        found = [(method, *timed(function)) for method, function in chain_methods(weights)]
        least = min(value for _, value, _ in found)
        for method, value, seconds in found:
            yield name, method, value, f"{value / least - 1:.2%}", seconds


def gram_iteration(kernel: np.ndarray, size: int) -> Iterator[float]:
    """Yields ‖(ŴᴴŴ)^(2^(t − 1))‖_F^(2^−t), the largest over frequencies, for t = 1, 2, …"""
    symbols = np.fft.rfft2(kernel.astype(np.float32), (size, size), axes=(0, 1))
    symbols = symbols.astype(np.complex64).reshape(-1, *kernel.shape[2:])
    if kernel.shape[2] > kernel.shape[3]:
        symbols = np.ascontiguousarray(symbols.swapaxes(1, 2))
    logarithm = np.zeros(len(symbols))
    for t in itertools.count(1):
        lengths = np.linalg.norm(symbols, axis=(1, 2))
        symbols = symbols / lengths[:, None, None]
        logarithm = 2 * (logarithm + np.log(lengths))
        symbols = symbols @ symbols.conj().swapaxes(1, 2)
        last = np.log(np.linalg.norm(symbols, axis=(1, 2)))
        yield float(np.exp(np.max((logarithm + last) / 2**t)))


def by_groups(case: Case, kernel: np.ndarray, seconds: float) -> tuple[list[float], list[float]]:
    """The bounds after each iteration, the largest over groups, and the seconds so far."""
    start, values, times = time.process_time(), [], []
    width = kernel.shape[3] // case.groups
    groups = [
        gram_iteration(kernel[..., i * width : (i + 1) * width], case.size)
        for i in range(case.groups)
    ]
    for number, each in enumerate(zip(*groups, strict=True)):
        values.append(max(each))
        times.append(time.process_time() - start)
        if number + 1 >= GRAM_ITERATIONS and (times[-1] > seconds or number >= MOST_ITERATIONS):
            return values, times
    raise AssertionError("the iterations do not end")


def convolution_rows() -> Iterator[tuple]:
    """Bound and time of both methods, and the true norm of the zero-padded layer."""
    for case in (*ALEXNET[1:], *SMALLER):
        if case.stride > 1:
            continue  # the published method is for stride 1
        for weights, kernel in (("He", case.he()), ("low-pass", case.low_pass())):
            layer = case.layer(kernel)
            own, seconds = timed(lambda layer=layer: layer.norm(attained=False).upper)
            values, times = by_groups(case, kernel, seconds)
            within = max([i for i, each in enumerate(times) if each <= seconds], default=0)
            exact = true_norm(layer)
            number = GRAM_ITERATIONS - 1
            yield (
                case.name, weights, exact, _above(own, exact), seconds,
                _above(values[number], exact), times[number],
                f"{within + 1}", _above(values[within], exact),
            )  # fmt: skip


def _above(value: float, exact: float) -> str:
    """How far above the truth; what lies below is no bound."""
    share = value / exact - 1
    return f"{share:+.3%}" if share >= -1e-7 else f"{share:+.3%}: no bound"


def main() -> None:
    """Prints both tables."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        columns = ("network", "method", "bound", "above the least", "CPU s")
        print(Table("", columns, list(chain_rows())).markdown(), flush=True)
        columns = (
            "layer", "weights", "true norm", "**ours**", "CPU s", "Gram iteration, 6", "CPU s ",
            "iterations in our time", "Gram iteration then",
        )  # fmt: skip
        print()
        print(Table("", columns, list(convolution_rows()), digits=5).markdown())


if __name__ == "__main__":
    main()
