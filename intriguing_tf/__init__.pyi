from . import adversary as adversary
from . import datasets as datasets
from . import evaluation as evaluation
from . import experiments as experiments
from . import layers as layers
from . import lipschitz as lipschitz
from . import models as models
from . import publishing as publishing
from . import reporting as reporting
from . import sweeps as sweeps
from . import training as training
from . import transfer as transfer
from . import units as units
from . import zoo as zoo
from .adversary import AdversarialResult as AdversarialResult
from .adversary import LBFGSAdversary as LBFGSAdversary
from .evaluation import evaluate as evaluate
from .sweeps import sweep as sweep
from .zoo.names import load_model as load_model

__version__: str
