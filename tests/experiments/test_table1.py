import pytest

from intriguing_tf.experiments import Table1
from intriguing_tf.experiments.records import from_json, to_json


def test_the_nearest_classes_are_sought_for_no_more_images_than_there_are():
    assert [Table1(n).nearest_number for n in (128, 200, 1000)] == [128, 200, 200]
    assert to_json(Table1()) == {"number": 1000, "nearest_number": 200, "seed": 0}  # a kept key
    assert from_json(Table1, to_json(Table1(128))) == Table1(128, 128)
    with pytest.raises(ValueError, match=r"at most `number`, 128. Received: 129"):
        Table1(128, 129)
