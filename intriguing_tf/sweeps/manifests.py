"""What the manifest of a sweep must be: it may come from anyone."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from intriguing_tf.text import cut

CELLS = 100_000  # models x targets x settings: ten times what a large sweep has
LARGEST = 1 << 48

_Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$(?!\n)")]
_Count = Annotated[int, Meta(ge=1, le=LARGEST)]


class _Data(msgspec.Struct):
    images: _Count
    shape: Annotated[list[_Count], Meta(max_length=32)]
    dtype: Annotated[str, Meta(max_length=32)]
    labels: bool
    slices: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(min_length=1)]


class _Model(msgspec.Struct):
    sha256: str
    classes: Annotated[int, Meta(ge=1, le=1 << 31)]
    layers: dict[str, int] = {}


class _Manifest(msgspec.Struct):
    kind: Literal["sweep"]
    format: Literal[1, 2]  # 1 has less in its versions and other models' sha256
    data: _Data
    models: Annotated[dict[_Name, _Model], Meta(min_length=1)]
    targets: Annotated[dict[_Name, str], Meta(min_length=1)]
    settings: Annotated[dict[_Name, dict[str, Any]], Meta(min_length=1)]
    seed: Annotated[int, Meta(ge=0)]
    shard_size: _Count
    versions: dict[str, str]
    extends: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=10_000)] = []

    def __post_init__(self) -> None:
        slices = -(-self.data.images // self.shard_size)
        if len(self.data.slices) != slices:
            raise ValueError(
                f"{self.data.images} images in shards of {self.shard_size} are {slices} slices, "
                f"not {len(self.data.slices)}"
            )
        cells = len(self.models) * len(self.targets) * len(self.settings)
        if cells > CELLS:
            raise ValueError(f"at most {CELLS:,} cells, not {cells:,}")


def check_manifest(manifest: Any) -> None:
    """Checks types and values of what a `manifest.json` holds.

    Raises:
        ValueError: it is not the manifest of a sweep, or of another format: what is wrong, where.
    """
    try:
        msgspec.convert(manifest, _Manifest)
    except msgspec.ValidationError as error:
        raise ValueError(
            f"The manifest of a sweep of format 1 or 2 is needed. Received: {cut(str(error))}."
        ) from None
