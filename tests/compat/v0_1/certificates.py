import intriguing_tf as itf

model = itf.zoo.load("mnist/fc100-100-10")
report = itf.lipschitz.bound(model)
print(report)

assert report.total <= report.product

images, labels = itf.datasets.mnist_sample()
images, labels = images[:32], labels[:32]
found = itf.LBFGSAdversary(model, loss="margin")(images, labels, targets="nearest")
certified = itf.lipschitz.certified_radius(model, images)
right = found.status == "found"
assert (certified[right] <= found.l2[right]).all()
print("certified", certified[right].mean(), "found", found.l2[right].mean())

import numpy as np

kernel = np.random.default_rng(0).normal(size=(3, 3, 16, 32)) / 12
print(itf.lipschitz.conv_norm(kernel, (28, 28), strides=2, padding="same"))
