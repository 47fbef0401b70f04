"""Errors of the zoo quote foreign texts, and stay short."""

import pickle

import pytest

from intriguing_tf import zoo
from intriguing_tf.zoo import builders, errors

ERRORS = [errors.CatalogueError, errors.DownloadError, errors.IntegrityError, errors.UnpinnedError]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_a_message_is_cut_and_survives_pickling(kind):
    assert str(kind("short.")) == "short."
    error = pickle.loads(pickle.dumps(kind("begins " + 100_000 * "x")))
    assert type(error) is kind and isinstance(error, (ValueError, OSError))
    assert str(error).startswith("begins xxx") and len(str(error)) <= errors.LONGEST


@pytest.mark.parametrize("field", ["builder", "name"])
def test_a_card_of_long_texts_gives_a_short_message(field):
    card = zoo.info("mnist/fc10-1").replace(**{"builder": "none", field: 50_000 * "x"})
    with pytest.raises(zoo.IntegrityError) as caught:
        builders.build(card)
    assert len(str(caught.value)) <= errors.LONGEST
