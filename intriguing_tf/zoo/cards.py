"""A model card: what one entry of the zoo is, where it comes from, and what was measured."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from intriguing_tf.reporting import Table
from intriguing_tf.zoo.errors import CatalogueError

# How measured values are written: heading, and text of a value.
METRICS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "train_error": ("training error", "{:.2%}".format),
    "other_half_error": ("error on the other half", "{:.2%}".format),
    "test_error": ("test error", "{:.2%}".format),
    "sample_error": ("error on bundled sample", "{:.2%}".format),
    "average_distortion": ("average minimal distortion", "{:.4f}".format),
    "lipschitz_total": ("Lipschitz bound", "{:.4g}".format),
    "lipschitz_product": ("product of the layers' norms", "{:.4g}".format),
    "certified_radius_median": ("median certified radius (l2)", "{:.4g}".format),
}


class Facts(Mapping[str, Any]):
    """A read-only mapping of JSON values; mappings inside it are `Facts`, arrays are tuples."""

    def __init__(self, values: Mapping[str, Any]):
        self._values = {key: _frozen(value) for key, value in values.items()}

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(json.dumps(self.json(), sort_keys=True))

    def __repr__(self) -> str:
        return f"Facts({self._values!r})"

    def json(self) -> dict[str, Any]:
        """Returns plain dictionaries and lists, as `json.dumps` takes them."""
        return {key: _thawed(value) for key, value in self._values.items()}


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Facts(value)
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _thawed(value: Any) -> Any:
    if isinstance(value, Facts):
        return value.json()
    return [_thawed(item) for item in value] if isinstance(value, tuple) else value


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """One entry of the zoo; `print(card)` shows it.

    Args:
        name: `family/model`.
        title: one line that says what the model is.
        format: `"keras"`, or the importer in `zoo.importers` that reads the weights.
        builder: the function in `intriguing_tf.models` that builds the network.
        arguments: keyword arguments of the builder.
        file: the weights' file name in the entry's folder.
        size: bytes; `None` if nobody has pinned the entry.
        sha256: 64 hexadecimal digits; `None` if nobody has pinned the entry.
        sha1: what the publisher says where it says no more; `zoo.pin` enforces it.
        urls: addresses of the weights, tried in order after the zoo's own copy.
        package: `distribution` and `path` of an installed package's file that holds the weights.
        input_shape: of one image, channels last.
        bounds: smallest and largest value of a pixel.
        classes: number of logits.
        parameters: number of weights, those that are not trained included.
        licence: of the weights.
        source: where the weights come from.
        recipe: how they were trained; empty if they were not trained here.
        training: seed, seconds, versions and data of that training.
        metrics: measured on the weights. Errors are fractions of the images; `sample_error` is
            that on the 1 000 bundled images; distances are documented in docs/zoo.md.
    """

    name: str
    title: str
    format: str
    builder: str
    file: str
    size: int | None
    sha256: str | None
    input_shape: tuple[int, ...]
    bounds: tuple[float, float]
    classes: int
    parameters: int
    licence: str
    source: str
    arguments: Facts = dataclasses.field(default_factory=lambda: Facts({}))
    sha1: str | None = None
    urls: tuple[str, ...] = ()
    package: Facts | None = None
    recipe: Facts = dataclasses.field(default_factory=lambda: Facts({}))
    training: Facts = dataclasses.field(default_factory=lambda: Facts({}))
    metrics: Facts = dataclasses.field(default_factory=lambda: Facts({}))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ModelCard:
        """Returns the card that `values`, checked against the schema, describes.

        Fields that this release does not know are left out.

        Raises:
            CatalogueError: a field is missing or not as the schema wants it.
        """
        validate(values, "card")
        low, high = map(float, values["bounds"])
        if not -math.inf < low < high < math.inf:
            raise CatalogueError(
                f"bounds of {values['name']!r} must be finite and increasing. Received: "
                f"{values['bounds']}."
            )
        known = {field.name for field in dataclasses.fields(cls)}
        fields = {key: _frozen(value) for key, value in values.items() if key in known}
        return cls(**fields | {"bounds": (low, high)})

    def json(self) -> dict[str, Any]:
        """Returns the card as plain dictionaries and lists."""
        return {f.name: _thawed(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @property
    def pinned(self) -> bool:
        """Whether the catalogue knows the file's size and hash."""
        return self.sha256 is not None

    def measured(self) -> list[tuple[str, str]]:
        """Returns headings and values of the metrics that this release knows, in a fixed order."""
        return [
            (heading, text(self.metrics[key]))
            for key, (heading, text) in METRICS.items()
            if self.metrics.get(key) is not None
        ]

    def table(self) -> Table:
        """Returns the card as a table of two columns."""
        rows = [
            ("input", f"{' × '.join(map(str, self.input_shape))}, values in {list(self.bounds)}"),
            ("classes", str(self.classes)),
            ("parameters", f"{self.parameters:,}"),
            ("file", f"{self.file} ({self.format})"),
            ("size", f"{self.size:,} bytes" if self.size else "not known"),
            ("sha256", self.sha256 or f"not pinned: itf-zoo pin {self.name}"),
            ("licence", self.licence),
            ("source", self.source),
        ]
        rows += self.measured()
        return Table(f"{self.name}: {self.title}", ("", ""), rows)

    def __str__(self) -> str:
        return str(self.table())


@functools.cache
def _validator(kind: str) -> Any:
    from jsonschema import Draft202012Validator

    schema = json.loads((Path(__file__).parent / "schema.json").read_text("utf-8"))
    if kind == "card":
        schema = {"$defs": schema["$defs"], "$ref": "#/$defs/card"}
    return Draft202012Validator(schema)


def validate(values: Any, kind: str) -> None:
    """Checks JSON `values` against the schema of a `"catalogue"` or a `"card"`.

    Raises:
        CatalogueError: the first thing that is wrong, with its place.
    """
    from jsonschema.exceptions import best_match

    error = best_match(_validator(kind).iter_errors(values))
    if error is not None:
        place = "".join(f"[{key!r}]" for key in error.absolute_path)
        raise CatalogueError(f"not a {kind} of the zoo: {place or 'it'}: {error.message[:300]}")
