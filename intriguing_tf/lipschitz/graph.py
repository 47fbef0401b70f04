"""The walk over a Keras graph: from each layer's rule to a bound of the whole model."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras

from intriguing_tf.keras_graph import graph_of, nodes_of

from .chain import Run, chains_of
from .convolution import Convolution
from .folding import Entry, add_linear, fold
from .operations import apply_operation
from .operators import Diagonal, Matrix, Norm
from .registry import (
    LayerBound,
    NoBoundError,
    Regroup,
    Shape,
    Slopes,
    Softmax,
    Steps,
    apply_rule,
)
from .report import Chain, LipschitzReport, Row
from .rounding import product_up, round_up


@dataclasses.dataclass(frozen=True)
class Path:
    """A tensor: bounds of a tensor below it, and the steps from that one that are still open.

    Args:
        root: what identifies the tensor below.
        product, total: Lipschitz bounds of the tensor below, by products and at best.
        entries: the steps since then.
    """

    root: Any
    product: float
    total: float
    entries: tuple[Entry, ...] = ()


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a layer."""

    name: str
    kind: str
    size: str = ""
    stride: str = ""


class Walk:
    """Follows a model's graph and keeps, per tensor, bounds and open steps.

    Args:
        best: whether neighbours are joined and chains are bounded as a whole.
        unbounded: whether layers without a bound raise ("raise") or count as infinite ("inf").
        attained: whether to look for vectors that attain the bounds.
    """

    def __init__(self, best: bool, unbounded: str = "raise", attained: bool = True):
        self.best = best
        self.calls: list[Call] = []
        self.chains: list[Chain] = []
        self._unbounded = unbounded
        self._attained = attained
        self._rows: dict[int, Row] = {}

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(self._rows[call] for call in sorted(self._rows))

    def inputs_of(self, model: keras.Model) -> list[Path]:
        return [Path(("input", i), 1.0, 1.0) for i in range(len(model.inputs))]

    def run(self, model: keras.Model, inputs: Sequence[Path], prefix: str = "") -> list[Path]:
        """Returns a path per output of the model, given one per input."""
        graph = graph_of(model)
        uses = collections.Counter(id(tensor) for tensor in graph.outputs)
        nodes = _nodes_in_order(graph)
        for node in nodes:
            uses.update(id(tensor) for tensor in node.input_tensors)
        paths: dict[int, Path] = {}
        for tensor, path in zip(graph.inputs, inputs, strict=True):
            paths[id(tensor)] = self._shared(path, uses[id(tensor)])
        for node in nodes:
            given = [paths[id(tensor)] for tensor in node.input_tensors]
            shapes = [tuple(tensor.shape) for tensor in node.input_tensors]
            results = self._call(node, given, shapes, prefix)
            for tensor, path in zip(node.outputs, results, strict=True):
                paths[id(tensor)] = self._shared(path, uses[id(tensor)])
        return [paths[id(tensor)] for tensor in graph.outputs]

    def close(self, path: Path) -> tuple[float, float]:
        """Returns the bounds (product, total) of a tensor, and writes the rows of its steps."""
        entries = fold(path.entries) if self.best else list(path.entries)
        norms = [self._norm_of(entry.step) for entry in entries]
        self._write_rows(entries, norms)
        product = product_up([path.product, *(norm.upper for norm in norms)])
        total = product_up([path.total, *(norm.upper for norm in norms)])
        if self.best:
            bounds = [norm.upper for norm in norms]
            runs = chains_of([entry.step for entry in entries], bounds)
            factors = [path.total]
            done = 0
            for run in runs:
                factors += [*bounds[done : run.start], run.bound]
                done = run.stop
                self.chains.append(self._chain(run, entries, bounds))
            total = min(total, product_up([*factors, *bounds[done:]]))
        return product, total

    def _shared(self, path: Path, uses: int) -> Path:
        """Closes a path that several layers read, so that its steps are counted once."""
        if uses <= 1 or not path.entries:
            return path
        product, total = self.close(path)
        return Path(path.entries[-1].calls[-1], product, total)

    def _call(
        self, node: Any, given: list[Path], shapes: list[Shape], prefix: str
    ) -> Sequence[Path]:
        layer = node.operation
        name = prefix + layer.name
        if isinstance(layer, keras.Model):
            return self.run(layer, given, f"{name}/")
        number = len(self.calls)
        try:
            is_layer = isinstance(layer, keras.layers.Layer)
            result = apply_rule(layer, shapes) if is_layer else apply_operation(node, shapes)
        except NoBoundError as error:
            if self._unbounded == "raise":
                raise
            result = LayerBound(math.inf, how=str(error))
        self.calls.append(Call(name, type(layer).__name__, result.size, result.stride))
        if len(given) == 1 and len(node.outputs) == 1:
            steps = result.steps if isinstance(result, Steps) else (result,)
            if not steps:
                self._write(number, Norm(1.0, 1.0, "identity"))
            entries = tuple(Entry((number,), step) for step in steps)
            return [dataclasses.replace(given[0], entries=given[0].entries + entries)]
        if not isinstance(result, LayerBound):
            raise NoBoundError(
                f"Layer {name!r} ({type(layer).__name__}) is called on {len(given)} tensors, but "
                "its rule is for one."
            )
        return [self._merge(number, layer, result, given)] * len(node.outputs)

    def _merge(self, number: int, layer: Any, rule: LayerBound, given: list[Path]) -> Path:
        """The bound of a layer with several inputs."""
        if self.best and isinstance(layer, keras.layers.Add):
            summed = self._sum_of_linear(number, given)
            if summed is not None:
                return summed
        closed = [self.close(path) for path in given]
        self._write(number, Norm(rule.bound, rule.attained, rule.how))
        products, totals = zip(*closed, strict=True)
        return Path(("merge", number), _combine(rule, products), _combine(rule, totals))

    def _sum_of_linear(self, number: int, given: list[Path]) -> Path | None:
        if len({path.root for path in given}) > 1:
            return None
        entry = add_linear([fold(path.entries) for path in given])
        if entry is None:
            return None
        return dataclasses.replace(given[0], entries=(Entry((*entry.calls, number), entry.step),))

    def _norm_of(self, step: Any) -> Norm:
        if isinstance(step, Convolution):
            return step.norm(attained=self._attained)
        if isinstance(step, (Matrix, Diagonal)):
            return step.norm()
        if isinstance(step, Slopes):
            return Norm(step.bound, step.bound, f"slopes in [{step.low:.4g}, {step.high:.4g}]")
        if isinstance(step, Softmax):
            return Norm(step.bound, step.bound, "Jacobian on the simplex")
        if isinstance(step, Regroup):
            return Norm(1.0, 1.0, "same numbers")
        return Norm(step.bound, step.attained, step.how)

    def _write_rows(self, entries: list[Entry], norms: list[Norm]) -> None:
        """One row per layer or group of joined layers; an activation joins its own layer's row."""
        rows: list[tuple[tuple[int, ...], list[Norm]]] = []
        for entry, norm in zip(entries, norms, strict=True):
            if rows and set(entry.calls) <= set(rows[-1][0]):
                rows[-1][1].append(norm)
            else:
                rows.append((entry.calls, [norm]))
        for calls, parts in rows:
            lower: float | None = 1.0
            for part in parts:
                lower = None if lower is None or part.lower is None else lower * part.lower
            upper = product_up([part.upper for part in parts]) if len(parts) > 1 else parts[0].upper
            how = "; ".join(part.how for part in parts)
            self._write(
                calls[-1], Norm(upper, None if lower is None else min(lower, upper), how), calls
            )

    def _write(self, number: int, norm: Norm, calls: Sequence[int] = ()) -> None:
        own = [self.calls[call] for call in (calls or (number,))]
        self._rows[number] = Row(
            " + ".join(call.name for call in own),
            " + ".join(call.kind for call in own),
            max((call.size for call in own), key=len),
            max((call.stride for call in own), key=len),
            norm.upper,
            norm.lower,
            norm.how,
        )

    def _chain(self, run: Run, entries: list[Entry], bounds: list[float]) -> Chain:
        within = range(run.start, run.stop)
        calls = dict.fromkeys(call for i in within for call in entries[i].calls)
        return Chain(
            tuple(self.calls[call].name for call in calls),
            product_up([bounds[i] for i in within]),
            run.bound,
        )


