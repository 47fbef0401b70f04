import pytest

from intriguing_tf.experiments import Estimate, Seeds
from intriguing_tf.experiments.records import from_json, to_json
from intriguing_tf.experiments.reproduction import experiments
from intriguing_tf.experiments.seeds import RetrainedModel, SeedsResult


def test_means_stand_between_the_lowest_and_the_highest_seed():
    errors = tuple(Estimate(value, 0.0, 1.0, 100) for value in (0.02, 0.01, 0.03))
    row = RetrainedModel("AE400-10", errors, errors, errors)
    result = SeedsResult(Seeds(), (row,))
    assert result.table().rows == [
        ("AE400-10", "test error, %", "1.9", "2 [1, 3]", "+0.1", "inside"),
        ("AE400-10", "av. min. distortion", "0.086", "0.0200 [0.0100, 0.0300]", "-0.0660", "above"),
        ("AE400-10", "error on another seed's images, %", None, "2 [1, 3]", None, None),
    ]
    assert from_json(SeedsResult, to_json(result)) == result


@pytest.mark.parametrize("seeds", [(), (1,), (1, 1), (1, 2, 1)])
def test_one_network_is_no_spread(seeds):
    with pytest.raises(ValueError, match="at least 2 different seeds"):
        Seeds(training_seeds=seeds)
    if seeds:
        with pytest.raises(ValueError, match="at least 2 different seeds"):
            experiments(training_seeds=seeds)
