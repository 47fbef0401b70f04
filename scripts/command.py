"""What every command does alike: flags, --help, errors in one line, an exit status, Ctrl-C."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import re
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

from absl import flags
from absl import logging as absl_logging

from intriguing_tf.text import one_line, printable

Option = Callable[..., object]  # defines a flag among `flag_values`
flags.disclaim_key_flags()  # a flag belongs to the script, not to the module that defines it
HELP = {"--help", "-help", "-h", "--helpshort", "--helpfull"}
_COLORED = re.compile("\x1b\\[[0-9;]*m")  # how Keras prints in bold
INTERRUPTED = 130  # what shells call the status of a program that Ctrl-C ended
UNREAD = 141  # the same of one whose output was no longer read
_LISTED = re.compile(r"^(flag --\w+=)\[(.*?)\]:")  # how absl shows values between commas
GRACE = 1.5  # seconds


def command(
    *options: Option,
    renamed: Mapping[str, str] | None = None,
    takes_arguments: bool = False,
    imports_tensorflow: bool = True,
    grace: float = GRACE,
) -> Callable[[Callable[..., int | None]], Command]:
    """Makes a function the entry point of a command; its module's docstring is the help.

    Args:
        *options: define the command's flags; see `options`.
        renamed: old names of flags and their new ones; an old one still works, and warns.
        takes_arguments: whether the command takes anything but flags; its function then gets the
            list of them after the flags.
        imports_tensorflow: whether to import TensorFlow before the function is called, and after
            the flags are found right.
        grace: seconds from Ctrl-C to the end of the process, whatever it is at; more for a command
            that saves what it has.

    Example:

        @command(options.model("mnist/conv"), options.data())
        def run(flags):
            ...

        if __name__ == "__main__":
            run()
    """
    return lambda action: Command(
        action, options, renamed or {}, takes_arguments, imports_tensorflow, grace
    )


@dataclasses.dataclass(frozen=True)
class Command:
    """A command: `run()` ends the process, `run.main(arguments)` returns the exit status."""

    action: Callable[..., int | None]
    options: Sequence[Option]
    renamed: Mapping[str, str]
    takes_arguments: bool
    imports_tensorflow: bool
    grace: float = GRACE

    def __call__(self) -> NoReturn:
        """Runs the command line, and ends the process with its status.

        Whether anyone reads the standard error makes no difference.
        """
        _open_closed_streams()
        sys.stderr = _Unread(sys.stderr)  # type: ignore[assignment]
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        with _ending_when_interrupted(self.grace):
            status = self.main(sys.argv[1:])
            try:
                sys.stdout.flush()
            except OSError:  # the status tells it, or an error that came before
                _discard_output()
            if status == INTERRUPTED:
                _end_at_once()
        sys.exit(status)

    def main(self, arguments: Sequence[str]) -> int:
        """Runs the command.

        Returns:
            The exit status: what the function returns, 0 for `None`; 1 for wrong flags and for a
            `ValueError`, `TypeError`, `OSError`, `ImportError` or `RuntimeError`, which are
            printed as one line, and for an error of TensorFlow's; 2 for arguments that are not
            flags; 130 for Ctrl-C; 141 where nobody reads the output any more.
        """
        try:
            status = self._run(self.define_flags(), arguments)
            sys.stdout.flush()  # here, where it may fail
            return status
        except BrokenPipeError:
            return _unread()
        except (flags.Error, ValueError, TypeError, OSError, ImportError, RuntimeError) as error:
            return _failed(str(error), status=1)
        except KeyboardInterrupt:
            return _stopped()
        except Exception as error:
            if not _is_of_tensorflow(error):
                raise
            return _failed(f"TensorFlow cannot compute this: {_reason(error)}", status=1)

    def _run(self, values: flags.FlagValues, arguments: Sequence[str]) -> int:
        if HELP & set(arguments):
            print(self._help(values))
            return 0
        _, *rest = values(["", *arguments])
        self._warn_of_old_names(values)
        if rest and not self.takes_arguments:
            return _failed(self._flags_only(values, rest), status=2)
        _silence_logs()
        if self.imports_tensorflow:
            import_tensorflow()
        return self.action(values, *([rest] if self.takes_arguments else [])) or 0

    def define_flags(self) -> flags.FlagValues:
        """Returns the command's flags, not yet parsed; each command has its own."""
        values = flags.FlagValues()
        values.set_gnu_getopt(True)  # flags may follow other arguments
        flags.DEFINE_bool("help", False, "show this text", short_name="h", flag_values=values)
        for define in self.options:
            define(flag_values=values)
        for old, new in self.renamed.items():
            flags.DEFINE_alias(old, new, flag_values=values)
            values[old].help = f"deprecated: --{new}"
        return values

    def _flags_only(self, values: flags.FlagValues, rest: Sequence[str]) -> str:
        """Says which flag may have been meant by what is not one."""
        typed: dict[str, str] = {}
        for each in rest:
            of_data = Path(each).is_dir() or Path(each).suffix.lower() in {".npz", ".png", ".jpg"}
            likely = ["data", "model", "models"] if of_data else ["model", "models", "data"]
            flag = next((name for name in likely if name in values and name not in typed), None)
            if flag is not None:
                typed[flag] = f"--{flag}={each}"
        hint = f": type {' '.join(typed.values())}" if typed else ""
        return f"flags only{hint}. Received: {' '.join(rest)}"

    def _warn_of_old_names(self, values: flags.FlagValues) -> None:
        for old, new in self.renamed.items():
            if values[old].present:
                print(f"warning: --{old} is deprecated: use --{new}.", file=sys.stderr)

    def _help(self, values: flags.FlagValues) -> str:
        description = self.action.__globals__["__doc__"].strip()
        by_module = values.get_help(include_special_flags=False).strip()
        return f"{description}\n\nFlags:\n{by_module.partition(chr(10))[2]}"


