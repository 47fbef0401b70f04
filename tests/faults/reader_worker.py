"""Reads damaged files one after another: `python -m tests.faults.reader_worker KIND SEED NUMBER`.

It runs in an empty folder, which is all that it may read or write beside Python's own files, with
2 GiB of memory more than it has when its libraries are loaded. For each file there is a line before
it is read and a line of JSON after it.
"""

import json
import os
import random
import signal
import sys
from pathlib import Path

MEMORY = 2 << 30
SECONDS = 10  # of the processor for one file: then a signal ends the process
NETWORK = ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec")
WRITES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.chmod")


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
        if event in NETWORK:
            self.found.append(f"{event} {arguments[:1]}")
        elif event == "open" and isinstance(arguments[0], str | bytes):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            writes = isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
            if not self._mine(path) and (writes or not path.startswith(self._code)):
                self.found.append(f"open {path} {arguments[1]}")
        elif event in WRITES and isinstance(arguments[0], str | bytes):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if not self._mine(path):
                self.found.append(f"{event} {path}")

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


def limit_memory() -> None:
    import resource

    import psutil

    size = psutil.Process().memory_info().vms + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def main(kind_name: str, seed: int, start: int, number: int) -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes elsewhere

    def say(**fields) -> None:
        print(json.dumps(fields), file=out, flush=True)

    from tests.faults import readers

    kind = readers.KINDS[kind_name]
    folder = Path.cwd()
    (folder / "mnist" / "fc10-1").mkdir(parents=True, exist_ok=True)
    file = folder / "mnist" / "fc10-1" / "file"
    wholes = kind.whole()
    for whole in wholes:
        file.write_bytes(whole)
        kind.read(file)
    watch = Watch(folder)
    limit_memory()
    say(ready=True)
    for index in range(start, number):
        chance = random.Random(f"{kind_name} {seed} {index}")
        content = chance.choice(kind.changes)(chance.choice(wholes), chance)
        file.write_bytes(content)
        before = peak() and peak()
        say(index=index)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        outcome, detail, watch.on = "read", "", True
        try:
            kind.read(file)
        except kind.errors as error:
            outcome, detail = "refused", str(error)
        except BaseException as error:
            outcome, detail = (
                "wrong",
                f"{type(error).__module__}.{type(error).__name__}: {error!r:.300}",
            )
        watch.on = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        found, watch.found = watch.found, []
        say(index=index, outcome=outcome, detail=detail, memory=peak() - before, found=found)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
