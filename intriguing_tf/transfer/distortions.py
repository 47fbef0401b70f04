"""Sets of distorted images: adversarial distortions amplified, and Gaussian noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from intriguing_tf.adversary.bounds import fit_into, range_of
from intriguing_tf.checks import array_of_numbers, check_seed, check_unmasked

UNIT_BOX = (0.0, 1.0)


def rms(images: Any, originals: Any, bounds: tuple[Any, Any] = UNIT_BOX) -> np.ndarray:
    """Returns each image's distortion: the root mean square change per pixel (section 4.2).

    Args:
        images: float array `[n, ...]`.
        originals: float array of the same shape, within the bounds.
        bounds: lowest and highest pixel value, numbers or arrays that broadcast to an image.
            Changes are in units of that range; where it is infinite, in units of 1.

    Returns:
        float64 `[n]`, at least 0.

    Raises:
        TypeError: images or originals that are not floating point.
        ValueError: shapes differ, something is not finite, the bounds are no box, or originals
            leave it.

    Example:

        itf.transfer.rms(result.images, result.originals, result.bounds)
    """
    images, originals = _beside(images, originals)
    _, _, pixel_range = box(bounds, originals)
    change = (images.astype(np.float64) - originals) / pixel_range
    return _rms_per_image(change)


def gaussian_noise(
    images: Any, stddev: float = 0.1, seed: int = 0, bounds: tuple[Any, Any] = UNIT_BOX
) -> np.ndarray:
    """Returns the images with independent Gaussian noise on every pixel, clipped to the box.

    Clipping takes some of the noise away, most of all in images that lie on the box's faces as
    MNIST's black background does: `rms(noisy, images)` says what is left. The paper does not say
    whether it clipped; bounds of (-inf, inf) add the noise without.

    Args:
        images: float array `[n, ...]` within the bounds.
        stddev: standard deviation before clipping, in units of the pixel range, at least 0.
        seed: of NumPy's PCG64 generator; the same seed gives the same noise.
        bounds: lowest and highest pixel value, numbers or arrays that broadcast to an image.

    Returns:
        An array of the images' shape and dtype.

    Raises:
        ValueError: a negative or infinite stddev or seed, images outside the bounds or not finite.
        TypeError: images that are not floating point, or a seed that is no integer.

    Example:

        noisy = itf.transfer.gaussian_noise(images, stddev=0.3, seed=1)
    """
    images = finite_images("images", images)
    lowest, highest, pixel_range = box(bounds, images)
    noise = np.random.default_rng(check_seed(seed)).standard_normal(images.shape)
    return _clipped(images + _stddev(stddev) * pixel_range * noise, lowest, highest, images.dtype)


def amplify(result: Any, stddev: float = 0.1, bounds: tuple[Any, Any] | None = None) -> np.ndarray:
    """Returns adversarial images with each distortion rescaled to `stddev`, clipped to the box.

    x + s (x' - x), with s such that the root mean square change per pixel is `stddev` before
    clipping (Table 4; the paper prints x + 0.1 (x' - x)/‖x' - x‖₂, but its text and its numbers
    speak of a stddev of 0.1): smaller, where it was larger. Clipping leaves a little less:
    `rms(amplified, result.originals)`.
    Images without a distortion (misclassified from the start, or no adversarial image found) have
    no direction to go and come back as they are.

    Args:
        result: an `AdversarialResult`, or anything with its `images` and `originals`.
        stddev: in units of the pixel range, at least 0.
        bounds: lowest and highest pixel value, or arrays that broadcast to the images; by default
            those that the result was made with.

    Returns:
        An array of the shape and dtype of `result.originals`.

    Raises:
        TypeError: `result` has no images or originals, or they are not floating point.
        ValueError: a negative or infinite stddev, or bounds that are no box; no bounds given for a
            result that was made with bounds that differ from pixel to pixel; originals outside
            the bounds.

    Example:

        amplified = itf.transfer.amplify(result, stddev=0.1)
    """
    if not hasattr(result, "images") or not hasattr(result, "originals"):
        raise TypeError(
            "`result` must be an AdversarialResult, or have its `images` and `originals`. "
            f"Received: {type(result).__name__}."
        )
    images, originals = _beside(result.images, result.originals)
    bounds = _bounds_of(result) if bounds is None else bounds
    lowest, highest, pixel_range = box(bounds, originals)
    change = images.astype(np.float64) - originals
    distortion = _rms_per_image(change / pixel_range)
    scale = np.divide(
        _stddev(stddev), distortion, out=np.zeros_like(distortion), where=distortion > 0
    )
    amplified = originals + scale.reshape(-1, *[1] * (images.ndim - 1)) * change
    return _clipped(amplified, lowest, highest, originals.dtype)


def finite_images(name: str, images: Any) -> np.ndarray:
    """Returns the images as an array, or raises: floating point, finite, of shape [n, ...]."""
    images = array_of_numbers(name, images)
    if images.dtype.kind != "f":
        raise TypeError(
            f"`{name}` must be floating point; scale integers to the bounds first (images / 255.0 "
            f"for pixels in [0, 1]). Received: dtype {images.dtype}."
        )
    if images.ndim < 2 or 0 in images.shape[1:]:
        raise ValueError(
            f"`{name}` must have shape [n, ...], of images with a pixel at least. Received: shape "
            f"{images.shape}."
        )
    if not np.isfinite(images).all():
        raise ValueError(f"`{name}` must be finite. Received: NaN or infinite values.")
    return images


def _beside(images: Any, originals: Any) -> tuple[np.ndarray, np.ndarray]:
    images, originals = finite_images("images", images), finite_images("originals", originals)
    if images.shape != originals.shape:
        raise ValueError(
            "`images` and `originals` must have the same shape. "
            f"Received: {images.shape} and {originals.shape}."
        )
    return images, originals


def _rms_per_image(change: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(np.square(change), axis=tuple(range(1, change.ndim))))


def _clipped(images: np.ndarray, lowest, highest, dtype) -> np.ndarray:
    # Cast before clipping, or rounding to the dtype may step over the box by a bit.
    return np.clip(images.astype(dtype), np.asarray(lowest, dtype), np.asarray(highest, dtype))


def _bounds_of(result: Any) -> tuple[Any, Any]:
    """Returns the bounds that an `AdversarialResult` was made with."""
    if getattr(result, "bounds", None) is not None:
        return result.bounds
    described = getattr(result, "settings", {}).get("bounds", UNIT_BOX)
    if any(isinstance(bound, list) for bound in described):
        raise ValueError(
            "The result was made with bounds that differ from pixel to pixel, of which it keeps "
            f"only the extremes {described}. Give them again as `bounds`."
        )
    lowest, highest = map(float, described)  # infinite bounds are described as "inf"
    return lowest, highest


def box(bounds: tuple[Any, Any], images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the lowest and highest values of images, and the range of each pixel.

    Raises:
        TypeError: masked bounds.
        ValueError: bounds that are no box, or images that leave it by more than rounding does.
    """
    check_unmasked("bounds", bounds)
    try:
        lowest, highest = (np.asarray(bound, np.float64) for bound in bounds)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`bounds` must be (lowest, highest). Received: {bounds!r}.") from error
    try:
        np.broadcast_to(lowest, images.shape), np.broadcast_to(highest, images.shape)
    except ValueError as error:
        raise ValueError(
            f"`bounds` must be numbers, or arrays that broadcast to the images, {images.shape}. "
            f"Received: shapes {lowest.shape} and {highest.shape}."
        ) from error
    if not np.all(lowest <= highest) or not np.any(lowest < highest):  # NaN fails too
        raise ValueError(
            "`bounds` must be (lowest, highest) with lowest < highest, or equal where a value is "
            f"held. Received: {bounds!r}."
        )
    fit_into(images, (lowest, highest))
    return lowest, highest, range_of(lowest, highest)


def _stddev(stddev: float) -> float:
    if not (isinstance(stddev, (int, float, np.number)) and 0 <= stddev < math.inf):
        raise ValueError(f"`stddev` must be a finite number of at least 0. Received: {stddev!r}.")
    return float(stddev)
