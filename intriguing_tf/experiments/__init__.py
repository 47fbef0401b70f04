"""One module per table or figure of the paper; publishing a zoo entry with its card."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
