import keras
import pytest
import tensorflow as tf
from thousand_classes import images, linear_network

from intriguing_tf.experiments.figure5 import to_bytes
from intriguing_tf.experiments.imagenet_inputs import load_imagenet_model, named_files


def test_inputs_of_the_command(tmp_path):
    (tmp_path / "n01518878").mkdir()
    picture = tmp_path / "n01518878" / "x.png"
    picture.write_bytes(tf.io.encode_png(to_bytes(images(1)[0])).numpy())
    assert named_files([str(tmp_path), str(picture)]) == [picture, picture]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        named_files([str(tmp_path / "nowhere")])
    linear_network().save(tmp_path / "linear.keras")
    assert load_imagenet_model(str(tmp_path / "linear.keras")).input_shape == (None, 12, 12, 3)
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(tmp_path / "flat.keras")
    with pytest.raises(ValueError, match="must take images"):
        load_imagenet_model(str(tmp_path / "flat.keras"))
