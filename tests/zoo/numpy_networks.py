"""The ImageNet networks in plain NumPy, channels first, as their frameworks state them.

They share no code with the package. Each makes up its weights as it meets them and leaves them in
`weights`, under the names of the original framework, so that files can be written from them.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


class Weights(dict):
    """Random weights by name; every layer keeps the scale of what it reads."""

    def __init__(self, seed=0):
        super().__init__()
        self.random = np.random.default_rng(seed)

    def make(self, name, shape, scale=None, mean=0.0):
        scale = np.sqrt(2.0 / np.prod(shape[1:])) if scale is None else scale
        self[name] = (mean + scale * self.random.normal(size=shape)).astype("float32")
        return self[name].astype("float64")


def conv(x, kernel, stride=1, pad=(0, 0), groups=1):
    """[n, in, h, w] by [out, in/groups, kh, kw]; `pad` before and after, rows and columns alike."""
    x = np.pad(x, ((0, 0), (0, 0), pad, pad))
    outputs = []
    for part, filters in zip(np.split(x, groups, 1), np.split(kernel, groups, 0), strict=True):
        windows = sliding_window_view(part, kernel.shape[2:], axis=(2, 3))
        windows = windows[:, :, ::stride, ::stride]
        outputs.append(np.einsum("nchwij,ocij->nohw", windows, filters, optimize=True))
    return np.concatenate(outputs, 1)


def relu(x):
    return np.maximum(x, 0)


def max_pool(x, size, stride, pad=0, ceil=False):
    height, width = x.shape[2:]
    rounded = np.ceil if ceil else np.floor
    rows, columns = (int(rounded((s + 2 * pad - size) / stride)) + 1 for s in (height, width))
    after = [(n - 1) * stride + size - s - pad for n, s in ((rows, height), (columns, width))]
    fill = [(0, 0), (0, 0), (pad, max(after[0], 0)), (pad, max(after[1], 0))]
    x = np.pad(x, fill, constant_values=-np.inf)
    return sliding_window_view(x, (size, size), axis=(2, 3))[:, :, ::stride, ::stride].max((4, 5))[
        :, :, :rows, :columns
    ]


def lrn(x, size=5, alpha=1e-4, beta=0.75):
    padded = np.pad(x**2, ((0, 0), (size // 2, size // 2), (0, 0), (0, 0)))
    return x / (1 + alpha / size * sliding_window_view(padded, size, axis=1).sum(-1)) ** beta


def blue_green_red(images):
    """RGB `[n, h, w, 3]` in [0, 1] to what Caffe's networks read."""
    pixels = 255 * images.astype("float64")[..., ::-1] - [104, 117, 123]
    return pixels.transpose(0, 3, 1, 2)


