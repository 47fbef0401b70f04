import intriguing_tf as itf

model = itf.zoo.load("mnist/fc100-100-10")            # or any Keras model of your own
images, labels = itf.datasets.mnist_sample()
adversary = itf.LBFGSAdversary(model, loss="margin")
result = adversary(images[:64], labels[:64])           # targets: random classes
print(result)
untargeted = adversary(images[:64], labels[:64], targets="nearest")
result.save("digits")                                  # digits.npz and digits.json, no pickle
