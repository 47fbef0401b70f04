from .fitting import FittingCurve as FittingCurve
from .fitting import fit as fit
from .fitting import minimise as minimise
