from .attack import LBFGSAdversary as LBFGSAdversary
from .lbfgs import Minimizer as Minimizer
from .lbfgs import MinimizeResult as MinimizeResult
from .lbfgs import minimize as minimize
from .result import AdversarialResult as AdversarialResult
