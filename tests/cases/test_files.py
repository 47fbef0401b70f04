"""Files from outside that were read wrongly once: each stands for a kind."""

import gc
import io
import json
import random
import resource
import struct
import time
import zipfile

import h5py
import keras
import numpy as np
import pytest

import intriguing_tf as itf
from intriguing_tf import zoo
from intriguing_tf.zoo import catalogue, hdf5, keras_files
from intriguing_tf.zoo.importers.caffe_files import read_caffemodel
from intriguing_tf.zoo.importers.npz_files import read_npz
from intriguing_tf.zoo.importers.pytorch_files import read_state_dict
from tests.faults import mutations
from tests.zoo import fault_server, foreign_files

ROOM = 100 << 20  # bytes that a reader may take for a file of a few megabytes


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("INTRIGUING_TF_OFFLINE", "1")
    monkeypatch.setenv("INTRIGUING_TF_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("INTRIGUING_TF_ZOO", raising=False)


def peak_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def refused(read, *arguments, words=".", seconds=5.0):
    begin, before = time.process_time(), peak_memory()
    with pytest.raises(zoo.IntegrityError, match=words) as caught:
        read(*arguments)
    assert time.process_time() - begin < seconds
    assert peak_memory() - before < ROOM
    assert len(str(caught.value)) < 2000
    assert str(arguments[0]) in str(caught.value)


def pth(path, data_pickle, method=zipfile.ZIP_STORED, **records):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x/data.pkl", data_pickle)
        for key, content in ({"0": b"\1" * 8} | records).items():
            archive.writestr(f"x/data/{key}", content)
    return path


# A tensor of one number that is in the record "0", as PyTorch pickles it.
STORAGE = b"(X\7\0\0\0storagectorch\nDoubleStorage\nX\1\0\0\0" + b"0X\3\0\0\0cpuK\1tQ"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n(%sK\0(K\1t(K\1t\x89ccollections\nOrderedDict\n)RtR"


def test_a_pickle_that_sets_the_state_of_a_storage(tmp_path):
    state = b"(X\5\0\0\0dtypeX\1\0\0\0OX\3\0\0\0keyX\1\0\0\0" + b"0tb"
    whole = b"\x80\x02}X\1\0\0\0w" + TENSOR % STORAGE + b"s."
    assert read_state_dict(pth(tmp_path / "a.pth", whole))["w"].shape == (1,)
    for change in (state, b"(X\1\0\0\0OX\1\0\0\0" + b"0tb", b"}X\5\0\0\0dtypeX\1\0\0\0Osb"):
        hostile = b"\x80\x02}X\1\0\0\0w" + TENSOR % (STORAGE + change) + b"s."
        refused(read_state_dict, pth(tmp_path / "a.pth", hostile), words="no dictionary")


def test_attributes_of_a_dictionary_are_skipped(tmp_path):
    metadata = b"}X\x09\0\0\0_metadata}X\1\0\0\0wK\1ssb"
    content = (
        b"\x80\x02ccollections\nOrderedDict\n)RX\1\0\0\0w" + TENSOR % STORAGE + b"s" + metadata
    )
    assert list(read_state_dict(pth(tmp_path / "a.pth", content + b"."))) == ["w"]


DEEP = {
    "nested tuples as a key": b"\x80\x02})" + b"\x85" * 400_000 + b"K\1s.",
    "tuples that share themselves": b"\x80\x02}X\1\0\0\0wK\1\x85"
    + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60))
    + b"s.",
    "the same as a key": b"\x80\x02}K\1\x85"
    + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60))
    + b"K\1s.",
    "the same as arguments": b"\x80\x02}X\1\0\0\0wcos\nsystem\nK\1\x85"
    + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60))
    + b"Rs.",
    "a list in itself": b"\x80\x02}X\1\0\0\0w]q\1h\1as.",
    "nested lists": b"\x80\x02}X\1\0\0\0w" + b"]" * 300_000 + b"a" * 299_999 + b"s.",
    "many marks": b"\x80\x02" + b"(" * 400_000 + b".",
}


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(what, marks=pytest.mark.slow if what in ("nested lists", "many marks") else ())
        for what in DEEP
    ],
)
def test_deep_and_shared_structures(what, tmp_path):
    refused(read_state_dict, pth(tmp_path / "a.pth", DEEP[what]))
    old = tmp_path / "old.pth"
    foreign_files.write_old_pth(old, {"w": np.zeros(1, "float32")}, DEEP[what])
    refused(read_state_dict, old)


