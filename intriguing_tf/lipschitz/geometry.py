"""Where a convolution's windows lie, as TensorFlow places them, and the torus that holds them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

Ints = int | Sequence[int]


@dataclasses.dataclass(frozen=True)
class Axis:
    """One spatial axis of a convolution: output o reads inputs stride·o − left + dilation·t.

    Args:
        size: pixels of the input.
        outputs: pixels of the output.
        kernel: taps, t = 0, …, kernel − 1.
        stride, dilation: at least 1.
        left: pixels of zero padding before the first one.
    """

    size: int
    outputs: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    left: int = 0

    @property
    def torus(self) -> int:
        """The least multiple of the stride on which nothing that the layer reads wraps around.

        Padding pixels must not be pixels of the image seen from behind: on a circle of M points
        the image takes 0 … size − 1, and the windows reach from −left to `reach`.
        """
        reach = self.stride * (self.outputs - 1) - self.left + self.dilation * (self.kernel - 1)
        least = max(self.size + self.left, reach + 1)
        return -(-least // self.stride) * self.stride

    def outputs_of(self, tap: int) -> range:
        """The outputs for which this tap lies on the image, not on the padding."""
        shift = self.dilation * tap - self.left
        first = max(0, -(shift // self.stride))
        last = min(self.outputs - 1, (self.size - 1 - shift) // self.stride)
        return range(first, last + 1)


@dataclasses.dataclass(frozen=True)
class Geometry:
    """What the norm of a convolution depends on besides its kernel; values as in Keras.

    Args:
        spatial_shape: height and width of the input (length; three sizes).
        strides, dilation_rate: one number, or one per axis.
        padding: "valid", "same" or "causal".
        groups: as in Keras; 1 for depthwise layers.
        depthwise: whether the kernel is that of a depthwise layer, `[*size, inputs, multiplier]`.
    """

    spatial_shape: tuple[int, ...]
    strides: Ints = 1
    padding: str = "valid"
    dilation_rate: Ints = 1
    groups: int = 1
    depthwise: bool = False

    def __post_init__(self) -> None:
        for name in ("strides", "dilation_rate"):
            value = getattr(self, name)
            if isinstance(value, list):  # a list has no hash
                object.__setattr__(self, name, tuple(value))

    @classmethod
    def of(cls, layer: Any, spatial_shape: Sequence[int], depthwise: bool = False) -> Geometry:
        """Returns the geometry of a Keras convolution that is called on images of this size."""
        groups = 1 if depthwise else getattr(layer, "groups", 1)
        settings = (layer.strides, layer.padding, layer.dilation_rate)
        return cls(tuple(spatial_shape), *settings, groups, depthwise)

    def axes(self, kernel_shape: Sequence[int]) -> tuple[Axis, ...]:
        """Returns one `Axis` per spatial axis of a kernel of this shape."""
        size = kernel_shape[:-2]
        return axes(self.spatial_shape, size, self.strides, self.padding, self.dilation_rate)

    def grouped(self, kernel: Any) -> tuple[Any, int]:
        """Returns the kernel as `[*size, inputs / groups, outputs]`, and the number of groups."""
        if not self.depthwise:
            return kernel, self.groups
        *size, inputs, multiplier = kernel.shape
        return kernel.reshape(*size, 1, inputs * multiplier), inputs


def axis(size: int, kernel: int, stride: int, padding: str, dilation: int) -> Axis:
    """Returns the axis of a Keras convolution. `padding`: "valid", "same" or "causal".

    Raises:
        ValueError: an unknown padding, or no window fits.
    """
    span = dilation * (kernel - 1) + 1
    if padding == "same":
        outputs = -(-size // stride)
        # TensorFlow puts the odd pixel on the right.
        left = max((outputs - 1) * stride + span - size, 0) // 2
    elif padding in ("valid", "causal"):
        left = span - 1 if padding == "causal" else 0
        outputs = (size + left - span) // stride + 1
    else:
        raise ValueError(f'`padding` must be "valid", "same" or "causal". Received: {padding!r}.')
    if outputs < 1:
        raise ValueError(
            f"No window of the kernel fits: it spans {span} pixels of {size} with padding "
            f"{padding!r}."
        )
    return Axis(size, outputs, kernel, stride, dilation, left)


def transposed_axes(
    spatial_shape: Ints,
    output_shape: Ints,
    kernel_size: Sequence[int],
    strides: Ints,
    padding: str,
    dilation_rate: Ints,
) -> tuple[Axis, ...]:
    """Returns the axes of the convolution whose adjoint maps `spatial_shape` to `output_shape`.

    A transposed convolution is the adjoint of the convolution from its output to its input, with
    the padding that TensorFlow gives to that one.
    """
    rank = len(kernel_size)
    found = []
    for size, outputs, kernel, stride, dilation in zip(
        per_axis(spatial_shape, rank, "spatial_shape"),
        per_axis(output_shape, rank, "output_shape"),
        kernel_size,
        per_axis(strides, rank, "strides"),
        per_axis(dilation_rate, rank, "dilation_rate"),
        strict=True,
    ):
        overlap = (size - 1) * stride + dilation * (kernel - 1) + 1 - outputs
        left = max(overlap, 0) // 2 if padding == "same" else 0
        found.append(Axis(outputs, size, kernel, stride, dilation, left))
    return tuple(found)


def torus_shape(
    spatial_shape: Sequence[int],
    kernel_size: Sequence[int],
    strides: Ints = 1,
    padding: str = "valid",
    dilation_rate: Ints = 1,
) -> tuple[int, ...]:
    """Returns the size of the torus on which a circular convolution contains the Keras layer.

    The layer is a restriction of the circular convolution on this torus to images that are zero
    outside `spatial_shape`, so its operator norm is at most that one's
    (docs/lipschitz-mathematics.md).

    Args:
        spatial_shape: height and width (or length; or three sizes) of the input.
        kernel_size: of the kernel, one number per axis.
        strides, dilation_rate: one number for all axes, or one per axis.
        padding: "valid", "same" or "causal".

    Returns:
        One size per axis, a multiple of that axis's stride.

    Raises:
        ValueError: lengths that do not match, an unknown padding, or no window fits.

    Example:

        torus_shape((13, 13), (3, 3), padding="same")  # (14, 14)
    """
    return tuple(
        each.torus for each in axes(spatial_shape, kernel_size, strides, padding, dilation_rate)
    )


def axes(
    spatial_shape: Sequence[int],
    kernel_size: Sequence[int],
    strides: Ints,
    padding: str,
    dilation_rate: Ints,
) -> tuple[Axis, ...]:
    """Returns the axes of a Keras convolution; arguments as in `torus_shape`."""
    rank = len(kernel_size)
    return tuple(
        axis(size, kernel, stride, padding, dilation)
        for size, kernel, stride, dilation in zip(
            per_axis(spatial_shape, rank, "spatial_shape"),
            per_axis(kernel_size, rank, "kernel_size"),
            per_axis(strides, rank, "strides"),
            per_axis(dilation_rate, rank, "dilation_rate"),
            strict=True,
        )
    )


def per_axis(value: Ints, rank: int, name: str) -> tuple[int, ...]:
    """Returns `value` as one positive integer per spatial axis.

    Raises:
        ValueError: not one positive integer, nor `rank` of them.
    """
    several = isinstance(value, Iterable) and not isinstance(value, (str, bytes))
    values: tuple[Any, ...] = tuple(value) if several else (value,) * rank  # type: ignore
    if len(values) != rank or not all(_is_positive_integer(each) for each in values):
        raise ValueError(
            f"`{name}` must be a positive integer or {rank} of them, one per spatial axis. "
            f"Received: {name}={value!r}."
        )
    return tuple(int(each) for each in values)


def _is_positive_integer(value: Any) -> bool:
    try:
        return int(value) == value and 0 < int(value) < 2**31  # sizes of real arrays
    except (TypeError, ValueError, OverflowError):  # int(inf) overflows
        return False


def joint_axes(parts: Sequence[Sequence[Axis]]) -> tuple[Axis, ...] | None:
    """Returns axes whose taps hold those of all parts; `None` if those of no part do."""
    found = [_joint_axis(each) for each in zip(*parts, strict=True)]
    axes = tuple(axis for axis in found if axis is not None)
    return axes if len(axes) == len(found) else None


def _joint_axis(axes: Sequence[Axis]) -> Axis | None:
    largest = max(axes, key=lambda axis: axis.kernel)
    same = len({(axis.size, axis.outputs, axis.stride) for axis in axes}) == 1
    for axis in axes:
        shift = largest.left - axis.left
        same &= axis.dilation == largest.dilation or axis.kernel == 1
        same &= shift % largest.dilation == 0
        same &= 0 <= shift // largest.dilation <= largest.kernel - axis.kernel
    return largest if same else None


def place_within(axes: Sequence[Axis], inner: Sequence[Axis]) -> tuple[slice, ...]:
    """Returns where the taps of a kernel lie among those of a larger one."""
    starts = [(a.left - b.left) // a.dilation for a, b in zip(axes, inner, strict=True)]
    return tuple(slice(s, s + b.kernel) for s, b in zip(starts, inner, strict=True))


def center_of(axes: Sequence[Axis]) -> tuple[int, ...] | None:
    """Returns the tap that reads the pixel it writes; `None` if there is none."""
    center = tuple(axis.left // axis.dilation for axis in axes)
    fits = all(
        axis.stride == 1
        and axis.size == axis.outputs
        and axis.left % axis.dilation == 0
        and tap < axis.kernel
        for axis, tap in zip(axes, center, strict=True)
    )
    return center if fits else None


def reached_taps(axes: Sequence[Axis]) -> np.ndarray:
    """1 for the taps that ever lie on the image, 0 for those that see only padding."""
    lives = [
        np.array([bool(axis.outputs_of(tap)) for tap in range(axis.kernel)], float) for axis in axes
    ]
    return functools.reduce(np.multiply.outer, lives)[..., None, None]
