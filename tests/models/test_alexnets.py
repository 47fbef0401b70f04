"""AlexNet: the sizes of its convolutions."""

import intriguing_tf as itf


def test_alexnets_convolutions_are_the_papers():
    """Table 5's sizes and strides, with the two groups of 2012."""
    model = itf.models.alexnet(classes=10, input_shape=(67, 67, 3))
    convolutions = [model.get_layer(f"conv{i}") for i in range(1, 6)]
    assert [tuple(layer.kernel.shape) for layer in convolutions] == [
        (11, 11, 3, 96),
        (5, 5, 48, 256),
        (3, 3, 256, 384),
        (3, 3, 192, 384),
        (3, 3, 192, 256),
    ]
    assert [layer.strides[0] for layer in convolutions] == [4, 1, 1, 1, 1]
