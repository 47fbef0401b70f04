"""A model card: what one entry of the zoo is, where it comes from, and what was measured."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from intriguing_tf.aliases import RenamedAttribute
from intriguing_tf.digits import percent, percent_down, rounded_down, rounded_up
from intriguing_tf.reporting import Table
from intriguing_tf.zoo.errors import CatalogueError
from intriguing_tf.zoo.records import PRINTED, Facts, Record, read


def _share(value: float) -> str:
    return percent(value, 2)


def _proven_share(value: float) -> str:
    return percent_down(value, 2)


def _lower(value: float) -> str:
    return f"{rounded_down(value):.4g}"


def _upper(value: float) -> str:
    return f"{rounded_up(value):.4g}"


# How measured values are written: heading, and text of a value.
METRICS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "train_error": ("training error", _share),
    "other_half_error": ("error on the other half", _share),
    "test_error": ("test error", _share),
    "sample_error": ("error on bundled sample", _share),
    "published_top1": ("top-1 accuracy, as published", "{:.1%}".format),
    "published_top5": ("top-5 accuracy, as published", "{:.1%}".format),
    "average_distortion": ("average minimal distortion", "{:.4f}".format),
    "lipschitz_total": ("Lipschitz bound", _upper),
    "lipschitz_product": ("product of the layers' norms", _upper),
    "certified_radius_median": ("median certified radius (l2)", _lower),
    "vra_0.3": ("verified-robust accuracy at l2 0.3", _proven_share),
    "vra_0.5": ("verified-robust accuracy at l2 0.5", _proven_share),
    "vra_1": ("verified-robust accuracy at l2 1", _proven_share),
    "vra_1.58": ("verified-robust accuracy at l2 1.58", _proven_share),
    "found_over_certified": ("median of distance found over certified radius", "{:.3f}".format),
}


# Text that ends where it seems to: "$" alone would let a line break pass.
NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,60}/[a-z0-9][a-z0-9._-]{0,60}$(?!\n)")
Name = Annotated[str, Meta(max_length=100, pattern=NAME.pattern)]
Identifier = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*$(?!\n)")]
FileName = Annotated[str, Meta(max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)")]
Line = Annotated[str, Meta(min_length=1, max_length=500, pattern=PRINTED.pattern)]
Size = Annotated[int, Meta(ge=1, le=16 << 30)]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
Sha1 = Annotated[str, Meta(pattern=r"^[0-9a-f]{40}$(?!\n)")]
Address = Annotated[str, Meta(max_length=2000, pattern=r"^https?://[^/\s@]+/\S*$(?!\n)")]
Side = Annotated[int, Meta(ge=1, le=100_000)]

# Addresses that nobody on the way can answer for.
_SAFE = re.compile(r"https://|http://(127\.0\.0\.1|localhost)[:/]")


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and -1e300 < value < 1e300


class Package(Record, frozen=True):
    """A file of an installed package.

    Args:
        distribution: the package's name in the index.
        path: of the file, from where the package is installed.
    """

    distribution: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)")]
    path: Annotated[
        str,
        Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$(?!\n)"),
    ]


class Pin(Record, frozen=True):
    """Size in bytes and SHA-256 that a file must have from now on."""

    size: Size
    sha256: Sha256


class ModelCard(Record, frozen=True, kw_only=True):
    """One entry of the zoo; `print(card)` shows it.

    Args:
        name: `family/model`.
        title: one line that says what the model is.
        format: `"keras"`, or the importer in `zoo.importers` that reads the weights.
        builder: the function in `intriguing_tf.models` that builds the network.
        arguments: keyword arguments of the builder.
        file: the weights' file name in the entry's folder.
        size: bytes; `None` if it is not known.
        sha256: 64 hexadecimal digits; `None` if it is not known: `zoo.pin` then enforces one.
        sha1: what the publisher says where it says no more; `zoo.pin` enforces it.
        urls: addresses of the weights, tried in order after the zoo's own copy.
        package: the file of an installed package that holds the weights.
        input_shape: of one image, channels last.
        bounds: smallest and largest value of a pixel.
        classes: number of logits.
        parameters: number of weights, those that are not trained included.
        license: of the weights.
        source: where the weights come from.
        recipe: how they were trained; empty if they were not trained here.
        training: seed, seconds, versions and data of that training.
        metrics: measured on the weights. Errors are fractions of the images; `sample_error` is
            that on the 1 000 bundled images; distances are documented in docs/zoo.md.
    """

    name: Name
    title: Line
    format: Identifier
    builder: Identifier
    file: FileName
    size: Size | None
    sha256: Sha256 | None
    input_shape: Annotated[tuple[Side, ...], Meta(min_length=1, max_length=8)]
    bounds: tuple[float, float]
    classes: Annotated[int, Meta(ge=2, le=1_000_000)]
    parameters: Annotated[int, Meta(ge=1, le=10**12)]
    license: Line = msgspec.field(name="licence")
    source: Annotated[str, Meta(min_length=1, max_length=2000, pattern=PRINTED.pattern)]
    arguments: Facts = msgspec.field(default_factory=Facts)
    sha1: Sha1 | None = None
    urls: Annotated[tuple[Address, ...], Meta(max_length=20)] = ()
    package: Package | None = None
    recipe: Facts = msgspec.field(default_factory=Facts)
    training: Facts = msgspec.field(default_factory=Facts)
    metrics: Facts = msgspec.field(default_factory=Facts)

    licence = RenamedAttribute("license")

    def __post_init__(self) -> None:
        low, high = self.bounds
        if not -math.inf < low < high < math.inf:
            raise ValueError(f"`bounds` of {self.name!r} must be finite and increasing")
        if self.sha256 is not None and self.size is None:
            raise ValueError(f"{self.name!r} has a `sha256` and no `size`")
        if self.sha256 is None and not self._can_be_pinned():
            raise ValueError(
                f"{self.name!r} has no `sha256`, so it needs `urls`, and `sha1` unless they all "
                "start with https://"
            )
        for key in METRICS.keys() & self.metrics.keys():
            if not _is_finite(self.metrics[key]):
                raise ValueError(f"`metrics.{key}` of {self.name!r} must be a finite number")
        if not isinstance(self.metrics.get("attack", Facts()), Facts):
            raise ValueError(f"`metrics.attack` of {self.name!r} must be an object")

    def _can_be_pinned(self) -> bool:
        safe = self.sha1 is not None or all(map(_SAFE.match, self.urls))
        return bool(self.urls) and safe

    @classmethod
    def from_json(cls, values: Any) -> ModelCard:
        """Returns the card that JSON `values` describe.

        Fields that this release does not know are left out.

        Raises:
            CatalogueError: a field is missing or not as its type wants it.
        """
        return read(values, cls, "a card of the zoo", CatalogueError)

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
            ("license", self.license),
            ("source", self.source),
        ]
        rows += self.measured()
        return Table(f"{self.name}: {self.title}", ("", ""), rows)

    def __str__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()
