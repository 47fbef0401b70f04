from .reading import Sweep as Sweep
from .running import sweep as sweep