@pytest.mark.slow
def test_a_pth_whose_record_is_a_bomb(tmp_path):
    pickled = foreign_files.tensors_pickle({"w": np.zeros(250_000_000, "float32")})
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        file = tmp_path / "a.pth"
        with zipfile.ZipFile(file, "w", method) as archive:
            archive.writestr("x/data.pkl", pickled)
            archive.writestr("x/data/0", bytes(20_000_000))
        assert file.stat().st_size < 30_000
        refused(read_state_dict, file, words="compressed")


def test_a_pth_whose_views_are_a_bomb(tmp_path):
    """A thousand views of one storage."""
    call, values = foreign_files._Call, np.zeros(100_000, "float32")
    rebuild = foreign_files._Global("torch._utils", "_rebuild_tensor_v2")
    storage = foreign_files._Storage("0", values.size)
    views = {f"w{i}": call(rebuild, storage, 0, values.shape, (1,), False) for i in range(1000)}
    content = b"\x80\x02" + foreign_files._opcodes(views) + b"."
    foreign_files.write_pth(tmp_path / "a.pth", {"w": values}, content)
    refused(read_state_dict, tmp_path / "a.pth", words="bytes of its tensors")


def npy_header(shape):
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-len(text) - 11 % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


def deflated_zeros(path, megabytes):
    """A `.npz` of zeros, without making them all at once."""
    numbers = megabytes * (1 << 17)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open("ip/kernel.npy", "w", force_zip64=True) as stream,
    ):
        stream.write(npy_header(f"({numbers},)"))
        for _ in range(megabytes):
            stream.write(bytes(1 << 20))
    return path


@pytest.mark.slow
def test_an_npz_that_unpacks_to_a_thousand_times_its_size(tmp_path):
    file = deflated_zeros(tmp_path / "a.npz", 600)
    assert file.stat().st_size < 1_000_000
    refused(read_npz, file, words="unpacked bytes")
    refused(itf.zoo.importers.npz, file, dense(), words="unpacked bytes")


def test_an_npz_that_declares_more_than_it_holds(tmp_path):
    for shape in (
        "(1000000000000,)",
        "(99999999999999999, 99999999999999999)",
        "(-1,)",
        "(((1,),),)",
    ):
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("w.npy", npy_header(shape) + bytes(64))
        refused(read_npz, tmp_path / "a.npz")


@pytest.mark.parametrize("piece", [b"\xa2\x06\0", b"\x12\0", b"\xa3\x06\xa4\x06", b"\x08\1"])
def test_a_caffemodel_of_empty_groups(piece, tmp_path):
    file = tmp_path / "a.caffemodel"
    file.write_bytes(piece * 4_000_000)
    refused(read_caffemodel, file)


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("keras") / "model.keras"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(file)
    return file


def test_damage_in_the_weights_is_found(keras_file, tmp_path):
    """In the archive its checksum tells of every change of 1 to 3 bytes."""
    content, chance = keras_file.read_bytes(), random.Random(3)
    begin = content.index(b"\x89HDF")
    end = content.index(b"PK\1\2", begin) - 300
    for _ in range(50):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(begin, min(end, begin + 8000))] ^= chance.randint(1, 255)
        (tmp_path / "a.keras").write_bytes(damaged)
        if damaged != content:
            refused(keras_files.load, tmp_path / "a.keras")


