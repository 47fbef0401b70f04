"""What names of models stand for."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import intriguing_tf as itf
from intriguing_tf import zoo
from intriguing_tf.zoo import names


def own_loss(labels, predictions):
    return keras.ops.mean(predictions)


class OwnMetric(keras.metrics.Mean):
    pass


class OwnOptimizer(keras.optimizers.SGD):
    pass


IN_A_NEW_PROCESS = """
import numpy as np, intriguing_tf as itf
model = itf.load_model("trained.keras")
np.testing.assert_allclose(model.predict(np.eye(4), verbose=0), np.load("outputs.npy"), rtol=1e-5)
print(itf.lipschitz.bound(model).total)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adversarial model", "constraint"])
def test_files_of_what_training_made_load_in_a_new_process(kind, tmp_path):
    options = {"kernel_constraint": itf.training.LipschitzConstraint(1.0)}
    layers = [keras.layers.Dense(3, **(options if kind == "constraint" else {}))]
    model = keras.Sequential([keras.Input((4,)), *layers])
    saved = model
    if kind == "adversarial model":
        saved = itf.training.AdversarialModel(
            model, pools=[itf.training.AdversarialPool(interval=0, distortion=0.1)]
        )
        saved.compile("sgd", "sparse_categorical_crossentropy")
    saved.save(tmp_path / "trained.keras")
    np.save(tmp_path / "outputs.npy", model.predict(np.eye(4), verbose=0))
    done = subprocess.run(
        [sys.executable, "-c", IN_A_NEW_PROCESS], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(itf.lipschitz.bound(model).total)


OWN_FILE = """
import keras

@keras.saving.register_keras_serializable("own")
class Triple(keras.layers.Layer):
    def call(self, x):
        return 3 * x

def build():
    return keras.Sequential([keras.Input((4,)), Triple(), keras.layers.Dense(2)])

def load():
    return keras.models.load_model("triple.keras")

number = 3
def three():
    return number
"""
X = np.linspace(0, 1, 72, dtype="float32").reshape(1, 6, 6, 2)


def test_a_file_without_its_ending_is_suggested(tmp_path):
    (tmp_path / "my.keras").touch()
    with pytest.raises(ValueError, match=r"Did you mean .*my\.keras\?"):
        names.check_model_name(str(tmp_path / "my"))


@pytest.fixture
def network():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            itf.layers.LocalResponseNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    model.compile(OwnOptimizer(), own_loss, [OwnMetric()])
    return model


@pytest.fixture
def own_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_models.py").write_text(OWN_FILE)
    yield tmp_path / "own_models.py"
    sys.modules.pop("own_models", None)


@pytest.mark.slow
def test_files_load_whatever_they_were_compiled_with(network, tmp_path):
    files = [tmp_path / "my.keras", tmp_path / "my.h5"]
    for file in files:
        network.save(file)
    code = (  # another process: this one has imported the layers and knows the classes
        "import sys, numpy as np, intriguing_tf as itf\n"
        "x = np.linspace(0, 1, 72, dtype='float32').reshape(1, 6, 6, 2)\n"
        "for file in sys.argv[1:]: np.save(file + '.npy', itf.load_model(file)(x).numpy())"
    )
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for file in files:
        np.testing.assert_allclose(np.load(f"{file}.npy"), network(X).numpy(), rtol=1e-5, atol=1e-6)


def test_suffixes_are_read_in_any_case(network, tmp_path):
    for suffix in ("keras", "h5"):
        network.save(tmp_path / f"my.{suffix}")
        capitals = (tmp_path / f"my.{suffix}").rename(tmp_path / f"MY.{suffix.upper()}")
        np.testing.assert_allclose(itf.load_model(str(capitals))(X), network(X), rtol=1e-5)
        assert names.is_own(str(capitals)) and names.short_name(str(capitals)) == "MY"
    (tmp_path / "cut.KERAS").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"cut\.KERAS: a \.keras file is a zip"):
        itf.load_model(str(tmp_path / "cut.KERAS"))


def test_a_saved_model_becomes_a_model(network, tmp_path):
    folder = tmp_path / "_exportiert für (1)"
    network.export(folder, verbose=False)
    loaded = itf.load_model(str(folder))
    assert (loaded.input_shape, loaded.output_shape) == ((None, 6, 6, 2), (None, 3))
    np.testing.assert_allclose(loaded(X), network(X), rtol=1e-5)


@pytest.mark.parametrize("name", ["own_models:build", "own_models.py:build"])
def test_a_function_of_ones_own_file(own_file, name):
    model = itf.load_model(name)
    x = np.ones((1, 4), "float32")
    np.testing.assert_allclose(model(x), 3 * x @ model.layers[-1].kernel.numpy(), rtol=1e-5)


