import intriguing_tf as itf

images, labels = itf.datasets.mnist_sample()
images, labels = images[:64], labels[:64]
models = {name: itf.zoo.load(f"mnist/{name}") for name in ("fc10-1e-4", "fc100-100-10")}
results = {name: itf.LBFGSAdversary(model)(images, labels) for name, model in models.items()}

for name, result in results.items():
    print(name, result.success.mean(), result.mean_distortion)
    assert result.success.all()

sets = {f"made for {name}": result.images for name, result in results.items()}
sets["noise 0.1"] = itf.transfer.gaussian_noise(images, stddev=0.1, seed=0)
for name, result in results.items():
    sets[f"made for {name}, amplified"] = itf.transfer.amplify(result, stddev=0.1)
print(itf.transfer.error_matrix(models, sets, labels))

import numpy as np

model, result = models["fc100-100-10"], results["fc100-100-10"]
adversary = itf.LBFGSAdversary(model)
for c in (10.0, 1.0, 0.1):
    points = adversary.minimise(images[:8], result.targets[:8], c)
    misread = model.predict(points, verbose=0).argmax(axis=1) == result.targets[:8]
    print(c, np.sqrt(((points - images[:8]) ** 2).mean()), misread.mean())
