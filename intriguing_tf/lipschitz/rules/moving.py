"""The rules of `keras.ops` functions that move numbers."""

from __future__ import annotations

from typing import Any

from intriguing_tf.lipschitz.rules.calls import OperationCall, Result, operation
from intriguing_tf.lipschitz.rules.common import BATCH
from intriguing_tf.lipschitz.rules.merging import BESIDE
from intriguing_tf.lipschitz.rules.observed import moved
from intriguing_tf.lipschitz.steps import NoBoundError

# Where each names the axis along which it works, or the axes; 0 would be the batch.
_ALONG: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("ArraySplit", "Flip", "Repeat", "Roll", "Take", "Unstack"), ("axis",)),
    "Diagonal": ("axis1", "axis2"),
}
# Axes along which the others work, from the batch on.
_FIXED = {"Dsplit": 2, "Fliplr": 1, "Hsplit": 1}


@operation(
    "ArraySplit", "DepthToSpace", "Diagonal", "Dsplit", "ExpandDims", "ExtractSequences", "Flip",
    "Fliplr", "GetItem", "Hsplit", "Moveaxis", "Pad", "Ravel", "Repeat", "Reshape", "Roll", "Rot90",
    "SpaceToDepth", "Split", "Squeeze", "Swapaxes", "Take", "Tile", "Transpose", "Tril", "Triu",
    "Unfold", "Unstack",
)  # fmt: skip
def rearranged(call: OperationCall) -> Result:
    if len(call.shapes) > 1:
        raise NoBoundError("what it moves must not depend on the input")
    kind, rank = type(call.operation).__name__, len(call.shapes[0])
    for name in _ALONG.get(kind, ()):
        call.own_axes(call.setting(name))
    if kind in ("Tril", "Triu") and rank < 3:
        raise NoBoundError(BATCH)
    if kind in _FIXED and rank <= _FIXED[kind]:
        raise NoBoundError(BATCH)
    if kind == "GetItem":
        _check_key(call.operands()[1], rank)
    return moved(call.run, call.shapes[0])


@operation("Hstack", "Dstack")
def stacked(call: OperationCall) -> Result:
    axis = 1 if type(call.operation).__name__ == "Hstack" else 2
    if any(len(shape) <= axis for shape in call.shapes):
        raise NoBoundError(BATCH)
    call.operands()
    return BESIDE


def _check_key(key: Any, rank: int) -> None:
    """Raises where indices choose among the examples: two examples would not show `x[:2]`."""
    keys = list(key) if isinstance(key, tuple) else [key]
    others = [each for each in keys if each is not None and each is not Ellipsis]
    whole = isinstance(keys[0], slice) and keys[0] in (slice(None), slice(None, None, 1))
    if not whole and not (keys[0] is Ellipsis and len(others) < rank):
        raise NoBoundError("it indexes the batch; its first index must be `:` or `...`")
