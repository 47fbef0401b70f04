"""The layers that the Lipschitz benchmarks share."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from intriguing_tf.lipschitz.convolution import Convolution
from intriguing_tf.lipschitz.geometry import axes


@dataclasses.dataclass(frozen=True)
class Case:
    """A convolution: kernel [height, width, inputs / groups, outputs] on size × size pixels."""

    name: str
    kernel_shape: tuple[int, int, int, int]
    size: int
    stride: int = 1
    padding: str = "same"
    groups: int = 1

    def layer(self, kernel: np.ndarray) -> Convolution:
        geometry = axes((self.size, self.size), self.kernel_shape[:2], self.stride, self.padding, 1)
        return Convolution(kernel.astype(np.float64), geometry, self.groups)

    def he(self, seed: int = 0) -> np.ndarray:
        """As a layer is initialized (He et al. 2015), in float32."""
        rng = np.random.default_rng(seed)
        deviation = math.sqrt(2 / math.prod(self.kernel_shape[:3]))
        return (deviation * rng.normal(size=self.kernel_shape)).astype(np.float32)

    def low_pass(self, seed: int = 0) -> np.ndarray:
        """Random mixtures of channels, each smoothed by a binomial window, and some noise."""
        height, width, inputs, outputs = self.kernel_shape
        rng = np.random.default_rng(seed)
        window = np.outer(_binomial(height), _binomial(width))
        mixture = rng.normal(size=(inputs, outputs)) / math.sqrt(inputs)
        smooth = window[:, :, None, None] * mixture
        return (smooth + 0.1 * self.he(seed + 1)).astype(np.float32)


ALEXNET = (
    Case("conv1", (11, 11, 3, 96), 227, 4, "valid"),
    Case("conv2", (5, 5, 48, 256), 27, groups=2),
    Case("conv3", (3, 3, 256, 384), 13),
    Case("conv4", (3, 3, 192, 384), 13, groups=2),
    Case("conv5", (3, 3, 192, 256), 13, groups=2),
)
VGG = Case("VGG 512→512", (3, 3, 512, 512), 28)


def _binomial(taps: int) -> np.ndarray:
    row = np.array([math.comb(taps - 1, i) for i in range(taps)], float)
    return row / row.sum()
