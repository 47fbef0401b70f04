"""Reads damaged files one after another, in a process that may end or hang.

`python -m tests.faults.reader_worker`, in an empty folder, which is all that it may read or write
beside Python's own files. Each line of its input is a job: JSON of a kind, a seed, and the numbers
of the first file and of that after the last. It reads them with 2 GiB of memory more than it has
when the kind's whole examples are read, and says so with a line; then for each file there is one
before it is read and one of JSON after it.
"""

import json
import os
import random
import resource
import shutil
import signal
import sys
from pathlib import Path

import psutil

from tests.faults import readers

MEMORY = 2 << 30
SECONDS = 10  # of the processor for one file: then a signal ends the process
LONGEST = 5_000  # letters of a message
NETWORK = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork")
READS = ("open", "os.listdir", "os.scandir")


class Watch:
    """What is opened, written or called outside of the folder while a file is read."""

    def __init__(self, folder: Path):
        self._folder = str(folder)
        self._code = tuple({sys.prefix, sys.base_prefix, *filter(None, sys.path), "/proc", "/dev"})
        self.on, self.found = False, []
        sys.addaudithook(self._hook)

    def _hook(self, event, arguments):
        if not self.on:
            return
        if event.startswith(NETWORK):
            self.found.append(f"{event} {arguments[:1]}")
        elif event == "open" or event.startswith(("os.", "shutil.")):
            mode = str(arguments[1]) if event == "open" else ""
            reads = event in READS and not set(mode) & set("wax+")
            for argument in arguments[: 1 if event == "open" else 2]:
                if isinstance(argument, str | bytes | os.PathLike):
                    path = os.path.realpath(os.fsdecode(argument))
                    if not (self._mine(path) or (reads and path.startswith(self._code))):
                        self.found.append(f"{event} {path} {mode}")

    def _mine(self, path: str) -> bool:
        return path == self._folder or path.startswith(self._folder + os.sep)


def peak() -> int:
    """Returns the largest amount of memory since it was last asked for, in bytes; 0 if unknown."""
    try:
        status = Path("/proc/self/status").read_text()
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return 0
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def limit_memory(more: int | None) -> None:
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    size = hard if more is None else psutil.Process().memory_info().vms + more
    resource.setrlimit(resource.RLIMIT_AS, (size, hard))


def put(files: readers.Files, folder: Path) -> None:
    """Makes a folder that holds these files."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def outcome(kind: readers.Kind, folder: Path) -> dict[str, str]:
    """What reading a folder comes to."""
    try:
        kind.read(folder)
    except kind.errors as error:
        said = str(error)
        return {"outcome": "refused" if len(said) <= LONGEST else "wrong", "detail": said[:LONGEST]}
    except BaseException as error:
        name = f"{type(error).__module__}.{type(error).__name__}"
        return {"outcome": "wrong", "detail": f"{name}: {error!r:.300}"}
    return {"outcome": "read"}


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes elsewhere

    def say(**fields) -> None:
        print(json.dumps(fields), file=out, flush=True)

    here = Path.cwd() / "here"
    watch = Watch(Path.cwd())
    for line in sys.stdin:
        name, seed, start, stop = json.loads(line)
        kind = readers.KINDS[name]
        limit_memory(None)
        wholes = kind.whole()
        for whole in wholes:
            put(whole, here)
            kind.read(here)
        limit_memory(MEMORY)
        say(ready=True)
        for index in range(start, stop):
            chance = random.Random(f"{name} {seed} {index}")
            put(kind.damage(chance.choice(wholes), chance), here)
            before = peak() and peak()
            say(index=index)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            watch.on = True
            found = outcome(kind, here)
            watch.on = False
            signal.setitimer(signal.ITIMER_PROF, 0)
            say(index=index, memory=peak() - before, found=watch.found, **found)
            watch.found = []


if __name__ == "__main__":
    main()
