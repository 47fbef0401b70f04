"""From each layer's rule to bounds of all tensors, along the graph of a model."""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import keras

from intriguing_tf.lipschitz import rules
from intriguing_tf.lipschitz.blocks import block_of
from intriguing_tf.lipschitz.chains import Budget, chains_of
from intriguing_tf.lipschitz.exactness import check_call
from intriguing_tf.lipschitz.folding import Entry, add_linear, fold
from intriguing_tf.lipschitz.graph import Call, CallGraph, Tensor, call_of, calls_of
from intriguing_tf.lipschitz.operators import Block
from intriguing_tf.lipschitz.registry import Inner, apply_rule, errors_named, is_registered
from intriguing_tf.lipschitz.report import ReportBuilder
from intriguing_tf.lipschitz.residual import block_bound
from intriguing_tf.lipschitz.rounding import product_up, round_up
from intriguing_tf.lipschitz.steps import (
    SIGMOID,
    LayerBound,
    NoBoundError,
    Norm,
    Regroup,
    Shape,
    Softmax,
    Step,
    Steps,
    Weighted,
)
from intriguing_tf.progress import progress_bar


class Anywhere:
    """What is known of where tensors lie if inputs may be anything: nothing, but the calls' rules.

    `propagation` knows more.
    """

    def multiplies(self, call: Call) -> bool:
        """Whether the rule of a call needs the ranges of several inputs."""
        return False

    def rule_of(self, call: Call) -> LayerBound | Steps:
        """The rule of a call, as `rule_of`; on a domain, its outputs' ranges are found on the way.

        Raises:
            NoBoundError: there is none.
        """
        return rule_of(call)

    def norm(self, step: Step, attained: bool = True) -> Norm:
        """The norm of a step, with what it attains there."""
        return step.norm(attained)

    def limit(self, tensor: Tensor, root: Tensor, factor: float) -> None:
        """Notes that a tensor moves by no more than `factor` times what `root` moves by."""

    def merge(self, call: Call, rule: LayerBound) -> None:
        """Notes by how much the outputs of a call with several inputs move."""

    def forget(self, tensors: Iterable[Tensor]) -> None:
        """Drops what is known of tensors."""


@dataclasses.dataclass(frozen=True)
class Branch:
    """A tensor: bounds of a tensor below it, and the steps from that one that are still open.

    Args:
        root: the tensor below.
        product, total: Lipschitz bounds of the tensor below, by products and at best.
        entries: the steps since then.
    """

    root: Tensor
    product: float
    total: float
    entries: tuple[Entry, ...] = ()

    @functools.cached_property
    def folded(self) -> list[Entry]:
        """The open steps, linear neighbours joined."""
        return fold(self.entries)


