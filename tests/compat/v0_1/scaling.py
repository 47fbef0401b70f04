import tempfile

import intriguing_tf as itf

models = {"mnist/fc10-1e-4": itf.zoo.load("mnist/fc10-1e-4")}
images, labels = itf.datasets.mnist_sample()
folder = tempfile.mkdtemp()
done = itf.sweep(models, images[:32], labels[:32], folder=folder, shard_size=16)
print(done)
done.write_table(folder + "/table.csv")
for example in done.dataset("mnist/fc10-1e-4").take(1):
    print(example["label"].numpy(), example["prediction"].numpy())
