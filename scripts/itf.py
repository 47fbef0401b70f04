"""What there is: the commands of intriguing_tf, a line each.

itf
itf-attack --help
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import tabulate
from intriguing_tf.scripts.command import HELP, Command

from intriguing_tf.zoo.applications import meant

# Command -> module of the scripts, from the first things that one does to the last.
COMMANDS = {
    "itf-evaluate": "evaluate",
    "itf-attack": "attack",
    "itf-lipschitz": "lipschitz",
    "itf-units": "units",
    "itf-transfer": "transfer",
    "itf-ostrich": "ostrich",
    "itf-sweep": "sweep",
    "itf-zoo": "zoo",
    "itf-train-adversarial": "adversarial_training",
    "itf-reproduce": "reproduce",
}


class Listing(Command):
    """A command that looks at the first name alone: flags behind it are another command's."""

    def main(self, arguments: Sequence[str]) -> int:
        """Runs the command; returns the exit status."""
        names = [each for each in arguments if not each.startswith("-")]
        return super().main(arguments if HELP & {*arguments} else names[:1] or arguments)


def list_commands(flags: Any, arguments: Sequence[str]) -> int:
    """Prints the commands with the first line of their help."""
    if arguments:
        name = f"itf-{arguments[0].removeprefix('itf-')}"
        hint = meant(name, COMMANDS) or "itf takes nothing: it lists the commands."
        hint = f"type {name}." if name in COMMANDS else hint
        raise ValueError(f"{hint} Received: itf {arguments[0]}.")
    rows = [(name, first_line(module)) for name, module in COMMANDS.items()]
    print(tabulate.tabulate(rows, tablefmt="plain"))
    print("\nFlags and examples: COMMAND --help, such as itf-attack --help.")
    return 0


def first_line(module: str) -> str:
    """Returns the first line of a command's help."""
    found = importlib.import_module(f"intriguing_tf.scripts.{module}")
    return (found.__doc__ or "").strip().splitlines()[0]


run = Listing(list_commands, (), {}, takes_arguments=True, imports_tensorflow=False)

if __name__ == "__main__":
    run()
