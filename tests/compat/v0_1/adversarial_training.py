import keras
import intriguing_tf as itf

images, labels = itf.datasets.mnist_sample()
model = itf.training.AdversarialModel(
    itf.models.fc100_100_10(),
    penalties=[
        itf.training.GradientPenalty(0.1),
        itf.training.LipschitzPenalty(total=30.0),
    ],
)
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(images, labels, batch_size=100, epochs=1, verbose=0)
plain = model.model

pool = itf.training.AdversarialPool(interval=0, distortion=0.04)
model = itf.training.AdversarialModel(itf.models.fc100_100_10(), pools=[pool])
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(images, labels, batch_size=100, epochs=1, verbose=0)

layer = keras.layers.Conv2D(
    8,
    5,
    strides=2,
    kernel_constraint=itf.training.LipschitzConstraint(1.0, input_shape=(28, 28), strides=2),
)
