"""Pretrained weights: catalogue, load, download, import from other formats.

    from intriguing_tf import zoo

    zoo.list("mnist/*")
    print(zoo.info("mnist/fc100-100-10"))
    model = zoo.load("mnist/fc100-100-10")

Nothing is loaded whose size and SHA-256 are not those of the catalogue.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
