"""What a classifier's outputs are, as far as the operations of a traced graph tell."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import tensorflow as tf

from intriguing_tf.traced_ranges import value_range

# Operations that may stand between a softmax and the model's output without changing its meaning.
_TRANSPARENT = frozenset(
    {"Identity", "Cast", "ExpandDims", "Reshape", "Squeeze", "Snapshot", "StopGradient"}
)
# Operations by which an ensemble averages the probabilities of its members.
_AVERAGING = frozenset({"AddN", "AddV2", "Mean", "Mul", "Pack", "RealDiv", "Sum", "ConcatV2"})
_VALUES = {"ConcatV2": -1, "Mean": 1, "Sum": 1}  # so many inputs, before the axis; else all
# What clips logits, at once or by constants; beyond, their gradients vanish.
_CLIPPING = frozenset({"ClipByValue", "Maximum", "Minimum", "Relu", "Relu6"})
_TOLERANCE = 1e-3  # of the middle between bounds, as a share of what lies between them


def read_outputs(outputs: tf.Tensor, width: int, kind: str) -> tuple[str, tf.Tensor]:
    """What the outputs are, and the tensor that tells the logits.

    With "auto" the traced graph is followed back to what enters its softmax or sigmoid, or the tanh
    of several units. A softmax over fewer numbers than there are classes is kept: it changes their
    order. The rules of `intriguing_tf.lipschitz` find the same tensor in the graph of layers.

    Args:
        outputs: of the model, symbolic. width: of them. kind: one of `OUTPUTS`.

    Returns:
        "logits" or "probabilities" and the outputs; "softmax", "sigmoid" or "sigmoids" (several
        units) and the logits before it; or "tanhs" and twice what enters it, of which it is a
        sigmoid from -1 to 1.
    """
    if kind != "auto":
        return kind, outputs
    before = _entering_softmax(outputs, width)
    if before is not None:
        return "softmax", before
    tensor = outputs
    while _is_transparent(tensor.op):
        tensor = tensor.op.inputs[0]
    if tensor.op.type == "Sigmoid":
        return "sigmoid" if width == 1 else "sigmoids", tensor.op.inputs[0]
    if tensor.op.type == "Tanh" and width > 1:
        return "tanhs", 2 * tensor.op.inputs[0]
    if width == 1 and (what := _doubtful(tensor)):
        raise ValueError(
            "One output unit is a logit (two classes, divided at 0) or ends in a sigmoid (divided "
            "at 1/2); of other probabilities nobody can tell where they are divided. End the model "
            'in the logit or a sigmoid, or give `outputs`: "logits" are divided at 0, '
            f'"probabilities" at 1/2. Received: outputs="auto" and {what}.'
        )
    return ("probabilities" if _averages_softmaxes(tensor) else "logits"), outputs


def rounding_limits(kind: str, outputs: tf.Tensor) -> tuple[float, float] | None:
    """Returns beyond which logits (low, high) outputs are hardly told apart; `None` for most kinds.

    Args:
        kind: as `read_outputs` returns it.
        outputs: of the model; the coarsest dtype on the way to them counts.
    """
    if kind not in {"sigmoids", "tanhs"}:
        return None
    precisions = [ml_dtypes.finfo(each.as_numpy_dtype) for each in dtypes_of(outputs)]
    eps, tiny = (max(float(getattr(p, name)) for p in precisions) for name in ("eps", "tiny"))
    if kind == "sigmoids":
        return math.log(tiny), -math.log(eps)
    return math.log(2 * eps), -math.log(2 * eps)  # TensorFlow's tanh is 1 from 7.9 on in float32


def dtypes_of(outputs: tf.Tensor) -> set[tf.DType]:
    """Returns the floating dtypes of outputs and of what they only cast, reshape or clip."""
    tensor, found = outputs, {outputs.dtype}
    while _is_transparent(tensor.op) or tensor.op.type in _CLIPPING:
        before = _varying_input(tensor.op) if tensor.op.type in _CLIPPING else tensor.op.inputs[0]
        if before is None:
            break
        tensor = before
        found.add(tensor.dtype)
    return {dtype for dtype in found if dtype.is_floating}


def unclipped(logits: tf.Tensor) -> tf.Tensor:
    """What enters the ReLU, or clip by constants, that gives the logits; else the logits.

    A factor and a shift that are the same for all classes may follow, as in a hard sigmoid.
    """
    tensor, entering = logits, logits
    while True:
        operation, before = tensor.op, _varying_input(tensor.op)
        clips = operation.type in _CLIPPING
        passes = clips or operation.type in _TRANSPARENT or _keeps_order(operation)
        if not passes or before is None:
            break
        tensor, entering = before, before if clips else entering
    if entering is logits or entering.shape[1:] != logits.shape[1:]:
        return logits
    return tf.cast(entering, logits.dtype)


def _entering_softmax(outputs: tf.Tensor, width: int) -> tf.Tensor | None:
    """What enters the softmax that the outputs are, clipped or not; `None` if they are none.

    Clipped below 1 / classes and above 1/2 the largest number stays the largest: it is at least the
    one, and no other is above the other.
    """
    tensor, low, high = outputs, -math.inf, math.inf
    while True:
        before = _varying_input(tensor.op)
        if tensor.op.type in _CLIPPING and before is not None:
            least, most = _ends(tensor.op)
            tensor, low, high = before, max(low, least), min(high, most)
        elif _is_transparent(tensor.op):
            tensor = tensor.op.inputs[0]
        else:
            break
    kind = tensor.op.type
    if kind not in {"Softmax", "LogSoftmax"} or not tensor.shape[-1] == width > 1:
        return None
    share, half = 1 / width, 0.5
    if kind == "LogSoftmax":
        share, half = math.log(share), math.log(half)
    return tensor.op.inputs[0] if low < share and high > half else None


def _ends(operation: tf.Operation) -> tuple[float, float]:
    """Between which numbers an operation clips; of several for different classes, the nearest."""
    if operation.type in {"Relu", "Relu6"}:
        return 0.0, 6.0 if operation.type == "Relu6" else math.inf
    constants = [each for each in map(tf.get_static_value, operation.inputs) if each is not None]
    low = -math.inf if operation.type == "Minimum" else float(np.max(constants[0]))
    high = math.inf if operation.type == "Maximum" else float(np.min(constants[-1]))
    return low, high


def _is_transparent(operation: tf.Operation) -> bool:
    return operation.type in _TRANSPARENT or _moves_one_axis(operation)


def _varying_input(operation: tf.Operation) -> tf.Tensor | None:
    """What an operation passes on, or changes by constants; `None` if it has several inputs."""
    if operation.type in _TRANSPARENT:
        return operation.inputs[0]  # the other may be a shape, which depends on the batch
    varying = [each for each in operation.inputs if tf.get_static_value(each) is None]
    return varying[0] if len(varying) == 1 else None


def _keeps_order(operation: tf.Operation) -> bool:
    """Whether it adds one number to all, or multiplies all by one that is positive."""
    if operation.type not in {"AddV2", "Mul", "RealDiv"}:
        return False
    first, second = map(tf.get_static_value, operation.inputs)
    constant = first if second is None else second
    if constant is None or constant.size != 1 or (operation.type == "RealDiv" and second is None):
        return False
    return operation.type == "AddV2" or bool(constant > 0)


def _doubtful(tensor: tf.Tensor) -> str:
    """In words, what one unit's outputs are if 0 need not divide the classes; else "".

    Such have one sign, or end on both sides but not alike: a probability, a distance. Or there is
    an operation of which it is not known here what it does to them.
    """
    low, high, _, vague = value_range(tensor)
    ends = bool(np.isfinite(high - low))
    tolerance = _TOLERANCE * (high - low) if ends else 0.0
    one_sided = low >= -tolerance or high <= tolerance
    doubtful = one_sided or (ends and abs(low + high) > tolerance)
    if not doubtful and vague:
        return f"values of which {vague} leaves open whether 0 divides them"
    return f"values between {low:g} and {high + 0.0:g}" if doubtful else ""


def _averages_softmaxes(tensor: tf.Tensor) -> bool:
    """Whether sums, means and positive factors lead from softmaxes, and nothing else, to it."""
    kinds, pending = set(), [tensor]
    while pending:
        current = pending.pop()
        kind = current.op.type
        if kind in _AVERAGING | _TRANSPARENT:
            some = _VALUES.get(kind, None if kind in _AVERAGING else 1)
            pending += tuple(current.op.inputs)[:some]
            continue
        kinds.add(kind)
        if kind == "Const" and np.any(tf.get_static_value(current) < 0):
            return False  # what may be negative has no logarithm
    return {"Softmax"} <= kinds <= {"Softmax", "Const"}


def _moves_one_axis(operation: tf.Operation) -> bool:
    """Whether it transposes examples that are rows, so that their numbers stay in order."""
    if operation.type != "Transpose":
        return False
    order = tf.get_static_value(operation.inputs[1])
    sizes = operation.inputs[0].shape[1:]
    return order is not None and order[0] == 0 and sum(size != 1 for size in sizes) <= 1
