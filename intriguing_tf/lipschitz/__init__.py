"""Rigorous upper bounds of the Lipschitz constants of Keras layers and networks (section 4.3)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
