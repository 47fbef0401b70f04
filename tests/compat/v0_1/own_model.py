import keras
import numpy as np
import intriguing_tf as itf

keras.utils.set_random_seed(0)
images, labels = itf.datasets.mnist_sample()
images = 2 * images - 1

model = keras.Sequential([
    keras.Input((28, 28, 1)),
    keras.layers.Conv2D(16, 5, strides=2, activation="relu"),
    keras.layers.Flatten(name="flatten"),
    keras.layers.Dense(10, activation="softmax"),
])
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(images, labels, epochs=5, batch_size=50, verbose=0)

adversary = itf.LBFGSAdversary(model, bounds=(-1.0, 1.0), loss="margin")
result = adversary(images[:16], labels[:16], targets="least_likely")
print(result)
assert result.success.all()

from intriguing_tf.keras_graph import up_to

features = up_to(model, "flatten")
activations = features.predict(images[:16], verbose=0)
above = itf.LBFGSAdversary(model, layer="flatten", bounds=(0.0, np.inf))
print(above(activations, labels[:16]).mean_distortion)

print(itf.lipschitz.bound(model))

class Halve(keras.layers.Layer):
    def call(self, x):
        return x / 2

@itf.lipschitz.register(Halve)
def halve(layer, input_shapes):
    return itf.lipschitz.LayerBound(0.5)

print(itf.lipschitz.bound(keras.Sequential([keras.Input((4,)), Halve()])).total)
