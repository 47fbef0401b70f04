"""Linear layers that act on one grid of pixels, with their symbols at its frequencies."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from intriguing_tf.lipschitz.convolution import Convolution
from intriguing_tf.lipschitz.rounding import gamma
from intriguing_tf.lipschitz.steps import Matrix
from intriguing_tf.lipschitz.symbols import frequency_grid

Array = np.ndarray
Place = tuple[int, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Operator:
    """y(o) = Σ_t taps_t x(o + places_t) on a torus; a matrix where there are no axes.

    Args:
        taps: float64 [T, outputs, inputs].
        places: integer [T, axes].
        error: a bound of the operator norm of the error in the taps.
    """

    taps: Array
    places: Array
    error: float = 0.0

    @property
    def outputs(self) -> int:
        return self.taps.shape[1]

    @property
    def inputs(self) -> int:
        return self.taps.shape[2]

    @property
    def is_constant(self) -> bool:
        """Whether its symbol is the same at all frequencies."""
        return len(self.taps) == 1 and not self.places.any()

    def symbols(
        self, frequencies: Array, left: Array | None = None, right: Array | None = None
    ) -> Array:
        """Returns diag(left) Σ_t taps_t exp(iξ·places_t) diag(right), [f, outputs, inputs].

        Real where there are no axes or the operator is constant; then f = 1.
        """
        taps = self._scaled(left, right)
        if self.is_constant:
            return taps
        waves = np.exp(1j * (frequencies @ self.places.T))
        flat = taps.reshape(len(taps), -1)
        result = np.empty((len(frequencies), flat.shape[1]), complex)
        result.real = waves.real @ flat
        result.imag = waves.imag @ flat
        return result.reshape(-1, self.outputs, self.inputs)

    def size(self, left: Array | None = None, right: Array | None = None) -> tuple[float, float]:
        """Bounds of the norm of `symbols`, and of the error in what it returns."""
        taps = self._scaled(left, right)
        size = float(np.sum(np.linalg.norm(taps.reshape(len(taps), -1), axis=1))) * (1 + 1e-9)
        longest = 1 + float(np.max(np.abs(self.places), initial=0))
        stretch = float(np.max(1.0 if left is None else left))
        stretch *= float(np.max(1.0 if right is None else right))
        lost = gamma(4 * (len(taps) + 32 * longest + 16)) * size + stretch * self.error
        return size + stretch * self.error, lost * (1 + 1e-9)

    def _scaled(self, left: Array | None, right: Array | None) -> Array:
        taps = self.taps if left is None else self.taps * left[:, None]
        return taps if right is None else taps * right


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """A residual block.

    Args:
        layers: W_1 … W_{k+1}.
        shortcut: V; `None` is the identity.
        shape: of the torus; () for matrices.
    """

    layers: Sequence[Operator]
    shortcut: Operator | None
    shape: tuple[int, ...]

    @property
    def units(self) -> int:
        """Rows of N."""
        return sum(layer.outputs for layer in self.layers[:-1])

    @property
    def inputs(self) -> int:
        return self.layers[0].inputs

    @property
    def frequencies(self) -> Array:
        """One of each pair ξ, −ξ of the torus, antiperiodic; one if nothing depends on it."""
        shortcut = [] if self.shortcut is None else [self.shortcut]
        if all(each.is_constant for each in (*self.layers, *shortcut)):
            return np.zeros((1, len(self.shape)))
        return frequency_grid(self.shape, [1] * len(self.shape))

    @property
    def is_real(self) -> bool:
        return len(self.frequencies) == 1

    @property
    def reduces(self) -> bool:
        """Whether x is eliminated, from a matrix that no frequency changes."""
        return self.shortcut is None or self.shortcut.is_constant

    @property
    def cost(self) -> float:
        """Floating-point operations of one certificate on all frequencies."""
        size = self.units + (0 if self.reduces else self.inputs)
        cube = size**3 / 3 * (1 if self.is_real else 4)
        mixed = 0 if self.shortcut is None else 2 * self.inputs**2 * self.units
        return len(self.frequencies) * (cube + mixed)


def operators_of(
    paths: Sequence[Sequence[Matrix | Convolution]],
) -> tuple[list[list[Operator]], tuple[int, ...]] | None:
    """Returns the layers of paths from one tensor to another on a common torus, and its shape.

    The first layers of all paths may have a stride: its phases become channels of their input,
    those of the first path's first layer in the same order as the others'. `None` where kinds
    differ, later layers have strides, or a path is empty while others have strides.
    """
    matrices = [[each for each in path if isinstance(each, Matrix)] for path in paths]
    convolutions = [[each for each in path if isinstance(each, Convolution)] for path in paths]
    if any(matrices) and any(convolutions):
        return None
    if any(matrices):
        return [[_of_matrix(layer) for layer in path] for path in matrices], ()
    return _of_convolutions(convolutions) if any(convolutions) else None


def _of_matrix(layer: Matrix) -> Operator:
    return Operator(layer.weights[None], np.zeros((1, 0), int), layer.error)


def _of_convolutions(
    paths: Sequence[Sequence[Convolution]],
) -> tuple[list[list[Operator]], tuple[int, ...]] | None:
    firsts = [path[0] for path in paths if path]
    strides = tuple(axis.stride for axis in firsts[0].axes)
    later = [layer for path in paths for layer in path[1:]]
    fits = all(tuple(axis.stride for axis in layer.axes) == strides for layer in firsts)
    fits &= all(axis.stride == 1 for layer in later for axis in layer.axes)
    fits &= not any(layer.transposed for layer in (*firsts, *later))
    if not fits or (len(firsts) < len(paths) and max(strides) > 1):
        return None
    shape = []
    for i, stride in enumerate(strides):
        sizes = [layer.axes[i].torus // stride for layer in firsts]
        shape.append(max(sizes + [layer.axes[i].torus for layer in later]))
    taps = [_by_place(layer) for layer in firsts]
    phases = sorted({phase for each in taps for at in each.values() for phase in at})
    heads = [_stacked(layer, each, phases) for layer, each in zip(firsts, taps, strict=True)]
    remaining = iter(heads)
    found = []
    for path in paths:
        first = [next(remaining)] if path else []
        inner = [_stacked(layer, _by_place(layer), [(0,) * len(strides)]) for layer in path[1:]]
        found.append(first + inner)
    return found, tuple(shape)


def _by_place(layer: Convolution) -> dict[Place, dict[Place, Array]]:
    """The taps [outputs, inputs], by the output pixel that they reach over to, and the phase."""
    found: dict[Place, dict[Place, Array]] = {}
    kernel = dense_kernel(layer)
    for tap in itertools.product(*(range(axis.kernel) for axis in layer.axes)):
        if all(axis.outputs_of(t) for axis, t in zip(layer.axes, tap, strict=True)):
            reach = [a.dilation * t - a.left for a, t in zip(layer.axes, tap, strict=True)]
            place = tuple(r // a.stride for r, a in zip(reach, layer.axes, strict=True))
            phase = tuple(r % a.stride for r, a in zip(reach, layer.axes, strict=True))
            found.setdefault(place, {})[phase] = kernel[tap].T
    return found


def _stacked(
    layer: Convolution, by_place: dict[Place, dict[Place, Array]], phases: Sequence[Place]
) -> Operator:
    places = sorted(by_place)
    taps = np.zeros((len(places), layer.outputs, len(phases), layer.inputs))
    for i, place in enumerate(places):
        for phase, matrix in by_place[place].items():
            taps[i, :, phases.index(phase)] = matrix
    flat = taps.reshape(len(places), layer.outputs, -1)
    return Operator(flat, np.array(places, int).reshape(len(places), -1), layer.error)


def dense_kernel(layer: Convolution) -> Array:
    """The kernel [*size, inputs, outputs] with zeros between the groups."""
    if layer.groups == 1:
        return layer.kernel
    *size, inputs, outputs = layer.kernel.shape
    per_group = outputs // layer.groups
    kernel = np.zeros((*size, layer.inputs, outputs))
    for group in range(layer.groups):
        to = slice(group * per_group, (group + 1) * per_group)
        kernel[..., group * inputs : (group + 1) * inputs, to] = layer.kernel[..., to]
    return kernel
