"""What the tools ask of a Keras classifier: its logits, its input, the part above a layer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from intriguing_tf import keras_graph, traced_outputs
from intriguing_tf.aliases import moved_names
from intriguing_tf.checks import check_choice
from intriguing_tf.folded_calls import folded_call
from intriguing_tf.keras_graph import layers_in, named_tensors
from intriguing_tf.model_structure import Structure
from intriguing_tf.origins import is_of

__getattr__ = moved_names(__name__, "intriguing_tf.keras_graph", "above", "find_layer", "up_to")

# What a model predicts with; one's own may return something else than `call`.
_PREDICTING = ("make_predict_function", "predict", "predict_on_batch", "predict_step")
_RENEWED = "_structure"  # on Keras's function: for which structure of the model it was made
OUTPUTS = ("auto", "logits", "probabilities")
# So many units in the last place two ways to compute an activation may differ by.
_UNITS = 8


class Classifier:
    """A Keras classifier as a differentiable map from inputs to logits.

    Sequential, Functional and subclassed models are taken as they are; they run with
    `training=False`. A model that ends in softmax or sigmoid gives the values that enter it, found
    in the traced graph, not the logarithms of rounded probabilities. A single output unit means two
    classes: its logit z becomes the pair (0, z). Several units are as many classes, of which the
    largest is predicted, also where each ends in a sigmoid of its own.

    New weights are followed, and so are new settings and layers: what was traced of the model
    before is dropped, and what its `predict` keeps as well.

    Args:
        model: a built `keras.Model` with one input and one output.
        layer: a layer, or its name. The classifier is then the sub-network above it, and its
            inputs are that layer's activations.
        outputs: what the model returns: "logits"; "probabilities", whose logarithms then are the
            logits; or "auto": what enters its softmax or sigmoid if there is one, the logarithms
            where an average of softmaxes is returned, and otherwise its outputs are the logits.

    Raises:
        TypeError: `model` is not a Keras 3 model.
        ValueError: with "auto", one output unit of which nobody can tell that 0 divides the
            classes, such as an average of sigmoids; Keras runs on another backend than TensorFlow;
            the model is not built, has several inputs or outputs or named ones, or a `predict` or
            `predict_step` of its own, in its class or set on it; the sub-network above `layer`
            needs more than that layer's output.

    Example:

        classifier = Classifier(model)
        labels = classifier.predict(images)
    """

    def __init__(
        self,
        model: keras.Model,
        layer: keras.layers.Layer | str | None = None,
        outputs: str = "auto",
    ):
        check_choice("outputs", outputs, OUTPUTS)
        self.outputs = outputs
        # Known once it has been traced: whether users see probabilities, whether logits are
        # clipped, the dtypes that outputs pass through behind the last operation that computes,
        # beyond which logits (low, high) outputs of several units are equal once rounded.
        self.squashes = self.clips = False
        self.output_dtypes: set[tf.DType] = set()
        self.limits: tuple[float, float] | None = None
        self._whole, self._layer = model, layer
        self._traced: dict[tuple[int, ...], Any] = {}
        self._follow()
        self.dtype = tf.as_dtype(input_dtype(self.model))

    def _follow(self) -> None:
        """Takes the model as it is now, and drops what was traced of it before.

        That is what its `predict` keeps, too: Keras would go on with the model of then.
        """
        whole, layer = self._whole, self._layer
        check_model(whole)
        _check_predicting(whole)
        self._traced.clear()
        self.model = whole if layer is None else keras_graph.above(whole, layer)
        self._structure, self._kept_of_calls = Structure(whole), set[Any]()
        _renew_predict(whole, self._structure)

    @property
    def input_shape(self) -> tuple[int | None, ...] | None:
        """Shape of one input, or `None` where the model does not say (subclassed models)."""
        return input_shape(self.model)

    def logits(self, inputs: tf.Tensor, folded: bool = False, unclipped: bool = False) -> tf.Tensor:
        """Returns the logits [n, classes] of a batch; differentiable.

        They are found in the graph that the model's call traces: outside a `tf.function` in one
        that is kept for batches of this kind.

        Args:
            inputs: the batch.
            folded: within a `tf.function`, take the faster way of `folded_call`, which rounds
                differently.
            unclipped: within a `tf.function`, return what enters the ReLU that clips the logits,
                if there is one.
        """
        if tf.executing_eagerly():
            return self._run(inputs)[0]
        logits = self._forward(inputs, folded)[0]
        return traced_outputs.unclipped(logits) if unclipped else logits

    def logits_of(self, inputs: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the logits [n, classes] that gave the model's outputs for some inputs.

        Within a `tf.function` they are found below the outputs. Outside of one the model runs
        again, with `training=False`.
        """
        if tf.executing_eagerly():
            return self.logits(tf.cast(inputs, self.dtype))
        return self._both(outputs)[0]

    def _forward(self, inputs: tf.Tensor, folded: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """The logits and scores of a batch."""
        model = self.model
        return self._both(folded_call(model, inputs) if folded else model(inputs, training=False))

    def _both(self, outputs: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits [n, classes], and the scores by which a user compares the classes.

        Scores are the model's own outputs, rounded as it rounds them; of a single output unit, how
        far it lies above the threshold between the classes.
        """
        outputs = _single_output(outputs)
        shape = [*outputs.shape, 1] if outputs.shape.rank == 1 else outputs.shape
        width = shape[1] if len(shape) == 2 else None
        if width is None:
            raise ValueError(
                "A classifier returns one row of class scores for each input: shape [n, classes]. "
                f"Received: outputs of shape {outputs.shape} from model {self.model.name!r}."
            )
        kind, before = traced_outputs.read_outputs(outputs, width, self.outputs)
        scores = tf.reshape(outputs, [-1, width])
        logits = tf.reshape(tf.cast(before, self.dtype), [-1, width])
        self.squashes = kind != "logits"
        self.output_dtypes = traced_outputs.dtypes_of(outputs)
        self.limits = traced_outputs.rounding_limits(kind, outputs)
        self.clips = traced_outputs.unclipped(logits) is not logits
        if width == 1:
            scores = scores if scores.dtype.is_floating else tf.cast(scores, self.dtype)
            scores = scores - 0.5 if self.squashes else scores
            scores = tf.concat([tf.zeros_like(scores), scores], axis=1)
            rest = 1 - logits if kind == "probabilities" else tf.zeros_like(logits)
            logits = tf.concat([rest, logits], axis=1)
        if kind == "probabilities":
            logits = tf.math.log(tf.maximum(logits, logits.dtype.as_numpy_dtype(1e-37)))
        return logits, scores

    def predict_logits(self, images: Any, batch_size: int = 256) -> np.ndarray:
        """Returns the logits [n, classes] of an array of images, evaluated in batches."""
        return self.predict_both(images, batch_size)[0]

    def predict(self, images: Any, batch_size: int = 256) -> np.ndarray:
        """Returns the predicted classes of an array of images as int64 [n].

        They are those of the largest outputs of the model itself, as `model.predict` gives them:
        where two probabilities are equal once rounded, the first class; -1 where not all are
        finite.
        """
        return self.predict_both(images, batch_size)[1]

    def predict_both(self, images: Any, batch_size: int = 256) -> tuple[np.ndarray, np.ndarray]:
        """Returns the logits [n, classes] and the classes, int64 [n], as `predict` does."""
        parts = [self._predict_batch(batch) for batch in self.batches(images, batch_size)]
        logits, classes = map(np.concatenate, zip(*parts, strict=True))
        return logits, classes

    def _predict_batch(self, batch: tf.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """As `predict_both`. Whether saturated outputs are equal only `model.predict` can say.

        It may compute an activation with the layer before it, and round the last bit otherwise.
        """
        logits, scores = (value.numpy() for value in self._run(batch))
        classes = scores.argmax(axis=1).astype(np.int64)
        if self.limits is not None:
            second, first = np.sort(scores.astype(np.float64), axis=1)[:, -2:].T
            close = first - second <= _UNITS * np.exp(-self.limits[1]) * np.abs(first)
            if close.any():
                seen = self.model.predict(batch.numpy()[close], len(batch), verbose=0)
                seen = np.asarray(keras.tree.flatten(seen)[0]).reshape(-1, scores.shape[1])
                classes[close] = seen.argmax(axis=1)
        classes[~np.isfinite(scores).all(axis=1)] = -1
        return logits, classes

    def _run(self, batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._trace(tuple(batch.shape[1:]))(batch)

    def graph(self, shape: tuple[int, ...]) -> tf.Graph:
        """Returns the traced forward pass of a batch of inputs of this shape.

        It is another graph once the model computes something else, but for new weights.
        """
        return self._trace(shape).graph

    def _trace(self, shape: tuple[int, ...]) -> Any:
        now = Structure(self._whole)
        if self._structure.changes(now) - self._kept_of_calls:
            self._follow()
        if shape not in self._traced:
            spec = tf.TensorSpec([None, *shape], self.dtype)
            # One argument and no default: TensorFlow binds others by way of an error, whose message
            # holds the images.
            function = tf.function(lambda inputs: self._forward(inputs), autograph=False)
            self._traced[shape] = function.get_concrete_function(spec)
            self._structure = Structure(self._whole)
            self._kept_of_calls |= now.changes(self._structure)
        return self._traced[shape]

    def batches(self, images: Any, batch_size: int) -> Iterator[tf.Tensor]:
        """Yields the images in batches, in the model's dtype. An empty array is one empty batch."""
        for start in range(0, max(len(images), 1), batch_size):
            yield tf.cast(tf.convert_to_tensor(images[start : start + batch_size]), self.dtype)


def check_model(model: Any, single: Collection[str] = ("inputs", "outputs")) -> None:
    """Raises unless `model` is a built Keras 3 model on the TensorFlow backend.

    Args:
        model: what was received.
        single: of which it must have one, a single tensor.

    Raises:
        TypeError: it is no Keras 3 model.
        ValueError: it is not built, keeps a state, or has several inputs or outputs; no TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Keras must run on its TensorFlow backend. Received: backend "
            f"{keras.backend.backend()!r}. Set KERAS_BACKEND=tensorflow before importing keras."
        )
    if not isinstance(model, keras.Model):
        raise TypeError(
            "`model` must be a keras.Model of Keras 3 (Sequential, Functional or subclassed). "
            f"Received: {type(model).__module__}.{type(model).__name__}."
        )
    if not model.built:
        raise ValueError(
            f"Model {model.name!r} is not built, so it has no weights yet. Give it an Input, or "
            "call it once on a batch."
        )
    stateful = [e.name for e in keras_graph.layers_in(model) if getattr(e, "stateful", False)]
    if stateful:
        raise ValueError(
            "A model must give an input the same outputs each time. Received: model "
            f"{model.name!r} with {', '.join(stateful)}, which has stateful=True."
        )
    inputs = named_tensors(model, "inputs") if "inputs" in single else None
    if isinstance(inputs, dict) or (inputs is not None and len(keras.tree.flatten(inputs)) > 1):
        names = list(inputs) if isinstance(inputs, dict) else [x.name for x in model.inputs]
        raise ValueError(
            "The model must have one input that is a single tensor, not several or named ones. "
            f"Received: model {model.name!r} with inputs {names}."
        )
    outputs = named_tensors(model, "outputs") if "outputs" in single else None
    if outputs is not None:
        _single_output(outputs)


def _renew_predict(model: keras.Model, structure: Structure) -> None:
    """Drops what `predict` has traced, unless it was dropped before, of the same structure."""
    if getattr(model, "predict_function", None) is None:
        return
    renewed_for = getattr(model.predict_function, _RENEWED, None)
    if renewed_for is None or renewed_for.changes(structure):
        model.make_predict_function(force=True)
        setattr(model.predict_function, _RENEWED, structure)


def _check_predicting(model: keras.Model) -> None:
    """Raises if what users are shown need not be what calling the model returns."""
    kind, kept = type(model), vars(model)
    own = [
        name
        for name in _PREDICTING
        if name in kept or getattr(kind, name) != getattr(keras.Model, name)
    ]
    traced = kept.get("predict_function")  # Keras's own once `predict` was called
    if traced is not None and not is_of(traced, ("keras", "tensorflow")):
        own.append("predict_function")
    if own:
        raise ValueError(
            "A classifier's `predict` must return what calling it returns. Received: model "
            f"{model.name!r} with {', '.join(own)} of its own. Take keras.Sequential([keras.Input("
            "shape), model]) instead, which predicts what the model's `call` returns."
        )


def input_gradient(
    tape: tf.GradientTape, value: tf.Tensor, inputs: tf.Tensor, model: keras.Model
) -> tf.Tensor:
    """Returns the gradient of what a tape saw of a model's logits in what entered it.

    Raises:
        ValueError: there is none.
    """
    why = ""
    try:
        gradient = tape.gradient(value, inputs)
    except LookupError as error:  # TensorFlow has no gradient of an operation
        gradient, why = None, f"{error}."
    if gradient is None:
        why = why or _why_no_gradient(model)
        raise ValueError(f"No gradient flows from the model's logits to its input: {why}")
    return gradient


def _why_no_gradient(model: keras.Model) -> str:
    models = [each for each in (model, *layers_in(model)) if isinstance(each, keras.Model)]
    taken = [(each.name, x.dtype) for each in models for x in getattr(each, "inputs", None) or []]
    for name, dtype in taken:
        if not tf.as_dtype(dtype).is_floating:
            return (
                f"model {name!r} takes {dtype}, to which floats are cast. Give a copy whose "
                "keras.Input has dtype float32: copy = keras.models.clone_model(model, "
                "input_tensors=keras.Input(shape)); copy.set_weights(model.get_weights())."
            )
    return "some operation between them is not differentiable (rounding, a lookup)."


def input_shape(model: keras.Model) -> tuple[int | None, ...] | None:
    """Returns the shape of one input without the batch, or `None` where the model does not say."""
    inputs = getattr(model, "inputs", None)
    return tuple(inputs[0].shape[1:]) if inputs else None


def takes(expected: Sequence[int | None] | None, shape: Sequence[int]) -> bool:
    """Whether a model of inputs of the one shape, `None` being any, takes those of the other."""
    return expected is None or (
        len(expected) == len(shape)
        and all(e in (None, s) for e, s in zip(expected, shape, strict=True))
    )


def input_dtype(model: keras.Model) -> str:
    """The floating dtype to compute in: float64 for models in float64, else float32."""
    inputs = getattr(model, "inputs", None)
    dtypes = {model.compute_dtype, *(x.dtype for x in inputs or [])}
    return "float64" if "float64" in dtypes else "float32"


def _single_output(outputs: Any) -> tf.Tensor:
    if isinstance(outputs, (list, tuple)) and len(outputs) == 1:
        outputs = outputs[0]
    if isinstance(outputs, (list, tuple, dict)):
        what = f"named outputs {sorted(outputs)}" if isinstance(outputs, dict) else len(outputs)
        raise ValueError(
            "The model must have one output that is a single tensor: the logits or probabilities "
            f"of the classes. Received: {what} outputs."
        )
    return outputs
