"""The rules of Keras's layers, of its operations and of this package's own layers.

Importing this package fills the table of `registry`.
"""

from intriguing_tf.lipschitz.rules import (  # noqa: F401
    activations,
    calls,
    functions,
    linear,
    merging,
    moving,
    normalization,
    operations,
    own,
    pooling,
    reshaping,
    windows,
    wrappers,
)