def bound(model: keras.Model, method: str = "best", unbounded: str = "raise") -> LipschitzReport:
    """Bounds the Lipschitz constant of a Keras model, rigorously, layer by layer and as a whole.

    The constant L with ‖f(x) − f(y)‖₂ ≤ L ‖x − y‖₂ for all inputs x and y, of what the model
    outputs (logits or probabilities) when called with `training=False`, in exact arithmetic.
    Sequential, Functional and nested models; branches that are added, concatenated or otherwise
    merged; shared layers. Several inputs or outputs count as one long vector.

    Args:
        model: a built Keras 3 model, channels last, with known input sizes where they matter.
        method: "product" takes each layer by itself, as section 4.3 of the paper does. "best"
            joins linear neighbours (batch normalisation and convolution, matrices in a row) and
            bounds chains of linear layers and activations as a whole (docs/lipschitz.md); it is
            never larger, and takes longer.
        unbounded: what to do with a layer that has no finite bound or no rule: "raise", or let it
            count as "inf".

    Returns:
        A `LipschitzReport`.

    Raises:
        TypeError: not a Keras model.
        ValueError: an unknown `method` or `unbounded`; a model that is not built, or has no graph;
            weights that are not finite; an input size that is not known but matters; channels
            first. `NoBoundError`, a ValueError, where a layer has no bound: attention, products of
            two branches, layers that are not registered.

    Example:

        report = itf.lipschitz.bound(itf.zoo.load("mnist/fc100-100-10"))
        print(report)
        report.total
    """
    if method not in ("best", "product"):
        raise ValueError(f'`method` must be "best" or "product". Received: {method!r}.')
    if unbounded not in ("raise", "inf"):
        raise ValueError(f'`unbounded` must be "raise" or "inf". Received: {unbounded!r}.')
    check_model(model)
    walk = Walk(method == "best", unbounded)
    closed = [walk.close(path) for path in walk.run(model, walk.inputs_of(model))]
    products, totals = zip(*closed, strict=True)
    joint = LayerBound(1.0)
    return LipschitzReport(
        model.name,
        walk.rows,
        _combine(joint, products),
        _combine(joint, totals),
        tuple(walk.chains),
        method,
    )


