"""Minimal adversarial examples by box-constrained L-BFGS (section 4.1)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
