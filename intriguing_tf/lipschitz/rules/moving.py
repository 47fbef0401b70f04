"""The rules of `keras.ops` functions that move numbers."""

from __future__ import annotations

from typing import Any

from intriguing_tf.lipschitz.rules.calls import OperationCall, Result, operation
from intriguing_tf.lipschitz.rules.observed import moved
from intriguing_tf.lipschitz.steps import NoBoundError


@operation(
    "ExpandDims", "Flip", "GetItem", "Moveaxis", "Pad", "Ravel", "Repeat", "Reshape", "Roll",
    "Rot90", "Split", "Squeeze", "Swapaxes", "Take", "Tile", "Transpose",
)  # fmt: skip
def rearranged(call: OperationCall) -> Result:
    if len(call.shapes) > 1:
        raise NoBoundError("what it moves must not depend on the input")
    kind = type(call.operation).__name__
    if kind in ("Flip", "Repeat", "Roll", "Take"):
        call.own_axes(call.setting("axis"))
    if kind == "GetItem":
        _check_key(call.operands()[1], len(call.shapes[0]))
    return moved(call.run, call.shapes[0])


def _check_key(key: Any, rank: int) -> None:
    """Raises where indices choose among the examples: two examples would not show `x[:2]`."""
    keys = list(key) if isinstance(key, tuple) else [key]
    others = [each for each in keys if each is not None and each is not Ellipsis]
    whole = isinstance(keys[0], slice) and keys[0] in (slice(None), slice(None, None, 1))
    if not whole and not (keys[0] is Ellipsis and len(others) < rank):
        raise NoBoundError("it indexes the batch; its first index must be `:` or `...`")
