"""Certified radii beside found distances: the ratio, the pictures, and both on a linear network."""

import keras
import numpy as np
import pytest

from intriguing_tf.lipschitz.contradictions import ContradictionError
from intriguing_tf.publishing.certificates import CertifiedAndFound, is_certified
from intriguing_tf.zoo import cards, catalogue


@pytest.fixture
def four_images():
    """Two that count, one misclassified, one without an adversarial image."""
    return CertifiedAndFound(
        np.array([True, True, False, True]),
        np.array([0.5, 1.0, 0.1, 2.0]),
        np.array([0.6, 1.4, 9.0, np.inf]),
    )


def test_the_ratio_is_that_of_correct_images_with_both_bounds(four_images):
    assert four_images.metrics() == {"found_over_certified": pytest.approx(1.3)}
    assert four_images.metrics().keys() <= cards.METRICS.keys()
    four_images.check()


def test_a_refuted_certificate_stops_the_publication():
    both = CertifiedAndFound(
        np.array([True, False, True]), np.array([1.0, 0.0, 2.0]), np.array([1.5, 0.0, 1.9])
    )
    with pytest.raises(ContradictionError, match=r"1 of 3 .* image 2 .* 2, .* at 1\.9"):
        both.check()


def test_nothing_certified_has_no_ratio():
    both = CertifiedAndFound(np.array([True]), np.array([0.0]), np.array([0.9]))
    assert both.metrics() == {}


def test_curves_begin_at_the_accuracy_and_enclose_the_truth(four_images):
    pictures = four_images.pictures()
    assert list(pictures) == ["sandwich", "radius"]
    (axes,) = pictures["radius"].figure.axes
    attacked, certified = (line.get_ydata() for line in axes.lines[:2])
    assert attacked[0] == certified[0] == 75
    assert (certified <= attacked).all()
    assert certified[-1] == 0 and attacked[-1] == 25  # nothing was found for one image
    (axes,) = pictures["sandwich"].figure.axes
    assert len(axes.lines[1].get_ydata()) == 3  # those that are classified correctly


@pytest.mark.slow
def test_a_linear_networks_certificate_is_what_is_found():
    weights = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    model = keras.Sequential(
        [keras.Input((3, 3, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    model.set_weights([weights, np.zeros(3, np.float32)])
    images = np.random.default_rng(1).normal(size=(8, 3, 3, 1)).astype(np.float32)
    labels = model(images).numpy().argmax(1)
    labels[0] = (labels[0] + 1) % 3
    both = CertifiedAndFound.of(model, images, labels, (-50.0, 50.0), verbose=False)
    assert both.correct.tolist() == [False] + [True] * 7
    both.check()
    np.testing.assert_allclose(both.found, both.certified, rtol=0.01)


def test_entries_say_whether_they_were_trained_for_certificates():
    assert not is_certified(catalogue.info("mnist/fc100-100-10"))
    assert is_certified(catalogue.info("mnist/certified-0.3"))
