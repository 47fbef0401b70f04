"""A sweep over worker processes of a real local Ray cluster, one of them killed."""

import dataclasses
import os
import signal
import socket
import threading
import time
from unittest import mock

import keras
import numpy as np
import psutil
import pytest
import tensorflow as tf

import intriguing_tf as itf
from intriguing_tf.adversary.losses import Loss
from intriguing_tf.sweeps import plan
from intriguing_tf.sweeps.plan import Cell, make_plan
from intriguing_tf.sweeps.ray_cluster import Worker
from intriguing_tf.sweeps.source import Source
from intriguing_tf.sweeps.workers import make_adversaries

pytest.importorskip("ray", reason="Ray is not installed")

SETTINGS = {"fast": {"maxfun": 25, "jit_compile": False, "solver": "scipy"}}


def small_model():
    class Doubled(keras.layers.Layer):
        """A layer of the user's own, of a script: workers cannot import it."""

        def call(self, inputs):
            return 2 * inputs

    random = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((6,)), Doubled(), keras.layers.Dense(4)], name="m")
    model.set_weights([4 * random.normal(size=(6, 4)), random.normal(size=4)])
    return model


def workers():
    children = psutil.Process().children(recursive=True)
    return [p.pid for p in children if p.cmdline()[:1] == ["ray::Worker.attack"]]


@pytest.mark.slow
def test_workers_that_are_killed_are_replaced_and_results_are_those_of_one_process(tmp_path):
    random = np.random.default_rng(1)
    images = random.uniform(size=(24, 6)).astype(np.float32)
    labels = random.integers(0, 4, len(images))
    model, killed = small_model(), []

    def kill_one():
        while not killed:
            if (tmp_path / "ray" / "shards").is_dir() and (busy := workers()):
                os.kill(busy[0], signal.SIGKILL)
                killed.append(busy[0])
            time.sleep(0.02)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    arguments = {"settings": SETTINGS, "shard_size": 4, "targets": ["random", "nearest"]}
    spread = itf.sweep(
        model, images, labels, folder=tmp_path / "ray", ray="local", workers=2, **arguments
    )
    assert killed and spread.missing == 0
    here = itf.sweep(model, images, labels, folder=tmp_path / "here", **arguments)
    for a, b in zip(here.shards(), spread.shards(), strict=True):
        assert (a.cell, a.rows) == (b.cell, b.rows)
        np.testing.assert_array_equal(a.result.targets, b.result.targets)
        np.testing.assert_array_equal(a.result.status, b.result.status)
        # A search that maxfun ends carries on what its process rounds differently; images mixed
        # up would be 0.3 apart.
        np.testing.assert_allclose(a.result.images, b.result.images, atol=5e-3)


def begin_with(monkeypatch, model, settings=None, its_plan=None):
    monkeypatch.setattr("ray.get", lambda reference: ({"m": model}, settings or {}))
    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", lambda n: None)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    Worker([None], its_plan, 1).attack(None, None, None)


def test_a_worker_that_cannot_import_a_layer_says_so_in_one_line(monkeypatch):
    class Unknown:
        def unpack(self):
            raise ModuleNotFoundError("No module named 'layers_of_mine'\ntraceback: of pages")

    with pytest.raises(RuntimeError, match=r"import the modules.*'layers_of_mine' traceback: of"):
        begin_with(monkeypatch, Unknown())


def test_a_worker_whose_modules_compute_something_else_says_so(monkeypatch):
    class Another:
        def unpack(self):
            return "a model"

        def computes(self, model):
            return model != "a model"

    with pytest.raises(RuntimeError, match=f"Model 'm' must compute.*on {socket.gethostname()}"):
        begin_with(monkeypatch, Another())


class Scaled(Loss):
    name = "scaled"
    factor = 1.0

    def value(self, above):
        return self.factor * tf.reduce_max(above, axis=1)


class Same:
    def __init__(self, model):
        self.model = model

    def unpack(self):
        return self.model

    def computes(self, model):
        return True


def plan_of(models, settings):
    source = Source(np.full((1, 6), 0.5, "float32"), None, 8, (6,))
    cells = [Cell(name, "nearest", "own") for name in models]
    adversaries = make_adversaries(models, settings, cells)
    return make_plan(source, adversaries, models, {"nearest": "nearest"}, settings, 0)


def test_a_worker_whose_modules_have_another_loss_says_so(monkeypatch):
    model, settings = small_model(), {"own": {"loss": Scaled()}}
    made = plan_of({"m": model}, settings)
    monkeypatch.setattr(Scaled, "factor", 2.0)
    with pytest.raises(RuntimeError, match=r"The loss of settings 'own' must compute.*another"):
        begin_with(monkeypatch, Same(model), settings, made)


def test_a_loss_is_traced_with_the_last_model_given_alone(monkeypatch):
    other = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    models, settings = {"b": small_model(), "a": other}, {"own": {"loss": Scaled()}}
    traced = mock.Mock(wraps=plan.function_fingerprint)
    monkeypatch.setattr(plan, "function_fingerprint", traced)
    made = plan_of(models, settings)
    read = dataclasses.replace(made, models=dict(sorted(made.models.items())))
    sent = {name: Same(model) for name, model in models.items()}
    monkeypatch.setattr("ray.get", lambda reference: (sent, settings))
    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", lambda n: None)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert len(Worker([None], read, 1)._adversaries) == 2
    assert traced.call_count == 4  # the value and the sharpness, here and there


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "no host:99999"])
def test_a_cluster_that_does_not_answer_is_said_at_once(address, tmp_path):
    started = time.monotonic()
    with pytest.raises(ConnectionError, match="No Ray cluster answers at"):
        itf.sweep({"m": small_model()}, np.zeros((2, 6), "float32"), folder=tmp_path, ray=address,
                  targets="nearest", verbose=False)  # fmt: skip
    assert time.monotonic() - started < 30
