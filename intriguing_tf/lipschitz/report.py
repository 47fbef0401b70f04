"""What `bound` returns: a row per layer, the product, and the best bound, printed as Table 5."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from intriguing_tf.reporting import Table


@dataclasses.dataclass(frozen=True)
class Row:
    """A layer, or neighbouring layers that were joined into one operator.

    Args:
        layer: the layer's name; joined names where neighbours were folded.
        kind: its class.
        size: as in Table 5, e.g. "3 × 11 × 11 × 96".
        stride: likewise; empty where there is none.
        bound: rigorous Lipschitz bound, its activation included.
        attained: a ratio that the layer's linear part attains, times the largest slope of its
            activation; `None` if unknown.
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
class LipschitzReport:
    """Lipschitz bounds of a model and of its layers; `print` shows them as the paper's Table 5.

    Args:
        model: the model's name.
        rows: one per layer, in the order of the graph.
        product: the layers' bounds combined along the graph: multiplied along paths, added where
            branches are added. Section 4.3's bound.
        total: the best bound found for the model's output; at most `product`.
        chains: stretches whose joint bound is below the product of their layers'.
        method: "best" or "product".
    """

    model: str
    rows: tuple[Row, ...]
    product: float
    total: float
    chains: tuple[Chain, ...]
    method: str

    @property
    def unbounded(self) -> tuple[Row, ...]:
        """The layers without a finite bound."""
        return tuple(row for row in self.rows if math.isinf(row.bound))

    def table(self) -> Table:
        """Returns the report as a `Table` (text, Markdown, HTML)."""
        notes = [f"product {self.product:.5g}, total {self.total:.5g}"]
        notes += [
            f"{chain.layers[0]} … {chain.layers[-1]} together: {chain.bound:.5g} instead of "
            f"{chain.product:.5g}"
            for chain in self.chains
        ]
        notes += [f"no bound: {row.layer}: {row.how}" for row in self.unbounded]
        return Table(
            f"Lipschitz bounds of {self.model}",
            ("layer", "kind", "size", "stride", "bound", "attained", "certified"),
            [
                (
                    row.layer,
                    row.kind,
                    row.size,
                    row.stride,
                    row.bound,
                    row.attained,
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

    def __str__(self) -> str:
        return self.table().text()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
