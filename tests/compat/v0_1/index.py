import intriguing_tf as itf

model = itf.zoo.load("mnist/fc100-100-10")
images, labels = itf.datasets.mnist_sample()
adversary = itf.LBFGSAdversary(model, loss="margin")
result = adversary(images[:32], labels[:32], targets="nearest")
print(result)

radius = itf.lipschitz.certified_radius(model, images[:32])
found = result.status == "found"  # not the images that it misreads already
assert (radius[found] <= result.l2[found]).all()

picture = itf.reporting.adversarial_rows(result.originals[:8], result.images[:8])
png = picture.png()  # bytes of a PNG file
