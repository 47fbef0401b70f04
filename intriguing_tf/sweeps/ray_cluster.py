"""The shards of a sweep on a Ray cluster: one worker process a model load, replaced when it dies.

Only the process that called `sweep` reads the data and writes shards, so the machines need no
common file system. Each worker has one shard at a time; the next slice is read when one is done.
"""

from __future__ import annotations

import functools
import logging
import math
import os
import socket
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from intriguing_tf.adversary import AdversarialResult, LBFGSAdversary
from intriguing_tf.sweeps.packing import PackedModel
from intriguing_tf.sweeps.plan import Cell, Plan, adversary_settings
from intriguing_tf.sweeps.workers import Results, Task, Tasks, attack, make_adversaries
from intriguing_tf.text import one_line, words

_RETRIES = 3  # of a shard whose worker died
_RESTARTS = 100  # of a worker
_SMALLEST_STORE = 80 * 2**20  # Ray refuses less
_ANSWERS = 10.0  # seconds for a cluster to take a connection


class Worker:
    """A process of the cluster: loads the models once, then attacks shards."""

    def __init__(self, sent: list[Any], plan: Plan, threads: int):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)
        self._sent, self._plan = sent, plan

    @functools.cached_property
    def _adversaries(self) -> dict[Cell, LBFGSAdversary]:
        """Made with the first shard: if `__init__` raises, Ray says that the worker died."""
        import ray

        try:
            models, settings = ray.get(self._sent[0])
            loaded = {name: packed.unpack() for name, packed in models.items()}
        except Exception as error:  # what the code of anyone does is not foreseen
            raise RuntimeError(
                "Workers must be able to import the modules that a model's own layers, and losses, "
                f"come from. Received, on {socket.gethostname()}: {one_line(str(error))}"
            ) from None
        for name, packed in models.items():
            if not packed.computes(loaded[name]):
                raise _another(f"Model {name!r}", "is in the `get_config` of layers")
        adversaries = make_adversaries(loaded, settings, self._plan.cells)
        # Settings are described by the last model as sent; a plan that is read has another order.
        last = [*models][-1]
        for name, expected in self._plan.settings.items():
            adversary = adversaries[Cell(last, next(iter(self._plan.targets)), name)]
            if "own_loss" in expected and not self._computes(adversary, last, expected):
                raise _another(f"The loss of settings {name!r}", "is an attribute of the loss")
        return adversaries

    def _computes(self, adversary: LBFGSAdversary, model: str, expected: Any) -> bool:
        """Whether an adversary's loss, which is one's own, computes what the plan says."""
        found = adversary_settings(adversary, self._plan.models[model]["classes"])
        return _computed(found) == _computed(expected)

    def attack(self, task: Task, images: np.ndarray, labels: Any) -> AdversarialResult:
        """Returns a shard's result."""
        return attack(self._adversaries[task.cell], task, images, labels)


def _another(which: str, where: str) -> RuntimeError:
    return RuntimeError(
        f"{which} must compute on workers what it computes where the sweep is started. Globals "
        "and class attributes of modules that were set after the import do not travel: what is "
        f"to travel {where}. Received: another one on {socket.gethostname()}."
    )


def _computed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a loss of one's own computes; its source is not to be found everywhere."""
    return {key: value for key, value in settings["own_loss"].items() if key != "code"}


def run_on_ray(
    models: Mapping[str, PackedModel],
    settings: Mapping[str, Any],
    plan: Plan,
    tasks: Tasks,
    address: str,
    workers: int | None,
) -> Results:
    """Runs tasks on a cluster and yields their results as they are ready.

    Raises:
        ConnectionError: there is no cluster at the address.
        RuntimeError: a worker cannot load the models, or they compute something else there; or a
            shard's worker died, and so did those that replaced it.
    """
    import ray

    size = sum(map(len, models.values()))
    started = not ray.is_initialized()
    if started:
        _connect(address, workers, plan, size)
    try:
        # Held until the end: workers that are replaced need it again.
        there = ray.put((models, settings))
        yield from _through(_start([there], plan, workers), tasks)
    finally:
        if started:
            ray.shutdown()


def _connect(address: str, workers: int | None, plan: Plan, model_bytes: int) -> None:
    import ray

    if address != "local":
        _check_answers(address)
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    image_bytes = int(np.prod(plan.data["shape"])) * np.dtype(plan.data["dtype"]).itemsize
    # Of each worker's shard: the images, the result's two copies of them, and room to move.
    in_flight = 4 * (2 + (workers or os.cpu_count() or 1)) * plan.shard_size * image_bytes
    ray.init(
        "local",
        object_store_memory=max(_SMALLEST_STORE, model_bytes + in_flight),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )


def _check_answers(address: str) -> None:
    """Raises where nothing answers: Ray waits for minutes, and says nothing."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():  # "auto" fails at once
        return
    try:
        socket.create_connection((host, int(port)), _ANSWERS).close()
    except (OSError, OverflowError) as error:
        raise ConnectionError(
            f"No Ray cluster answers at {address!r}. Give 'local', 'auto', or HOST:PORT of a "
            f"cluster that runs. Received: {words(error)}."
        ) from error


def _start(sent: list[Any], plan: Plan, workers: int | None):
    """Starts the workers: one for each GPU, or without GPUs for each CPU, or as many as asked."""
    import ray

    resources = ray.cluster_resources()
    cpus, gpus = resources.get("CPU", 1), resources.get("GPU", 0)
    workers = workers or int(gpus or cpus)
    kind = ray.remote(Worker).options(
        num_cpus=_share(cpus, workers),
        num_gpus=_share(gpus, workers),
        max_restarts=_RESTARTS,
        max_task_retries=_RETRIES,
    )
    threads = max(1, int(cpus // workers))
    return [kind.remote(sent, plan, threads) for _ in range(workers)]


def _share(total: float, workers: int) -> float:
    """What each worker gets, at most one; Ray counts in ten-thousandths."""
    return min(1.0, math.floor(1e4 * total / workers) / 1e4)


def _through(workers: list[Any], tasks: Tasks) -> Results:
    """Gives each worker a task whenever it is idle; nothing is read before it is needed."""
    import ray

    idle, running = list(workers), {}
    index, images_there = None, None
    while True:
        while idle and (upcoming := next(tasks, None)) is not None:
            task, images, labels = upcoming
            if task.slice != index:
                index, images_there = task.slice, ray.put(images)
            worker = idle.pop()
            running[worker.attack.remote(task, images_there, labels)] = worker, task, labels
        if not running:
            return
        (ready,), _ = ray.wait(list(running))
        worker, task, labels = running.pop(ready)
        result = _get(ready, task)
        idle.append(worker)
        yield task, labels, result


def _get(ready: Any, task: Task) -> AdversarialResult:
    import ray

    try:
        return ray.get(ready)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise RuntimeError(
            f"The workers of slice {task.slice} of {task.cell} died {1 + _RETRIES} times, or could "
            f"not be started: {error}"
        ) from error
