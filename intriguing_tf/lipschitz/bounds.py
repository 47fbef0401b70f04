"""The Lipschitz bound of a whole model."""

from __future__ import annotations

import math
import time
from typing import Any

import keras

from intriguing_tf.checks import check_choice
from intriguing_tf.classifier import check_model
from intriguing_tf.lipschitz.contradictions import check_bound
from intriguing_tf.lipschitz.domain import boxes_of, described
from intriguing_tf.lipschitz.graph import calls_of
from intriguing_tf.lipschitz.propagation import AnyInput, Ranges
from intriguing_tf.lipschitz.report import LipschitzReport
from intriguing_tf.lipschitz.steps import LayerBound
from intriguing_tf.lipschitz.walk import Bounds, combined

METHODS = ("best", "quick", "product")


def bound(
    model: keras.Model,
    method: str = "best",
    unbounded: str = "raise",
    domain: Any = None,
    attained: bool = True,
    verbose: bool | str = "auto",
) -> LipschitzReport:
    """Bounds the Lipschitz constant of a Keras model, rigorously, layer by layer and as a whole.

    The constant L with ‖f(x) − f(y)‖₂ ≤ L ‖x − y‖₂ for all inputs x and y, of what the model
    outputs (logits or probabilities) when called with `training=False`, in exact arithmetic.
    Sequential, Functional and nested models; branches that are added, concatenated or otherwise
    merged; shared layers. Several inputs or outputs count as one long vector.

    Args:
        model: a built Keras 3 model, with known input sizes where they matter.
        method: "product" takes each layer by itself, as section 4.3 of the paper does. "best"
            joins linear neighbours (batch normalization and convolution, matrices in a row) and
            bounds chains of linear layers and activations as a whole
            (docs/lipschitz-mathematics.md); it is never larger but for what rounding adds where
            layers are joined, some 1e-9, and takes longer. "quick" is the
            same without the chains and residual blocks that take more than moments.
        unbounded: what to do with a layer that has no finite bound or no rule: "raise", or let it
            count as "inf".
        domain: a box of inputs (low, high), for which alone the bound then holds: numbers, or
            arrays that broadcast with one example, in the units of the inputs; a list of such pairs
            for several inputs. Intervals are followed through the model, activations get the slopes
            that they have there, and products of two branches (gates, squeeze-and-excite) have a
            bound. `None` is all inputs.
        attained: whether to look for lower bounds of convolutions, too; `False` takes less time.
        verbose: whether to show progress; "auto" if stderr is a terminal.

    Returns:
        A `LipschitzReport`.

    Raises:
        TypeError: not a Keras model.
        ValueError: an unknown `method` or `unbounded`; a model that is not built, or has no graph;
            weights that are not finite; an input size that is not known but matters; on a
            `domain`, a model whose copy in float64 fails or computes something else, as after a
            layer's setting was changed. `NoBoundError`, a ValueError, where a layer has no
            bound: attention, products of two branches without a `domain`, interpolation of channels
            first, layers that are not registered.
        ContradictionError: a RuntimeError: the model attains more than the bound that was found: an
            error in a rule, please report it. (Products with its Jacobian at random points are
            compared.)

    Example:

        report = itf.lipschitz.bound(itf.zoo.load("mnist/fc100-100-10"))
        print(report)
        report.total
        itf.lipschitz.bound(keras.applications.EfficientNetB0(), domain=(0, 255))
    """
    check_choice("method", method, METHODS)
    if unbounded not in ("raise", "inf"):
        raise ValueError(f'`unbounded` must be "raise" or "inf". Received: {unbounded!r}.')
    check_model(model, single=())
    started = time.monotonic()
    graph = calls_of(model)
    ranges = AnyInput() if domain is None else Ranges(model, domain)
    quick = method == "quick"
    bounds = Bounds(method != "product", unbounded, attained, verbose, ranges, quick)
    products, totals = zip(*map(bounds.close, bounds.run(graph)), strict=True)
    joint = LayerBound(1.0)
    product, total = combined(joint, products), combined(joint, totals)
    if math.isfinite(total):
        lost = product * bounds.cancelled
        inside = None if domain is None else boxes_of(domain, [x.shape for x in model.inputs])
        check_bound(model, total, lost, time.monotonic() - started, inside)
    rows, chains = bounds.report.rows, tuple(bounds.report.chains)
    where = "" if domain is None else described(domain, len(model.inputs))
    return LipschitzReport(model.name, rows, product, total, chains, method, where)
