"""What a Cholesky factorization proves."""

from __future__ import annotations

import numpy as np
import pytest

from intriguing_tf.lipschitz.rounding import is_below, largest_eigenvalue

pytestmark = pytest.mark.processor


def test_a_certificate_is_refused_just_below_the_truth():
    rng = np.random.default_rng(0)
    vectors = np.linalg.qr(rng.normal(size=(60, 60)))[0]
    values = np.linspace(0, 1, 60)
    gram = (vectors * values) @ vectors.T
    assert is_below(gram, 1 + 1e-9, 1e-14)
    assert not is_below(gram, 1 - 1e-12, 1e-14)
    assert not is_below(gram, 1 + 1e-9, 1e-8)  # the error must be paid for
    upper, lower = largest_eigenvalue(gram[None], 1e-14)
    assert 1 - 1e-9 < lower <= 1 <= upper < 1 + 1e-8
