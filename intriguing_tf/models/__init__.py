"""Keras architectures without weights: the paper's MNIST networks and the ImageNet networks."""
