"""Sweeps and results that somebody changed, and what reads them."""

from __future__ import annotations

import hashlib
import io
import random
import re
from pathlib import Path
from typing import Any

import numpy as np

from intriguing_tf.adversary import AdversarialResult
from intriguing_tf.store import claim
from intriguing_tf.sweeps import Sweep
from intriguing_tf.sweeps.plan import Plan
from intriguing_tf.sweeps.shards import ShardFolder
from tests.faults import mutations

Files = dict[str, bytes]  # by their paths in a folder


def result(rows: int = 10) -> AdversarialResult:
    """A result of ten small images, one of each status at least."""
    random = np.random.default_rng(0)
    originals = random.uniform(size=(rows, 3, 2)).astype("float32")
    status = np.resize(["found", "already", "failed"], rows)
    size = np.select([status == "found", status == "failed"], [0.1, np.inf], 0.0)
    return AdversarialResult(
        images=originals + 0.1, originals=originals, targets=np.arange(rows),
        predictions=np.arange(rows), original_predictions=np.arange(rows), status=status,
        distortion=size, l2=2 * size, c=np.where(status == "found", 3.0, np.nan),
        nfev=np.arange(rows),
        settings={"solver": "scipy", "loss": "margin", "targets": "random", "seed": 0,
                  "seconds": 1.5, "versions": {"numpy": "2"}},
    )  # fmt: skip


def plan() -> Plan:
    return Plan(
        data={"images": 15, "shape": [3, 2], "dtype": "float32", "labels": True,
              "slices": [64 * "a", 64 * "b"]},
        models={"family/m": {"sha256": 64 * "c", "classes": 10, "layers": {"fc": 2}}},
        targets={"random": "random", "given": 64 * "d"},
        settings={"fast": {"solver": "scipy", "bounds": [0, 1], "layer": None}},
        seed=0, shard_size=10, versions={"numpy": "2"},
    )  # fmt: skip


def write_result(folder: Path) -> None:
    result().save(folder / "result")


def write_sweep(folder: Path) -> None:
    claim(folder, plan().manifest())
    shards = ShardFolder(folder, plan())
    for cell in plan().cells:
        for index in range(plan().slices):
            rows = len(plan().rows(index))
            shards.write(cell, index, np.zeros(rows, np.int64), result(rows))


def read_result(folder: Path) -> None:
    loaded = AdversarialResult.load(folder / "result")
    assert loaded.success.shape == loaded.distortion.shape == loaded.images.shape[:1]
    check_text(str(loaded))


def read_sweep(folder: Path) -> None:
    """What readers do, then what a sweep does that is started again."""
    errors = []
    for use in (
        lambda: Sweep(folder).missing,
        lambda: [check_shard(shard) for shard in Sweep(folder).shards()],
        lambda: check_text(str(Sweep(folder))),
        lambda: Sweep(folder).result(targets="given"),
        lambda: claim(folder, plan().manifest()),
    ):
        try:
            use()
        except ValueError as error:
            errors.append(error)
    done = ShardFolder(folder, plan()).whole()  # removes what is damaged
    assert len(done) >= 3, "an undamaged shard was not accepted"
    assert len([*ShardFolder(folder, plan()).folder.glob("*/*.npz")]) == len(done)
    if errors:
        raise errors[0]


def check_shard(shard: Any) -> None:
    assert len(shard.rows) == len(shard.result) == len(shard.labels)
    assert shard.provenance["cell"] == list(shard.cell)


def check_text(text: str) -> None:
    assert text.replace("\n", "").isprintable(), "a terminal would obey what is printed"


def damage_json(content: bytes, chance: random.Random) -> bytes:
    return chance.choice([mutations.damaged_json, *2 * [mutations.damaged]])(content, chance)


def damage_result(files: Files, chance: random.Random) -> Files:
    if chance.random() < 0.4:
        return files | {"result.json": damage_json(files["result.json"], chance)}
    change = chance.choice(mutations.NPZ)
    return files | {"result.npz": change(files["result.npz"], chance)}


def damage_manifest(files: Files, chance: random.Random) -> Files:
    return files | {"manifest.json": damage_json(files["manifest.json"], chance)}


def damage_shard(files: Files, chance: random.Random) -> Files:
    """A shard changed, or in another's place; as a rule under a name with its SHA-256."""
    shards = sorted(name for name in files if name.endswith(".npz"))
    name, other = chance.sample(shards, 2)
    content = files[name]
    rest = {each: files[each] for each in files if each != name}
    if chance.random() < 0.1:  # under the name and in the place of another one
        sha256 = other.rpartition("-")[2]
        return rest | {re.sub(r"[0-9a-f]{32}\.npz$", sha256, name): files[other]}
    change = chance.choice([damage_provenance, *mutations.NPZ])
    content = change(content, chance)
    sha256 = hashlib.sha256(content).hexdigest()[:32]
    honest = chance.random() < 0.8
    return rest | {re.sub(r"[0-9a-f]{32}(?=\.npz$)", sha256, name) if honest else name: content}


def damage_provenance(content: bytes, chance: random.Random) -> bytes:
    with np.load(io.BytesIO(content)) as stored:
        arrays = dict(stored)
    text = mutations.damaged_json(str(arrays["provenance"]), chance).decode()
    return mutations.npz(arrays | {"provenance": np.array(text)})