class Bounds:
    """Bounds of the tensors of a graph; the report of its layers is built on the way.

    Args:
        best: whether neighbours are joined and chains are bounded as a whole.
        unbounded: whether layers without a bound raise ("raise") or count as infinite ("inf").
        attained: whether to look for lower bounds, too.
        verbose: whether to show progress.
        ranges: in which intervals tensors lie, for a bound on a domain; `None`: not known.
        quick: whether chains and residual blocks that take more than moments are left out.

    Attributes:
        report: the rows and chains so far.
        cancelled: how much larger the branches are than their sums, at most: a product of ratios.
    """

    def __init__(
        self,
        best: bool,
        unbounded: str = "raise",
        attained: bool = True,
        verbose: bool | str = False,
        ranges: Anywhere | None = None,
        quick: bool = False,
    ):
        self.report = ReportBuilder()
        self.cancelled = 1.0
        self._best = best
        self._quick = quick
        self._budget = Budget(0, 0) if quick else Budget()
        self._unbounded = unbounded
        self._attained = attained
        self._verbose = verbose
        self._ranges = ranges or Anywhere()

    def run(self, graph: CallGraph) -> list[Branch]:
        """Returns a branch per output of the graph."""
        uses = collections.Counter(graph.outputs)
        for call in graph.calls:
            uses.update(call.inputs)
        branches = {tensor: Branch(tensor, 1.0, 1.0) for tensor in graph.inputs}
        with progress_bar(len(graph.calls), "Lipschitz bounds", self._verbose, "layer") as bar:
            for call in graph.calls:
                given = [branches[tensor] for tensor in call.inputs]
                for tensor, branch in zip(call.outputs, self._call(call, given), strict=True):
                    # The steps to a tensor that several layers read are counted once.
                    shared = uses[tensor] > 1 and branch.entries
                    branches[tensor] = self._closed(tensor, branch) if shared else branch
                uses.subtract(call.inputs)
                self._forget([tensor for tensor in call.inputs if not uses[tensor]], branches)
                bar.update(1)
        return [branches[tensor] for tensor in graph.outputs]

    def close(self, branch: Branch, chains: bool = True) -> tuple[float, float]:
        """Returns the bounds (product, total) of a tensor, and reports its steps."""
        product, total = self._factors(branch, chains)
        return product_up([branch.product, product]), product_up([branch.total, total])

    def _closed(self, tensor: Tensor, branch: Branch, chains: bool = True) -> Branch:
        """A branch without open steps; a range on the domain cannot be wider than its bound."""
        product, total = self._factors(branch, chains)
        self._ranges.limit(tensor, branch.root, total)
        return Branch(
            tensor, product_up([branch.product, product]), product_up([branch.total, total])
        )

    def _factors(self, branch: Branch, chains: bool) -> tuple[float, float]:
        """The bounds (product, total) of the open steps alone, which are reported."""
        entries = branch.folded if self._best else list(branch.entries)
        norms = [self._ranges.norm(entry.step, self._attained) for entry in entries]
        self.report.add(entries, norms)
        bounds = [math.inf if math.isnan(norm.upper) else norm.upper for norm in norms]
        product = total = product_up(bounds)
        if self._best and chains:
            total = min(total, self._with_chains(entries, bounds))
        return product, total

    def _forget(self, tensors: Sequence[Tensor], branches: dict[Tensor, Branch]) -> None:
        """Drops what is known of tensors that nothing reads any more: its kernels take memory."""
        for tensor in tensors:
            branches.pop(tensor, None)  # a call may read a tensor twice
        self._ranges.forget(tensors)

    def _with_chains(self, entries: list[Entry], bounds: list[float]) -> float:
        factors: list[float] = []
        done = 0
        for chain in chains_of([entry.step for entry in entries], bounds, self._budget):
            factors += [*bounds[done : chain.start], chain.bound]
            done = chain.stop
            first, stop = chain.start, chain.stop  # and what stands in the same rows
            while first and set(entries[first].calls) <= set(entries[first - 1].calls):
                first -= 1
            while stop < len(entries) and set(entries[stop].calls) <= set(entries[stop - 1].calls):
                stop += 1
            beside = [*bounds[first : chain.start], *bounds[chain.stop : stop]]
            joint = product_up([chain.bound, *beside]) if beside else chain.bound
            self.report.add_chain(entries[first:stop], product_up(bounds[first:stop]), joint)
        return product_up([*factors, *bounds[done:]])

    def _call(self, call: Call, given: list[Branch]) -> list[Branch]:
        """The branch of each of a call's outputs."""
        if self._ranges.multiplies(call):
            pairs = zip(call.inputs, given, strict=True)
            given = [self._closed(tensor, branch) for tensor, branch in pairs]
        try:
            result = self._ranges.rule_of(call)
        except NoBoundError as error:
            if self._unbounded == "raise":
                raise
            result = LayerBound(math.inf, how=str(error))
        self.report.describe(call, result)
        if len(given) == 1 and len(call.outputs) == 1:
            if not result.steps:
                self.report.write((call.number,), Norm(1.0, 1.0, "identity"))
            entries = tuple(Entry((call.number,), step) for step in result.steps)
            return [dataclasses.replace(given[0], entries=given[0].entries + entries)]
        if not isinstance(result, LayerBound):
            raise NoBoundError(
                f"Layer {call.name!r} ({type(call.operation).__name__}) is called on {len(given)} "
                "tensors, but its rule is for one."
            )
        return self._merge(call, result, given)

    def _merge(self, call: Call, rule: LayerBound, given: list[Branch]) -> list[Branch]:
        """The bound of a layer with several inputs or outputs."""
        if self._best and _adds(call):
            summed = self._sum_of_linear(call.number, given)
            if summed is not None:
                return [summed]
        block = self._block(call, given)
        closed = [
            self._closed(tensor, branch, chains=block is None)
            for tensor, branch in zip(call.inputs, given, strict=True)
        ]
        self.report.write((call.number,), self._ranges.norm(rule))
        product = combined(rule, [branch.product for branch in closed])
        total = combined(rule, [branch.total for branch in closed])
        self._ranges.merge(call, rule)
        if block is not None and given[0].total > 0:
            joint = block_bound(block)
            apart, total = total, min(total, product_up([given[0].total, joint]))
            if total < apart:
                entries = [entry for branch in given for entry in branch.entries]
                entries.append(Entry((call.number,), rule))
                self.report.add_chain(entries, apart / given[0].total, joint)
        return [Branch(tensor, product, total) for tensor in call.outputs]

    def _block(self, call: Call, given: list[Branch]) -> Block | None:
        """The residual block that this call ends, if it adds two branches of one tensor."""
        if not self._best or self._quick or not _adds(call):
            return None
        if len({branch.root for branch in given}) > 1:
            return None
        return block_of([[each.step for each in branch.folded] for branch in given])

    def _sum_of_linear(self, number: int, given: list[Branch]) -> Branch | None:
        if len({branch.root for branch in given}) > 1:
            return None
        branches = [branch.folded for branch in given]
        entry = add_linear(branches)
        if entry is None:
            return None
        apart = sum(branch[0].step.magnitude() if branch else 1.0 for branch in branches)
        self.cancelled *= max(1.0, apart / max(entry.step.magnitude(), 1e-300))
        return dataclasses.replace(given[0], entries=(Entry((*entry.calls, number), entry.step),))


