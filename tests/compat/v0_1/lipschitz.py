import numpy as np
import intriguing_tf as itf

model = itf.zoo.load("mnist/fc100-100-10")
images = itf.datasets.mnist_sample()[0][:8]
kernel = np.ones((3, 3, 2, 4)) / 6
import intriguing_tf as itf

report = itf.lipschitz.bound(model)          # any built Sequential or Functional model
print(report)                                # a row per layer: bound, attained, how certified
report.total, report.product
itf.lipschitz.conv_norm(kernel, (27, 27), padding="same", groups=2)
itf.lipschitz.certified_radius(model, images)   # no prediction changes within this l2 distance
