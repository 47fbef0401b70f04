"""What determines a sweep: a folder of another one is refused, and told where it differs."""

import dataclasses
import hashlib
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import intriguing_tf as itf
from intriguing_tf.adversary.losses import Loss
from intriguing_tf.sweeps import Sweep
from intriguing_tf.sweeps.plan import adversary_settings
from intriguing_tf.sweeps.shards import ShardFolder
from tests.sweeps.small_sweep import FAST, files, run


def changed_model(model):
    other = keras.models.clone_model(model)
    weights = model.get_weights()
    weights[0][0, 0] += 1e-3
    other.set_weights(weights)
    return {"m": other}


CHANGES = {
    "seed": ({"seed": 1}, "seed: 0 in the folder, 1 now"),
    "shard size": ({"shard_size": 5}, "shard_size: 4 in the folder, 5 now"),
    "settings": (
        {"settings": {"fast": {**FAST["fast"], "loss": "cross_entropy"}}},
        "settings.fast.loss",
    ),
    "targets": ({"targets": "nearest"}, "targets.nearest"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_settings_are_refused_by_name(model, data, folder, change):
    before = files(folder)
    arguments, message = CHANGES[change]
    with pytest.raises(ValueError, match="holds another sweep") as error:
        run(model, data, folder, **arguments)
    assert message in str(error.value)
    assert files(folder) == before


def test_other_weights_images_labels_and_versions_are_refused(model, data, folder, monkeypatch):
    images, labels = data
    with pytest.raises(ValueError, match=r"models\.m\.sha256"):
        run(changed_model(model), data, folder)
    with pytest.raises(ValueError, match=r"data\.slices\[2\]"):
        run(model, (np.concatenate([images[:-1], images[:1]]), labels), folder)
    with pytest.raises(ValueError, match=r"data\.slices\[0\]"):
        run(model, (images, (labels + 1) % 3), folder)
    monkeypatch.setattr(keras, "__version__", "99")
    with pytest.raises(ValueError, match=r"versions\.keras"):
        run(model, data, folder)


@pytest.mark.slow
def test_the_order_of_names_does_not_matter(model, data, tmp_path):
    few = [each[:4] for each in data]
    run({"a": model, "b": model}, few, tmp_path)
    before = files(tmp_path)
    run({"b": model, "a": model}, few, tmp_path)
    assert files(tmp_path) == before and len(before) == 2


def format_1(folder, done):
    """Writes a finished sweep as version 0.1 did."""
    versions = {name: done.plan.versions[name] for name in ("intriguing_tf", "keras", "numpy")}
    plan = dataclasses.replace(done.plan, format=1, versions=versions)
    (folder / "manifest.json").write_text(json.dumps(plan.manifest()))
    for shard in done.shards():
        index = shard.provenance["index"]
        ShardFolder(folder, plan).write(shard.cell, index, shard.labels, shard.result)
    content = dataclasses.asdict(plan)
    del content["format"], content["extends"]  # which version 0.1 did not have
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@pytest.mark.slow
def test_a_folder_of_version_0_1_is_read_but_not_resumed(model, data, done, tmp_path):
    sha256 = format_1(tmp_path, done)
    sweep = Sweep(tmp_path)
    assert {shard.provenance["plan"] for shard in sweep.shards()} == {sha256}
    for targets in ("random", "nearest"):
        expected = done.result(targets=targets).images
        np.testing.assert_array_equal(sweep.result(targets=targets).images, expected)
    before = files(tmp_path)
    with pytest.raises(ValueError, match=r"format 1(.|\n)*give another folder"):
        run(model, data, tmp_path)
    assert files(tmp_path) == before


def three_layers(names):
    model = keras.Sequential(
        [keras.Input((4,)), *(keras.layers.Dense(4, name=name) for name in names)], name="m"
    )
    model.set_weights(3 * [np.eye(4), np.arange(4.0)])
    return model


@pytest.mark.slow
def test_a_layer_is_known_by_its_place(data, tmp_path):
    settings = {"a": {**FAST["fast"], "layer": "a", "bounds": (-9, 9)}}
    few = [each[:4] for each in data]
    run(three_layers("abc"), few, tmp_path, settings=settings)
    with pytest.raises(ValueError, match=r"models\.m\.layers\.a: 0 in the folder, 1 now"):
        run(three_layers("bac"), few, tmp_path, settings=settings)


def own_loss(shift, scale):
    class Shifted(Loss):
        name = "shifted"

        def __init__(self):
            self.shift = shift

        def value(self, above):
            return scale * above[:, 0] + self.shift

    return Shifted()


def test_a_loss_of_ones_own_counts_with_its_parameters_and_code(model):
    def described(loss):
        return adversary_settings(itf.LBFGSAdversary(model, loss=loss))

    assert described("margin")["loss"] == "margin" and "own_loss" not in described("margin")
    assert described("margin") == described("margin") != described("cross_entropy")
    assert described(own_loss(1.0, 2)) == described(own_loss(1.0, 2))
    assert described(own_loss(1.0, 2)) != described(own_loss(2.0, 2))
    assert "scale * above" in described(own_loss(1.0, 2))["own_loss"]["code"][0]


def test_what_a_loss_of_ones_own_computes_counts_however_it_came_about(model):
    def made(function, factor, room):
        class Own(Loss):
            name = "own"
            scale = factor

            def __init__(self):
                self.function = function

            def value(self, above):
                above = tf.where(tf.one_hot(0, above.shape[1]) > 0, above, 0.0)
                return self.function(self.scale * above, axis=1)

            def sharpness(self, gap):
                return room / gap

        return Own()

    def described(*settings):
        return adversary_settings(itf.LBFGSAdversary(model, loss=made(*settings)), classes=3)

    first = described(tf.reduce_logsumexp, 1.0, 1.0)
    assert described(tf.reduce_logsumexp, 1.0, 1.0) == first
    others = (tf.reduce_sum, 1.0, 1.0), (tf.reduce_logsumexp, 2.0, 1.0)
    for settings in (*others, (tf.reduce_logsumexp, 1.0, 2.0)):
        assert described(*settings) != first
    json.dumps(first)


def test_outputs_of_each_model_are_part_of_the_plan(model, data, tmp_path):
    given = model(model.inputs[0])
    models = {"m": model, "soft": keras.Model(model.inputs, keras.layers.Softmax()(given))}
    settings = {"fast": {**FAST["fast"], "outputs": {"soft": "probabilities"}}}
    some = data[0][:3], data[1][:3]
    done = run(models, some, tmp_path / "new", settings=settings)
    assert done.plan.settings["fast"]["outputs"] == {"m": "auto", "soft": "probabilities"}
    assert done.result("soft").settings["outputs"] == "probabilities"
    assert done.result("m").settings["outputs"] == "auto"
    run(models, some, tmp_path / "new", settings=settings)
    with pytest.raises(ValueError, match=r"settings\.fast\.outputs"):
        run(models, some, tmp_path / "new")
    every = {"fast": {**FAST["fast"], "outputs": "probabilities"}}
    with pytest.raises(ValueError, match="'m': With outputs=\"probabilities\" the model's outputs"):
        run({"soft": models["soft"], "m": model}, some, tmp_path / "other", settings=every)


@pytest.mark.slow
def test_targets_of_single_shards_may_be_the_labels(model, data, tmp_path):
    images, labels = data
    targets = np.where(np.arange(10) < 9, labels, (labels + 1) % 3)
    predictions = run(model, data, tmp_path / "one", targets=targets).result().predictions
    np.testing.assert_array_equal(predictions, targets)
    run(model, (images, None), tmp_path / "all", targets=labels)
