"""Names of a sweep's models, and settings for each of them."""

import keras
import pytest

from intriguing_tf.sweeps.names import named_models, named_settings, settings_of, valid_names


def test_any_name_of_a_model_becomes_a_valid_one_of_its_own():
    given = [
        "my model (1)",
        "my_model_(1)",
        "my_model_1",
        "_x",
        "x",
        "ö",
        "ä",
        "a" * 80,
        "mnist/fc",
    ]
    found = valid_names(given)
    assert set(named_settings({name: {} for name in found}, [])) == set(found)
    assert len(set(found)) == len(given) and found == [*valid_names(given[::-1])][::-1]
    assert found[2:5:2] == ["my_model_1", "x"] and found[-1] == "mnist/fc"
    assert valid_names(["my model (1)", "_x"]) == ["my_model__1_", "x"]
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)], name="my model")
    assert named_models(model) == {"my_model": model}


def test_outputs_may_be_given_by_model():
    settings = {"a": {"maxfun": 3, "outputs": {"own": "probabilities"}}}
    group = named_settings(settings, ["own", "other"])["a"]
    assert settings_of("own", group) == {"maxfun": 3, "outputs": "probabilities"}
    assert settings_of("other", group) == {"maxfun": 3, "outputs": "auto"}
    with pytest.raises(ValueError, match=r"must be of other. Received: {'own': 'probabilities'}"):
        named_settings(settings, ["other"])
    with pytest.raises(ValueError, match="`outputs` must be one of"):
        named_settings({"a": {"outputs": {"own": "odds"}}}, ["own"])
