from .distortions import amplify as amplify
from .distortions import gaussian_noise as gaussian_noise
from .distortions import rms as rms
from .errors import ErrorMatrix as ErrorMatrix
from .errors import error_matrix as error_matrix
from .intervals import error_interval as error_interval
from .intervals import mean_interval as mean_interval
