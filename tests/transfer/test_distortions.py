import dataclasses

import numpy as np
import pytest

import intriguing_tf as itf


@dataclasses.dataclass
class Result:
    images: np.ndarray
    originals: np.ndarray
    settings: dict = dataclasses.field(default_factory=lambda: {"bounds": [0.0, 1.0]})


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(0, 1, (6, 5, 4, 1)).astype(np.float32)


def test_rms_of_a_known_change(images):
    changed = images.astype(np.float64).copy()
    changed[0, 0, 0, 0] += 0.3  # one of 20 pixels
    changed[1] -= 0.25
    expected = [np.sqrt(0.09 / 20), 0.25, 0, 0, 0, 0]
    np.testing.assert_allclose(itf.transfer.rms(changed, images.astype(float)), expected)


def test_rms_is_in_units_of_the_pixel_range(images):
    wide = images * 255
    np.testing.assert_allclose(
        itf.transfer.rms(wide[::-1], wide, bounds=(0, 255)),
        itf.transfer.rms(images[::-1], images),
        rtol=1e-5,
    )
    infinite = itf.transfer.rms(wide[::-1], wide, bounds=(-np.inf, np.inf))
    np.testing.assert_allclose(infinite, 255 * itf.transfer.rms(images[::-1], images), rtol=1e-5)


def test_amplified_inside_the_box_has_exactly_the_stddev_and_the_direction():
    originals = np.full((3, 10), 0.5)
    direction = np.random.default_rng(1).normal(size=(3, 10))
    result = Result(originals + 0.001 * direction, originals)
    amplified = itf.transfer.amplify(result, stddev=0.05)
    np.testing.assert_allclose(itf.transfer.rms(amplified, originals), 0.05, rtol=1e-9)
    ratio = (amplified - originals) / direction
    np.testing.assert_allclose(ratio, ratio[:, :1] * np.ones((1, 10)), rtol=1e-6)
    assert (ratio > 0).all()


def test_amplified_stays_in_the_box_and_can_only_lose_by_it(images):
    result = Result(np.clip(images + 0.02, 0, 1), images)
    amplified = itf.transfer.amplify(result, stddev=0.4)
    assert amplified.dtype == images.dtype
    assert amplified.min() >= 0 and amplified.max() <= 1
    assert (itf.transfer.rms(amplified, images) < 0.4).all()
    assert (itf.transfer.rms(amplified, images) > 0.2).all()


def test_amplified_reads_the_bounds_of_the_result():
    originals = np.full((2, 8), 128.0)
    change = np.tile(np.arange(1.0, 9), (2, 1))
    result = Result(originals + change, originals, {"bounds": [0.0, 255.0]})
    amplified = itf.transfer.amplify(result, stddev=0.1)
    np.testing.assert_allclose(itf.transfer.rms(amplified, originals, (0, 255)), 0.1, rtol=1e-9)
    free = Result(originals + change, originals, {"bounds": ["-inf", "inf"]})
    amplified = itf.transfer.amplify(free, stddev=400.0)
    np.testing.assert_allclose(
        np.sqrt(np.mean((amplified - originals) ** 2, axis=1)), 400, rtol=1e-9
    )
    uneven = Result(originals + change, originals, {"bounds": [[0.0, 1.0], 255.0]})
    with pytest.raises(ValueError, match="Give them again"):
        itf.transfer.amplify(uneven)
    given = itf.transfer.amplify(uneven, bounds=(np.zeros(8), np.full(8, 255.0)))
    np.testing.assert_allclose(itf.transfer.rms(given, originals, (0, 255)), 0.1, rtol=1e-9)


