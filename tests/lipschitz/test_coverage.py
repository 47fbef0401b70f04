"""The page that says which layers and operations are covered is the one of the installed Keras."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest

from intriguing_tf.lipschitz import coverage

PAGE = Path(__file__).parents[2] / "docs" / "lipschitz-coverage.md"


def test_the_page_is_what_the_command_writes():
    if f"Of Keras {keras.__version__}," not in PAGE.read_text(encoding="utf-8"):
        pytest.skip("the page is of another release of Keras")
    assert PAGE.read_text(encoding="utf-8") == coverage.markdown(), (
        "write it again: python -m intriguing_tf.lipschitz.coverage docs/lipschitz-coverage.md"
    )


def test_every_layer_and_function_has_a_row():
    rows = {name: (what, radii) for name, what, radii, _ in coverage.layer_rows()}
    assert {"Dense", "LSTM", "Lambda", "Embedding"} <= set(rows)
    assert rows["Dense"] == ("rule", "yes") and rows["LSTM"][0] == "refused"
    rows = {name: what for name, what, *_ in coverage.operation_rows()}
    assert rows["relu"] == rows["abs"] == rows["absolute"] == rows["leaky_relu"] == "rule"
    assert rows["square"] == rows["exp"] == coverage.ON_A_DOMAIN
    assert rows["where"] == rows["round"] == "refused"
    assert len(rows) > 200
