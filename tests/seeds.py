"""The seed of random tests: new with every change of the code, the same when they are run again."""

import collections
import functools
import hashlib
import os
import random
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@functools.cache
def seed() -> int:
    """Returns `TEST_SEED`, or else a number from the hash of HEAD's tree.

    Without git, in an unpacked archive, it comes from the hash of the package's source.
    """
    if given := os.environ.get("TEST_SEED"):
        return int(given)
    return int((_tree() or _source())[:8], 16)


def not_drawn(items: Iterable[Any]) -> set[Any]:
    """Returns which cases of tests that are marked `drawn(number)` are more than so many.

    Others with every change of the code; none if the variable TEST_ALL is set.
    """
    if os.environ.get("TEST_ALL"):
        return set()
    cases = collections.defaultdict(list)
    for item in items:
        if mark := item.get_closest_marker("drawn"):
            cases[item.nodeid.partition("[")[0], mark.args[0]].append(item)
    left_out = set()
    for (name, number), each in cases.items():
        chance = random.Random(f"{seed()} {name}")
        left_out.update(chance.sample(each, max(0, len(each) - number)))
    return left_out


def _tree() -> str:
    git = ["git", "-C", str(ROOT), "rev-parse", "--verify", "--quiet", "HEAD^{tree}"]
    try:
        done = subprocess.run(git, capture_output=True, text=True)
    except OSError:  # no git
        return ""
    return done.stdout.strip()


def _source() -> str:
    source = hashlib.sha256()
    for file in sorted((ROOT / "intriguing_tf").rglob("*.py")):
        source.update(file.read_bytes())
    return source.hexdigest()
