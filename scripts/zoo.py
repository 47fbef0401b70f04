"""The zoo on the command line.

  itf-zoo list [PATTERN]             names, sizes and errors
  itf-zoo info NAME...               model cards
  itf-zoo download PATTERN...        verified local files, downloaded if need be
  itf-zoo verify [PATTERN]           size and SHA-256 of every local file; --metrics evaluates again
  itf-zoo pin NAME...                download, show and from then on enforce an unknown hash
  itf-zoo clear [PATTERN]            remove downloads; --pins also forgets pins
  itf-zoo publish PATTERN...         recipe -> trained -> evaluated -> card -> catalogue entry
  itf-zoo measure PATTERN...         card of an ImageNet entry: bounds of layers, four photographs
  itf-zoo leaderboard [MODEL...]     how robust they are; models are attacked, and join the page
  itf-zoo site FOLDER [PATTERN]      a folder with weights, cards and index page, ready to serve

Patterns have shell wildcards: 'mnist/*'. INTRIGUING_TF_ZOO (a folder or an address) says which zoo,
INTRIGUING_TF_CACHE where downloads go, INTRIGUING_TF_OFFLINE=1 forbids them.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from intriguing_tf.scripts import options
from intriguing_tf.scripts.command import command, import_tensorflow

from intriguing_tf import publishing, reporting, zoo
from intriguing_tf.files import check_folder, expanded, not_there
from intriguing_tf.zoo.applications import meant


def show_list(flags: Any, names: Sequence[str]) -> int:
    """Prints the entries that match."""
    from intriguing_tf.zoo import catalogue  # here, as below: --help need not wait for it

    unreadable: dict[str, str] = {}
    for pattern in names or ["*"]:
        unreadable |= catalogue.unreadable(pattern)
    wanted = [name for name in names or zoo.list() if name not in unreadable]
    cards = [zoo.info(name) for name in _matching(wanted)]
    room = max(30, shutil.get_terminal_size().columns - 88) if sys.stdout.isatty() else None
    rows = [
        (
            card.name,
            f"{card.parameters:,}",
            f"{card.size / 1e6:,.2f} MB" if card.size else "?",
            "yes" if card.pinned else "no",
            f"{card.metrics['test_error']:.2%}" if "test_error" in card.metrics else "",
            card.title if room is None else textwrap.shorten(card.title, room, placeholder=" …"),
        )
        for card in cards
    ]
    rows += [(name, "", "", "", "", f"unreadable: {why}") for name, why in unreadable.items()]
    heads = ("name", "parameters", "size", "pinned", "test error", "what")
    print(reporting.Table("", heads, rows))
    return 0


def show_info(flags: Any, names: Sequence[str]) -> int:
    """Prints cards."""
    for name in _needed(names):
        print(zoo.info(name), end="\n\n")
    return 0


def download(flags: Any, names: Sequence[str]) -> int:
    """Prints the verified local file of each entry."""
    for name in _matching(_needed(names)):
        print(f"{name}: {zoo.path(name)}")
    return 0


def verify(flags: Any, names: Sequence[str]) -> int:
    """Prints the state of every local file; with --metrics, cards against a new evaluation."""
    checks = [check for pattern in names or ["*"] for check in zoo.verify(pattern)]
    if names and not checks:
        _matching(names)  # complains
    rows = [(check.name, check.status, check.file, check.detail) for check in checks]
    print(reporting.Table("", ("entry", "status", "file", "detail"), rows))
    wrong = any(check.status in ("damaged", "unreadable") for check in checks)
    if flags.metrics and not wrong:
        import_tensorflow()
        verified = {check.name for check in checks if check.status == "verified"}
        # Of ImageNet's entries `measure` renews the cards; nothing of them is compared.
        measured = {name for name in verified if "sample_error" in zoo.info(name).metrics}
        for name in sorted(measured):
            comparison = publishing.verify_metrics(name)
            print("", comparison, sep="\n")
            wrong |= not comparison.agrees
        for name in sorted({check.name for check in checks} & {*names} - measured):
            why = "its card has no errors to compare with" if name in verified else "it is not here"
            print(f"\n{name}: not evaluated, for {why}.")
            wrong = True
    return int(wrong)


def pin(flags: Any, names: Sequence[str]) -> int:
    """Pins unpinned entries."""
    for name in _needed(names):
        pinned = zoo.pin(name)
        print(f"{name}: {pinned.size:,} bytes, sha256 {pinned.sha256}")
    return 0


def clear(flags: Any, names: Sequence[str]) -> int:
    """Removes downloads."""
    from intriguing_tf.zoo import pins

    _matching([name for name in names if name != "*"])  # complains
    freed = sum(zoo.clear(pattern) for pattern in names or ["*"])
    if flags.pins:
        for pattern in names or ["*"]:
            pins.forget(pattern)
    print(f"{freed:,} bytes removed{' and the pins forgotten' if flags.pins else ''}.")
    return 0


def publish(flags: Any, names: Sequence[str]) -> int:
    """Trains, evaluates and publishes recipes."""
    import_tensorflow()
    for name in publishing.matching_recipes(_needed(names)):
        card = publishing.publish(name, flags.folder, retrain=flags.retrain)
        print(card, end="\n\n")
    return 0


def measure(flags: Any, names: Sequence[str]) -> int:
    """Measures entries of ImageNet and writes their cards."""
    import_tensorflow()
    for name in _matching(_needed(names)):
        print(publishing.describe(name, flags.folder), end="\n\n")
    return 0


def leaderboard(flags: Any, names: Sequence[str]) -> int:
    """Prints the leaderboard, with the models that are named on it."""
    from intriguing_tf.zoo.leaderboard import FILE, standings

    if not names:
        for each in ("number", "starts"):
            if flags[each].present:
                raise ValueError(
                    f"--{each} is of an attack: name a model, itf-zoo leaderboard MODEL."
                )
        folder = Path(flags.folder) if flags.folder else None
        if folder and not (folder / FILE).is_file():
            raise not_there(folder / FILE)
        print(standings(folder))
        return 0
    import_tensorflow()
    from intriguing_tf.publishing.leaderboard import page

    folder = expanded(flags.folder or "leaderboard")
    models = [each for name in names for each in zoo.list(name) or [name]]
    print(publishing.rank(models, folder, number=flags.number, starts=flags.starts))
    print(f"\nThe page: {page(folder)}")
    return 0


def site(flags: Any, names: Sequence[str]) -> int:
    """Writes a folder that can be served."""
    from intriguing_tf.zoo.site import export

    folder, *patterns = _needed(names)
    if "*" in folder or zoo.list(folder):
        raise ValueError(
            f"The first argument is the folder, the others are entries: itf-zoo site FOLDER "
            f"{folder}. Received: {folder}."
        )
    check_folder(folder)
    _matching(patterns)  # complains before the first is copied
    cards = export(expanded(folder), *patterns)
    number = "1 entry" if len(cards) == 1 else f"{len(cards)} entries"
    print(f"{folder}: {number}. Serve it, and set INTRIGUING_TF_ZOO to its address.")
    return 0


def _matching(patterns: Sequence[str]) -> list[str]:
    """Names that match, and an error with suggestions for a pattern that nothing matches."""
    found: list[str] = []
    for pattern in patterns:
        found += zoo.list(pattern) or [zoo.info(pattern).name]
    return list(dict.fromkeys(found))


def _needed(names: Sequence[str]) -> Sequence[str]:
    if not names:
        raise ValueError("This command needs at least one argument. See --help.")
    return names


COMMANDS: dict[str, Callable[[Any, Sequence[str]], int]] = {
    "list": show_list,
    "info": show_info,
    "download": download,
    "verify": verify,
    "pin": pin,
    "clear": clear,
    "publish": publish,
    "measure": measure,
    "leaderboard": leaderboard,
    "site": site,
}


# The flags that a command looks at.
FLAGS = {
    "verify": {"metrics"},
    "clear": {"pins"},
    "publish": {"folder", "retrain"},
    "measure": {"folder"},
    "leaderboard": {"folder", "number", "starts"},
}


@command(
    options.boolean("metrics", False, "verify: evaluate again and compare with the cards"),
    options.boolean("pins", False, "clear: also forget the pins"),
    options.path(
        "folder",
        None,
        "publish, measure: the zoo to write to; by default the checkout's own. leaderboard: folder "
        "of the page",
    ),
    options.number("leaderboard: of the bundled images that are attacked", 200),
    options.integer("starts", 5, "leaderboard: of the attack, on each image", lower_bound=1),
    options.boolean(
        "retrain", False, "publish: train even if the weights were made by the same recipe"
    ),
    takes_arguments=True,
    imports_tensorflow=False,
)
def run(flags: Any, arguments: Sequence[str]) -> int:
    """Runs one of the zoo's commands; returns the exit status."""
    name, *names = arguments or [""]
    if name not in COMMANDS:
        received = f" Received: {name!r}. {meant(name, COMMANDS)}".rstrip() if name else ""
        print(f"One of {', '.join(COMMANDS)} is needed.{received} See --help.", file=sys.stderr)
        return 2
    for each in sorted(set().union(*FLAGS.values()) - FLAGS.get(name, set())):
        if flags[each].present:
            raise ValueError(f"--{each} is not for itf-zoo {name}. See --help.")
    return COMMANDS[name](flags, names)


if __name__ == "__main__":
    run()
