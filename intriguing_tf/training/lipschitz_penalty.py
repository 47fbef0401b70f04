"""Penalties on Lipschitz bounds (section 4.3): for whole models, as regularizer, as constraint."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from intriguing_tf.checks import check_choice, check_kind, check_positive, check_positive_integer
from intriguing_tf.keras_graph import find_layer
from intriguing_tf.lipschitz.differentiable import (
    LAYERS,
    constant_bound,
    convolution_bound,
    dense_bound,
    in_one_dtype,
    layer_bound,
    layers_of,
)
from intriguing_tf.lipschitz.geometry import Geometry, per_axis


@keras.saving.register_keras_serializable(package="intriguing_tf")
class LipschitzPenalty:
    """Keeps the Lipschitz bounds of a model's layers, or their product, near a target.

    Adds `weight` · Σ max(0, log(L_k / target_k))² over layers to the loss, or with `total` the
    same of the product over the whole model, its activations included. L_k is an upper bound of
    the layer's operator norm, as Keras computes the layer: strides, zero padding and all. Section
    4.3 of the paper proposes such a penalty.

    Args:
        weight: of the penalty, above 0.
        target: bound of each layer with a kernel, or a mapping from names of layers to theirs;
            layers that are not named are free.
        total: bound of the whole model, instead of `target`.

    Raises:
        TypeError, ValueError: not exactly one of `target` and `total`, or not positive numbers.
            When a model is built around it: layers that do not exist, that have no differentiable
            norm (it is there for Dense, Conv1D to 3D and DepthwiseConv1D and 2D), or with `total`
            a model that is not a chain of layers with constant bounds.

    Example:

        model = itf.training.AdversarialModel(
            itf.models.fc100_100_10(), penalties=[itf.training.LipschitzPenalty(total=10.0)]
        )
    """

    def __init__(
        self,
        weight: float = 1.0,
        *,
        target: float | Mapping[str, float] | None = None,
        total: float | None = None,
    ):
        if (target is None) == (total is None):
            raise ValueError(
                "Exactly one of `target` (per layer) and `total` must be given. "
                f"Received: target={target!r}, total={total!r}."
            )
        self.weight = check_positive("weight", weight)
        if isinstance(target, Mapping):
            if not target:
                raise ValueError("`target` must name at least one layer. Received: {}.")
            self.target: Any = {
                str(name): check_positive(f"target[{name!r}]", value)
                for name, value in target.items()
            }
        else:
            self.target = None if target is None else check_positive("target", target)
        self.total = None if total is None else check_positive("total", total)

    def prepare(self, model: keras.Model) -> Callable[..., tf.Tensor]:
        """Returns the function that `AdversarialModel` adds to its loss.

        It takes a batch and the number of the step; neither matters.
        """
        layers = self._layers(model)
        norms = [layer_bound(layer, shape) for layer, shape in layers.items()]
        if self.total is not None:
            rest = constant_bound(model)
            constant = math.log(rest / self.total) if rest > 0 else -math.inf

            def of_total(batch: Any, step: Any) -> tf.Tensor:
                logarithms = in_one_dtype([tf.math.log(norm()) for norm in norms])
                return self.weight * tf.nn.relu(tf.add_n(logarithms) + constant) ** 2

            return of_total
        targets = [
            self.target[layer.name] if isinstance(self.target, dict) else self.target
            for layer in layers
        ]

        def of_layers(batch: Any, step: Any) -> tf.Tensor:
            excesses = [
                self.weight * excess(norm(), target)
                for norm, target in zip(norms, targets, strict=True)
            ]
            return tf.add_n(in_one_dtype(excesses))

        return of_layers

    def _layers(self, model: keras.Model) -> dict[keras.layers.Layer, tuple]:
        """Returns the layers to penalize, with the shape of their inputs."""
        shapes = layers_of(model)
        if isinstance(self.target, dict):
            layers = [find_layer(model, name) for name in self.target]
            if others := [layer.name for layer in layers if layer not in shapes]:
                raise ValueError(
                    "`target` must name layers that compute something themselves: no models and no "
                    f"inputs. Received: {', '.join(others)}."
                )
            return {layer: shapes[layer] for layer in layers}
        unknown = [
            f"{layer.name} ({type(layer).__name__})"
            for layer in shapes
            if layer.trainable_variables and type(layer) not in LAYERS
        ]
        known = {layer: shape for layer, shape in shapes.items() if type(layer) in LAYERS}
        if unknown or not known:
            raise ValueError(
                f"No differentiable norm is known for layers {unknown} of model {model.name!r}; "
                f"known: {', '.join(kind.__name__ for kind in LAYERS)}. Penalize the others alone, "
                "with `target` as a mapping from their names instead of a number or a `total`."
            )
        return known

    def get_config(self) -> dict[str, Any]:
        return {"weight": self.weight, "target": self.target, "total": self.total}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LipschitzPenalty:
        return cls(**config)


class _KernelConfig:
    """The geometry that a regularizer or constraint of one kernel is told."""

    def __init__(self, input_shape, strides, padding, dilation_rate, groups, depthwise):
        check_positive_integer("groups", groups)
        check_choice("padding", padding, ("valid", "same", "causal"))
        check_kind("depthwise", depthwise, bool, "True or False")
        if input_shape is not None:
            check_kind("input_shape", input_shape, (tuple, list), "a tuple of 1 to 3 sizes")
            rank = min(max(len(input_shape), 1), 3)
            per_axis(input_shape, rank, "input_shape")
        for name, value in (("strides", strides), ("dilation_rate", dilation_rate)):
            given = max(len(value), 1) if isinstance(value, (tuple, list)) else 1
            per_axis(value, given if input_shape is None else rank, name)
        self.geometry: Geometry | None = None
        self._config = {
            "input_shape": None if input_shape is None else tuple(input_shape),
            "strides": strides,
            "padding": padding,
            "dilation_rate": dilation_rate,
            "groups": groups,
            "depthwise": depthwise,
        }
        if input_shape is not None:
            self.geometry = Geometry(
                tuple(input_shape), strides, padding, dilation_rate, groups, depthwise
            )

    def norm(self, kernel: Any) -> tf.Tensor:
        kernel = tf.convert_to_tensor(kernel)
        if 0 in kernel.shape:
            raise ValueError(f"A kernel must have numbers. Received: shape {tuple(kernel.shape)}.")
        if self.geometry is None:
            if kernel.shape.rank != 2:
                raise ValueError(
                    "The kernel of a convolution needs `input_shape`, the height and width of the "
                    f"layer's input. Received: a kernel of shape {tuple(kernel.shape)}."
                )
            return dense_bound(kernel)
        rank = len(self.geometry.spatial_shape)
        if kernel.shape.rank != rank + 2:
            raise ValueError(
                f"`input_shape` {self.geometry.spatial_shape} is for kernels of rank {rank + 2}. "
                f"Received: a kernel of shape {tuple(kernel.shape)}."
            )
        return convolution_bound(kernel, self.geometry)


@keras.saving.register_keras_serializable(package="intriguing_tf")
class LipschitzRegularizer(_KernelConfig, keras.regularizers.Regularizer):
    """`kernel_regularizer` that keeps a layer's operator norm near a target.

    Adds `weight` · max(0, log(‖W‖ / target))² to the loss. A regularizer sees only the kernel, so
    for a convolution it must be told the rest of the layer.

    Args:
        weight: above 0.
        target: operator norm that costs nothing, above 0.
        input_shape: for convolutions: height and width (length; three sizes) of the input.
        strides, padding, dilation_rate, groups: for convolutions: as in the layer.
        depthwise: whether it is the `depthwise_regularizer` of a depthwise convolution.

    Raises:
        TypeError, ValueError: numbers that are not positive; when it is called: a kernel that does
            not fit.

    Example:

        keras.layers.Dense(100, kernel_regularizer=itf.training.LipschitzRegularizer(1.0, 2.0))
    """

    def __init__(
        self,
        weight: float = 1.0,
        target: float = 1.0,
        input_shape: tuple[int, ...] | None = None,
        strides: Any = 1,
        padding: str = "valid",
        dilation_rate: Any = 1,
        groups: int = 1,
        depthwise: bool = False,
    ):
        super().__init__(input_shape, strides, padding, dilation_rate, groups, depthwise)
        self.weight = check_positive("weight", weight)
        self.target = check_positive("target", target)

    def __call__(self, kernel: Any) -> tf.Tensor:
        return self.weight * excess(self.norm(kernel), self.target)

    def get_config(self) -> dict[str, Any]:
        return {"weight": self.weight, "target": self.target, **self._config}


@keras.saving.register_keras_serializable(package="intriguing_tf")
class LipschitzConstraint(_KernelConfig, keras.constraints.Constraint):
    """`kernel_constraint` that holds a layer's operator norm at or below a bound.

    After each step a kernel above the bound is multiplied by bound / ‖W‖: all its singular values
    shrink alike, so it stays the kernel of the same kind of layer.

    Args:
        bound: largest operator norm, above 0.
        input_shape, strides, padding, dilation_rate, groups, depthwise: as in
            `LipschitzRegularizer`.

    Raises:
        ValueError: as `LipschitzRegularizer`.

    Example:

        keras.layers.Conv2D(
            8, 3, kernel_constraint=itf.training.LipschitzConstraint(1.0, input_shape=(28, 28))
        )
    """

    def __init__(
        self,
        bound: float = 1.0,
        input_shape: tuple[int, ...] | None = None,
        strides: Any = 1,
        padding: str = "valid",
        dilation_rate: Any = 1,
        groups: int = 1,
        depthwise: bool = False,
    ):
        super().__init__(input_shape, strides, padding, dilation_rate, groups, depthwise)
        self.bound = check_positive("bound", bound)

    def __call__(self, kernel: Any) -> tf.Tensor:
        kernel = tf.convert_to_tensor(kernel)
        return kernel * tf.minimum(tf.ones([], kernel.dtype), self.bound / self.norm(kernel))

    def get_config(self) -> dict[str, Any]:
        return {"bound": self.bound, **self._config}


def excess(norm: tf.Tensor, target: float) -> tf.Tensor:
    """Returns max(0, log(norm / target))²."""
    return tf.nn.relu(tf.math.log(norm) - math.log(target)) ** 2
