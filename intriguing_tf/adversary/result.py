"""What an attack returns."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from intriguing_tf.adversary import pictures
from intriguing_tf.adversary.bounds import check_bounds
from intriguing_tf.adversary.naming import whole_name
from intriguing_tf.adversary.pictures import SavedImages
from intriguing_tf.archives import read_arrays, read_json
from intriguing_tf.checks import check_kinds
from intriguing_tf.digits import percent
from intriguing_tf.files import expanded, read_content, write_atomically
from intriguing_tf.reporting import Picture, ShownAsTable, Table

_FORMAT = 1
STATUSES = ("found", "already", "failed")
ARRAYS = (
    "images", "originals", "targets", "predictions", "original_predictions", "status",
    "distortion", "l2", "c", "nfev",
)  # fmt: skip
_BOUNDS = ("lower", "upper")
STORED = (*ARRAYS, *_BOUNDS, "mask")  # arrays that a file of a result may have
_DTYPES = {
    **dict.fromkeys(("targets", "predictions", "original_predictions", "nfev"), "int64"),
    **dict.fromkeys(("distortion", "l2", "c"), "float64"),
    "status": "<U7",
}
_LEAST = {"targets": 0, "predictions": -1, "original_predictions": -1, "nfev": 0}
_STOPPED = {"time_limit": "reached its time limit", "interrupted": "was interrupted"}
_PRINTED = {"solver", "loss", "targets", "seed"}  # settings that the table shows


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class AdversarialResult(ShownAsTable):
    """Adversarial examples; row i belongs to image i.

    Attributes:
        images: [n, ...] the adversarial images; the originals where none was found.
        originals: [n, ...] the images as they were given, within the bounds.
        targets: int64 [n] the classes aimed at.
        predictions: int64 [n] the model's classes of `images`, as `model.predict` gives them.
        original_predictions: int64 [n] its classes of `originals`; -1 where not finite.
        status: str [n] "found", "already" (nothing had to be changed) or "failed".
        distortion: float64 [n] root mean square change per variable, in units of the range of the
            bounds (section 4.2): 0 for "already", infinite for "failed".
        l2: float64 [n] Euclidean norm of the change; likewise.
        c: float64 [n] the largest c that succeeded, or 1 / (the sum of the multipliers) where the
            bundle found the point, or, where no cut held it, or no c succeeded but a point on the
            way, the c with which both terms pull alike; NaN unless "found".
        nfev: int64 [n] evaluations of the model: gradients and forward passes.
        settings: how the examples were made: solver, loss, seed, versions, seconds and the like;
            "stopped" if it was cut short.
        classifier: what was attacked; `None` for a result that comes from a file.
        bounds: (lower, upper), arrays that broadcast to the images; `None` where a file of an
            earlier release keeps the least and largest of them only.
        mask: bool, broadcasts to the images: where pixels were allowed to change; `None`: all.

    Example:

        result[3]; result[result.status == "found"]  # results of these rows
        result.plot(class_names)
        result.to_dataframe().groupby("targets").l2.median()
        result.save_images("pictures")
    """

    images: np.ndarray
    originals: np.ndarray
    targets: np.ndarray
    predictions: np.ndarray
    original_predictions: np.ndarray
    status: np.ndarray
    distortion: np.ndarray
    l2: np.ndarray
    c: np.ndarray
    nfev: np.ndarray
    settings: dict[str, Any]
    classifier: Any = None
    bounds: tuple[np.ndarray, np.ndarray] | None = None
    mask: np.ndarray | None = None

    @property
    def success(self) -> np.ndarray:
        """bool [n]: the attack succeeded ("found") or had nothing to do ("already")."""
        return self.status != "failed"

    @property
    def mean_distortion(self) -> float:
        """Average distortion of the examples that were found (the paper's "av. distortion")."""
        found = self.status == "found"
        return float(self.distortion[found].mean()) if found.any() else float("nan")

    def __len__(self) -> int:
        return len(self.images)

    __repr__ = ShownAsTable.__str__

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("A result is no array: take its `images`. Received: an AdversarialResult.")

    def __getitem__(self, rows: Any) -> AdversarialResult:
        """Returns the result of some rows: of an integer, a slice, a mask or an array of rows.

        Raises:
            IndexError: there is no such row, a mask of another length, or more than one index.
        """
        chosen = np.arange(len(self))[rows]
        if chosen.ndim > 1:
            raise IndexError(
                "An index of a result is an integer, a slice, a mask [n] or an array of rows [m]. "
                f"Received: one that gives shape {chosen.shape}."
            )
        kept = np.atleast_1d(chosen)
        arrays = {name: getattr(self, name)[kept] for name in ARRAYS}
        bounds: Any = self.bounds and tuple(self._rows_of(bound, kept) for bound in self.bounds)
        mask = None if self.mask is None else self._rows_of(self.mask, kept)
        return dataclasses.replace(self, **arrays, bounds=bounds, mask=mask)

    def _rows_of(self, array: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Rows of what broadcasts to the images."""
        each = array.ndim == self.images.ndim and len(array) > 1
        return array[rows] if each else array

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "classifier": None}  # what TensorFlow compiled cannot be pickled

    def plot(
        self,
        class_names: Sequence[str] | None = None,
        model: keras.Model | None = None,
        *,
        number: int = 16,
        columns: int = 8,
    ) -> Picture | Table:
        """Draws the first examples: original, magnified perturbation, and adversarial image.

        Titles say the classes before and after; their probabilities too, where the model is known.

        Args:
            class_names: in the order of the classes; by default their numbers.
            model: that was attacked, for a result that comes from a file.
            number: of examples, at most.
            columns: examples beside each other.

        Returns:
            A `Picture` of images or series; for other data a `Table` with the variables that
            changed most. Notebooks show both.

        Example:

            picture = result[:8].plot(itf.datasets.imagenet_class_names())
            pathlib.Path("examples.png").write_bytes(picture.png())
        """
        return pictures.plot(self, class_names, model, number, columns)

    def to_dataframe(self, class_names: Sequence[str] | None = None) -> Any:
        """Returns everything but the images as a pandas.DataFrame, a row per image.

        Args:
            class_names: in the order of the classes; they then stand for the numbers, whole.

        Raises:
            TypeError: class names that are no str.
            ImportError: pandas is not installed.
        """
        if class_names is not None:
            check_kinds("class_names", class_names, str, "names")
        try:
            import pandas
        except ImportError as error:
            raise ImportError("A DataFrame needs pandas: pip install pandas.") from error
        columns = {name: getattr(self, name) for name in ARRAYS[2:]}
        if class_names is not None:
            for name in ("targets", "predictions", "original_predictions"):
                columns[name] = [whole_name(label, class_names) for label in columns[name]]
        return pandas.DataFrame(columns)

    def save_images(
        self,
        folder: str | os.PathLike,
        model: keras.Model | None = None,
        class_names: Sequence[str] | None = None,
    ) -> SavedImages:
        """Writes the examples that were found as PNGs of 8 bits that still are adversarial.

        Where rounding to 8 bits undoes an example, pixels near it that succeed are searched, as
        with `levels=256`. Each file is read back and classified. Of targets "nearest", an image
        counts as adversarial in any other class; else in its target class.

        Args:
            folder: made when it is not there; files of these names in it are replaced.
            model: that was attacked, for a result that comes from a file.
            class_names: in the order of the classes, for the names of the files.

        Returns:
            What was written, and which rows were lost to rounding: those get no file.

        Raises:
            ValueError: data that are no images, or a result from a file without `model`.
            OSError: the folder cannot be written to.
        """
        return pictures.save_images(self, folder, model, class_names)

    def table(self) -> Table:
        """Returns the summary that `print` shows."""
        found = self.distortion[self.status == "found"]
        rows: list[tuple[str, Any]] = [
            ("images", len(self)),
            ("success", percent(self.success.mean()) if len(self) else None),
            *((status, int((self.status == status).sum())) for status in STATUSES),
        ]
        if found.size:
            rows += [
                ("distortion found, mean", float(found.mean())),
                ("distortion found, median", float(np.median(found))),
                ("distortion found, largest", float(found.max())),
            ]
        rows += [
            ("evaluations per image", float(self.nfev.mean()) if len(self) else None),
            ("seconds", float(self.settings.get("seconds", float("nan")))),
            ("solver, loss", "{solver}, {loss}".format(**self.settings)),
            ("targets, seed", "{targets}, {seed}".format(**self.settings)),
        ]
        already = int((self.status == "already").sum())
        why = "classified as their target as they are: nothing was attacked there."
        if self.settings["targets"] != "given":
            why = "misclassified as they are. Are the labels and the scale of the images right?"
        notes = [f"{already} of {len(self)} images are {why}"] if 2 * already > len(self) else []
        if stopped := _STOPPED.get(str(self.settings.get("stopped"))):
            notes.append(f"The attack {stopped}: images that it had not come to count as failed.")
        return Table("Adversarial examples", ("", ""), rows, notes)

    def save(self, path: str | os.PathLike) -> Path:
        """Writes `path.npz` (the arrays) and `path.json` (settings and summary), or replaces them.

        Both files appear atomically, and belong together: the second has the SHA-256 of the first,
        so that of a call that is killed between them nothing is read.

        Returns:
            The path of the `.npz` file.

        Raises:
            OSError: they cannot be written.
        """
        arrays, description = _paths(path)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays_to_store(self))
        content = buffer.getvalue()
        summary = {
            "format": _FORMAT,
            "kind": "AdversarialResult",
            "settings": self.settings,
            "images": len(self),
            "success": float(self.success.mean()) if len(self) else None,
            "mean_distortion": None if np.isnan(self.mean_distortion) else self.mean_distortion,
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        # The large file is on the disk before the small one says so, or a full disk parted them.
        new = write_atomically(arrays.with_name(f".{arrays.name}.{secrets.token_hex(4)}"), content)
        try:
            write_atomically(description, json.dumps(summary, indent=2, sort_keys=True) + "\n")
            os.replace(new, arrays)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        return arrays

    @classmethod
    def load(cls, path: str | os.PathLike) -> AdversarialResult:
        """Reads what `save` wrote. Nothing in the files is executed.

        Raises:
            FileNotFoundError: one of the two files is missing.
            ValueError: they are not a result, damaged, of a later format, or of two results.
        """
        arrays, description = _paths(path)
        settings, content = description.read_bytes(), read_content(arrays)
        try:
            summary = read_json(settings)
            format_ = summary.get("format") if isinstance(summary, dict) else None
            if format_ != _FORMAT or summary.get("kind") != "AdversarialResult":
                raise ValueError(f"this version reads format {_FORMAT}")
            result = stored_result(read_arrays(content, STORED), summary.get("settings"))
            # Results of earlier releases have none.
            if summary.get("sha256") not in (None, hashlib.sha256(content).hexdigest()):
                raise ValueError(
                    f"{description.name} belongs to other arrays; saving was interrupted, or one "
                    "of the two files was replaced"
                )
            return result
        except ValueError as error:
            raise ValueError(f"{arrays} is not a saved AdversarialResult: {error}.") from error


def arrays_to_store(result: AdversarialResult) -> dict[str, Any]:
    """Returns the `ARRAYS` of a result by name, and what its settings do not say of the box."""
    arrays = {name: getattr(result, name) for name in ARRAYS}
    if result.mask is not None:
        arrays["mask"] = result.mask
    if result.bounds and any(each.size and each.min() != each.max() for each in result.bounds):
        arrays.update(zip(_BOUNDS, result.bounds, strict=True))
    return arrays


def stored_result(arrays: Mapping[str, np.ndarray], settings: Any) -> AdversarialResult:
    """Returns the result that a file holds, once everything in it is what it must be.

    Args:
        arrays: by name, as `arrays_to_store` returns them.
        settings: as JSON has them.

    Raises:
        ValueError: an array is missing, or has another dtype, length or values than a result's.
    """
    if missing := set(ARRAYS) - set(arrays):
        raise ValueError(
            f"there must be arrays {sorted(ARRAYS)}. Received: none of {sorted(missing)}"
        )
    rows = arrays["status"].shape[:1]
    for name in ARRAYS:
        array, dtype = arrays[name], _DTYPES.get(name)
        fits = array.dtype.kind == "f" if dtype is None else array.dtype == dtype
        if not fits or not array.shape or array.shape[:1] != rows or (dtype and array.ndim != 1):
            raise ValueError(
                f"{name} must be {dtype or 'float'} with {rows} rows. Received: {array.dtype} "
                f"with shape {array.shape}"
            )
    if arrays["images"].shape != arrays["originals"].shape:
        raise ValueError("images and originals must have one shape")
    if not np.isin(arrays["status"], STATUSES).all():
        raise ValueError(f"each status must be one of {STATUSES}")
    if not (arrays["distortion"] >= 0).all() or not (arrays["l2"] >= 0).all():
        raise ValueError("distortion and l2 must be at least 0")
    for name, least in _LEAST.items():
        if (arrays[name] < least).any():
            raise ValueError(f"{name} must be at least {least}. Received: {arrays[name].min()}")
    if not np.isfinite(arrays["images"][arrays["status"] == "found"]).all():
        raise ValueError("images that were found must be finite")
    _check_settings(settings)
    return AdversarialResult(
        **{name: arrays[name] for name in ARRAYS},
        settings=settings,
        bounds=_stored_bounds(arrays, settings),
        mask=_stored_mask(arrays),
    )


def _stored_bounds(arrays: Mapping[str, np.ndarray], settings: dict[str, Any]) -> Any:
    if set(_BOUNDS) <= set(arrays):
        described: Any = [arrays[name] for name in _BOUNDS]
        if any(each.dtype.kind != "f" for each in described):
            raise ValueError("bounds must be floats")
    else:
        described = settings.get("bounds")
        if not isinstance(described, list) or any(isinstance(each, list) for each in described):
            return None
    try:
        lower, upper = check_bounds([np.asarray(each, np.float64) for each in described])  # "inf"
        for each in (lower, upper):
            np.broadcast_to(each, arrays["images"].shape)
    except TypeError as error:
        raise ValueError(str(error)) from None
    return lower, upper


def _stored_mask(arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
    mask = arrays.get("mask")
    if mask is not None and mask.dtype != np.bool_:
        raise ValueError(f"mask must be bool. Received: {mask.dtype}")
    return None if mask is None else np.broadcast_to(mask, arrays["images"].shape)


def _check_settings(settings: Any) -> None:
    if not isinstance(settings, dict) or not set(settings) >= _PRINTED:
        raise ValueError(f"settings must be an object with {sorted(_PRINTED)}")
    seconds = settings.get("seconds", 0.0)
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise ValueError("the seconds of the settings must be a number")
    if not 0 <= seconds < math.inf:
        raise ValueError("the seconds of the settings must be finite and at least 0")


def _paths(path: str | os.PathLike) -> tuple[Path, Path]:
    path = expanded(path)
    base = path.with_suffix("") if path.suffix in {".npz", ".json"} else path
    return base.with_name(base.name + ".npz"), base.with_name(base.name + ".json")
