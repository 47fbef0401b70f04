"""What every command does alike: its flags in --help, errors as one line, an exit status."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, flags, logging

Action = Callable[..., int | None]
Main = Callable[[Sequence[str]], int]


def main_of(action: Action, *, takes_arguments: bool = False) -> Main:
    """Returns the main function of a command: from its arguments to its exit status.

    Args:
        action: does the work, without arguments, or with the list of those that are not flags;
            returns the exit status, `None` for 0. Its `ValueError`, `TypeError`, `OSError`,
            `ImportError` and `RuntimeError` are printed as one line, with exit status 1.
        takes_arguments: whether the command takes anything but flags.
    """

    def main(arguments: Sequence[str]) -> int:
        logging.set_verbosity(logging.WARNING)  # tensorflow-datasets tells each of its steps
        given = arguments[1:]
        if given and not takes_arguments:
            print(f"error: flags only. Received: {' '.join(given)}", file=sys.stderr)
            return 2
        try:
            return (action(given) if takes_arguments else action()) or 0
        except (ValueError, TypeError, OSError, ImportError, RuntimeError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nStopped.", file=sys.stderr)
            return 130

    return main


def run(module: str, description: str | None, define_flags: Callable[[], None], main: Main) -> None:
    """Parses the command line and ends the process with the exit status of `main`.

    Args:
        module: `__name__` of the script; its own flags are those that `--help` shows.
        description: the script's docstring, shown by `--help`.
        define_flags: defines the script's flags.
        main: from the arguments that are not flags to the exit status.
    """
    define_flags()
    flags.FLAGS.set_gnu_getopt(True)  # flags may follow other arguments
    for flag in flags.FLAGS.get_key_flags_for_module(module):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    sys.modules["__main__"].__doc__ = description
    app.run(main)


def empty_folder(output: str, overwrite: bool) -> Path:
    """Returns the folder for the results.

    Raises:
        ValueError: it holds something already, and `overwrite` is false.
    """
    folder = Path(output)
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise ValueError(f"{folder} is not empty: give another --output, or --overwrite.")
    return folder


def define_data() -> None:
    """Defines --data and --bounds: which images a command works on."""
    flags.DEFINE_string(
        "data",
        "sample",
        "MNIST images: 'test', 'train' or the bundled 'sample'; or an .npz file with arrays "
        "'images' and 'labels'",
    )
    flags.DEFINE_list(
        "bounds", ["0", "1"], "least and largest pixel value; MNIST is scaled to them"
    )


def bounds() -> tuple[float, float]:
    """Returns the pair of numbers that --bounds gives.

    Raises:
        ValueError: other than two finite numbers, the smaller first.
    """
    texts = flags.FLAGS.bounds
    try:
        lower, upper = map(float, texts)
    except ValueError:
        lower = upper = float("nan")
    if not -math.inf < lower < upper < math.inf:
        raise ValueError(
            "--bounds must be two numbers, finite and the smaller first, such as 0,1. "
            f"Received: {','.join(texts)}."
        )
    return lower, upper
