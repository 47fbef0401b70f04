from .attack import LBFGSAdversary as LBFGSAdversary
from .minimizer import Minimizer as Minimizer
from .minimizer import MinimizeResult as MinimizeResult
from .minimizer import minimize as minimize
from .result import AdversarialResult as AdversarialResult
