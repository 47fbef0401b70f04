"""Table 5: bounds of AlexNet's layers, beside the paper's."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np

from intriguing_tf import lipschitz
from intriguing_tf.digits import rounded_up
from intriguing_tf.experiments import paper
from intriguing_tf.experiments.beside import PaperComparison, beside
from intriguing_tf.experiments.results import Result
from intriguing_tf.reporting import Table


class _Convolution(NamedTuple):
    """Where a convolution of AlexNet stands: input size, padding, groups."""

    size: int
    padding: str
    groups: int


@dataclasses.dataclass(frozen=True)
class Table5(Result):
    """The operator norms of AlexNet's layers, each linear map with its ReLU by itself.

    The geometry is that of Krizhevsky et al. 2012 as Caffe has it: input 227 × 227, two groups in
    conv 2, 4 and 5. Bias, pooling and normalization do not enter Table 5.

    Args:
        bounds: by the paper's name of the layer; layers whose weights are not there are left out.

    Example:

        print(Table5.of_kernels(np.load("alexnet.npz")))
    """

    bounds: Mapping[str, float]

    kernels: ClassVar[dict[str, str]] = {
        "Conv 1": "conv1",
        "Conv 2": "conv2",
        "Conv 3": "conv3",
        "Conv 4": "conv4",
        "Conv 5": "conv5",
        "FC 1": "fc6",
        "FC 2": "fc7",
        "FC 3": "fc8",
    }
    _convolutions: ClassVar[dict[str, _Convolution]] = {
        "Conv 1": _Convolution(227, "valid", 1),
        "Conv 2": _Convolution(27, "same", 2),
        "Conv 3": _Convolution(13, "same", 1),
        "Conv 4": _Convolution(13, "same", 2),
        "Conv 5": _Convolution(13, "same", 2),
    }

    @classmethod
    def of_kernels(cls, kernels: Mapping[str, Any]) -> Table5:
        """Bounds each layer whose kernel is there.

        Args:
            kernels: by "conv1/kernel" … "fc8/kernel": [height, width, inputs / groups, outputs]
                and [inputs, outputs].

        Raises:
            ValueError: none of AlexNet's kernels is there.
        """
        bounds: dict[str, float] = {}
        for name, own in cls.kernels.items():
            if f"{own}/kernel" not in kernels:
                continue
            # float16 archives widen without rounding.
            kernel = np.asarray(kernels[f"{own}/kernel"])
            layer = cls._convolutions.get(name)
            if layer is None:
                bounds[name] = lipschitz.dense_norm(kernel)
            else:
                size, strides = (layer.size, layer.size), paper.TABLE_5[name].stride or 1
                bounds[name] = lipschitz.conv_norm(
                    kernel, size, strides, layer.padding, groups=layer.groups
                )
        if not bounds:
            raise ValueError(
                "AlexNet's kernels are named 'conv1/kernel' to 'conv5/kernel' and 'fc6/kernel' to "
                f"'fc8/kernel'. Received: {sorted(kernels)}."
            )
        return cls(bounds)

    @classmethod
    def of_model(cls, model: Any) -> Table5:
        """Bounds the layers of a Keras model that are named conv1 … fc8, as the zoo's AlexNet's."""
        layers = {layer.name: layer for layer in model.layers}
        return cls.of_kernels(
            {
                f"{own}/kernel": layers[own].kernel.numpy()
                for own in cls.kernels.values()
                if own in layers
            }
        )

    def table(self) -> Table:
        """Returns the paper's rows with both bounds."""
        comparisons = [
            PaperComparison(
                (name, printed.size, str(printed.stride or "")),
                printed.upper_bound,
                rounded_up(self.bounds[name]) if name in self.bounds else None,
            )
            for name, printed in paper.TABLE_5.items()
        ]
        missing = [name for name in paper.TABLE_5 if name not in self.bounds]
        notes = [f"empty: no weights of {', '.join(missing)}"] if missing else []
        title = "Table 5: bounds of AlexNet's layers"
        return beside(title, ("layer", "size", "stride"), comparisons, notes)
