"""From a recipe to an entry of the zoo: trained, evaluated, with card, picture and catalogue.

from intriguing_tf import publishing

trained = publishing.train("mnist/fc10-1")
publishing.publish("mnist/fc10-1", "my-zoo")
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
