"""Files that somebody changed, and what reads them: in a process of its own, watched.

A kind of file is a function that writes an undamaged folder, one that damages a file in it, and one
that reads it all.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import resource
import shutil
import sys
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# What the processes share: it is imported once, by the server that they are forked from.
PRELOADED = ["tests.faults.tampering", "intriguing_tf.sweeps.reading", "intriguing_tf.store"]
MEMORY = 2 << 30  # bytes that reading may take
SECONDS = 10

FIELDS = (
    "images", "originals", "targets", "predictions", "original_predictions", "status",
    "distortion", "l2", "c", "nfev",
)  # fmt: skip
JUNK: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 1e308, float("nan"), float("inf"), "",
    "x", "\x1b[31m", "../../../etc/passwd", "/etc/passwd", "a\nb", "²", "x" * 10_000, [], {}, [[]],
    {"": {}}, [None], {"a": 1}, ["x"] * 1000, "nested",
]  # fmt: skip
ARRAYS = [
    np.array(None, object), np.zeros((0,)), np.zeros((3, 0, 7)), np.array(5), np.array("x"),
    np.full(10, np.nan), np.full(10, -1.0), np.arange(10), np.zeros(10, "complex64"),
    np.zeros(10, "M8[s]"), np.array(["found"] * 9 + ["lost"]), np.zeros(10, "V3"),
]  # fmt: skip


class Kind(NamedTuple):
    """Writes a folder, damages it, reads it; which errors reading may raise."""

    write: Callable[[Path], None]
    damage: Callable[[Path, np.random.Generator], None]
    read: Callable[[Path], None]
    errors: tuple[type[Exception], ...]


def result(rows: int = 10) -> Any:
    """A result of ten small images, one of each status at least."""
    from intriguing_tf.adversary import AdversarialResult

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


def plan() -> Any:
    from intriguing_tf.sweeps.plan import Plan

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


def read_result(folder: Path) -> None:
    from intriguing_tf.adversary import AdversarialResult

    loaded = AdversarialResult.load(folder / "result")
    assert loaded.success.shape == loaded.distortion.shape == loaded.images.shape[:1]
    check_text(str(loaded))


def write_sweep(folder: Path) -> None:
    from intriguing_tf.store import claim
    from intriguing_tf.sweeps.shards import ShardFolder

    claim(folder, plan().manifest())
    shards = ShardFolder(folder, plan())
    for cell in plan().cells:
        for index in range(plan().slices):
            rows = len(plan().rows(index))
            shards.write(cell, index, np.zeros(rows, np.int64), result(rows))


def read_sweep(folder: Path) -> None:
    """What readers do, then what a sweep does that is started again."""
    from intriguing_tf.store import claim
    from intriguing_tf.sweeps import Sweep
    from intriguing_tf.sweeps.shards import ShardFolder

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


def damage_result(folder: Path, random: np.random.Generator) -> None:
    if random.random() < 0.4:
        damage_json(folder / "result.json", random)
    else:
        file = folder / "result.npz"
        file.write_bytes(damaged_npz(file.read_bytes(), random))


def damage_manifest(folder: Path, random: np.random.Generator) -> None:
    damage_json(folder / "manifest.json", random)


def damage_shard(folder: Path, random: np.random.Generator) -> None:
    """Changes a shard, or puts it in another's place; as a rule under a name with its SHA-256."""
    files = sorted((folder / "shards").glob("*/*.npz"))
    file, other = random.choice(len(files), 2, replace=False)
    file, other = files[file], files[other]
    content = file.read_bytes()
    file.unlink()
    if random.random() < 0.1:  # under the name and in the place of another one
        file.with_name(f"{file.name[:7]}{other.name[7:]}").write_bytes(other.read_bytes())
        return
    if random.random() < 0.3:
        content = with_provenance(content, random)
    else:
        content = damaged_npz(content, random)
    sha256 = hashlib.sha256(content).hexdigest()[:32]
    honest = random.random() < 0.8
    name = f"{file.name[:7]}{sha256}.npz" if honest else file.name
    file.with_name(name).write_bytes(content)


def with_provenance(content: bytes, random: np.random.Generator) -> bytes:
    with np.load(io.BytesIO(content)) as stored:
        arrays = dict(stored)
    text = changed_json(json.loads(str(arrays["provenance"])), random)
    arrays["provenance"] = np.array(text)
    return saved(arrays)


