"""Points that small networks are trained on."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def points():
    """Three classes in the unit square: images [n, 2] and labels [n]."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 240)
    centres = np.array([[0.2, 0.2], [0.8, 0.3], [0.5, 0.8]])
    points = centres[labels] + 0.08 * random.normal(size=(240, 2))
    return np.clip(points, 0, 1).astype(np.float32), labels
