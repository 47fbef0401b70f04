"""Tries to beat the Lipschitz bounds: random whole graphs, random classifiers, random layers.

    python benchmarks/lipschitz_soundness.py --output=soundness --graphs=20000 --classifiers=2000

Graphs are those of tests/lipschitz/random_graphs.py: 3 to 15 nodes, every layer and operation with
a rule, nested and shared, odd arguments, extreme weights, branches that cancel; each bound against
the float64 Jacobian at random points and around the worst of them. Classifiers: five inputs each,
certified radii against `itf.LBFGSAdversary` and DeepFool, with bisection along what they find.
`--layers=20` repeats the properties of tests/test_lipschitz.py so many times as often.

Every trial is a line of JSON in the output folder, so that a run that is started again does what is
missing. `--processes=4` shares the trials among processes; `--minutes=30` ends earlier; the table
counts what is in the folder. A violation is printed with its seed.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import functools
import gc
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
WHAT = ("graphs", "classifiers")
# Trials after which what Keras keeps of them is dropped.
CLEARED = 50


def finished(folder: Path, what: str) -> dict[int, dict[str, Any]]:
    """The trials in the folder, by seed."""
    done = {}
    for file in sorted(folder.glob(f"{what}-*.jsonl")):
        for line in file.read_text().splitlines():
            try:
                trial = json.loads(line)
            except ValueError:
                continue  # the last line of a run that was killed
            done[trial["seed"]] = trial
    return done


def in_turn(flags: argparse.Namespace, part: int) -> list[tuple[str, int]]:
    """One process's share of the trials that are missing: what, and the seed; all kinds in turn."""
    trials = []
    for what in WHAT:
        number, done = getattr(flags, what), finished(flags.output, what)
        seeds = range(flags.seed + part, flags.seed + number, flags.processes)
        trials += [((each - flags.seed) / number, what, each) for each in seeds if each not in done]
    return [(what, each) for _, what, each in sorted(trials)]


def work(flags: argparse.Namespace, part: int) -> None:
    """Runs one process's share of the trials, and adds them to the folder."""
    import keras
    import tensorflow as tf

    from tests.lipschitz.random_classifiers import try_classifier
    from tests.lipschitz.random_graphs import try_graph

    # Graphs are small: other threads, and tidy tracebacks of what Keras refuses, cost more.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.debugging.disable_traceback_filtering()
    keras.config.disable_traceback_filtering()
    until = time.time() + 60 * flags.minutes
    tries = {"graphs": try_graph, "classifiers": functools.partial(try_classifier, lbfgs=True)}
    files = {what: (flags.output / f"{what}-{os.getpid()}.jsonl").open("a") for what in WHAT}
    for number, (what, seed) in enumerate(in_turn(flags, part)):
        if time.time() > until:
            return
        try:
            found = dataclasses.asdict(tries[what](seed))
        except Exception as error:  # an error that is no refusal is one to look at
            found = {"outcome": "failed", "ratio": 0.0, "why": f"{type(error).__name__}: {error}"}
        line = json.dumps({"seed": seed, **found, "why": found["why"][:300]})
        print(line, file=files[what], flush=True)
        if found["outcome"] in ("violated", "failed"):
            print(f"{what}, seed {seed}: {found['why']}", flush=True)
        if number % CLEARED == CLEARED - 1:
            keras.backend.clear_session()
            gc.collect()


def table(folder: Path) -> int:
    """Prints what is in the folder; returns the violations."""
    violations = 0
    for what in WHAT:
        trials = finished(folder, what).values()
        if not trials:
            continue
        outcomes = collections.Counter(each["outcome"] for each in trials)
        kinds = [re.search(r"\((\w+)\)", t["why"]) for t in trials if t["outcome"] == "refused"]
        refused = collections.Counter(kind.group(1) if kind else "the model" for kind in kinds)
        largest = max((each["ratio"] for each in trials if each["outcome"] == "held"), default=0.0)
        print(f"\n{what}: {len(trials)} trials\n\n| outcome | number | share |\n|---|---|---|")
        for name, count in sorted(outcomes.items()):
            print(f"| {name} | {count} | {count / len(trials):.1%} |")
        print(f"\nlargest attained share of a bound, or found share of a radius: {largest:.9f}")
        print("refused most often:", ", ".join(f"{k} {n}" for k, n in refused.most_common(10)))
        violations += outcomes["violated"] + outcomes["failed"]
    return violations


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("soundness"))
    parser.add_argument("--graphs", type=int, default=20000)
    parser.add_argument("--classifiers", type=int, default=2000)
    parser.add_argument("--layers", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--part", type=int, help="of a process that another one has started")
    flags = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    flags.output.mkdir(parents=True, exist_ok=True)
    if flags.part is not None or flags.processes == 1:
        work(flags, flags.part or 0)
    else:
        parts = [[*sys.argv, f"--part={part}"] for part in range(flags.processes)]
        for each in [subprocess.Popen([sys.executable, *part]) for part in parts]:
            each.wait()
    if flags.part is not None:
        return 0
    violated = table(flags.output)
    if flags.layers:
        import pytest

        os.environ["LIPSCHITZ_EXAMPLES"] = str(flags.layers)
        tests = str(ROOT / "tests" / "test_lipschitz.py")
        violated += int(pytest.main(["-q", "-p", "no:warnings", tests]))
    return int(violated > 0)


if __name__ == "__main__":
    sys.exit(main())
