from .attack import LBFGSAdversary as LBFGSAdversary
from .losses import Loss as Loss
from .minimizer import Minimizer as Minimizer
from .minimizer import MinimizeResult as MinimizeResult
from .minimizer import minimize as minimize
from .result import AdversarialResult as AdversarialResult
from .settings import AttackSettings as AttackSettings
from .settings import SearchConstants as SearchConstants
