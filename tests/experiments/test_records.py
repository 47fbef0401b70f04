import dataclasses
import json

import numpy as np
import pytest

from intriguing_tf.experiments.records import Estimate, from_json, to_json


@dataclasses.dataclass(frozen=True)
class Inner:
    name: str
    errors: tuple[Estimate, ...]


@dataclasses.dataclass(frozen=True)
class Outer:
    rows: tuple[Inner, ...]
    places: dict[str, tuple[tuple[int, ...], ...]]
    number: int | None
    share: float


OUTER = Outer(
    rows=(Inner("a", (Estimate(0.1, 0.05, 0.2, 100),)), Inner("b", ())),
    places={"units": ((1, 2), (3,))},
    number=None,
    share=1.0,
)


def test_records_survive_json():
    text = json.dumps(to_json(OUTER), allow_nan=False)
    assert from_json(Outer, json.loads(text)) == OUTER


@pytest.mark.parametrize(
    "change",
    [{"share": "1"}, {"number": 1.5}, {"rows": [{"name": "a"}]}, {"places": 3}],
)
def test_json_that_does_not_fit_is_refused(change):
    with pytest.raises(ValueError, match=r"Expected|missing"):
        from_json(Outer, {**to_json(OUTER), **change})


def test_an_estimate_says_where_another_value_lies():
    estimate = Estimate.of_errors(np.arange(200) < 50)
    assert estimate.value == 0.25 and estimate.number == 200
    assert estimate.low == pytest.approx(0.19) and estimate.high == pytest.approx(0.31)
    assert [estimate.where(v) for v in (0.1, 0.2, 0.25, 0.4)] == [
        "below",
        "inside",
        "inside",
        "above",
    ]