def _adds(call: Call) -> bool:
    """Whether it adds its inputs, and no user has a rule of his own for that."""
    return type(call.operation) is keras.layers.Add and not is_registered(keras.layers.Add)


def single_layer_bound(layer: Any, input_shapes: Sequence[Shape]) -> LayerBound:
    """Returns the bound of a layer or model by itself, for wrappers around one."""
    is_model = isinstance(layer, keras.Model)
    graph = calls_of(layer) if is_model else call_of(layer, input_shapes)
    bounds = Bounds(best=True)
    totals = [bounds.close(branch)[1] for branch in bounds.run(graph)]
    rows = bounds.report.rows
    attained = rows[0].attained if len(rows) == 1 and rows[0].bound == totals[0] else None
    how = "; ".join(row.how for row in rows) or "identity"
    return LayerBound(combined(LayerBound(1.0), totals), attained, how)


def rule_of(call: Call) -> LayerBound | Steps:
    """Returns what the rule of a call's layer or operation says, without what `squashes` excludes.

    Raises:
        NoBoundError: there is no rule, or no finite bound.
    """
    result = _whole_rule_of(call)
    if call.squashes:
        return result
    return Steps(result.steps[:-1], result.size, result.stride, unchanged=True)


def _whole_rule_of(call: Call) -> LayerBound | Steps:
    """What the rule of a call's layer or operation says; wrappers are seen through."""
    layer = call.operation
    check_call(layer, call.node)
    if not isinstance(layer, keras.layers.Layer) and not is_registered(type(layer)):
        return rules.calls.apply_operation(call.node, call.input_shapes)
    result = apply_rule(layer, call.input_shapes)
    if isinstance(result, Inner):
        with errors_named(layer):
            return single_layer_bound(result.layer, result.input_shapes)
    return result


def keeps_classes(call: Call) -> bool:
    """Whether its numbers are those that enter it, row by row in the same order."""
    rule = rule_of(call)
    if isinstance(rule, Steps) and not rule.steps:
        return rule.unchanged  # what is added may differ among the classes
    return all(isinstance(step, Regroup) and step.same_order for step in rule.steps)


def logits_graph(graph: CallGraph) -> CallGraph:
    """Returns the graph up to the logits: without the softmax or sigmoid that ends it.

    It may be regrouped afterwards, in the same order. A softmax over a part of the classes is kept:
    it changes their order. `classifier.Classifier` finds the same tensor in the traced graph.
    """
    by_output = {tensor: call for call in graph.calls for tensor in call.outputs}
    call = by_output.get(graph.outputs[0])
    while call is not None and len(call.inputs) == 1:
        try:
            last = next(reversed(rule_of(call).steps), None)
        except NoBoundError:
            break  # but on a domain it may have one
        if last is SIGMOID or (isinstance(last, Softmax) and last.whole):
            opened = dataclasses.replace(call, squashes=False)
            calls = tuple(opened if each is call else each for each in graph.calls)
            return dataclasses.replace(graph, calls=calls)
        if not keeps_classes(call):
            break
        call = by_output.get(call.inputs[0])
    return graph


def combined(rule: LayerBound, bounds: Sequence[float]) -> float:
    """Returns the bound of what a layer with several inputs gives, from those of the inputs."""
    if isinstance(rule, Weighted):
        parts = [
            product_up([weight, own]) for weight, own in zip(rule.weights, bounds, strict=True)
        ]
        return round_up(sum(parts), len(parts))
    if rule.combine == "sum":
        whole = sum(bounds)
    else:
        whole = bounds[0] if len(bounds) == 1 else math.hypot(*bounds)
    bound = product_up([rule.bound, whole])
    return bound if len(bounds) == 1 else round_up(bound, len(bounds))
