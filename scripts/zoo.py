"""The zoo on the command line.

  itf-zoo list [PATTERN]             names, sizes and errors
  itf-zoo info NAME...               model cards
  itf-zoo download PATTERN...        verified local files, downloaded if need be
  itf-zoo verify [PATTERN]           size and SHA-256 of every local file; --metrics evaluates again
  itf-zoo pin NAME...                download, show and from then on enforce an unknown hash
  itf-zoo clear [PATTERN]            remove downloads; --pins also forgets pins
  itf-zoo publish PATTERN...         recipe -> trained -> evaluated -> card -> catalogue entry
  itf-zoo site FOLDER [PATTERN]      a folder with weights, cards and index page, ready to serve

Patterns have shell wildcards: 'mnist/*'. INTRIGUING_TF_ZOO (a folder or an address) says which zoo,
INTRIGUING_TF_CACHE where downloads go, INTRIGUING_TF_OFFLINE=1 forbids them.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence

from absl import flags
from intriguing_tf.scripts import command


def define_flags() -> None:
    """Defines the flags of this command."""
    flags.DEFINE_bool("metrics", False, "verify: evaluate again and compare with the cards")
    flags.DEFINE_bool("pins", False, "clear: also forget the pins")
    flags.DEFINE_string(
        "folder", None, "publish: the zoo to write to; by default the checkout's own"
    )
    flags.DEFINE_bool(
        "retrain", False, "publish: train even if the weights were made by the same recipe"
    )


def run_command(arguments: Sequence[str]) -> int:
    """Runs one of the zoo's commands; returns the exit status."""
    name, *names = arguments or [""]
    if name not in COMMANDS:
        received = f" Received: {name!r}." if name else ""
        print(f"One of {', '.join(COMMANDS)} is needed.{received} See --help.", file=sys.stderr)
        return 2
    return COMMANDS[name](names)


def show_list(names: Sequence[str]) -> int:
    """Prints the entries that match."""
    from intriguing_tf import zoo
    from intriguing_tf.reporting import Table

    cards = [zoo.info(name) for name in _matching(names or ["*"])]
    room = max(30, shutil.get_terminal_size().columns - 88) if sys.stdout.isatty() else None
    rows = [
        (
            card.name,
            f"{card.parameters:,}",
            f"{card.size / 1e6:,.2f} MB" if card.size else "?",
            "" if card.pinned else "no",
            f"{card.metrics['test_error']:.2%}" if "test_error" in card.metrics else "",
            card.title if room is None else textwrap.shorten(card.title, room, placeholder=" …"),
        )
        for card in cards
    ]
    print(Table("", ("name", "parameters", "size", "pinned", "test error", "what"), rows))
    return 0


def show_info(names: Sequence[str]) -> int:
    """Prints cards."""
    from intriguing_tf import zoo

    for name in _needed(names):
        print(zoo.info(name), end="\n\n")
    return 0


def download(names: Sequence[str]) -> int:
    """Prints the verified local file of each entry."""
    from intriguing_tf import zoo

    for name in _matching(_needed(names)):
        print(f"{name}: {zoo.path(name)}")
    return 0


def verify(names: Sequence[str]) -> int:
    """Prints the state of every local file; with --metrics, cards against a new evaluation."""
    from intriguing_tf import zoo
    from intriguing_tf.reporting import Table

    checks = [check for pattern in names or ["*"] for check in zoo.verify(pattern)]
    rows = [(check.name, check.status, check.file, check.detail) for check in checks]
    print(Table("", ("entry", "status", "file", "detail"), rows))
    wrong = any(check.status == "damaged" for check in checks)
    if flags.FLAGS.metrics and not wrong:
        from intriguing_tf.experiments import publishing

        verified = {check.name for check in checks if check.status == "verified"}
        for name in sorted(verified):
            comparison = publishing.verify_metrics(name)
            print("", comparison, sep="\n")
            wrong |= not comparison.agrees
    return int(wrong)


def pin(names: Sequence[str]) -> int:
    """Pins unpinned entries."""
    from intriguing_tf import zoo

    for name in _needed(names):
        pinned = zoo.pin(name)
        print(f"{name}: {pinned.size:,} bytes, sha256 {pinned.sha256}")
    return 0


def clear(names: Sequence[str]) -> int:
    """Removes downloads."""
    from intriguing_tf import zoo
    from intriguing_tf.zoo import pins

    freed = sum(zoo.clear(pattern) for pattern in names or ["*"])
    if flags.FLAGS.pins:
        pins.forget()
    print(f"{freed:,} bytes removed{' and the pins forgotten' if flags.FLAGS.pins else ''}.")
    return 0


def publish(names: Sequence[str]) -> int:
    """Trains, evaluates and publishes recipes."""
    from intriguing_tf.experiments import publishing

    for name in publishing.matching_recipes(_needed(names)):
        card = publishing.publish(name, flags.FLAGS.folder, retrain=flags.FLAGS.retrain)
        print(card, end="\n\n")
    return 0


def site(names: Sequence[str]) -> int:
    """Writes a folder that can be served."""
    from pathlib import Path

    from intriguing_tf.zoo.site import export

    folder, *patterns = _needed(names)
    for pattern in patterns or ["*"]:
        cards = export(Path(folder), pattern)
    print(f"{folder}: {len(cards)} entries. Serve it, and set INTRIGUING_TF_ZOO to its address.")
    return 0


def _matching(patterns: Sequence[str]) -> list[str]:
    """Names that match, and an error with suggestions for a pattern that nothing matches."""
    from intriguing_tf import zoo

    found: list[str] = []
    for pattern in patterns:
        found += zoo.list(pattern) or [zoo.info(pattern).name]
    return list(dict.fromkeys(found))


def _needed(names: Sequence[str]) -> Sequence[str]:
    if not names:
        raise ValueError("This command needs at least one argument. See --help.")
    return names


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "list": show_list,
    "info": show_info,
    "download": download,
    "verify": verify,
    "pin": pin,
    "clear": clear,
    "publish": publish,
    "site": site,
}


main = command.main_of(run_command, takes_arguments=True)


def run() -> None:
    """Entry point of the command `itf-zoo`."""
    command.run(__name__, __doc__, define_flags, main)


if __name__ == "__main__":
    run()
