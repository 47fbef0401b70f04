"""Importers: files of other frameworks, forward passes against plain NumPy, hostile files."""

import io
import pickle
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

import intriguing_tf as itf
from intriguing_tf.zoo.importers.caffe_files import read_caffemodel
from intriguing_tf.zoo.importers.npz_files import read_npz
from intriguing_tf.zoo.importers.pytorch_files import read_state_dict
from tests.zoo import foreign_files, numpy_networks

FIXTURES = Path(__file__).parent / "fixtures"
CAFFE = [("alexnet", 99), ("squeezenet_1_1", 63), ("googlenet", 65)]
PYTORCH = [("alexnet_one_tower", 95), ("efficientnet_lite0", 50)]
PYTORCH += [("efficientnet_lite2", 36)]  # Lite1 has fewer of the same blocks
GENERATIONS = ("LayerParameter", "V1LayerParameter", "V0LayerParameter")


def write_caffe(path, weights, **options):
    layers = {}
    for key, array in weights.items():
        layers.setdefault(key.rpartition("/")[0], []).append(array)
    foreign_files.write_caffemodel(path, layers, **options)


@pytest.mark.slow
@pytest.mark.parametrize("name, size", CAFFE + PYTORCH)
@pytest.mark.drawn(2)
def test_imported_network_agrees_with_plain_numpy(name, size, tmp_path):
    images = np.random.default_rng(1).uniform(size=(2, size, size, 3)).astype("float32")
    weights = numpy_networks.Weights()
    expected = getattr(numpy_networks, name)(images, weights, classes=7)
    model = getattr(itf.models, name)(classes=7, input_shape=(size, size, 3))
    if (name, size) in CAFFE:
        file, importer = tmp_path / "weights.caffemodel", itf.zoo.importers.caffe
        write_caffe(file, weights)
    else:
        file, importer = tmp_path / "weights.pth", itf.zoo.importers.pytorch
        write = foreign_files.write_pth if size <= 50 else foreign_files.write_old_pth
        write(file, weights)
    importer(file, model)
    logits = model(images).numpy()
    assert np.ptp(expected, axis=1).min() > 0.1
    np.testing.assert_allclose(logits, expected, rtol=2e-4, atol=2e-4 * np.abs(expected).max())


def small_caffe_weights():
    random = np.random.default_rng(3)
    shapes = {"conv/0": (4, 3, 3, 3), "conv/1": (4,), "ip/0": (5, 4 * 2 * 3), "ip/1": (5,)}
    return {name: random.normal(size=shape).astype("float32") for name, shape in shapes.items()}


def small_model():
    return keras.Sequential(
        [
            keras.Input((4, 5, 3)),
            keras.layers.Conv2D(4, 3, name="conv"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(5, name="ip"),
        ]
    )


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_every_generation_of_caffe(generation, dtype, tmp_path):
    file, weights = tmp_path / "small.caffemodel", small_caffe_weights()
    write_caffe(file, weights, generation=generation, dtype=dtype)
    arrays = read_caffemodel(file)
    assert arrays.keys() == {"conv", "ip"}
    np.testing.assert_array_equal(arrays["conv"][0], weights["conv/0"])
    model = small_model()
    itf.zoo.importers.caffe(file, model)
    images = np.random.default_rng(4).uniform(size=(3, 4, 5, 3)).astype("float32")
    maps = numpy_networks.conv(images[..., ::-1].transpose(0, 3, 1, 2), weights["conv/0"])
    maps += weights["conv/1"][:, None, None]
    expected = maps.reshape(3, -1) @ weights["ip/0"].T + weights["ip/1"]
    np.testing.assert_allclose(model(images), expected, rtol=1e-4, atol=1e-5)


def test_a_damaged_caffemodel_is_named(tmp_path):
    file, weights = tmp_path / "small.caffemodel", small_caffe_weights()
    write_caffe(file, weights)
    whole = file.read_bytes()
    model = small_model()
    before = model.get_weights()
    for damaged, words in [
        (whole[:-100], "small.caffemodel"),
        (b"<!DOCTYPE html><html>not here</html>", "caffemodel"),
        (b"", "no layer with arrays"),
        (whole + whole, "two layers named"),
        (
            whole.replace(bytes([10, 4, 4, 3, 3, 3]), bytes([10, 4, 4, 3, 3, 4])),
            "shape",
        ),
    ]:
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=words):
            itf.zoo.importers.caffe(file, model)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("file", ["torch_zip.pth", "torch_old.pth"])
def test_files_that_torch_wrote(file):
    """Weights and logits of a small network, written by torch 2.13 itself."""
    truth = read_npz(FIXTURES / "torch_forward.npz")
    arrays = read_state_dict(FIXTURES / file)
    assert arrays.keys() == truth.keys() - {"images", "logits"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, truth[name])
    model = keras.Sequential(
        [
            keras.Input((6, 7, 3)),
            keras.layers.Conv2D(4, 3, name="features_0"),
            keras.layers.BatchNormalization(epsilon=1e-5, name="features_1"),
            keras.layers.DepthwiseConv2D(3, name="features_2"),
            keras.layers.Flatten(),
            keras.layers.Dense(5, name="classifier"),
        ]
    )
    itf.zoo.importers.pytorch(FIXTURES / file, model)
    np.testing.assert_allclose(model(truth["images"]), truth["logits"], rtol=1e-5, atol=1e-6)


