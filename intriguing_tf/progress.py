"""Progress bars: one convention for all that takes long."""

from __future__ import annotations

import sys
import warnings
from typing import Any

from tqdm import TqdmWarning

with warnings.catch_warnings():  # a notebook without ipywidgets gets bars of text all the same
    warnings.simplefilter("ignore", TqdmWarning)
    from tqdm.auto import tqdm


def shows_progress(verbose: Any) -> bool:
    """Whether to show progress: `True` or `False` as said, "auto" if stderr is a terminal.

    Raises:
        ValueError: `verbose` is none of these (0 and 1 stand for False and True).
    """
    if isinstance(verbose, str) and verbose == "auto":
        return sys.stderr.isatty()
    if isinstance(verbose, (bool, int)) and verbose in (0, 1):
        return bool(verbose)
    raise ValueError(f'`verbose` must be True, False or "auto". Received: {verbose!r}.')


def progress_bar(
    total: int | None, what: str, verbose: Any = "auto", unit: str = "image", done: int = 0
):
    """Returns a tqdm bar, to be used in a `with`; `bar.update(n)` moves it on.

    Args:
        total: number of units of the whole work, if it is known.
        what: the work's name, before the bar.
        verbose: as in `shows_progress`.
        unit: what is counted; bytes ("B") are shown as kB, MB and so on.
        done: units that an earlier run has done.

    Raises:
        ValueError: `verbose` is not as above.
    """
    return tqdm(
        total=total,
        initial=done,
        desc=what,
        unit=unit,
        unit_scale=unit == "B",
        disable=not shows_progress(verbose),
        leave=False,
    )
