"""What comes from outside, by kind: whole examples, ways to damage them, and their readers."""

import io
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from intriguing_tf import zoo
from intriguing_tf.zoo import builders, catalogue, keras_files, locations, site
from intriguing_tf.zoo.cards import ModelCard
from tests.faults import mutations, tampering
from tests.zoo import foreign_files

FILE = "mnist/fc10-1/file"  # where a damaged file lies in its folder; a card is of that name
Files = dict[str, bytes]  # by their paths in a folder


class Kind(NamedTuple):
    """A kind of files.

    Args:
        whole: returns examples that the reader accepts.
        damage: damages one.
        read: reads what is in a folder.
        errors: that the reader documents for files that are there.
    """

    whole: Callable[[], list[Files]]
    damage: Callable[[Files, random.Random], Files]
    read: Callable[[Path], object]
    errors: tuple[type[Exception], ...]


def of_one_file(whole, changes, read, *errors) -> Kind:
    """A kind of file that can be damaged in several ways, each `change(content, chance)`."""
    return Kind(
        lambda: [{FILE: content} for content in whole()],
        lambda files, chance: {FILE: chance.choice(changes)(files[FILE], chance)},
        lambda folder: read(folder / FILE),
        errors,
    )


def folder_of(write) -> list[Files]:
    """The files that a function writes into a folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder)
        files = [file for file in folder.rglob("*") if file.is_file()]
        return [{file.relative_to(folder).as_posix(): file.read_bytes() for file in files}]


def network():
    return keras.Sequential(
        [
            keras.Input((4, 5, 3)),
            keras.layers.Conv2D(4, 3, name="conv"),
            keras.layers.BatchNormalization(name="bn"),
            keras.layers.Flatten(),
            keras.layers.Dense(5, name="ip"),
        ]
    )


def caffe_network():
    layers = [keras.Input((4, 5, 3)), keras.layers.Conv2D(4, 3, name="conv")]
    return keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(5, name="ip")])


def arrays(shapes):
    chance = np.random.default_rng(1)
    return {name: chance.uniform(size=shape).astype("float32") for name, shape in shapes.items()}


def written(write, *arguments, **options):
    """The bytes that a function writes into the file that is its first argument."""
    path = Path("whole.tmp")
    write(path, *arguments, **options)
    content = path.read_bytes()
    path.unlink()
    return content


def keras_examples():
    model = written(lambda path: path.write_bytes(keras_files.to_bytes(network())))
    return [model, (locations.bundled_folder() / "mnist/fc10-1/model.keras").read_bytes()]


def pytorch_arrays():
    shapes = {"conv.weight": (4, 3, 3, 3), "conv.bias": (4,), "ip.weight": (5, 24), "ip.bias": (5,)}
    batch = ("weight", "bias", "running_mean", "running_var")
    return arrays(shapes | {f"bn.{name}": (4,) for name in batch})


def caffe_layers():
    found = arrays({"conv/0": (4, 3, 3, 3), "conv/1": (4,), "ip/0": (5, 24), "ip/1": (5,)})
    return {name: [found[f"{name}/0"], found[f"{name}/1"]] for name in ("conv", "ip")}


def caffe_examples():
    return [
        written(foreign_files.write_caffemodel, caffe_layers(), generation=generation)
        for generation in ("LayerParameter", "V1LayerParameter", "V0LayerParameter")
    ]


def npz_examples():
    weights = {
        f"{layer.name}/{each.name}": each.numpy()
        for layer in network().layers
        for each in layer.weights
    }
    examples = []
    for save in (np.savez, np.savez_compressed):
        stream = io.BytesIO()
        save(stream, **weights)
        examples.append(stream.getvalue())
    return examples


def weights_within(content, chance):
    """The HDF5 file in a `.keras` file is damaged, the archive is whole."""
    members = mutations.unzipped(content)
    members["model.weights.h5"] = mutations.damaged(members["model.weights.h5"], chance)
    return mutations.zipped(members)


def configuration_within(content, chance):
    """Values of the configuration in a `.keras` file are others, the archive is whole."""
    members = mutations.unzipped(content)
    members["config.json"] = mutations.damaged_json(members["config.json"], chance)
    return mutations.zipped(members)


def read_network(path):
    model = keras_files.load(path)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    return model


def imported(importer, build):
    def read(path):
        model = build()
        importer(path, model)
        assert all(np.isfinite(weight).all() for weight in model.get_weights())

    return read


def read_catalogue(path):
    """What `itf-zoo list` and `info` do."""
    cards = catalogue.parse(path.read_bytes(), path.name)
    texts = [str(card) for card in cards.values()] + [*cards.unreadable, *cards.unreadable.values()]
    assert all(text.replace("\n", "").isprintable() for text in texts)
    for card in cards.values():
        assert ModelCard.from_json(card.json()) == card and hash(card)


def read_card(path):
    """What `itf-zoo site` does with a card, and `zoo.load(…, weights=False)` after it."""
    card = site.read_card(path, path.parents[2])
    site.card_page(card, path.parent)
    builders.build(card)


def card_examples():
    """Cards of several builders, all of them of one name, which is that of their folder."""
    examples = []
    for name in ("fc10-1", "fc100-100-10-p1", "conv"):
        file = locations.bundled_folder() / "mnist" / name / "card.json"
        examples.append(json.dumps(json.loads(file.read_bytes()) | {"name": "mnist/fc10-1"}))
    application = json.loads(examples[0]) | {
        "builder": "keras_application",
        "arguments": {"name": "MobileNetV2"},
        "parameters": 3_538_984,
    }
    return [text.encode() for text in [*examples, json.dumps(application)]]


def catalogue_example():
    content = json.loads((locations.bundled_folder() / "catalogue.json").read_bytes())
    return [json.dumps(content | {"entries": content["entries"][:6]}).encode()]


def a_sweep():
    return folder_of(tampering.write_sweep)


DAMAGE, WITHIN = mutations.damaged, mutations.damaged_archive
IMPORTERS = zoo.importers
KINDS = {
    "keras": of_one_file(
        keras_examples, (DAMAGE, configuration_within), read_network, zoo.IntegrityError
    ),
    "hdf5": of_one_file(keras_examples, (weights_within,), read_network, zoo.IntegrityError),
    "pth": of_one_file(
        lambda: [written(foreign_files.write_pth, pytorch_arrays())],
        (DAMAGE, WITHIN, WITHIN),
        imported(IMPORTERS.pytorch, network),
        zoo.IntegrityError,
    ),
    "old pth": of_one_file(
        lambda: [written(foreign_files.write_old_pth, pytorch_arrays())],
        (DAMAGE,),
        imported(IMPORTERS.pytorch, network),
        zoo.IntegrityError,
    ),
    "caffemodel": of_one_file(
        caffe_examples, (DAMAGE,), imported(IMPORTERS.caffe, caffe_network), zoo.IntegrityError
    ),
    "npz": of_one_file(
        npz_examples, mutations.NPZ, imported(IMPORTERS.npz, network), zoo.IntegrityError
    ),
    "catalogue": of_one_file(
        catalogue_example, (DAMAGE, mutations.damaged_json), read_catalogue, zoo.CatalogueError
    ),
    "card": of_one_file(
        card_examples,
        (DAMAGE, mutations.damaged_json),
        read_card,
        zoo.CatalogueError,
        zoo.IntegrityError,
    ),
    "manifest": Kind(a_sweep, tampering.damage_manifest, tampering.read_sweep, (ValueError,)),
    "shard": Kind(a_sweep, tampering.damage_shard, tampering.read_sweep, (ValueError,)),
    "result": Kind(
        lambda: folder_of(tampering.write_result),
        tampering.damage_result,
        tampering.read_result,
        (ValueError,),
    ),
}
