"""Keras architectures without weights: the paper's MNIST networks and the ImageNet networks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