def test_views_of_torch_tensors():
    arrays = read_state_dict(FIXTURES / "torch_views.pth")
    np.testing.assert_array_equal(arrays["a"], np.arange(4, 12).reshape(2, 4).T)
    np.testing.assert_array_equal(arrays["b"], np.arange(0, 24, 3))
    np.testing.assert_array_equal(arrays["half"], np.array([0.5, -2.0], "float16"))
    np.testing.assert_array_equal(arrays["parameter"], np.ones(2, "float32"))
    assert arrays["scalar"] == 3.0 and arrays["scalar"].dtype == "float64"
    np.testing.assert_array_equal(arrays["counts"], [1, 2])


class Payload:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def rebuild(storage_size=4, offset=0, shape=(2, 2), strides=(2, 1)):
    f = foreign_files
    tensor = f._Call(
        f._Global("torch._utils", "_rebuild_tensor_v2"),
        f._Storage("0", storage_size),
        offset,
        shape,
        strides,
        False,
        f._Call(f._Global("collections", "OrderedDict")),
    )
    return b"\x80\x02" + f._opcodes({"w": tensor}) + b"."


HOSTILE = {
    "a call of the system": lambda: pickle.dumps(
        Payload(__import__("os").system, "touch owned"), 2
    ),
    "eval": lambda: pickle.dumps({"w": Payload(eval, "1 + 1")}, 4),
    "a class of numpy": lambda: pickle.dumps({"w": np.zeros(3)}, 2),
    "an instance": lambda: b"\x80\x02(ios\nsystem\n.",
    "a huge memo": lambda: b"\x80\x02}r\xff\xff\xff\x7f.",
    "a huge string": lambda: b"\x80\x02X\xff\xff\xff\x7fabc.",
    "another protocol": lambda: b"\x80\x63}.",
    "an attribute of a stand-in": lambda: (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}U\x01aK\x01sb."
    ),
    "a stand-in called wrongly": lambda: b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
    "an empty stack": lambda: b"\x80\x02.",
    "no dictionary": lambda: pickle.dumps([1, 2], 2),
    "numbers by name": lambda: pickle.dumps({"w": 3}, 2),
    "a view past the end": lambda: rebuild(offset=1),
    "a negative stride": lambda: rebuild(offset=3, strides=(-2, -1)),
    "a huge view of little": lambda: rebuild(shape=(2**40, 2), strides=(0, 1)),
    "a storage that says more": lambda: rebuild(storage_size=5),
    "an empty file": lambda: b"",
}


@pytest.mark.parametrize("write", ["write_pth", "write_old_pth"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_do_nothing(name, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "hostile.pth"
    content = HOSTILE[name]() or b" "
    getattr(foreign_files, write)(file, {"w": np.zeros((2, 2), "float32")}, content)
    with pytest.raises(ValueError, match=r"hostile\.pth is not a PyTorch state dictionary"):
        read_state_dict(file)
    assert [path.name for path in tmp_path.iterdir()] == ["hostile.pth"]


def test_a_compressed_or_truncated_pth(tmp_path):
    arrays = {"w": np.zeros((100, 100), "float32")}
    file = tmp_path / "bomb.pth"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", foreign_files.tensors_pickle(arrays))
        archive.writestr("archive/data/0", arrays["w"].tobytes())
    with pytest.raises(ValueError, match="compressed"):
        read_state_dict(file)
    for write in (foreign_files.write_pth, foreign_files.write_old_pth):
        write(file, arrays)
        np.testing.assert_array_equal(read_state_dict(file)["w"], arrays["w"])
        file.write_bytes(file.read_bytes()[:-200])
        with pytest.raises(ValueError, match="not a PyTorch state dictionary"):
            read_state_dict(file)


def test_npz_by_layer_name_and_channel_order(tmp_path):
    model, other = small_model(), small_model()
    file = tmp_path / "weights.npz"
    arrays = {f"{layer.name}/{w.name}": w.numpy() for layer in model.layers for w in layer.weights}
    arrays["conv/kernel"] = arrays["conv/kernel"][:, :, ::-1].astype("float64")
    np.savez(file, **arrays)
    itf.zoo.importers.npz(file, other, channel_order="bgr")
    for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="channel_order"):
        itf.zoo.importers.npz(file, other, channel_order="grb")


def test_npz_refuses_what_is_not_the_models(tmp_path):
    model = small_model()
    good = {f"{layer.name}/{w.name}": w.numpy() for layer in model.layers for w in layer.weights}
    bad = good["ip/bias"].copy()
    bad[2] = np.nan
    file = tmp_path / "weights.npz"
    for change, words in [
        ({"ip/bias": None}, "Missing: ip/bias"),
        ({"fc/bias": good["ip/bias"]}, "Left over: fc/bias"),
        ({"ip/bias": np.zeros(6)}, r"ip/bias must have the shape \(5,\). Received: \(6,\)"),
        ({"ip/bias": bad}, "1 values that are not finite"),
        ({"ip/bias": np.zeros(5, int)}, "finite floats. Received: int64"),
        ({"ip/bias": np.array([None] * 5)}, "not a .npz of plain arrays"),
    ]:
        arrays = {k: v for k, v in (good | change).items() if v is not None}
        np.savez(file, **arrays)
        with pytest.raises(ValueError, match=words):
            itf.zoo.importers.npz(file, model)
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    for content in (buffer.getvalue(), b"<html>", b"PK\x03\x04 cut"):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"not a \.npz"):
            read_npz(file)
    for name, weight in good.items():
        layer, variable = name.split("/")
        stored = next(w for w in model.get_layer(layer).weights if w.name == variable)
        np.testing.assert_array_equal(stored, weight)
