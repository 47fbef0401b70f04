"""The few Keras layers that the paper's networks need and Keras lacks; all serialisable."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
