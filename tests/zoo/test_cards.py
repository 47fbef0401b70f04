"""Model cards are values that print what they know."""

import copy
import json
import pickle

import pytest

from intriguing_tf import zoo
from intriguing_tf.zoo.cards import ModelCard


def test_cards_are_frozen_and_copy_and_pickle():
    card = zoo.info("mnist/conv")
    with pytest.raises(AttributeError):
        card.classes = 11
    with pytest.raises(TypeError):
        card.metrics["test_error"] = 0.0
    for twin in (copy.deepcopy(card), pickle.loads(pickle.dumps(card))):
        assert twin == card and hash(twin) == hash(card)
    assert ModelCard.from_json(json.loads(json.dumps(card.json()))) == card


def test_a_card_prints_what_it_knows():
    card = zoo.info("mnist/conv")
    printed = str(card)
    for text in ("28 × 28 × 1", "[0.0, 1.0]", card.sha256, card.license, f"{card.parameters:,}"):
        assert text in printed
