"""The adversary beside every known attack of least norm: distances, gradients, CPU seconds.

    python benchmarks/adversary_peers.py --networks=fc100-100-10,conv

Every attack gets the same network, images, targets and batch, on one thread. Each run is a row, a
line of JSON in `--rows`; rows that are there are not measured again: a run that was stopped resumes
with the same command. `--again=L-BFGS` renews the rows of attacks whose names start so.
Needs the extra `bench` but for our own rows; the networks that are trained need MNIST; photographs
need the folder IMAGENET_IMAGES, SqueezeNet the file SQUEEZENET_WEIGHTS, and both get the attacks of
at most 100 gradients, and ours, unless `--most` says otherwise (a peer's row of 1 000 takes most of
an hour). `peers_table.py` lays the rows out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from pathlib import Path

# Before TensorFlow is imported, which happens inside the functions.
for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

with contextlib.suppress(ImportError):  # our own rows need it not
    import adv_lib.attacks  # noqa: F401  (torch's Triton crashes when TensorFlow came before it)

from benchmarks.adversary_networks import NETWORKS, PHOTOGRAPHS, case  # noqa: E402
from benchmarks.adversary_rivals import Attack, attacks  # noqa: E402


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--rows", type=Path, default=ROOT / "docs" / "measured" / "peers.jsonl")
    parser.add_argument("--attacks", default="", help="only those whose names start with one of")
    parser.add_argument("--kinds", default="random,nearest", help="of targets")
    parser.add_argument("--most", type=int, help="gradients of an image")
    parser.add_argument("--again", default=None, help="renew rows of attacks that start so")
    flags = parser.parse_args(arguments)
    rows = {key(row): row for row in read(flags.rows)}
    renewed = set()
    for name in flags.networks.split(","):
        there = None
        for kind in flags.kinds.split(","):
            for attack in attacks():
                if not _wanted(attack, kind, name, flags):
                    continue
                new = (name, kind, attack.name, attack.budget)
                again = flags.again is not None and attack.name.startswith(flags.again)
                if new in rows and (not again or new in renewed):
                    continue
                there = there or case(name, ROOT / "evidence" / "networks")
                rows[new] = dict(zip(KEY, new, strict=True)) | measure(there, attack, kind)
                renewed.add(new)
                write(flags.rows, rows)
                print(*new, {k: v for k, v in rows[new].items() if k in SHOWN}, flush=True)


KEY = ("network", "targets", "attack", "budget")
SHOWN = ("found", "l2", "gradients", "seconds", "error")


def _wanted(attack: Attack, kind: str, network: str, flags: argparse.Namespace) -> bool:
    most = flags.most or (10**9 if attack.ours or network not in PHOTOGRAPHS else 100)
    if network in PHOTOGRAPHS and kind == "nearest":
        return False
    return (
        kind in attack.kinds
        and attack.budget <= most
        and attack.name.startswith(tuple(flags.attacks.split(",")))
    )


def measure(there, attack: Attack, kind: str) -> dict:
    """What became of the images: distances, none where the model's own `predict` says otherwise."""
    import numpy as np

    images = there.images
    run = attack.run(there, kind)
    started = time.process_time()
    try:
        found, gradients = run()
    except (RuntimeError, ValueError, IndexError, AssertionError) as error:
        return {"error": f"{type(error).__name__}: {str(error)[:200]}"}
    seconds = time.process_time() - started
    found = np.clip(np.nan_to_num(found), 0, 1).astype(images.dtype)
    classes = there.model.predict(found, batch_size=len(found), verbose=0).argmax(1)
    success = classes == there.targets if kind == "random" else classes != there.labels
    change = (found - images).reshape(len(images), -1).astype(np.float64)
    each = np.sqrt((change**2).sum(1))
    return {
        "found": float(success.mean()),
        "l2": round(float(each[success].mean()), 5) if success.any() else None,
        "gradients": round(gradients, 1),
        "seconds": round(seconds, 3),
        "distances": [
            round(float(d), 5) if ok else None for d, ok in zip(each, success, strict=True)
        ],
    }


def key(row: dict) -> tuple:
    return tuple(row[name] for name in KEY)


def read(path: Path) -> list[dict]:
    """The rows that are there; half a line, which a kill may leave, is none."""
    if not path.is_file():
        return []
    lines = path.read_text().splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def write(path: Path, rows: dict) -> None:
    from intriguing_tf.files import write_atomically

    write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows.values()))


if __name__ == "__main__":
    main(sys.argv[1:])
