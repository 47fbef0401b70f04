"""CPU seconds of a certified operator norm against the usual ways to compute it.

    OMP_NUM_THREADS=1 python benchmarks/lipschitz_speed.py [alexnet.npz] [--large]

Per layer: ours with all four twists and on the plain torus, from kernel to certificate; the batched
complex SVD of every frequency of the same torus (NumPy); Gram matrices of half of the spectrum and
eigvalsh. The last two certify nothing. The .npz file has AlexNet's trained kernels, conv1/kernel …;
--large adds VGG's 512→512 layer and a 9216×4096 matrix, whose SVDs take minutes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from lipschitz_cases import ALEXNET, VGG, Case
from threadpoolctl import threadpool_info, threadpool_limits

from intriguing_tf.lipschitz import dense_norm
from intriguing_tf.lipschitz.convolution import Convolution, oriented
from intriguing_tf.lipschitz.symbols import GramSymbol, polyphase, torus_maximum
from intriguing_tf.reporting import Table


def seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def plain_torus(layer: Convolution) -> float:
    """The certified maximum without twists."""
    shape = [axis.torus // axis.stride for axis in layer.axes]
    strides = [axis.stride for axis in layer.axes]
    best = 0.0
    for kernel in layer.by_group:
        split = polyphase(kernel, strides, (1, 1))
        symbol = GramSymbol(oriented(split.taps), split.places)
        best = max(best, torus_maximum(symbol, shape, [(0, 0)], best).value)
    return best**0.5


def symbols(layer: Convolution) -> np.ndarray:
    """The aliased Fourier matrices, [groups, frequencies, outputs, inputs·s²]."""
    tori = [axis.torus for axis in layer.axes]
    stride = layer.axes[0].stride
    coarse = [torus // stride for torus in tori]
    found = []
    for kernel in layer.by_group:
        spectrum = np.fft.fft2(kernel, tori, axes=(0, 1))
        inputs, outputs = kernel.shape[2:]
        aliased = spectrum.reshape(stride, coarse[0], stride, coarse[1], inputs, outputs)
        aliased = aliased.transpose(1, 3, 5, 0, 2, 4).reshape(-1, outputs, stride**2 * inputs)
        found.append(aliased / stride)
    return np.array(found)


def by_svd(layer: Convolution) -> float:
    return max(float(np.linalg.svd(each, compute_uv=False).max()) for each in symbols(layer))


def by_half_gram(layer: Convolution) -> float:
    """Real kernels: ξ and −ξ have the same singular values, so half of the rows is enough."""
    rows, columns = (axis.torus // axis.stride for axis in layer.axes)
    best = 0.0
    for each in symbols(layer):
        half = each.reshape(rows, columns, *each.shape[1:])[: rows // 2 + 1]
        half = half.reshape(-1, *each.shape[1:])
        if half.shape[1] > half.shape[2]:
            half = half.swapaxes(1, 2)
        best = max(best, float(np.linalg.eigvalsh(half @ half.conj().swapaxes(1, 2)).max()))
    return best**0.5


def measure(cases: list[tuple[Case, np.ndarray]], title: str) -> None:
    rows, totals = [], np.zeros(4)
    for case, kernel in cases:
        layer = case.layer(kernel)
        ours, bound = seconds(lambda layer=layer: layer.norm(attained=False).upper)
        plain, torus = seconds(lambda layer=layer: plain_torus(layer))
        svd, largest = seconds(lambda layer=layer: by_svd(layer))
        gram, _ = seconds(lambda layer=layer: by_half_gram(layer))
        times = np.array([ours, plain, svd, gram])
        totals += times
        gap = f"{100 * (torus / largest - 1):.4f} %"
        rows.append((case.name, *times, svd / ours, svd / plain, gram / ours, bound, gap))
    if len(cases) > 1:
        ours, plain, svd, gram = totals
        rows.append(("total", *totals, svd / ours, svd / plain, gram / ours, None, None))
    columns = ("layer", "4 twists, s", "plain, s", "SVD, s", "half Gram, s")
    columns += ("SVD/4 twists", "SVD/plain", "half Gram/4 twists", "bound", "plain above SVD")
    print(Table(title, columns, rows, digits=3).markdown() + "\n", flush=True)


def measure_dense() -> None:
    kernel = np.random.default_rng(0).normal(size=(9216, 4096)).astype(np.float32) / 96
    ours, bound = seconds(lambda: dense_norm(kernel))
    svd, largest = seconds(lambda: np.linalg.svd(kernel.astype(float), compute_uv=False).max())
    row = ("9216×4096", ours, svd, svd / ours, bound, f"{bound / largest - 1:.1e}")
    columns = ("matrix", "ours, s", "SVD, s", "SVD/ours", "bound", "above SVD")
    print(Table("Dense", columns, [row], digits=3).markdown(), flush=True)


def main() -> None:
    arguments = [each for each in sys.argv[1:] if each != "--large"]
    with threadpool_limits(1):
        used = {f"{each['internal_api']} {each['num_threads']}" for each in threadpool_info()}
        print(f"BLAS threads: {', '.join(sorted(used))}\n")
        measure([(case, case.he()) for case in ALEXNET], "AlexNet, He-initialized")
        if arguments:
            with np.load(arguments[0], allow_pickle=False) as kernels:
                trained = [(case, kernels[f"{case.name}/kernel"]) for case in ALEXNET]
            measure(trained, "AlexNet, trained")
        if "--large" in sys.argv:
            measure([(VGG, VGG.he())], "VGG, He-initialized")
            measure([(VGG, VGG.low_pass())], "VGG, low-pass")
            measure_dense()


if __name__ == "__main__":
    main()