def test_a_file_brings_its_layers(own_file):
    from_function = itf.load_model("own_models.py:build")
    from_function.save("triple.keras")
    keras.saving.get_custom_objects().pop("own>Triple")
    with pytest.raises(ValueError, match=r"file\.py:function"):
        itf.load_model("triple.keras")
    x = np.ones((1, 4), "float32")
    np.testing.assert_allclose(itf.load_model("own_models.py:load")(x), from_function(x), rtol=1e-6)


def test_a_function_must_return_a_model(own_file):
    with pytest.raises(TypeError, match=r"must return a keras\.Model. Received: int"):
        itf.load_model("own_models.py:three")


def test_applications_with_and_without_weights(monkeypatch):
    asked = []
    monkeypatch.setattr(itf.models, "keras_application", lambda *given: asked.append(given))
    for load in (itf.load_model, zoo.load):
        load("applications/MobileNetV2")
        load("applications/MobileNetV2:random")
    itf.load_model("applications/MobileNetV2", application_weights=None)
    itf.load_model("applications/MobileNetV2:imagenet", application_weights=None)
    zoo.load("applications/MobileNetV2", weights=False)
    weights = ["imagenet", None, "imagenet", None, None, "imagenet", None]
    assert asked == [("MobileNetV2", each) for each in weights]


def test_without_a_network_the_error_says_what_needs_none(monkeypatch):
    def fail(name, weights):
        raise ValueError("no network")

    monkeypatch.setattr(itf.models, "keras_application", fail)
    with pytest.raises(ValueError, match="no network applications/VGG16:random needs no download"):
        itf.load_model("applications/VGG16")


def test_every_network_of_keras_is_known_by_name():
    networks = {name for name in dir(keras.applications) if name[0].isupper()}
    assert {"MobileNetV2", "MobileNetV3Small", "EfficientNetV2B0"} < networks
    for name in networks:
        names.check_model_name(f"applications/{name}")


def test_names_of_the_zoo_and_of_home(network, tmp_path, monkeypatch):
    assert itf.load_model("mnist/fc10-1").count_params() == 7850
    monkeypatch.setenv("HOME", str(tmp_path))
    network.save(tmp_path / "my.keras")
    assert itf.load_model("~/my.keras").count_params() == network.count_params()


