import keras
import numpy as np
import intriguing_tf as itf

model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(8, 3, activation="relu"),
                          keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")])
images = np.random.default_rng(0).uniform(-1, 1, (8, 32, 32, 3)).astype("float32")

adversary = itf.LBFGSAdversary(model, bounds=(-1.0, 1.0), loss="margin")
result = adversary(images, targets="nearest")
print(result.distortion)  # root mean square change per pixel, in units of the range
print(itf.lipschitz.bound(model))  # a rigorous upper bound, layer by layer
print(itf.lipschitz.certified_radius(model, images))  # <= result.l2 of images that were read rightly