def saved(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def damage_json(file: Path, random: np.random.Generator) -> None:
    content = file.read_bytes()
    if random.random() < 0.3:
        file.write_bytes(damaged_bytes(content, random))
    else:
        file.write_text(changed_json(json.loads(content), random), errors="surrogatepass")


def changed_json(values: Any, random: np.random.Generator) -> str:
    """JSON in which one to three values are others, gone, or under other names."""
    for _ in range(random.integers(1, 4)):
        places = list(containers(values))
        if not places:
            break
        place = places[random.integers(len(places))]
        keys = list(place) if isinstance(place, dict) else range(len(place))
        if not len(keys):
            continue
        key = keys[random.integers(len(keys))]
        kind = random.random()
        if kind < 0.15:
            del place[key]
        elif kind < 0.3 and isinstance(place, dict):
            place[str(JUNK[random.integers(len(JUNK))])] = place.pop(key)
        else:
            place[key] = copy.deepcopy(JUNK[random.integers(len(JUNK))])
    text = json.dumps(values)
    depth = int(random.choice([90, 900, 90_000]))
    return text.replace('"nested"', depth * "[" + depth * "]")


def containers(value: Any) -> Any:
    if isinstance(value, dict | list):
        yield value
        for each in value.values() if isinstance(value, dict) else value:
            yield from containers(each)


def damaged_npz(content: bytes, random: np.random.Generator) -> bytes:
    """A `.npz` with other bytes, another member, or another way of compression."""
    kind = random.integers(5)
    if kind < 2:
        return damaged_bytes(content, random)
    with np.load(io.BytesIO(content)) as stored:
        arrays = dict(stored)
    name = str(random.choice(sorted(arrays)))
    if kind == 2:
        arrays[name] = ARRAYS[random.integers(len(ARRAYS))]
        return saved(arrays)
    members = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    member = f"{name}.npy"
    if kind == 3:
        members[member] = damaged_bytes(members[member], random)
    else:
        members[member] = odd_member(members[member], random)
    method = int(random.choice([0, 8, 12, 14]))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for each, data in members.items():
            archive.writestr(each if random.random() < 0.98 else f"../{each}", data)
    return buffer.getvalue()


def odd_member(member: bytes, random: np.random.Generator) -> bytes:
    """A member that claims a shape it does not have, unpacks to much, or is no array."""
    shape = str(random.choice(["(10000000000000,)", "(-1,)", "(99999999999999999999,)", "((1,),)"]))
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    claims = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    bomb = member + bytes(int(random.choice([1 << 20, 100 << 20])))
    code = b"\x93NUMPY\x01\x00\x10\x00{'a': f()}     \n"
    return [claims, bomb, code, b"", b"\x80\x04cos\nsystem\n"][random.integers(5)]


def damaged_bytes(content: bytes, random: np.random.Generator) -> bytes:
    """One to three bytes changed; or a piece cut off, cut out, repeated or put in."""
    data = bytearray(content)
    start, end = sorted(int(place) for place in random.integers(0, len(data) + 1, 2))
    kind = random.integers(6)
    if kind < 2:
        for _ in range(random.integers(1, 4)):
            data[random.integers(len(data))] = random.integers(256)
    elif kind == 2:
        del data[start:]
    elif kind == 3:
        del data[start : min(end, start + 50)]
    elif kind == 4:
        data[end:end] = data[start:end]
    else:
        data[start:start] = random.bytes(9)
    return bytes(data)


KINDS = {
    "manifest": Kind(write_sweep, damage_manifest, read_sweep, (ValueError,)),
    "shard": Kind(write_sweep, damage_shard, read_sweep, (ValueError,)),
    "result": Kind(write_result, damage_result, read_result, (ValueError,)),
}


def run(name: str, number: int, good: Path, folder: Path, pipe: Any) -> None:
    """Damages a copy of a good folder and reads it, watched; tells the pipe what was wrong."""
    kind = KINDS[name]
    shutil.copytree(good, folder, dirs_exist_ok=True)
    kind.damage(folder, np.random.default_rng(number))
    for limit, most in ((resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_AS, memory() + MEMORY)):
        resource.setrlimit(limit, (most, most))
    outside: list[str] = []
    sys.addaudithook(lambda event, arguments: watch(event, arguments, folder, outside))
    try:
        kind.read(folder)
        said = "read"
    except kind.errors as error:
        check_error(error)
        said = "refused"
    except BaseException:
        pipe.send(traceback.format_exc())
        return
    pipe.send(said if not outside else f"outside of the folder: {outside}")


def check_error(error: Exception) -> None:
    if len(str(error)) > 5_000:
        raise AssertionError(f"a message of {len(str(error))} characters") from error


def memory() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def watch(event: str, arguments: tuple[Any, ...], folder: Path, outside: list[str]) -> None:
    """Notes what is done to anything that is not in the folder."""
    if event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn")):
        outside.append(event)
    if event.split(".")[0] in ("open", "os", "shutil") and arguments:
        paths = [each for each in arguments[:2] if isinstance(each, str | bytes | os.PathLike)]
        allowed = (str(folder), *PYTHON) if event == "open" else (str(folder),)
        for path in map(os.fsdecode, paths):
            if os.path.isabs(path) and not os.path.abspath(path).startswith(allowed):
                outside.append(f"{event} {path}")


# Modules that are imported when they are needed.
PYTHON = (sys.prefix, sys.base_prefix, str(Path(__file__).parents[2] / "intriguing_tf"),
          *{str(Path(each)) for each in sys.path if each.endswith("site-packages")})  # fmt: skip