@pytest.mark.parametrize("mode", names.PREPROCESSING)
def test_preprocessing_stands_in_front(tmp_path, mode):
    identity = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Flatten()])
    identity.save(tmp_path / "my.keras")
    model = itf.load_model(str(tmp_path / "my.keras"), preprocess=mode)
    pixels = np.random.default_rng(0).uniform(size=(2, 2, 2, 3)).astype("float32")
    expected = {  # the formulas of keras.applications
        "caffe": 255 * pixels[..., ::-1] - [103.939, 116.779, 123.68],
        "tf": 2 * pixels - 1,
        "torch": (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
        "pixels": 255 * pixels,
    }[mode]
    np.testing.assert_allclose(model(pixels), expected.reshape(2, -1), atol=1e-3)


def test_preprocessing_has_the_precision_of_the_model(tmp_path, other_precision):
    keras.Sequential([keras.Input((3,)), keras.layers.ReLU()]).save(tmp_path / "my.keras")
    other_precision()
    model = itf.load_model(str(tmp_path / "my.keras"), preprocess="pixels")
    pixels = np.array([[0.1, 0.2, 0.7]], np.float32)
    np.testing.assert_allclose(model(pixels), 255 * pixels, rtol=1e-6)


def test_the_bounds_of_pixels_are_known_of_a_model_that_is_not_the_users(signed):
    signed("mnist/fc10-1")
    assert names.known_bounds("mnist/fc10-1") == (-1.0, 1.0)
    assert names.known_bounds("mnist/conv") == names.known_bounds("applications/VGG16") == (0, 1)
    assert names.known_bounds("mine.py:build") is None
    assert names.known_bounds("mine.py:build", "caffe") == (0, 1)


NO_INPUT = """
import keras
class Own(keras.Model):
    def call(self, x):
        return x
def unbuilt():
    return keras.Sequential([keras.layers.Dense(2)])
def unbuilt_own():
    return Own()
def called():
    model = Own()
    model(keras.ops.zeros((1, 4)))
    return model
def two():
    inputs = [keras.Input((4,)), keras.Input((4,))]
    return keras.Model(inputs, keras.layers.Add()(inputs))
def listed():
    x = keras.Input((4,))
    return keras.Model([x], keras.layers.ReLU()(x))
"""


def test_preprocessing_needs_one_input_of_a_known_shape(tmp_path):
    (tmp_path / "mine.py").write_text(NO_INPUT)
    reasons = {
        "unbuilt": "is not built",
        "unbuilt_own": "is not built",
        "called": "begin it with a keras.Input",
        "two": "must have one input",
    }
    for name, words in reasons.items():
        with pytest.raises(ValueError, match=words):
            itf.load_model(f"{tmp_path}/mine.py:{name}", preprocess="pixels")
    model = itf.load_model(f"{tmp_path}/mine.py:listed", preprocess="pixels")
    np.testing.assert_allclose(model(np.ones((1, 4), "float32")), np.full((1, 4), 255.0))


def test_preprocessing_is_refused_where_it_is_inside():
    with pytest.raises(ValueError, match="its preprocessing inside"):
        itf.load_model("mnist/fc10-1", preprocess="tf")
    with pytest.raises(ValueError, match="must be one of None, 'caffe'"):
        itf.load_model("mnist/fc10-1", preprocess="keras")


@pytest.mark.parametrize(
    "name, error, words",
    [
        ("my.keras", FileNotFoundError, "no such file: my.keras"),
        ("folder/my.h5", FileNotFoundError, "no such file: folder/my.h5"),
        ("my_model", ValueError, "no such file: my_model"),
        ("fc100-100-10", ValueError, "Did you mean 'mnist/fc100-100-10'"),
        ("mnist/fc100", ValueError, "Did you mean 'mnist/fc100-100-10',"),
        ("mnist/fc10-7", ValueError, "The zoo has no entry 'mnist/fc10-7'. Did you mean"),
        ("own_models.py", ValueError, r"is named own_models\.py:FUNCTION"),
        ("own_models.py:bild", ValueError, "Did you mean 'build'.*It has: build, load, three"),
        ("own_models:bild", ValueError, "own_models has no 'bild'"),
        ("other.py:build", FileNotFoundError, "no such file: other.py"),
        ("no_such_module:build", ValueError, "no Python module 'no_such_module'"),
        (".", ValueError, r"saved_model\.pb"),
        ("applications/ResNet5", ValueError, "Did you mean 'ResNet50'"),
        ("applications/VGG16:old", ValueError, "':random' or ':imagenet'"),
    ],
)  # fmt: skip
def test_wrong_names(own_file, name, error, words):
    with pytest.raises(error, match=words):
        names.check_model_name(name)
    with pytest.raises(error, match=words):
        itf.load_model(name)


def test_names_are_checked_without_tensorflow():
    code = (
        "import sys\n"
        "from intriguing_tf.zoo.names import check_model_name\n"
        "for name in ('mnist/fc10-1', 'applications/ResNet50'): check_model_name(name)\n"
        "for name in ('mnist/fc', 'a.keras', 'a:b', 'applications/Res'):\n"
        "    try: check_model_name(name)\n"
        "    except (ValueError, OSError): pass\n"
        "    else: raise SystemExit(name)\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_damaged_model_file_is_named(tmp_path):
    (tmp_path / "my.keras").write_bytes(b"not a model")
    with pytest.raises(ValueError, match=r"Keras cannot load .*my\.keras"):
        itf.load_model(str(tmp_path / "my.keras"))


def test_short_names(tmp_path):
    found = {
        "models/my.keras": "my",
        "mnist/conv": "mnist/conv",
        "applications/VGG16:random": "applications/VGG16-random",
        "mine.py:build": "build",
        str(tmp_path): tmp_path.name,
    }
    assert {name: names.short_name(name) for name in found} == found
    assert [names.is_own(name) for name in found] == [True, False, False, True, True]


def test_a_folder_of_an_entrys_name_hides_no_entry(tmp_path, monkeypatch):
    """`itf-zoo site .` makes such folders."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist" / "conv").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    names.check_model_name("mnist/conv")
    assert not names.is_own("mnist/conv") and names.short_name("mnist/conv") == "mnist/conv"
    with pytest.raises(ValueError, match="SavedModel"):
        names.check_model_name("mine")
    (tmp_path / "mnist" / "conv" / "saved_model.pb").touch()
    assert names.is_own("mnist/conv")


def test_functions_that_give_no_model_are_told(tmp_path):
    (tmp_path / "f.py").write_text("def f(size): pass\ndef g(): return 1\n")
    with pytest.raises(ValueError, match="the program that runs"):
        names.check_model_name("__main__:f")
    with pytest.raises(TypeError, match=r"without arguments: .*'size'"):
        names.load_model(f"{tmp_path / 'f.py'}:f")
    with pytest.raises(ValueError, match="Received: ''"):
        names.check_model_name("")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise KeyError('x')", r"line 1 of .*f\.py: KeyError: x"),
        ("import no_such_module", r"line 1 of .*f\.py: ModuleNotFoundError"),
        ("def f():\n  raise RuntimeError('a\\nb')", r"line 2 of .*f\.py: RuntimeError: a b$"),
        ("import sys\ndef f(): sys.exit('bye')", r"line 2 of .*f\.py: SystemExit: bye"),
        ("import keras\ndef f():\n  keras.layers.Dropout(5)", r"line 3 of .*f\.py: ValueError"),
    ],
)
def test_code_of_ones_own_that_fails_is_named_with_its_line(code, said, tmp_path):
    (tmp_path / "f.py").write_text(code + ("" if "def f" in code else "\ndef f(): pass"))
    with pytest.raises(ValueError, match=said):
        names.load_model(f"{tmp_path / 'f.py'}:f")
