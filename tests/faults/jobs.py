"""Long jobs that are killed, and what has to hold in their folders afterwards.

Each job is two functions of a folder: one does the work, or what is missing of it, in a process of
its own; the other returns the finished pieces by name, each with something that tells whether it
changed, and raises if anything there is half-written. All work on the bundled images.
"""

import json
import os

import pytest

# What the processes share: it is imported once, by the server that they are forked from.
PRELOADED = ["tensorflow", "keras", "intriguing_tf.sweeps.running", "intriguing_tf.experiments"]

RECIPE = {
    "name": "mnist/tiny",
    "title": "A softmax classifier on some of the bundled images",
    "builder": "fc10",
    "arguments": {"weight_decay": 0.01},
    "data": "p1",
    "seed": 3,
    "fitting": {
        "method": "minibatches",
        "optimiser": "adam",
        "learning_rate": 0.01,
        "schedule": "linear",
        "epochs": 3,
        "batch_size": 50,
    },
    "selection": "none: it is a test",
    "paper": {},
}
EPOCHS = 12


def sweep(folder):
    """A sweep of two cells and sixteen shards."""
    import keras
    import numpy as np

    import intriguing_tf as itf

    random = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)], name="m")
    model.set_weights([4 * random.normal(size=(4, 3)), random.normal(size=3)])
    images = random.uniform(size=(32, 4)).astype(np.float32)
    settings = {"fast": {"solver": "scipy", "maxfun": 15, "jit_compile": False}}
    targets = ["random", "least_likely"]
    itf.sweep(model, images, folder=folder, targets=targets, settings=settings, shard_size=4)


def swept(folder):
    """The shards, read with their sha256 checked."""
    from intriguing_tf.sweeps import Sweep

    if not (folder / "manifest.json").exists():
        return {}
    shards = list(Sweep(folder).shards())
    assert len(list((folder / "shards").glob("*/[!.]*"))) == len(shards)
    return {
        f"{shard.cell} {shard.rows}": (shard.result.images.tobytes(), len(shard.result))
        for shard in shards
    }


def reproduce(folder):
    """Attacks of a reproduction's workspace, on the bundled images and weights."""
    with _workspace(folder) as workspace:
        for seed in range(12):
            workspace.attack("FC10(1e-4)", _eight_images(), seed=seed)


def reproduced(folder):
    """The attacks, each loaded."""
    from intriguing_tf.adversary import AdversarialResult

    attacks = [each for each in (folder / "attacks").glob("*") if each.name[0] != "."]
    results = {each.name: AdversarialResult.load(each / "result.npz") for each in attacks}
    return {name: (result.images.tobytes(), len(result)) for name, result in results.items()}


def publish(folder):
    """An entry of the zoo, trained, measured and published."""
    from intriguing_tf import datasets, publishing

    images, labels = datasets.mnist_sample()
    datasets.mnist = lambda split, subset=None: (images[:200], labels[:200])
    datasets.mnist_sample = lambda: (images[:16], labels[:16])
    recipe = folder / "recipe.json"
    recipe.write_text(json.dumps(RECIPE))
    publishing.publish(recipe, folder / "zoo", verbose=False)


def published(folder):
    """The entries of the catalogue, their weights loaded with the hash of the card checked."""
    from intriguing_tf import zoo

    if not (folder / "zoo" / "catalogue.json").exists():
        return {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTRIGUING_TF_ZOO", str(folder / "zoo"))
        for name in zoo.list():
            zoo.load(name)
        return {name: zoo.info(name).sha256 for name in zoo.list()}


def train(folder):
    """Training with a pool of adversarial examples, saved whole after each epoch."""
    import keras

    import intriguing_tf as itf

    images, labels = itf.datasets.mnist_sample()
    file, kind = folder / "model.keras", itf.training.AdversarialModel
    if file.exists():
        model = keras.models.load_model(file)
    else:
        keras.utils.set_random_seed(0)
        pool = itf.training.AdversarialPool(size=20, refresh=4, attack={"maxfun": 10})
        model = kind(itf.models.fc10(weight_decay=1e-4), pools=[pool])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, jit_compile=False)

    def save(epoch, logs):
        model.save(folder / "partial.keras")
        os.replace(folder / "partial.keras", file)

    model.fit(
        images[:200],
        labels[:200],
        batch_size=50,
        initial_epoch=_epochs(model),
        epochs=EPOCHS,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=save)],
    )


def trained(folder):
    """The epochs that the saved model has behind it; its weights and pool are loaded."""
    import keras
    import numpy as np

    import intriguing_tf.training

    assert intriguing_tf.training.AdversarialModel  # so that Keras knows it
    if not (folder / "model.keras").exists():
        return {}
    model = keras.models.load_model(folder / "model.keras")
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    return dict.fromkeys(range(_epochs(model)))


def _epochs(model):
    return int(model.optimizer.iterations) // 4


def _workspace(folder):
    from intriguing_tf import datasets
    from intriguing_tf.experiments import Workspace

    return Workspace(folder, load_images=lambda *_: datasets.mnist_sample(), verbose=False)


def _eight_images():
    from intriguing_tf.experiments.workspace import ImageSet

    return ImageSet("test", 8)


JOBS = {
    "sweep": (sweep, swept),
    "reproduce": (reproduce, reproduced),
    "publish": (publish, published),
    "training": (train, trained),
}
