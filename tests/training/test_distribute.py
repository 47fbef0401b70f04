"""Training over several devices by tf.distribute, as Keras does it."""

import os
import subprocess
import sys

import pytest

# Logical devices are made before TensorFlow starts, so this has a process of its own.
SCRIPT = """
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import intriguing_tf as itf

images, labels = itf.datasets.mnist_sample()
images, labels = images[:200], labels[:200]

def trained(strategy):
    with strategy.scope():
        keras.utils.set_random_seed(1)
        penalties = [itf.training.GradientPenalty(3.0), itf.training.LipschitzPenalty(total=0.1)]
        model = itf.training.AdversarialModel(
            itf.models.fc10(weight_decay=1e-2), penalties=penalties
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.5), loss)
    monitor = itf.training.LipschitzMonitor()
    history = model.fit(images, labels, batch_size=100, epochs=3, shuffle=False, verbose=0,
                        callbacks=[monitor]).history
    return model, history

two, history = trained(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
assert two.distribute_strategy.num_replicas_in_sync == 2
one, alone = trained(tf.distribute.get_strategy())
for a, b in zip(two.model.get_weights(), one.model.get_weights()):
    np.testing.assert_allclose(a, b, atol=2e-5)
np.testing.assert_allclose(history["loss"], alone["loss"], rtol=1e-4)
np.testing.assert_allclose(history["lipschitz"], alone["lipschitz"], rtol=1e-4)
assert alone["lipschitz"][-1] != alone["lipschitz"][0]
"""


@pytest.mark.slow
def test_two_devices_train_to_the_weights_of_one():
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
