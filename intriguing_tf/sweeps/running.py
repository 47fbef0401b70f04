"""`sweep`: attacks a whole data set with many models and settings, resumable."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from intriguing_tf import progress
from intriguing_tf.adversary import LBFGSAdversary
from intriguing_tf.checks import check_positive_integer, check_seed
from intriguing_tf.files import check_folder
from intriguing_tf.store import MANIFEST, claim, locked, write_manifest
from intriguing_tf.sweeps.manifests import LARGEST
from intriguing_tf.sweeps.names import named_models, named_settings, named_targets
from intriguing_tf.sweeps.packing import pack
from intriguing_tf.sweeps.plan import Cell, Plan, make_plan, read_plan
from intriguing_tf.sweeps.ray_cluster import run_on_ray
from intriguing_tf.sweeps.reading import Sweep
from intriguing_tf.sweeps.shards import ShardFolder, holds_shards
from intriguing_tf.sweeps.source import Source
from intriguing_tf.sweeps.workers import Task, Tasks, make_adversaries, run_here

_SMALLEST_SHARD, _LARGEST_SHARD = 8, 256


def sweep(
    models: Any,
    images: Any,
    labels: Any = None,
    *,
    folder: str | os.PathLike,
    targets: Any = "random",
    settings: Any = None,
    seed: int = 0,
    shard_size: int | None = None,
    ray: str | None = None,
    workers: int | None = None,
    verbose: bool | str = "auto",
) -> Sweep:
    """Finds minimal adversarial examples for every image, model, kind of targets and setting.

    The work is cut into shards of consecutive images. Each is written whole, with what made it,
    so a sweep that was stopped or killed anywhere is started again with the same call and makes
    only what is missing. A call with more images, of which the first are those of before, extends
    the sweep. Damaged shards are found by their SHA-256 and recomputed. Memory does not
    grow with the number of images when they are a `tf.data.Dataset` or a `numpy.memmap`.

    Args:
        models: Keras models by name, or a model or a sequence of them (each then goes by
            `model.name`, with underscores for what a name may not have). All take the same images.
        images: floating array [n, ...], or a `tf.data.Dataset` of images or of pairs
            (image, label) in an order that does not change, batched or not.
        labels: integers [n], the true classes; without them, each model's own predictions.
        folder: of the sweep: made when it is not there.
        targets: "random", "least_likely", "nearest", a list of these, integers [n], or any of
            them by name.
        settings: dictionaries of `LBFGSAdversary`'s arguments by name, such as
            {"margin": {"loss": "margin"}}; by default its defaults. `outputs` may be a dictionary
            by name of model, "auto" for those that it leaves out.
        seed: of random targets. They do not depend on `shard_size`.
        shard_size: images in a shard; powers of four suit XLA. By default what the folder has,
            else as many as the adversary takes into one batch, from 8 to 256: a sweep of a large
            network that is stopped loses minutes.
        ray: `None` to work in this process; "local" for worker processes on this machine;
            an address ("auto", "host:port", "ray://host:port") for a Ray cluster.
        workers: processes of Ray; by default one for each GPU, or without GPUs for each CPU.
        verbose: show progress with the time left; "auto": if the standard error is a terminal.

    Returns:
        A `Sweep`, which prints as a table and reads the shards back.

    Raises:
        TypeError, ValueError: arguments that are not as above, or a folder that holds a sweep of
            other data, models or settings, or one made with other versions; with `ray`, a model
            that Keras cannot save and load, or that is another one afterwards, and a model or
            settings (a loss of one's own) that Ray cannot pickle.
        RuntimeError: another process is at work in the folder; workers that cannot load the
            models, or on which these compute something else; or a shard that its workers died of,
            time and again. Finished shards stay.
        OSError: the folder cannot be written to. Finished shards stay.
        ImportError: `ray` is given, but Ray is not installed.
        ConnectionError: no cluster answers at the address `ray`.

    Example:

        done = itf.sweep([model], images, labels, folder="sweep", targets=["random", "nearest"])
        print(done)
        done.write_table("sweep.csv")
    """
    _check_numbers(seed, shard_size, ray, workers)
    progress.shows_progress(verbose)  # complains about a wrong value before the work
    folder = check_folder(folder)
    models, targets = named_models(models), named_targets(targets)
    settings = named_settings(settings, [*models])
    cells = [Cell(m, t, s) for m in models for t in targets for s in settings]
    adversaries = make_adversaries(models, settings, cells)
    shape = next(iter(adversaries.values())).classifier.input_shape
    source = Source(images, labels, int(shard_size or _LARGEST_SHARD), shape)
    if shard_size is None:
        source.size = _shard_size(folder, adversaries.values(), source.shape)
    plan = make_plan(source, adversaries, models, targets, settings, int(seed))
    plan.manifest()  # complains before anything is written; so does `pack`
    packed = {} if ray is None else pack(models, settings, plan)
    with locked(folder):
        plan = _continuing(folder, plan, targets)
        plan = Plan.from_manifest(claim(folder, plan.manifest()))
        shards = ShardFolder(folder, plan)
        done = shards.whole()
        tasks = _tasks(source, plan, targets, done)
        if ray is None:
            results = run_here(adversaries, tasks, verbose)
        else:
            results = run_on_ray(packed, settings, plan, tasks, ray, workers)
        total = plan.images * len(plan.cells)
        finished = sum(len(plan.rows(index)) for _, index in done)
        with (
            contextlib.closing(results),
            progress.progress_bar(total, "sweep", verbose, done=finished) as bar,
        ):
            for task, task_labels, result in results:
                shards.write(task.cell, task.slice, task_labels, result)
                bar.update(len(result))
    return Sweep(folder)


def _shard_size(folder: Path, adversaries: Iterable[LBFGSAdversary], shape: tuple[int, ...]) -> int:
    """Returns the shard size of the sweep in the folder, or one that suits the adversaries."""
    if (folder / MANIFEST).is_file() and holds_shards(folder):
        return read_plan(folder).shard_size
    try:
        batch = min(adversary.batch_size(shape) for adversary in adversaries)
    except (ValueError, TypeError):  # images of another shape, about which the plan complains
        return _LARGEST_SHARD
    return max(_SMALLEST_SHARD, min(batch, _LARGEST_SHARD))


def _continuing(folder: Path, plan: Plan, targets: dict[str, Any]) -> Plan:
    """Returns the plan as the continuation of the one in the folder, and records it as such.

    One of which no shard was finished gives way.
    """
    if not (folder / MANIFEST).is_file():
        return plan
    earlier = read_plan(folder)
    continued = plan.continuing(earlier, targets)
    unfinished = not holds_shards(folder)
    if unfinished or continued.extends != earlier.extends:
        plan = plan if unfinished else continued
        write_manifest(folder, plan.manifest())
        return plan
    return continued


def _tasks(
    source: Source, plan: Plan, targets: dict[str, Any], done: set[tuple[Cell, int]]
) -> Tasks:
    """Yields what is missing, slice by slice, so that each slice is read once."""
    shifts = {
        classes: np.random.default_rng(plan.seed).integers(1, classes, plan.images)
        for classes in {model["classes"] for model in plan.models.values()}
    }
    missing: dict[int, list[Cell]] = {}
    for index in range(plan.slices):
        cells = [cell for cell in plan.cells if (cell, index) not in done]
        if cells:
            missing[index] = cells
    for piece in source.slices(list(missing)) if missing else ():
        if piece.fingerprint() != plan.data["slices"][piece.number]:
            raise _others(plan.rows(piece.number))
        rows = slice(plan.rows(piece.number).start, plan.rows(piece.number).stop)
        for cell in missing.pop(piece.number):
            chosen = targets[cell.targets]
            is_random = isinstance(chosen, str) and chosen == "random"
            if is_random:
                chosen = shifts[plan.models[cell.model]["classes"]]
            if not isinstance(chosen, str):
                chosen = chosen[rows]
            task = Task(cell, piece.number, chosen, plan.seed if is_random else None)
            yield task, piece.images, piece.labels
    if missing:
        raise _others(plan.rows(min(missing)))


def _others(rows: range) -> ValueError:
    return ValueError(
        f"Images {rows} were others, or none, when they were read again. The data must come in the "
        "same order and unchanged each time: no shuffling or augmentation, and no iterator that "
        "gives them once."
    )


def _check_numbers(seed: Any, shard_size: Any, ray: Any, workers: Any) -> None:
    if shard_size is not None:
        check_positive_integer("shard_size", shard_size)
        if shard_size > LARGEST:
            raise ValueError(f"`shard_size` must be at most {LARGEST}. Received: {shard_size}.")
    if workers is not None:
        check_positive_integer("workers", workers)
        if ray is None:
            raise ValueError("`workers` are Ray's: give `ray` too, such as ray='local'.")
    check_seed(seed)
    if ray is not None and (not isinstance(ray, str) or not ray):
        raise ValueError(
            f"`ray` must be None, 'local' or the address of a cluster. Received: {ray!r}."
        )