class _Caffe:
    def __init__(self, weights):
        self.weights = weights

    def conv(self, x, name, filters, size, stride=1, pad=0, groups=1):
        kernel = self.weights.make(name + "/0", (filters, x.shape[1] // groups, size, size))
        bias = self.weights.make(name + "/1", (filters,), 0.1)
        return relu(conv(x, kernel, stride, (pad, pad), groups) + bias[:, None, None])

    def dense(self, x, name, units):
        x = x.reshape(len(x), -1)
        kernel = self.weights.make(name + "/0", (units, x.shape[1]))
        return x @ kernel.T + self.weights.make(name + "/1", (units,), 0.1)


def alexnet(images, weights, classes):
    net = _Caffe(weights)
    x = net.conv(blue_green_red(images), "conv1", 96, 11, 4)
    x = max_pool(lrn(x), 3, 2, ceil=True)
    x = net.conv(x, "conv2", 256, 5, pad=2, groups=2)
    x = max_pool(lrn(x), 3, 2, ceil=True)
    x = net.conv(x, "conv3", 384, 3, pad=1)
    x = net.conv(x, "conv4", 384, 3, pad=1, groups=2)
    x = max_pool(net.conv(x, "conv5", 256, 3, pad=1, groups=2), 3, 2, ceil=True)
    x = relu(net.dense(x, "fc6", 4096))
    x = relu(net.dense(x, "fc7", 4096))
    return net.dense(x, "fc8", classes)


def squeezenet_1_1(images, weights, classes):
    net = _Caffe(weights)

    def fire(x, name, squeeze, expand):
        x = net.conv(x, f"{name}/squeeze1x1", squeeze, 1)
        ones = net.conv(x, f"{name}/expand1x1", expand, 1)
        return np.concatenate([ones, net.conv(x, f"{name}/expand3x3", expand, 3, pad=1)], 1)

    x = max_pool(net.conv(blue_green_red(images), "conv1", 64, 3, 2), 3, 2, ceil=True)
    x = fire(fire(x, "fire2", 16, 64), "fire3", 16, 64)
    x = max_pool(x, 3, 2, ceil=True)
    x = fire(fire(x, "fire4", 32, 128), "fire5", 32, 128)
    x = max_pool(x, 3, 2, ceil=True)
    x = fire(fire(x, "fire6", 48, 192), "fire7", 48, 192)
    x = fire(fire(x, "fire8", 64, 256), "fire9", 64, 256)
    return net.conv(x, "conv10", classes, 1).mean((2, 3))


def googlenet(images, weights, classes):
    net = _Caffe(weights)

    def inception(x, name, one, three_reduce, three, five_reduce, five, projection):
        name = f"inception_{name}"
        threes = net.conv(x, f"{name}/3x3_reduce", three_reduce, 1)
        fives = net.conv(x, f"{name}/5x5_reduce", five_reduce, 1)
        return np.concatenate(
            [
                net.conv(x, f"{name}/1x1", one, 1),
                net.conv(threes, f"{name}/3x3", three, 3, pad=1),
                net.conv(fives, f"{name}/5x5", five, 5, pad=2),
                net.conv(max_pool(x, 3, 1, 1, ceil=True), f"{name}/pool_proj", projection, 1),
            ],
            1,
        )

    x = net.conv(blue_green_red(images), "conv1/7x7_s2", 64, 7, 2, pad=3)
    x = lrn(max_pool(x, 3, 2, ceil=True))
    x = net.conv(net.conv(x, "conv2/3x3_reduce", 64, 1), "conv2/3x3", 192, 3, pad=1)
    x = max_pool(lrn(x), 3, 2, ceil=True)
    x = inception(x, "3a", 64, 96, 128, 16, 32, 32)
    x = inception(x, "3b", 128, 128, 192, 32, 96, 64)
    x = max_pool(x, 3, 2, ceil=True)
    x = inception(x, "4a", 192, 96, 208, 16, 48, 64)
    x = inception(x, "4b", 160, 112, 224, 24, 64, 64)
    x = inception(x, "4c", 128, 128, 256, 24, 64, 64)
    x = inception(x, "4d", 112, 144, 288, 32, 64, 64)
    x = inception(x, "4e", 256, 160, 320, 32, 128, 128)
    x = max_pool(x, 3, 2, ceil=True)
    x = inception(x, "5a", 256, 160, 320, 32, 128, 128)
    x = inception(x, "5b", 384, 192, 384, 48, 128, 128)
    return net.dense(x.mean((2, 3)), "loss3/classifier", classes)


def alexnet_one_tower(images, weights, classes):
    mean, stddev = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = ((images.astype("float64") - mean) / stddev).transpose(0, 3, 1, 2)

    def convolution(x, name, filters, size, stride=1, pad=1):
        kernel = weights.make(f"{name}.weight", (filters, x.shape[1], size, size))
        bias = weights.make(f"{name}.bias", (filters,), 0.1)
        return relu(conv(x, kernel, stride, (pad, pad)) + bias[:, None, None])

    def linear(x, name, units):
        kernel = weights.make(f"{name}.weight", (units, x.shape[1]))
        return x @ kernel.T + weights.make(f"{name}.bias", (units,), 0.1)

    x = max_pool(convolution(x, "features.0", 64, 11, 4, 2), 3, 2)
    x = max_pool(convolution(x, "features.3", 192, 5, pad=2), 3, 2)
    x = convolution(x, "features.6", 384, 3)
    x = convolution(x, "features.8", 256, 3)
    x = max_pool(convolution(x, "features.10", 256, 3), 3, 2)
    x = relu(linear(x.reshape(len(x), -1), "classifier.1", 4096))
    x = relu(linear(x, "classifier.4", 4096))
    return linear(x, "classifier.6", classes)


# Filters, kernel, stride, expansion of the blocks.
LITE_0 = [(16, 3, 1, 1), (24, 3, 2, 6), (24, 3, 1, 6), (40, 5, 2, 6), (40, 5, 1, 6)]
LITE_0 += [(80, 3, 2, 6)] + [(80, 3, 1, 6)] * 2 + [(112, 5, 1, 6)] * 3
LITE_0 += [(192, 5, 2, 6)] + [(192, 5, 1, 6)] * 3 + [(320, 3, 1, 6)]
LITE_1 = [(16, 3, 1, 1), (24, 3, 2, 6)] + [(24, 3, 1, 6)] * 2
LITE_1 += [(40, 5, 2, 6)] + [(40, 5, 1, 6)] * 2 + [(80, 3, 2, 6)] + [(80, 3, 1, 6)] * 3
LITE_1 += [(112, 5, 1, 6)] * 4 + [(192, 5, 2, 6)] + [(192, 5, 1, 6)] * 4 + [(320, 3, 1, 6)]
LITE_2 = [(16, 3, 1, 1), (24, 3, 2, 6)] + [(24, 3, 1, 6)] * 2
LITE_2 += [(48, 5, 2, 6)] + [(48, 5, 1, 6)] * 2 + [(88, 3, 2, 6)] + [(88, 3, 1, 6)] * 3
LITE_2 += [(120, 5, 1, 6)] * 4 + [(208, 5, 2, 6)] + [(208, 5, 1, 6)] * 4 + [(352, 3, 1, 6)]


def efficientnet_lite1(images, weights, classes):
    return efficientnet_lite0(images, weights, classes, LITE_1)


def efficientnet_lite2(images, weights, classes):
    return efficientnet_lite0(images, weights, classes, LITE_2)


def efficientnet_lite0(images, weights, classes, blocks=LITE_0):
    def convolution(x, name, filters, size, stride=1, groups=1):
        kernel = weights.make(f"{name}.weight", (filters, x.shape[1] // groups, size, size))
        outputs = -(-x.shape[2] // stride)
        missing = max((outputs - 1) * stride + size - x.shape[2], 0)  # TensorFlow's "same"
        return conv(x, kernel, stride, (missing // 2, missing - missing // 2), groups)

    def norm(x, name):
        shape = (x.shape[1],)
        gain = weights.make(f"{name}.weight", shape, 0.1, mean=1.0)
        bias = weights.make(f"{name}.bias", shape, 0.3)
        mean = weights.make(f"{name}.running_mean", shape, 0.1)
        variance = weights.make(f"{name}.running_var", shape, 0.02, mean=1.0)
        gain, bias, mean, variance = (
            value[:, None, None] for value in (gain, bias, mean, variance)
        )
        return gain * (x - mean) / np.sqrt(variance + 1e-3) + bias

    def relu6(x):
        return np.clip(x, 0, 6)

    x = (255 * images.astype("float64").transpose(0, 3, 1, 2) - 127) / 128
    x = relu6(norm(convolution(x, "_conv_stem", 32, 3, 2), "_bn0"))
    for i, (filters, size, stride, expansion) in enumerate(blocks):
        name, y = f"_blocks.{i}.", x
        width = x.shape[1] * expansion
        if expansion > 1:
            y = relu6(norm(convolution(y, name + "_expand_conv", width, 1), name + "_bn0"))
        y = convolution(y, name + "_depthwise_conv", width, size, stride, groups=width)
        y = relu6(norm(y, name + "_bn1"))
        y = norm(convolution(y, name + "_project_conv", filters, 1), name + "_bn2")
        x = x + y if stride == 1 and filters == x.shape[1] else y
    x = relu6(norm(convolution(x, "_conv_head", 1280, 1), "_bn1")).mean((2, 3))
    kernel = weights.make("_fc.weight", (classes, 1280))
    return x @ kernel.T + weights.make("_fc.bias", (classes,), 0.1)