def single_layer_bound(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    """Returns the bound of a layer or model by itself, for wrappers around one."""
    walk = Walk(best=True)
    if isinstance(layer, keras.Model):
        paths = walk.run(layer, walk.inputs_of(layer))
    else:
        result = apply_rule(layer, input_shapes)
        walk.calls.append(Call(layer.name, type(layer).__name__, result.size, result.stride))
        steps = result.steps if isinstance(result, Steps) else (result,)
        paths = [Path("input", 1.0, 1.0, tuple(Entry((0,), step) for step in steps))]
    totals = [walk.close(path)[1] for path in paths]
    rows = walk.rows
    attained = rows[0].attained if len(rows) == 1 and rows[0].bound == totals[0] else None
    how = "; ".join(row.how for row in rows) or "identity"
    return LayerBound(_combine(LayerBound(1.0), totals), attained, how)


def check_model(model: Any) -> None:
    """Raises unless `model` is a built Keras model with a graph of layers."""
    if not isinstance(model, keras.Model):
        raise TypeError(
            "`model` must be a keras.Model of Keras 3 (Sequential or Functional). "
            f"Received: {type(model).__module__}.{type(model).__name__}."
        )
    if not model.built:
        raise ValueError(
            f"Model {model.name!r} is not built, so it has no weights yet. Give it an Input, or "
            "call it once on a batch."
        )
    graph_of(model)


def _nodes_in_order(graph: Any) -> list[Any]:
    inputs = _inputs(graph)
    return [n for n in nodes_of(graph) if not n.is_input and n.operation not in inputs]


def _inputs(graph: Any) -> list[Any]:
    return [op for op in graph.operations if isinstance(op, keras.layers.InputLayer)]


def _combine(rule: LayerBound, bounds: Sequence[float]) -> float:
    if rule.combine == "sum":
        whole = sum(bounds)
    else:
        whole = bounds[0] if len(bounds) == 1 else math.hypot(*bounds)
    return (
        rule.bound * whole
        if len(bounds) == 1
        else round_up(product_up([rule.bound, whole]), len(bounds))
    )