def say(*paragraphs: object, file: TextIO | None = None) -> None:
    """Prints what a command has to say; names in it, which may be anyone's, do nothing there.

    Args:
        *paragraphs: of text, or what has a text of its own, as tables have.
        file: the standard output by default.
    """
    print(printable("\n\n".join(map(str, paragraphs))), file=file)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Shows what a warning says, and not the line of code that says so."""
    say(f"warning: {message}", file=sys.stderr)


def _failed(message: str, status: int) -> int:
    message = _LISTED.sub(lambda m: m[1] + m[2].replace("'", "").replace(", ", ",") + ":", message)
    message = _COLORED.sub("", message)
    say(f"error: {message}", file=sys.stderr)
    return status


def _unread() -> int:
    """Ends without a word where whoever read the output has gone, as `head` does."""
    _discard_output()
    return UNREAD


def _discard_output() -> None:
    """Has what is left of the output go nowhere, so that the end of Python can write it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _open_closed_streams() -> None:
    """Has standard streams that are closed (`2>&-`) lead nowhere; else files take their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)  # the least that is free: its own
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", errors="replace"))


class _Unread:
    """A stream that need not be read: what cannot be written to it is left out."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def _is_of_tensorflow(error: Exception) -> bool:
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(error, tensorflow.errors.OpError)


def _reason(error: Exception) -> str:
    """Returns the line of an error of TensorFlow that says what was wrong; others say where."""
    lines = [line.strip() for line in str(error).split(" [Op:")[0].splitlines()]
    said = [line for line in lines if line and not line.startswith("[[")]
    return one_line(said[-1].split("}} ")[-1]) if said else type(error).__name__


@functools.cache  # told once, by the thread that comes first
def _stopped() -> int:
    print("\nStopped.", file=sys.stderr, flush=True)
    return INTERRUPTED


@contextlib.contextmanager
def _ending_when_interrupted(grace: float) -> Iterator[None]:
    """Within it, Ctrl-C ends the process in time; afterwards it does what it did before.

    Python answers between two of its own instructions only, and a call of a compiled function may
    take half a minute. A thread gives it a moment, then ends the process. What is written is whole,
    since every file gets its name when it is finished.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    left = threading.Event()

    def wait() -> None:
        with open(reading, "rb", buffering=0) as numbers:
            while (number := numbers.read(1)) and signal.SIGINT not in number:
                pass
            if number and not left.wait(grace):  # the pipe stays open: Ctrl-C may come again
                _stopped()
                _end_at_once()

    threading.Thread(target=wait, daemon=True).start()
    before = signal.set_wakeup_fd(writing)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        left.set()
        os.close(writing)


def _end_at_once() -> NoReturn:
    """Ends the process without Python's tidying up, for which TensorFlow lets it wait."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(INTERRUPTED)


def import_tensorflow() -> None:
    """Imports TensorFlow without the lines that it logs before its own log level counts."""
    with _stderr_held_back() if _logs_are_silent() else contextlib.nullcontext():
        import tensorflow  # noqa: F401  (here: --help must not load it)


def _silence_logs() -> None:
    """Silences TensorFlow and tensorflow-datasets; `TF_CPP_MIN_LOG_LEVEL=0` shows their logs."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if _logs_are_silent():
        absl_logging.set_verbosity(absl_logging.ERROR)
        logging.getLogger("tensorflow").setLevel(logging.ERROR)


def _logs_are_silent() -> bool:
    return os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "3"


@contextlib.contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Holds back what C++ writes to stderr, and shows it only if the block fails."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
