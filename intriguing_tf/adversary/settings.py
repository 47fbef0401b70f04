"""How an adversary searches: settings that cannot change, so that what is recorded is what ran."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from intriguing_tf.adversary.bounds import check_bounds, describe_bound
from intriguing_tf.adversary.losses import LOSSES, Loss, find_loss
from intriguing_tf.checks import (
    check_between,
    check_choice,
    check_kind,
    check_positive_integer,
)
from intriguing_tf.classifier import OUTPUTS

SOLVERS = ("compiled", "scipy")


@dataclasses.dataclass(frozen=True)
class SearchConstants:
    """Constants of the search that nobody needs to set, for experiments with the method.

    Lengths of steps are root mean squares per variable in units of the box, or shares of |r| where
    that is said; margins are shares of the margin at the image.

    Attributes:
        near: margin below which a point counts as near the boundary.
        far: margin beyond which a step closes only part of it ...
        close: ... namely this part, since the quadratic model does not hold that far.
        longest_step: more than this no step moves, as a share of the range where that is finite.
        shorten: factor of a step that was rejected; the next accepted one may be twice as long.
        shortest_step: share of the full step below which a step is taken whatever it brings.
        patience: evaluations that may bring nothing before the search takes DeepFool steps.
        merit: weight of the margin in the merit function, in multipliers.
        first_overshoot: how far beyond the boundary a search aims at first, and ...
        least_overshoot, most_overshoot: ... the range of what it aims at later.
        settling: steps, as shares of |r|, below which the weights of the classes are updated.
        rising: a log weight that grows by more in one update has not found its value.
        least_log_weight: a class may come back, since its log weight does not fall below this.
        nearest_candidates: classes that "nearest" looks at: the most likely besides the
            image's own.
        nearest_screen: of these it searches those whose linearized distance is at most this many
            times the least.
        rival_doubt: of several searches of one image, one ends once what it has found or expects is
            farther than what another has found by more than this share of it; the share shrinks
            as `maxfun` is used up.
        bundle_after: share of `maxfun` after which a search that has found a point, and has not
            ended, continues as a bundle method.
        bundle_cuts: cuts that the bundle keeps.
        bundle_proximity: weight of the distance from the best point, before it adapts.
        bundle_aim: how far below 0 the cuts must lie, as a share of the margin at the image ...
        bundle_more: ... and by how much more after each trial that is not adversarial.
        bundle_patience: evaluations that may bring hardly anything before the bundle ends.
    """

    near: float = 0.1
    far: float = 0.2
    close: float = 0.7
    longest_step: float = 0.15
    shorten: float = 0.5
    shortest_step: float = 0.05
    patience: int = 20
    merit: float = 1.5
    first_overshoot: float = 5e-3
    least_overshoot: float = 2e-4
    most_overshoot: float = 0.05
    settling: float = 0.05
    rising: float = 0.1
    least_log_weight: float = -30.0
    nearest_candidates: int = 9
    nearest_screen: float = 1.5
    rival_doubt: float = 0.1
    bundle_after: float = 0.7
    bundle_cuts: int = 16
    bundle_proximity: float = 1.0
    bundle_aim: float = 1e-5
    bundle_more: float = 1e-4
    bundle_patience: int = 15

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, int):
                check_positive_integer(field.name, value)
            elif field.name == "least_log_weight":
                check_between(field.name, value, -np.inf, 0)
            else:
                check_between(field.name, value, 0)


def check_arguments(name: str, given: Any, *taken: str) -> None:
    """Checks further arguments of `LBFGSAdversary`, as far as that goes without a model.

    Args:
        name: of what holds them.
        given: by name.
        *taken: names of arguments that are given otherwise.

    Raises:
        TypeError, ValueError: no mapping, an unknown name, or a value out of its range.
    """
    check_kind(name, given, Mapping, "a dictionary of LBFGSAdversary's arguments by name")
    fields = [field.name for field in dataclasses.fields(AttackSettings)]
    valid = [each for each in fields if each not in {"dtype", *taken}]
    unknown = [each for each in given if each not in valid]
    if unknown:
        raise TypeError(
            f"`{name}` may have LBFGSAdversary's arguments {', '.join(valid)}. Received: "
            f"{', '.join(map(repr, unknown))}."
        )
    known = {key: value for key, value in given.items() if key != "layer"}
    if known.get("bounds", 0) is None:  # as the layer, of the model
        del known["bounds"]
    AttackSettings(**known)


def check_distortion(distortion: Any, bounds: tuple[Any, Any]) -> float:
    """Returns a distortion, above 0 and within the bounds.

    Args:
        distortion: root mean square change per variable, in units of the bounds' range.
        bounds: lower and upper; where they are infinite, so may be the change.

    Raises:
        TypeError, ValueError: it is not that.
    """
    check_between("distortion", distortion, 0)
    if distortion > 1 and all(np.isfinite(bound).all() for bound in bounds):
        raise ValueError(
            "`distortion` must be at most 1: it is a root mean square in units of the bounds' "
            f"range, beyond which nothing lies. Received: {distortion!r}."
        )
    return float(distortion)


@dataclasses.dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class AttackSettings:
    """Settings of an adversary: `LBFGSAdversary` says what each means.

    Attributes:
        layer: name of the layer whose outputs are attacked, or `None` for the model's inputs.
        bounds: (lower, upper), read-only arrays of `dtype`.
        dtype: in which the attack computes, "float32" or "float64".
        loss: a `Loss`; its name does too.
        solver, maxcor, maxfun, xtol, jit_compile, memory, starts, confidence, levels, outputs: as
            `LBFGSAdversary` takes them.
        constants: of the search.

    Raises:
        TypeError, ValueError: a setting out of its range.

    Example:

        settings = AttackSettings(loss="margin", maxfun=30)
        dataclasses.replace(settings, maxfun=100)
    """

    layer: str | None = None
    bounds: tuple[Any, Any] = (0.0, 1.0)
    dtype: str = "float32"
    loss: Loss = LOSSES["margin"]
    solver: str = "compiled"
    maxcor: int = 5
    maxfun: int = 100
    xtol: float = 1e-3
    jit_compile: bool | str = "auto"
    memory: int = 2**30
    constants: SearchConstants = SearchConstants()
    starts: int = 1
    confidence: float = 0.0
    levels: int | None = None
    outputs: str = "auto"

    def __post_init__(self) -> None:
        check_kind("layer", self.layer, (str, type(None)), "the name of a layer, or None")
        check_choice("dtype", self.dtype, ("float32", "float64"))
        check_choice("solver", self.solver, SOLVERS)
        check_choice("jit_compile", self.jit_compile, (True, False, "auto"))
        check_between("xtol", self.xtol, 0, 1)
        check_kind("constants", self.constants, SearchConstants, "SearchConstants")
        for name in ("maxcor", "maxfun", "memory", "starts"):
            check_positive_integer(name, getattr(self, name))
            self._set(name, int(getattr(self, name)))
        self._set("xtol", float(self.xtol))
        check_choice("outputs", self.outputs, OUTPUTS)
        if self.confidence != 0:
            check_between("confidence", self.confidence, 0)
        self._set("confidence", float(self.confidence))
        self._set("loss", find_loss(self.loss))
        bounds = check_bounds(self.bounds, self.dtype)
        if self.levels is not None:
            check_positive_integer("levels", self.levels)
            if self.levels < 2 or not all(np.isfinite(bound).all() for bound in bounds):
                raise ValueError(
                    "`levels` must be at least 2, and the bounds finite, since the first and the "
                    f"last level are the bounds. Received: {self.levels}, bounds {self.bounds!r}."
                )
            self._set("levels", int(self.levels))
        for bound in bounds:
            bound.setflags(write=False)
        self._set("bounds", bounds)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # as a frozen dataclass sets its own fields

    def to_json(self) -> dict[str, Any]:
        """Returns what a result keeps of them: numbers, texts and lists."""
        described = {
            "solver": self.solver,
            "loss": str(self.loss),
            "maxcor": self.maxcor,
            "maxfun": self.maxfun,
            "xtol": self.xtol,
            "dtype": self.dtype,
            "bounds": [describe_bound(bound) for bound in self.bounds],
            "starts": self.starts,
            "confidence": self.confidence,
            "levels": self.levels,
            "outputs": self.outputs,
        }
        if self.constants != SearchConstants():
            described["constants"] = dataclasses.asdict(self.constants)
        return described
