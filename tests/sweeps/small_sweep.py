"""A sweep that takes a second, and what its folder holds."""

import intriguing_tf as itf

FAST = {"fast": {"maxfun": 25, "jit_compile": False, "solver": "scipy"}}


def run(model, data, folder, shard_size=4, settings=FAST, **arguments):
    return itf.sweep(
        model, *data, folder=folder, settings=settings, shard_size=shard_size, **arguments
    )


def files(folder):
    return {p.relative_to(folder): p.stat().st_mtime_ns for p in folder.rglob("*.npz")}
