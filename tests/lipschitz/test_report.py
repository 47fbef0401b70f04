"""The report as a table and as JSON."""

from __future__ import annotations

import json

import keras
from keras import layers

from intriguing_tf.lipschitz import bound
from intriguing_tf.lipschitz.report import Chain, LayerRow, LipschitzReport


def test_the_report_prints_as_table_5_and_becomes_json():
    x = keras.Input((9, 9, 2))
    y = layers.Conv2D(3, 3, strides=2, name="conv")(x)
    report = bound(keras.Model(x, layers.Multiply()([y, y]), name="net"), unbounded="inf")
    text = str(report)
    for part in ("net", "conv", "2 × 3 × 3 × 3", "stride", "lower bound", "method", "no bound"):
        assert part in text
    values = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert values["total"] is None
    assert values["rows"][0]["size"] == "2 × 3 × 3 × 3"


def test_digits_of_bounds_go_up_and_those_of_what_is_attained_down():
    row = LayerRow("dense", "Dense", "1 × 1", "", 3.00001, 2.99999, "matrix")
    chains = (Chain(("dense", "end"), 7.00001, 6.00001),)
    report = LipschitzReport("net", (row,), 9.00001, 8.00001, chains, "best")
    (cells,) = report.table().rows
    assert cells[4:6] == (3.0001, 2.9999)
    assert report.table().notes == [
        "product 9.0001, total 8.0001", "dense … end together: 6.0001 instead of 7.0001"
    ]  # fmt: skip


def test_a_product_that_float64_cannot_hold_is_no_layer_without_bound():
    large = [
        layers.Dense(1, kernel_initializer=keras.initializers.Constant(1e38)) for _ in "123456789"
    ]
    report = bound(keras.Sequential([keras.Input((1,)), *large]), unbounded="inf")
    assert report.total == float("inf") and not report.unbounded
    assert "every layer has a bound" in str(report)
