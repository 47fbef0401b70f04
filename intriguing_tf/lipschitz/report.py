"""What `bound` returns: a row per layer, the product, and the best bound, printed as Table 5."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from intriguing_tf.digits import rounded_down, rounded_up
from intriguing_tf.lipschitz.folding import Entry
from intriguing_tf.lipschitz.graph import Call
from intriguing_tf.lipschitz.rounding import product_up
from intriguing_tf.lipschitz.steps import LayerBound, Norm, Steps
from intriguing_tf.reporting import ShownAsTable, Table


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """A layer, or neighbouring layers that were joined into one operator.

    Args:
        layer: the layer's name; joined names where neighbours were folded.
        kind: its class.
        size: as in Table 5, e.g. "3 × 11 × 11 × 96".
        stride: likewise; empty where there is none.
        bound: rigorous Lipschitz bound, its activation included.
        attained: a ratio that the layer's linear part attains, times the largest slope of its
            activation; `None` if unknown. On a domain only linear layers have one, for any inputs.
        how: how the bound was certified.
    """

    layer: str
    kind: str
    size: str
    stride: str
    bound: float
    attained: float | None
    how: str


@dataclasses.dataclass(frozen=True)
class Chain:
    """Layers that were bounded together.

    Args:
        layers: their names, in order.
        product: the product of their bounds.
        bound: the bound of the whole, at most `product`.
    """

    layers: tuple[str, ...]
    product: float
    bound: float


@dataclasses.dataclass(frozen=True)
class LipschitzReport(ShownAsTable):
    """Lipschitz bounds of a model and of its layers; `print` shows them as the paper's Table 5.

    Args:
        model: the model's name.
        rows: one per layer, in the order of the graph.
        product: the layers' bounds combined along the graph: multiplied along paths, added where
            branches are added. Section 4.3's bound.
        total: the best bound found for the model's output; at most `product`.
        chains: stretches whose joint bound is below the product of their layers'.
        method: "best", "quick" or "product".
        domain: the box of inputs that the bounds hold for, e.g. "[0, 255]"; empty where they hold
            for all.
    """

    model: str
    rows: tuple[LayerRow, ...]
    product: float
    total: float
    chains: tuple[Chain, ...]
    method: str
    domain: str = ""

    @property
    def unbounded(self) -> tuple[LayerRow, ...]:
        """The layers without a finite bound."""
        return tuple(row for row in self.rows if math.isinf(row.bound))

    def table(self) -> Table:
        """Returns the report as a `Table` (text, Markdown, HTML)."""
        product, total = rounded_up(self.product, 5), rounded_up(self.total, 5)
        notes = [f"product {product:.5g}, total {total:.5g}"]
        if self.domain:
            notes.append(f"only for inputs in {self.domain}; of others it says nothing")
        notes += [
            f"{chain.layers[0]} … {chain.layers[-1]} together: {rounded_up(chain.bound, 5):.5g} "
            f"instead of {rounded_up(chain.product, 5):.5g}"
            for chain in self.chains
        ]
        notes += [f"no bound: {row.layer}: {row.how}" for row in self.unbounded]
        if math.isinf(self.total) and not self.unbounded:
            notes.append("every layer has a bound; float64 ends below what they multiply to")
        return Table(
            f"Lipschitz bounds of {self.model}",
            ("layer", "kind", "size", "stride", "bound", "lower bound", "method"),
            [
                (
                    row.layer,
                    row.kind,
                    row.size,
                    row.stride,
                    rounded_up(row.bound, 5),
                    None if row.attained is None else rounded_down(row.attained, 5),
                    "" if math.isinf(row.bound) else row.how,
                )
                for row in self.rows
            ],
            notes,
            digits=5,
        )

    def as_dict(self) -> dict[str, Any]:
        """Returns plain numbers, strings and lists, for JSON; infinite bounds are `None`."""
        fields = dataclasses.asdict(self)
        for row in fields["rows"]:
            row["bound"] = _finite(row["bound"])
        return fields | {"product": _finite(self.product), "total": _finite(self.total)}


class _Label(NamedTuple):
    """What the report says of one call of a layer, whatever its bound."""

    layer: str
    kind: str
    size: str
    stride: str


class ReportBuilder:
    """The rows and chains of a report while a graph is followed.

    Attributes:
        chains: so far.
    """

    def __init__(self) -> None:
        self.chains: list[Chain] = []
        self._labels: dict[int, _Label] = {}
        self._rows: dict[int, LayerRow] = {}

    @property
    def rows(self) -> tuple[LayerRow, ...]:
        """One per layer or group of joined layers, in the order of the graph."""
        return tuple(self._rows[number] for number in sorted(self._rows))

    def describe(self, call: Call, result: LayerBound | Steps) -> None:
        """Notes what a call's rows and chains will say of it."""
        kind = type(call.operation).__name__
        self._labels[call.number] = _Label(call.name, kind, result.size, result.stride)

    def add(self, entries: Sequence[Entry], norms: Sequence[Norm]) -> None:
        """Writes a row per layer or group of joined layers; an activation joins its layer's."""
        groups: list[tuple[tuple[int, ...], list[Norm]]] = []
        for entry, norm in zip(entries, norms, strict=True):
            if groups and set(entry.calls) <= set(groups[-1][0]):
                groups[-1][1].append(norm)
            else:
                groups.append((entry.calls, [norm]))
        for calls, parts in groups:
            self.write(calls, _product(parts))

    def write(self, calls: Sequence[int], norm: Norm) -> None:
        """Writes the row of these calls, at the place of the last one."""
        labels = [self._labels[call] for call in calls]
        self._rows[calls[-1]] = LayerRow(
            " + ".join(label.layer for label in labels),
            " + ".join(label.kind for label in labels),
            max((label.size for label in labels), key=len),
            max((label.stride for label in labels), key=len),
            norm.upper,
            norm.lower,
            norm.how,
        )

    def add_chain(self, entries: Sequence[Entry], product: float, bound: float) -> None:
        """Notes that these steps, whose bounds multiply to `product`, have a joint bound."""
        calls = dict.fromkeys(call for entry in entries for call in entry.calls)
        layers = tuple(self._labels[call].layer for call in calls)
        self.chains.append(Chain(layers, product, bound))


def _product(norms: Sequence[Norm]) -> Norm:
    """The norm of several steps one after the other, from each one's."""
    upper = product_up([norm.upper for norm in norms]) if len(norms) > 1 else norms[0].upper
    lower: float | None = 1.0
    for norm in norms:
        lower = None if lower is None or norm.lower is None else lower * norm.lower
    how = "; ".join(norm.how for norm in norms)
    return Norm(upper, None if lower is None else min(lower, upper), how)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
