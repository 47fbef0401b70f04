"""How many threads a piece of linear algebra is worth."""

from __future__ import annotations

import contextlib
import functools

from threadpoolctl import ThreadpoolController

# Rows up to which a second thread gains next to nothing; while other programs run, waiting for it
# costs many times what the product does.
SMALL = 256


def threads_for(size: int) -> contextlib.AbstractContextManager:
    """Within it, BLAS uses one thread if the matrices have at most SMALL rows.

    Args:
        size: rows of the largest matrix that is multiplied, inverted or factorized.
    """
    return _libraries().limit(limits=1 if size <= SMALL else None, user_api="blas")


@functools.cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()
