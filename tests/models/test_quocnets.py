"""QuocNet: its size on paper and its build."""

import pytest

import intriguing_tf as itf

SMALL = itf.models.QuocNetConfig((12, 11, 2), (4, 3), maps=3, pool_size=2, contrast_size=3)


def test_full_size_is_counted_without_being_made():
    config = itf.models.QuocNetConfig()
    by_hand = 0
    side, channels = 200, 3
    for _ in range(3):
        side = side - 18 + 1
        by_hand += side * side * (18 * 18 * channels) * 8
        side, channels = side - 5 + 1, 8
    assert config.parameters == by_hand == 1_216_858_464
    assert config.output_shapes()[-1] == (side, side, 8)
    assert "1,216,858,464 weights" in str(config)


def test_built_network_has_the_sizes_on_paper():
    features = itf.models.quocnet(SMALL)
    assert features.count_params() == SMALL.parameters
    assert features.output_shape == (None, *SMALL.output_shapes()[-1])
    kernels = [tuple(features.get_layer(f"filtering_{i}").kernel.shape) for i in (1, 2)]
    assert kernels == SMALL.filter_shapes()
    classifier = itf.models.with_binary_classifier(features)
    assert classifier.output_shape == (None, 1)


@pytest.mark.parametrize(
    "sizes, words",
    [
        ({"receptive_fields": (18,) * 12}, "Stage 10 does not fit"),
        ({"maps": 0}, "`maps` must be a positive integer"),
        ({"receptive_fields": ()}, "a stage at least"),
        ({"contrast_size": 4}, "must be odd"),
        ({"contrast_size": float("nan")}, "must be a positive integer"),
    ],
)
def test_impossible_sizes_are_refused(sizes, words):
    with pytest.raises(ValueError, match=words):
        itf.models.QuocNetConfig(**sizes)