def test_images_without_a_distortion_come_back_as_they_are(images):
    changed = images.copy()
    changed[2] = np.clip(changed[2] + 0.01, 0, 1)
    amplified = itf.transfer.amplify(Result(changed, images), stddev=0.1)
    untouched = [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(amplified[untouched], images[untouched])
    assert np.abs(amplified[2] - images[2]).max() > 0.05


def test_noise_repeats_by_seed_and_has_the_stddev():
    middle = np.full((50, 28, 28, 1), 0.5, np.float32)
    noisy = itf.transfer.gaussian_noise(middle, stddev=0.05, seed=3)
    np.testing.assert_array_equal(noisy, itf.transfer.gaussian_noise(middle, stddev=0.05, seed=3))
    assert (noisy != itf.transfer.gaussian_noise(middle, stddev=0.05, seed=4)).mean() > 0.99
    assert noisy.dtype == np.float32 and noisy.shape == middle.shape
    assert np.std(noisy - middle) == pytest.approx(0.05, rel=0.02)
    assert np.mean(noisy - middle) == pytest.approx(0, abs=0.001)


def test_noise_on_a_face_of_the_box_is_clipped_to_half_a_gaussian():
    black = np.zeros((20, 28, 28, 1), np.float32)
    noisy = itf.transfer.gaussian_noise(black, stddev=0.1)
    assert noisy.min() == 0
    # E max(z, 0)² = 1/2
    assert itf.transfer.rms(noisy, black).mean() == pytest.approx(0.1 / np.sqrt(2), rel=0.02)
    free = itf.transfer.gaussian_noise(black, stddev=0.1, bounds=(-np.inf, np.inf))
    assert itf.transfer.rms(free, black).mean() == pytest.approx(0.1, rel=0.02)


def test_noise_is_in_units_of_the_pixel_range(images):
    a = itf.transfer.gaussian_noise(images.astype(float), stddev=0.2, seed=1)
    b = itf.transfer.gaussian_noise(255.0 * images.astype(float), 0.2, 1, bounds=(0, 255))
    np.testing.assert_allclose(b, 255 * a)


@pytest.mark.parametrize("stddev", [-0.1, np.nan, np.inf, "0.1"])
def test_a_stddev_that_is_none_is_refused(images, stddev):
    with pytest.raises(ValueError, match="stddev"):
        itf.transfer.gaussian_noise(images, stddev=stddev)
    with pytest.raises(ValueError, match="stddev"):
        itf.transfer.amplify(Result(images, images), stddev=stddev)


def test_bad_images_are_refused(images):
    with pytest.raises(TypeError, match="uint8"):
        itf.transfer.gaussian_noise((images * 255).astype(np.uint8))
    with pytest.raises(ValueError, match="within the bounds"):
        itf.transfer.gaussian_noise(images * 2)
    with pytest.raises(ValueError, match="a pixel at least"):
        itf.transfer.rms(np.zeros((3, 0)), np.zeros((3, 0)))
    with pytest.raises(ValueError, match="finite"):
        itf.transfer.gaussian_noise(np.full_like(images, np.nan))
    with pytest.raises(ValueError, match="same shape"):
        itf.transfer.rms(images, images[:1])
    with pytest.raises(ValueError, match="lowest < highest"):
        itf.transfer.rms(images, images, bounds=(1, 0))
    with pytest.raises(ValueError, match="bounds"):
        itf.transfer.rms(images, images, bounds=3)
    with pytest.raises(ValueError, match="same shape"):
        itf.transfer.amplify(Result(images, images[:1]))


def test_originals_of_other_bounds_are_refused(images):
    """Their distortion would be in units of another range, and doubled."""
    wide = 2 * images - 1
    assert itf.transfer.rms(3 * images, images).shape == (6,)  # a set may lie anywhere
    for measure in (itf.transfer.rms, lambda *both: itf.transfer.amplify(Result(*both))):
        with pytest.raises(
            ValueError, match=r"within the bounds \[0, 1\]. Received: values from -"
        ):
            measure(wide, wide)
    with pytest.raises(ValueError, match=r"within the bounds \[-1, 0.5\]"):
        itf.transfer.amplify(Result(wide, wide), bounds=(-1, 0.5))


@pytest.mark.parametrize("shape", [(3,), (7, 5, 4, 1), (1, 1, 5, 4, 1)], ids=str)
def test_bounds_that_are_not_those_of_the_images_are_refused(images, shape):
    for lower, upper in ((np.zeros(shape), np.ones(shape)), (0.0, np.ones(shape))):
        for call in (
            lambda bounds: itf.transfer.rms(images[:1], images[1:2], bounds),
            lambda bounds: itf.transfer.amplify(Result(images[:1], images[1:2]), 0.1, bounds),
            lambda bounds: itf.transfer.gaussian_noise(images[:1], bounds=bounds),
        ):
            with pytest.raises(ValueError, match="`bounds` must be numbers, or arrays that"):
                call((lower, upper))


def test_no_images_have_no_distortions(images):
    none = images[:0]
    assert itf.transfer.rms(none, none).shape == (0,)
    assert itf.transfer.amplify(Result(none, none)).shape == none.shape
    assert itf.transfer.gaussian_noise(none).shape == none.shape
