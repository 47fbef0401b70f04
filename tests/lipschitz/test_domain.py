"""Bounds on a box of inputs."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from intriguing_tf.lipschitz import bound
from intriguing_tf.lipschitz.domain import boxes_of, described
from tests.lipschitz.small_networks import randomised


def squeezed() -> keras.Model:
    x = keras.Input((6, 6, 2))
    y = layers.Conv2D(4, 3, activation="silu")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
    gate = layers.Conv2D(4, 1, activation="sigmoid")(gate)
    return randomised(keras.Model(x, layers.Multiply()([y, gate])))


def test_a_gate_has_a_bound_on_a_domain_and_a_smaller_one_on_a_smaller_domain():
    model = squeezed()
    totals = [bound(model, domain=(0.0, high)).total for high in (0.1, 1.0, 10.0)]
    assert totals[0] < totals[1] < totals[2] < np.inf
    report = bound(model, domain=(0, 1))
    assert report.domain == "[0, 1]" and "only for inputs in [0, 1]" in str(report)
    assert "on the domain" in report.rows[-1].how


def test_a_domain_may_be_arrays():
    model = squeezed()
    whole = bound(model, domain=(0, 1)).total
    assert bound(model, domain=(np.zeros(2), np.ones((6, 6, 2)))).total == whole
    assert bound(model, domain=([0.5, 0.5], [0.6, 0.6])).total < whole


def test_several_inputs_have_a_box_each():
    x, y = keras.Input((2,)), keras.Input((2,))
    model = keras.Model([x, y], layers.Multiply()([x, y]))
    # ‖Δ(xy)‖ ≤ 5 ‖Δx‖ + 2 ‖Δy‖, where each may be as long as both together.
    assert bound(model, domain=[(0, 2), (-5, 1)]).total == pytest.approx(7.0, rel=1e-5)
    assert described([(0, 2), (-5, 1)], 2) == "[0, 2], [-5, 1]"
    assert described(([0, -1, 2], [3, 3, 3]), 1) == "[(0, -1, 2), 3]"
    assert described((np.arange(9), 9.0), 1) == "[0 … 8, 9]"


@pytest.mark.parametrize(
    "domain", [3, (0, 1, 2), (1, 0), (0, np.inf), (np.zeros(5), 1), ("a", "b"), [(0, 1)]],
    ids=["number", "three", "turned", "infinite", "shape", "text", "list"],
)  # fmt: skip
def test_what_is_no_box_is_refused(domain):
    with pytest.raises(ValueError, match="domain"):
        boxes_of(domain, [(None, 4, 4, 3)])


def test_a_domain_needs_a_known_size():
    with pytest.raises(ValueError, match="known size"):
        boxes_of((0, 1), [(None, None, None, 3)])
