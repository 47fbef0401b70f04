"""Why networks can be fooled: minimal adversarial examples, Lipschitz bounds and unit analysis.

    import intriguing_tf as itf

    model = itf.zoo.load("mnist/fc100-100-10")
    images, labels = itf.datasets.mnist_sample()
    result = itf.LBFGSAdversary(model)(images[:16], labels[:16])
    print(result)

Public names are listed in `__init__.pyi` and resolve on first use, so that the import is cheap.
"""

import os

import lazy_loader

__version__ = "0.2.0"

if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
    raise ImportError(
        "intriguing_tf runs on Keras's TensorFlow backend. Received: "
        f"KERAS_BACKEND={os.environ['KERAS_BACKEND']!r}. Unset it or set KERAS_BACKEND=tensorflow."
    )

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
