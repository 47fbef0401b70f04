"""Convolutions as Keras computes them, zero padding included, with certified norms."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from intriguing_tf.lipschitz.geometry import (
    Axis,
    Geometry,
    center_of,
    joint_axes,
    place_within,
    reached_taps,
)
from intriguing_tf.lipschitz.rounding import (
    BATCHED_SIZE,
    LEAST,
    gamma,
    lanczos,
    largest_eigenvalue,
    lengths,
    normalize,
    round_down,
    round_up,
)
from intriguing_tf.lipschitz.separable import SeparableSymbol, separable_symbol
from intriguing_tf.lipschitz.steps import UNSCALED, Diagonal, Norm, Step, matrix_norm, scaling_error
from intriguing_tf.lipschitz.symbols import (
    GramSymbol,
    Polyphase,
    TorusMaximum,
    oriented,
    polyphase,
    scalar_maximum,
    torus_maximum,
    twists,
)
from intriguing_tf.lipschitz.threads import threads_for

Array = np.ndarray

# The operator's own matrix is used while it has at most so many rows or columns.
DENSE_SIZE = 4096
# Lanczos steps on the real layer for the lower bound, and bytes for their vectors.
LOWER_BOUND_STEPS = 24
LOWER_BOUND_MEMORY = 2**28


@dataclasses.dataclass(frozen=True, eq=False)
class Convolution(Step):
    """A convolution with zero padding, or (`transposed`) its adjoint.

    Args:
        kernel: float64 [*size, inputs / groups, outputs], the groups' outputs side by side.
        axes: one `Axis` per spatial axis, of the convolution itself.
        groups: number of groups.
        transposed: whether the layer is the adjoint: it maps the convolution's outputs back to
            its inputs.
        error: a bound of the operator norm of what rounding did to the kernel.
        dense_size: the layer's own matrix is used while it has at most so many rows or columns.
    """

    kernel: Array
    axes: tuple[Axis, ...]
    groups: int = 1
    transposed: bool = False
    error: float = 0.0
    dense_size: int = DENSE_SIZE
    linear: ClassVar[bool] = True

    @classmethod
    def of(cls, kernel: Array, geometry: Geometry, error: float = 0.0) -> Convolution:
        """Returns the convolution that a Keras layer with this kernel and geometry computes."""
        grouped, groups = geometry.grouped(kernel)
        return cls(grouped, geometry.axes(kernel.shape), groups, error=error)

    @property
    def chainable(self) -> bool:
        return not self.transposed

    @property
    def inputs(self) -> int:
        return self.kernel.shape[-2] * self.groups

    @property
    def outputs(self) -> int:
        return self.kernel.shape[-1]

    @functools.cached_property
    def pixels(self) -> int:
        return math.prod(axis.size for axis in self.axes)

    @functools.cached_property
    def output_pixels(self) -> int:
        return math.prod(axis.outputs for axis in self.axes)

    def magnitude(self) -> float:
        return self._magnitude

    @functools.cached_property
    def _magnitude(self) -> float:
        return _sum_of_tap_norms(self.kernel)

    def norm(self, attained: bool = True) -> Norm:
        scaled, scale = normalize(self.kernel * reached_taps(self.axes))
        if not scaled.any():
            return Norm(round_up(self.error), 0.0, "zero kernel")
        unit = dataclasses.replace(self, kernel=scaled, error=self.error / scale)
        rows = min(self.pixels * self.inputs, self.output_pixels * self.outputs)
        if rows <= self.dense_size:
            found = unit._dense_norm()
        else:
            with threads_for(min(self.kernel.shape[-2:])):
                found = unit._torus_norm(attained)
        upper = max(round_up(found.upper + unit.error) * scale, LEAST)
        lower = found.lower
        if lower is not None:
            lower = max(round_down(lower - unit.error), 0.0) * scale
        return Norm(upper, lower, found.how)

    def scaled(self, before: Diagonal | None = None, after: Diagonal | None = None) -> Convolution:
        """Returns the layer after its inputs and before its outputs are multiplied, by channel."""
        before, after = before or UNSCALED, after or UNSCALED
        error = self.error * before.norm().upper * after.norm().upper
        if self.transposed:
            before, after = after, before
        before = Diagonal(self._by_input(before.scale), self._by_input(before.errors))
        error += _sum_of_tap_norms(scaling_error(np.abs(self.kernel), before, after))
        kernel = self.kernel * before.scale * after.scale
        return dataclasses.replace(self, kernel=kernel, error=round_up(error))

    def _by_input(self, factors: Array) -> Array:
        """Factors of the inputs as [inputs / groups, outputs], as the kernel has them."""
        by_group = np.broadcast_to(np.ravel(factors), self.inputs).reshape(self.groups, -1)
        return np.repeat(by_group.T, self.outputs // self.groups, axis=1)

    def plus(self, others: Sequence[Step], identities: int) -> Convolution | None:
        """Returns the sum with other convolutions and identities as one, where the sizes allow."""
        parts = [self, *(each for each in others if isinstance(each, Convolution))]
        axes = joint_axes([each.axes for each in parts])
        same = len({(p.groups, p.transposed, p.kernel.shape[-2:]) for p in parts}) == 1
        if axes is None or not same or len(parts) <= len(others):
            return None
        kernel = np.zeros((*(axis.kernel for axis in axes), *self.kernel.shape[-2:]))
        for each in parts:
            kernel[place_within(axes, each.axes)] += each.kernel
        if identities:
            center = center_of(axes)
            if center is None or self.inputs != self.outputs:
                return None
            per_group = self.inputs // self.groups
            kernel[center] += identities * np.tile(np.eye(per_group), self.groups)
        total = sum(each.magnitude() for each in parts) + identities * self.inputs
        error = sum(each.error for each in parts) + 2 * gamma(8 + len(parts)) * total
        return dataclasses.replace(
            self, kernel=kernel, axes=axes, error=round_up(error, len(parts) + 8)
        )

    def apply(self, x: Array) -> Array:
        """Applies the convolution to [pixels, inputs]; returns [output pixels, outputs]."""
        y = np.zeros((self.output_pixels, self.groups, self.outputs // self.groups))
        x = x.reshape(self.pixels, self.groups, -1)
        for tap, read, written in self._windows():
            # [groups, positions, inputs] @ [groups, inputs, outputs]
            y[written] += np.matmul(x[read].transpose(1, 0, 2), tap).transpose(1, 0, 2)
        return y.reshape(self.output_pixels, self.outputs)

    def adjoint(self, y: Array) -> Array:
        """Applies the adjoint to [output pixels, outputs]; returns [pixels, inputs]."""
        x = np.zeros((self.pixels, self.groups, self.inputs // self.groups))
        y = y.reshape(self.output_pixels, self.groups, -1)
        for tap, read, written in self._windows():
            back = np.matmul(y[written].transpose(1, 0, 2), tap.transpose(0, 2, 1))
            x[read] += back.transpose(1, 0, 2)
        return x.reshape(self.pixels, self.inputs)

    @functools.cached_property
    def by_group(self) -> Array:
        """The kernel as [groups, *size, inputs, outputs] of one group."""
        *size, inputs, outputs = self.kernel.shape
        split = self.kernel.reshape(*size, inputs, self.groups, outputs // self.groups)
        return np.ascontiguousarray(np.moveaxis(split, -2, 0))

    def _windows(self) -> Iterator[tuple[Array, Array, Array]]:
        """Yields, per tap that meets the image, its matrices, and the pixels read and written."""
        for tap in np.ndindex(*self.kernel.shape[:-2]):
            spans = [axis.outputs_of(t) for axis, t in zip(self.axes, tap, strict=True)]
            if all(spans):
                read = [
                    axis.stride * np.array(span) - axis.left + axis.dilation * t
                    for axis, span, t in zip(self.axes, spans, tap, strict=True)
                ]
                yield (
                    self.by_group[(slice(None), *tap)],
                    _flat(read, [axis.size for axis in self.axes]),
                    _flat([np.array(span) for span in spans], [a.outputs for a in self.axes]),
                )

    def _dense_norm(self) -> Norm:
        """The norm of the layer's own matrix, from the smaller of its two Gram matrices."""
        by_output = self.output_pixels * self.outputs < self.pixels * self.inputs
        gram = _finite_gram(self, by_output)
        total = self.magnitude()
        terms = max(self.kernel.shape[-2:]) + math.prod(self.kernel.shape[:-2]) ** 2 + 8
        upper, lower = largest_eigenvalue(gram, 2 * gamma(terms) * total**2)
        rows, columns = self.output_pixels * self.outputs, self.pixels * self.inputs
        if self.transposed:
            rows, columns = columns, rows
        return Norm(
            round_up(math.sqrt(upper)),
            round_down(math.sqrt(lower)),
            f"matrix {rows}×{columns}, Cholesky",
        )

    def _torus_norm(self, attained: bool) -> Norm:
        shape = [axis.torus // axis.stride for axis in self.axes]
        tried = twists(len(self.axes))
        strides = [axis.stride for axis in self.axes]
        dilations = [axis.dilation for axis in self.axes]
        split = [polyphase(kernel, strides, dilations) for kernel in self.by_group]
        if len(split[0].places) == 1:
            return _patchwise_norm(split, self._has_whole_window())
        left_out = 0.0
        real = self._real_form(split[0])
        if min(split[0].taps.shape[1:]) == 1:
            group, maximum = scalar_maximum(split, shape, tried)
        elif real is not None:
            symbol, left_out = real
            group, maximum = 0, torus_maximum(symbol, shape, tried)
            vector = symbol.complex_vector(maximum.vector, maximum.frequency)
            maximum = dataclasses.replace(maximum, vector=vector)
        else:
            group, maximum = _largest_maximum(split, shape, tried)
        size = "×".join(str(axis.torus) for axis in self.axes)
        twist = ", ".join("π" if t else "0" for t in maximum.twist)
        lower = None
        if attained:
            alone = dataclasses.replace(self, kernel=self.by_group[group], groups=1)
            lower = alone._lower_bound(split[group], maximum)
        return Norm(
            round_up(math.sqrt(maximum.value) + left_out),
            lower,
            f"torus {size}, twist ({twist}), Cholesky",
        )

    def _real_form(self, split: Polyphase) -> tuple[SeparableSymbol, float] | None:
        """The symbol of a large separable kernel; `None` if it is none."""
        inputs, outputs = split.taps.shape[1:]
        if self.groups > 1 or len(split.phases) > 1 or not BATCHED_SIZE < inputs <= outputs:
            return None
        return separable_symbol(split.taps, split.places)

    def _has_whole_window(self) -> bool:
        """Whether some output sees all the taps that any output sees."""
        for axis in self.axes:
            spans = [axis.outputs_of(tap) for tap in range(axis.kernel)]
            if max(span.start for span in spans if span) >= min(s.stop for s in spans if s):
                return False
        return True

    def _lower_bound(self, split: Polyphase, maximum: TorusMaximum) -> float:
        """‖Ax‖/‖x‖ on the real layer, from the torus's worst wave with its edges smoothed away."""
        if split.taps.shape[1] >= split.taps.shape[2]:
            wave = _wave([range(axis.outputs) for axis in self.axes], maximum.frequency)
            start = self.adjoint(np.real(np.outer(wave, maximum.vector.conj())))
        else:
            by_phase = maximum.vector.reshape(len(split.phases), -1)
            places = [np.arange(axis.size) + axis.left for axis in self.axes]
            strides = [axis.stride for axis in self.axes]
            coarse = [p // s for p, s in zip(places, strides, strict=True)]
            wave = _wave(coarse, maximum.frequency)
            start = np.zeros((self.pixels, self.inputs))
            for phase, vector in zip(split.phases, by_phase, strict=True):
                fits = [p % s == r for p, s, r in zip(places, strides, phase, strict=True)]
                here = functools.reduce(np.logical_and.outer, fits).ravel()
                start[here] = np.real(np.outer(wave[here], vector))
        # A little noise, so that no direction is excluded.
        noise = np.random.default_rng(0).normal(size=start.shape)
        start += 1e-2 * np.linalg.norm(start) / np.linalg.norm(noise) * noise
        steps = max(4, min(LOWER_BOUND_STEPS, LOWER_BOUND_MEMORY // (8 * start.size)))

        def normal(flat: Array) -> Array:
            return self.adjoint(self.apply(flat.reshape(start.shape))).ravel()

        close = (1 - 1e-3) * maximum.value
        _, vector = lanczos(normal, start.ravel(), steps, 1e-3, close)
        ratio = np.linalg.norm(self.apply(vector.reshape(start.shape))) / np.linalg.norm(vector)
        return float(ratio) * (1 - 1e-11)


def _sum_of_tap_norms(kernel: Array) -> float:
    taps = kernel.reshape(-1, math.prod(kernel.shape[-2:]))
    return round_up(float(np.sum(lengths(taps))), kernel.size)


def _flat(indices: Sequence[Array], shape: Sequence[int]) -> Array:
    return np.ravel_multi_index(np.ix_(*indices), tuple(shape)).ravel()


def _wave(positions: Sequence[Sequence[int] | Array], frequency: Array) -> Array:
    """exp(iξ·x) with the half-wave window that dies out at both ends, flattened."""
    parts = []
    for places, angle in zip(positions, frequency, strict=True):
        places = np.asarray(places, float)
        window = np.sin(np.pi * (np.arange(len(places)) + 1) / (len(places) + 1))
        parts.append(window * np.exp(1j * angle * places))
    return functools.reduce(np.multiply.outer, parts).ravel()


def _patchwise_norm(split: Sequence[Polyphase], whole: bool) -> Norm:
    """The norm where windows do not overlap: every patch is multiplied by the same matrix.

    It is attained by a `whole` patch; where padding covers a part of each, it may not be.
    """
    norms = [matrix_norm(each.taps[0]) for each in split]
    size = "×".join(map(str, split[0].taps.shape[:0:-1]))
    upper, lower = max(norm[0] for norm in norms), max(norm[1] for norm in norms)
    return Norm(upper, lower if whole else None, f"matrix {size} of each patch, Cholesky")


def _largest_maximum(
    split: Sequence[Polyphase], shape: Sequence[int], tried: Sequence[tuple[int, ...]]
) -> tuple[int, TorusMaximum]:
    """`torus_maximum` of the group where it is largest, and which group that is."""
    maxima: list[TorusMaximum] = []
    for each in split:
        floor = max((maximum.value for maximum in maxima), default=0.0)
        symbol = GramSymbol(oriented(each.taps), each.places)
        maxima.append(torus_maximum(symbol, shape, tried, floor))
    # A group that only had to stay below an earlier one has the same value; that one comes first.
    group = int(np.argmax([maximum.value for maximum in maxima]))
    return group, maxima[group]


def _finite_gram(layer: Convolution, by_output: bool) -> Array:
    """WᵀW (or WWᵀ, `by_output`) of the layer's matrix on the image, as [groups, n, n].

    Two taps meet where they read one pixel into two outputs, or two pixels into one output; each
    meeting adds the product of their matrices to one block.
    """
    pairs = [_meetings(axis, by_output) for axis in layer.axes]
    shape = [axis.outputs if by_output else axis.size for axis in layer.axes]
    kernel = layer.by_group
    if not by_output:
        kernel = kernel.swapaxes(-1, -2)
    channels = kernel.shape[-1]
    pixels = math.prod(shape)
    gram = np.zeros((layer.groups, pixels, channels, pixels, channels))
    for pair in itertools.product(*pairs):
        first, second, rows, columns = zip(*pair, strict=True)
        here, there = kernel[(slice(None), *first)], kernel[(slice(None), *second)]
        block = np.matmul(here.swapaxes(-1, -2), there)
        gram[:, _flat(rows, shape), :, _flat(columns, shape), :] += block
    size = pixels * channels
    return gram.reshape(layer.groups, size, size)


def _meetings(axis: Axis, by_output: bool) -> list[tuple[int, int, Array, Array]]:
    """Per pair of taps, the places on one axis that they join, if there are any."""
    found = []
    for first, second in itertools.product(range(axis.kernel), repeat=2):
        here = np.array(axis.outputs_of(first), int)
        there = axis.outputs_of(second)
        apart = axis.dilation * (first - second)
        if by_output:
            if apart % axis.stride:
                continue
            rows, columns = here, here + apart // axis.stride
            joined = (columns >= there.start) & (columns < there.stop)
        else:
            rows = axis.stride * here - axis.left + axis.dilation * first
            columns = rows - apart
            joined = (here >= there.start) & (here < there.stop)
        if joined.any():
            found.append((first, second, rows[joined], columns[joined]))
    return found
