from .convolution import GroupedConv2D as GroupedConv2D
from .local import LocallyConnected2D as LocallyConnected2D
from .normalization import LocalContrastNormalization as LocalContrastNormalization
from .normalization import LocalResponseNormalization as LocalResponseNormalization
from .pooling import CeilAveragePooling2D as CeilAveragePooling2D
from .pooling import CeilMaxPooling2D as CeilMaxPooling2D
from .pooling import L2Pooling2D as L2Pooling2D
from .sorting import GroupSort as GroupSort
