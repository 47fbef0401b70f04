"""Which layers of the installed Keras and functions of `keras.ops` have a rule: a table.

python -m intriguing_tf.lipschitz.coverage docs/lipschitz-coverage.md
"""

from __future__ import annotations

import inspect
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import keras

from intriguing_tf.lipschitz import rules
from intriguing_tf.lipschitz.evaluation_errors import has_error_rule
from intriguing_tf.lipschitz.registry import known_arguments, why_unbounded

NO_RULE = "no rule is registered"
# Layers and operations that are refused, and why no rule is to be expected; matched by name.
REASONS = {
    "it is random, and changes its input in training only if at all; no rule is registered": (
        "AugMix AutoContrast CutMix MixUp Pipeline RandAugment"
    ),
    "it takes integers or strings": (
        "CategoryEncoding HashedCrossing Hashing IntegerLookup StringLookup TextVectorization"
    ),
    "what it computes is not known to Keras": (
        "FlaxLayer JaxLayer Lambda TFSMLayer TorchModuleWrapper"
    ),
    "no layer that computes": "InputLayer InputSpec Layer Wrapper MaxNumBoundingBoxes",
}


def layer_rows() -> Iterator[tuple[str, str, str, str]]:
    """Yields name, whether it has a rule, whether radii are certified, and why not."""
    by_name = {name: reason for reason, names in REASONS.items() for name in names.split()}
    ruled = known_arguments()
    assert rules.linear  # importing the rules fills the table
    for name in sorted(dir(keras.layers)):
        kind = getattr(keras.layers, name)
        if not inspect.isclass(kind) or name != kind.__name__:
            continue  # another name of the same class
        if kind in ruled:
            yield name, "rule", "yes" if has_error_rule(kind) else "no", ""
        else:
            reason = why_unbounded(kind) or by_name.get(name, NO_RULE)
            yield name, "refused", "", reason.removesuffix(".")


def operation_rows() -> Iterator[tuple[str, str, str, str]]:
    """The same of the functions of `keras.ops`."""
    for name in sorted(dir(keras.ops)):
        function = getattr(keras.ops, name)
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        kind = operation_name(function)
        if kind in rules.operations.RULES:
            yield name, "rule", "yes" if has_error_rule(kind) else "no", ""
        else:
            yield name, "refused", "", NO_RULE


def operation_name(function: Any) -> str | None:
    """The class of the operation that a function of `keras.ops` makes; `None` if there is none."""
    wanted = {"abs": "absolute"}.get(function.__name__, function.__name__).replace("_", "")
    kinds = vars(inspect.getmodule(function)).items()
    return next((name for name, k in kinds if inspect.isclass(k) and name.lower() == wanted), None)


def markdown() -> str:
    """Returns both tables as a page."""
    parts = [
        "# What the Lipschitz bounds cover",
        "",
        f"Of Keras {keras.__version__}, written by `python -m intriguing_tf.lipschitz.coverage "
        "docs/lipschitz-coverage.md` and compared in the tests. What is refused raises "
        "`NoBoundError` with its name; `itf.lipschitz.register` adds a rule. *Radii*: whether "
        "`certified_radius` takes it, which needs a bound of its rounding errors, too.",
    ]
    for title, rows in (("Layers", layer_rows()), ("keras.ops", operation_rows())):
        parts += ["", f"## {title}", "", "| name | bound | radii | why |", "|---|---|---|---|"]
        parts += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    pathlib.Path(sys.argv[1]).write_text(markdown(), encoding="utf-8")