@pytest.mark.slow
def test_damage_in_the_weights_under_a_right_checksum(keras_file, tmp_path):
    """What the numbers are cannot be known; what is not HDF5 any more is refused as such."""
    chance, refusals = random.Random(4), 0
    with zipfile.ZipFile(keras_file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(100):
        weights = bytearray(members["model.weights.h5"])
        for _ in range(chance.randint(1, 3)):
            weights[chance.randrange(3000)] ^= chance.randint(1, 255)
        zipped = mutations.zipped(members | {"model.weights.h5": bytes(weights)})
        (tmp_path / "a.keras").write_bytes(zipped)
        try:
            keras_files.load(tmp_path / "a.keras")
        except zoo.IntegrityError as error:
            refusals += 1
            assert "a.keras" in str(error)
    assert refusals > 5


def test_weights_that_are_not_finite(keras_file, tmp_path):
    with zipfile.ZipFile(keras_file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = members["model.weights.h5"]
    kernel = keras_files.load(keras_file).get_weights()[0].tobytes()
    assert weights.count(kernel) == 1
    for number in (np.nan, np.inf):
        wrong = weights.replace(kernel, np.float32(number).tobytes() + kernel[4:])
        file = tmp_path / "a.keras"
        file.write_bytes(mutations.zipped(members | {"model.weights.h5": wrong}))
        refused(keras_files.load, file, words="not finite")
    np.savez(tmp_path / "a.npz", **{"ip/kernel": np.full((4, 3), 1e300), "ip/bias": np.zeros(3)})
    refused(itf.zoo.importers.npz, tmp_path / "a.npz", dense(), words="not finite in float32")


def test_a_damaged_compressed_npz(tmp_path):
    file = tmp_path / "a.npz"
    np.savez_compressed(file, w=np.random.default_rng(1).normal(size=1000))
    content = file.read_bytes()
    for at in range(60, len(content) - 200, 97):
        file.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        refused(read_npz, file)


@pytest.mark.parametrize("name", [[], {}, None, 7, [[]], "a" * 10**6, "\x1b[2J"])
def test_a_class_name_that_is_no_name(name, keras_file, tmp_path):
    with zipfile.ZipFile(keras_file) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    configuration = json.loads(members["config.json"])
    configuration["config"]["layers"][1]["class_name"] = name
    members["config.json"] = json.dumps(configuration).encode()
    (tmp_path / "a.keras").write_bytes(mutations.zipped(members))
    refused(keras_files.load, tmp_path / "a.keras", words="it names")


def encrypted(content):
    """The same archive, whose members say that they are encrypted."""
    content = bytearray(content)
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = content.find(signature)
        while at >= 0:
            content[at + offset] |= 1
            at = content.find(signature, at + 4)
    return bytes(content)


def test_encrypted_members(keras_file, tmp_path):
    arrays = {"w": np.zeros((2, 2), "float32")}
    foreign_files.write_pth(tmp_path / "a.pth", arrays)
    np.savez(tmp_path / "a.npz", **arrays)
    (tmp_path / "a.keras").write_bytes(keras_file.read_bytes())
    readers = {"a.pth": read_state_dict, "a.npz": read_npz, "a.keras": keras_files.load}
    for name, read in readers.items():
        file = tmp_path / name
        file.write_bytes(encrypted(file.read_bytes()))
        refused(read, file, words="encrypted")


def test_a_configuration_that_is_larger_than_its_weights(keras_file, tmp_path):
    with zipfile.ZipFile(keras_file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert b'"units": 2' in members["config.json"]
    for units in (3, 10**9, 10**12):
        changed = members["config.json"].replace(b'"units": 2', b'"units": %d' % units)
        file = tmp_path / "a.keras"
        file.write_bytes(mutations.zipped(members | {"config.json": changed}))
        refused(keras_files.load, file)


@pytest.fixture
def card_zoo(tmp_path, monkeypatch):
    """Returns a function that makes a zoo of one card."""

    def write(content=b"weights", **fields):
        card = fault_server.card("a/b", content, **fields)
        (tmp_path / "catalogue.json").write_bytes(fault_server.catalogue(card))
        (tmp_path / "a/b").mkdir(parents=True, exist_ok=True)
        (tmp_path / "a/b" / card["file"]).write_bytes(content)
        monkeypatch.setenv("INTRIGUING_TF_ZOO", str(tmp_path))

    return write


APPLICATION = {
    "builder": "keras_application",
    "parameters": 3_538_984,
    "classes": 1000,
    "input_shape": [224, 224, 3],
}


@pytest.mark.parametrize("weights", ["imagenet", "secret.weights.h5", None, 7])
@pytest.mark.parametrize("load", [True, False])
def test_a_card_that_names_weights_for_its_builder(weights, load, card_zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.weights.h5").write_bytes(b"secret")
    arguments = {"name": "MobileNetV2", "weights": weights}
    card_zoo(**APPLICATION, format="npz", arguments=arguments)
    opened = []
    monkeypatch.setattr(keras.Model, "load_weights", lambda *_: opened.append("file"))
    monkeypatch.setattr("socket.socket.connect", lambda *_: opened.append("socket"))
    with pytest.raises(zoo.IntegrityError, match="unknown field `weights`"):
        zoo.load("a/b", weights=load)
    assert not opened


@pytest.mark.slow
def test_a_card_of_an_application_asks_nobody(card_zoo, monkeypatch):
    card_zoo(**APPLICATION, format="npz", arguments={"name": "MobileNetV2"})
    opened = []
    monkeypatch.setattr("socket.socket.connect", lambda *_: opened.append("socket"))
    assert zoo.load("a/b", weights=False).count_params() == APPLICATION["parameters"]
    assert not opened


@pytest.mark.parametrize(
    "arguments",
    [
        {"weight_decay": "../secret"},
        {"weight_decay": [1e-4]},
        {"kernel_initializer": {"class_name": "Zeros", "module": "os", "config": {}}},
        {"kernel_initializer": "/etc/passwd"},
        {"kernel_initializer": "no_such_initializer"},
        {"weight_decay": 1e300},
    ],
)
def test_arguments_that_the_builder_does_not_take(arguments, card_zoo):
    card_zoo(arguments=arguments)
    with pytest.raises(zoo.IntegrityError):
        zoo.load("a/b", weights=False)


def test_a_network_that_would_fill_the_memory(card_zoo):
    card_zoo(builder="conv", arguments={"filters": 65_536, "units": 65_536})
    with pytest.raises(zoo.IntegrityError, match="another network"):
        zoo.load("a/b", weights=False)


BAD_CARDS = {
    "no error": {"metrics": {"test_error": None}},
    "an error in words": {"metrics": {"test_error": "low"}},
    "an endless error": {"metrics": {"test_error": 10**400}},
    "no object": {"metrics": []},
    "an attack that is none": {"metrics": {"attack": 7}},
    "a title that clears the screen": {"title": "\x1b[2J"},
    "a recipe that turns text around": {"recipe": {"optimizer": "\u202eadam"}},
    "values in one another": {"recipe": {"x": json.loads("[" * 200 + "]" * 200)}},
    "no size": {"size": None},
    "a bare NaN": {"metrics": {"of_the_future": float("nan")}},
    "a bare infinity, deep within": {"training": {"seconds": [{"x": [float("-inf")]}]}},
    "no number of parameters": {"parameters": float("nan")},
}


@pytest.mark.parametrize("what", BAD_CARDS)
def test_one_bad_card_takes_down_only_itself(what, tmp_path, monkeypatch, capsys):
    cards = [fault_server.card(f"a/{name}", b"x") for name in ("before", "bad", "after")]
    cards[1] |= BAD_CARDS[what]
    (tmp_path / "catalogue.json").write_bytes(fault_server.catalogue(*cards))
    monkeypatch.setenv("INTRIGUING_TF_ZOO", str(tmp_path))
    assert zoo.list() == ["a/after", "a/before"]
    assert zoo.info("a/after").classes == 10
    with pytest.raises(zoo.CatalogueError, match="'a/bad' is unreadable"):
        zoo.load("a/bad")
    assert list(catalogue.unreadable()) == ["a/bad"]
    assert [check.name for check in zoo.verify() if check.status == "unreadable"] == ["a/bad"]


def dense():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="ip")])


def test_caffe_into_a_network_without_convolutions(tmp_path):
    kernel = np.arange(12, dtype="float32").reshape(3, 4)
    file, model = tmp_path / "a.caffemodel", dense()
    foreign_files.write_caffemodel(file, {"ip": [kernel, np.ones(3, "float32")]})
    itf.zoo.importers.caffe(file, model)
    np.testing.assert_array_equal(model.get_layer("ip").kernel, kernel.T)


def test_npz_of_another_color_order_into_a_network_without_convolutions(tmp_path):
    kernel = np.arange(12, dtype="float32").reshape(4, 3)
    file, model = tmp_path / "a.npz", dense()
    np.savez(file, **{"ip/kernel": kernel, "ip/bias": np.ones(3)})
    itf.zoo.importers.npz(file, model, channel_order="bgr")
    np.testing.assert_array_equal(model.get_layer("ip").kernel, kernel)


def test_caffe_colors_into_a_dense_layer_on_images(tmp_path):
    """The first layer classifies the image itself: its rows are turned from blue to red first."""
    chance = np.random.default_rng(5)
    image = chance.uniform(size=(1, 2, 2, 3)).astype("float32")
    kernel = chance.normal(size=(5, 12)).astype("float32")
    model = keras.Sequential(
        [keras.Input((2, 2, 3)), keras.layers.Flatten(), keras.layers.Dense(5, name="ip")]
    )
    file = tmp_path / "a.caffemodel"
    foreign_files.write_caffemodel(file, {"ip": [kernel, np.zeros(5, "float32")]})
    itf.zoo.importers.caffe(file, model)
    as_caffe = image[..., ::-1].transpose(0, 3, 1, 2).reshape(1, -1)
    np.testing.assert_allclose(model(image), as_caffe @ kernel.T, rtol=1e-5)


def cards_of_a_zoo(number):
    return fault_server.catalogue(*[fault_server.card(f"a/b{i}", b"x") for i in range(number)])


def groups_of_weights(number):
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for index in range(number):
            file[f"layers/{index}/0"] = np.zeros(2, "float32")
    return stream.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(
    "read, make, number",
    [
        (lambda content: catalogue.parse(content, "here"), cards_of_a_zoo, 500),
        (hdf5.read_arrays, groups_of_weights, 1000),
    ],
    ids=["catalogue", "weights in groups"],
)
def test_the_time_is_linear(read, make, number):
    def seconds(content):
        begin = time.process_time()
        read(content)
        return time.process_time() - begin

    few, many = make(number), make(8 * number)
    gc.disable()  # its time depends on everything else that there is
    try:
        once = min(seconds(few) for _ in range(5))
        assert min(seconds(many) for _ in range(3)) < 24 * once
    finally:
        gc.enable()
