"""What is stored never changes: published hashes, fingerprints of recipes, files of version 0.1."""

import json
from pathlib import Path

import numpy as np
import pytest

from intriguing_tf import publishing, training, zoo

# Keras finds by name only what has been imported.
REGISTERED = (
    training.AdversarialModel,
    training.LipschitzRegularizer,
    training.LipschitzConstraint,
)
FIXTURES = Path(__file__).parent / "fixtures"
PUBLISHED = json.loads((FIXTURES / "published.json").read_text("utf-8"))


@pytest.fixture(autouse=True)
def bundled_zoo(monkeypatch):
    monkeypatch.delenv("INTRIGUING_TF_ZOO", raising=False)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_hashes_stay(name):
    assert zoo.info(name).sha256 == PUBLISHED[name]["file"]


@pytest.mark.parametrize("name", [name for name in PUBLISHED if "recipe" in PUBLISHED[name]])
def test_no_entry_needs_retraining(name):
    recipe = publishing.load_recipe(name)
    assert publishing.fingerprint(recipe) == PUBLISHED[name]["recipe"]
    assert zoo.info(name).training["recipe_sha256"] == PUBLISHED[name]["recipe"]
    assert zoo.info(name).recipe.json() == recipe.json()


@pytest.mark.slow
def test_a_saved_adversarial_model_resumes(load_saved):
    """Pools at the image and at a layer, both penalties, a kernel's regulariser and constraint."""
    model = load_saved("adversarial_model.keras")
    values = np.load(FIXTURES / "adversarial_model.npz")
    assert type(model) in REGISTERED
    np.testing.assert_allclose(model(values["images"]), values["outputs"], rtol=1e-5, atol=1e-6)
    image, hidden = model.pools
    assert (image.layer, image.size, image.refresh, image.interval) == (None, 8, 4, 2)
    assert (hidden.layer, hidden.interval, hidden.distortion) == ("fc1", 0, 0.2)
    assert dict(hidden.attack) == {"maxfun": 5}
    lipschitz, gradient = model.penalties
    assert (lipschitz.weight, lipschitz.total, gradient.weight) == (0.1, 4.0, 0.01)
    labels = np.arange(len(values["images"])) % 3
    history = model.fit(values["images"], labels, batch_size=4, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_the_plain_model_inside_was_saved_too(load_saved):
    model = load_saved("plain.keras")
    values = np.load(FIXTURES / "adversarial_model.npz")
    np.testing.assert_allclose(model(values["images"]), values["outputs"], rtol=1e-5, atol=1e-6)
    assert isinstance(model.get_layer("fc1").kernel_regularizer, training.LipschitzRegularizer)
    assert isinstance(model.get_layer("logits").kernel_constraint, training.LipschitzConstraint)
