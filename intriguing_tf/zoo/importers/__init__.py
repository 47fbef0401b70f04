"""Weights in other formats into Keras models: Caffe, PyTorch, NumPy; no code in them is run.

Each function is `importer(file, model)` and named as a card's `format`. It sets every weight of
`model`, a network from `intriguing_tf.models`, or raises `ValueError` and sets none.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
