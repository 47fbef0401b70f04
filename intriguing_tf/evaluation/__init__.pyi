from .result import Evaluation as Evaluation
from .running import evaluate as evaluate
