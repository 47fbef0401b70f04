"""QuocNet: stages of untied local filtering, L2 pooling and local contrast normalisation."""

from __future__ import annotations

import dataclasses
import math

import keras

from intriguing_tf.checks import check_kind, check_positive_integer
from intriguing_tf.layers import L2Pooling2D, LocalContrastNormalization, LocallyConnected2D


@dataclasses.dataclass(frozen=True)
class QuocNetConfig:
    """The sizes of a QuocNet; its weights are counted, not made. `print(config)` shows them.

    The default is the full size of Le et al. 2012 (arXiv 1112.6209): 200 × 200 colour frames, three
    stages of 18 × 18 receptive fields with 8 maps each, pooling and normalisation over 5 × 5. Every
    position has filters of its own, which makes 1.2 billion weights (4.9 GB in float32).

    Args:
        image_shape: `(height, width, channels)`.
        receptive_fields: side of the filters, one per stage.
        maps: filters per position.
        pool_size: side of the pooling windows, which overlap at every pixel.
        contrast_size: side of the normalisation's window; odd.

    Raises:
        TypeError: sizes that are not tuples.
        ValueError: sizes that are not positive integers; a stage whose filters or windows do not
            fit in what the stage below leaves.

    Example:

        print(itf.models.QuocNetConfig())  # the full size, in no time
        model = itf.models.quocnet(itf.models.QuocNetConfig((28, 28, 1), (7, 5, 5), pool_size=3))
    """

    image_shape: tuple[int, int, int] = (200, 200, 3)
    receptive_fields: tuple[int, ...] = (18, 18, 18)
    maps: int = 8
    pool_size: int = 5
    contrast_size: int = 5

    def __post_init__(self) -> None:
        for name in ("image_shape", "receptive_fields"):
            check_kind(name, getattr(self, name), tuple, "a tuple of sizes")
            for size in getattr(self, name):
                check_positive_integer(name, size)
        for name in ("maps", "pool_size", "contrast_size"):
            check_positive_integer(name, getattr(self, name))
        if len(self.image_shape) != 3 or not self.receptive_fields:
            raise ValueError(f"Three sizes of an image, and a stage at least. Received: {self!r}.")
        if self.contrast_size % 2 == 0:
            raise ValueError(f"`contrast_size` must be odd. Received: {self.contrast_size}.")
        for stage, shape in enumerate(self.output_shapes(), start=1):
            if min(shape) < 1:
                raise ValueError(
                    f"Stage {stage} does not fit in what is below: it would leave maps of "
                    f"{shape[0]} × {shape[1]}. Received: {self!r}."
                )

    def filter_shapes(self) -> list[tuple[int, int, int, int]]:
        """Returns each stage's kernel: rows, columns, inputs of one filter, filters."""
        shapes = []
        below = self.image_shape
        for field, output in zip(self.receptive_fields, self.output_shapes(), strict=True):
            rows, columns = (length - field + 1 for length in below[:2])
            shapes.append((rows, columns, field * field * below[2], self.maps))
            below = output
        return shapes

    def output_shapes(self) -> list[tuple[int, int, int]]:
        """Returns each stage's output: height, width, maps."""
        shapes = []
        height, width, _ = self.image_shape
        for field in self.receptive_fields:
            height, width = (length - field - self.pool_size + 2 for length in (height, width))
            shapes.append((height, width, self.maps))
        return shapes

    @property
    def parameters(self) -> int:
        """Number of weights of all filters; nothing is allocated."""
        return sum(math.prod(shape) for shape in self.filter_shapes())

    def __str__(self) -> str:
        lines = [f"QuocNet on {' × '.join(map(str, self.image_shape))}:"]
        for stage, (kernel, output) in enumerate(
            zip(self.filter_shapes(), self.output_shapes(), strict=True), start=1
        ):
            lines.append(
                f"  stage {stage}: filters {' × '.join(map(str, kernel))} = {math.prod(kernel):,}, "
                f"output {' × '.join(map(str, output))}"
            )
        return "\n".join([*lines, f"  {self.parameters:,} weights"])


def quocnet(config: QuocNetConfig) -> keras.Model:
    """Returns the features of a QuocNet, with random filters.

    Layers are named filtering_1, pooling_1, contrast_1, filtering_2, ...; filters are linear and
    without bias, as published.

    Args:
        config: the sizes. The full size allocates 4.9 GB.

    Returns:
        A `keras.Model`: images `[n, *config.image_shape]` to the last stage's maps.

    Raises:
        TypeError: `config` is not a `QuocNetConfig`.

    Example:

        config = itf.models.QuocNetConfig((28, 28, 1), (7, 5, 5), pool_size=3)
        features = itf.models.quocnet(config)  # [n, 28, 28, 1] to [n, 8, 8, 8]
    """
    check_kind("config", config, QuocNetConfig, "a QuocNetConfig")
    x = inputs = keras.Input(config.image_shape, name="image")
    for stage, field in enumerate(config.receptive_fields, start=1):
        # With this scale Wᵀ W starts as the identity on average, so that reconstruction can begin.
        scale = (field * field * x.shape[-1] * config.maps) ** -0.5
        x = LocallyConnected2D(
            config.maps,
            field,
            use_bias=False,
            kernel_initializer=keras.initializers.RandomNormal(stddev=scale),
            name=f"filtering_{stage}",
        )(x)
        x = L2Pooling2D(config.pool_size, name=f"pooling_{stage}")(x)
        x = LocalContrastNormalization(config.contrast_size, name=f"contrast_{stage}")(x)
    return keras.Model(inputs, x, name="quocnet")


def with_binary_classifier(features: keras.Model) -> keras.Model:
    """Returns a classifier of one logit on top of a network's features.

    The logit is positive for the class and negative for the rest; the adversary takes it as two
    classes, 0 for the rest and 1 for the class.

    Args:
        features: such as `quocnet` returns; its weights are shared, and are trained only if
            `features.trainable` is true.

    Returns:
        A `keras.Model`: images to logits `[n, 1]`.

    Raises:
        TypeError: `features` is not a Keras model.
        ValueError: it has no graph of layers yet, or several inputs or outputs.

    Example:

        features.trainable = False
        classifier = itf.models.with_binary_classifier(features)
    """
    check_kind("features", features, keras.Model, "a Keras model")
    ends = [getattr(features, each, None) or [] for each in ("inputs", "outputs")]
    if [len(each) for each in ends] != [1, 1]:
        raise ValueError(
            "`features` must be a built Sequential or Functional model with one input and one "
            f"output. Received: {features.name!r}."
        )
    x = keras.layers.Flatten(name="flatten")(features.outputs[0])
    logit = keras.layers.Dense(1, name="logit")(x)
    return keras.Model(features.inputs[0], logit, name=f"{features.name}_binary")
