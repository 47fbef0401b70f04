"""Box-constrained L-BFGS for a batch of problems, one compiled loop for all of them.

For any batch of smooth problems in boxes. Method: projected quasi-Newton steps on the variables
that are not held at a bound (Bertsekas 1982; Schmidt, Kim and Sra 2011).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from intriguing_tf.adversary.batching import run_to_the_end, step_until, traced_once
from intriguing_tf.adversary.lbfgs import Pairs, choose, dot, free_variables, inverse_hessian
from intriguing_tf.checks import check_positive_integer, check_unmasked

_GTOL, _FTOL, _MAXITER, _PRECISION, _NOT_FINITE = 1, 2, 0, -1, -2
_MESSAGES = {
    _GTOL: "the projected gradient is at most gtol",
    _FTOL: "the last step lowered the value by at most ftol",
    _MAXITER: "maxiter steps were taken",
    _PRECISION: "no step lowers the value any more at the precision of its numbers",
    _NOT_FINITE: "the value or gradient is not finite at the starting point",
}
_ARMIJO = 1e-4  # fraction of the predicted decrease that a step must bring


class MinimizeResult(NamedTuple):
    """Minimizers of a batch of problems.

    Attributes:
        x: [n, size] the points.
        fun: [n] their values.
        nit: int32 [n] steps taken.
        nfev: int32 [n] evaluations of value and gradient.
        status: int32 [n] why each search ended: 1 `gtol` is met; 2 `ftol` is met; 0 `maxiter` steps
            were taken; -1 no step lowers the value any more, at the precision of its numbers; -2
            the value or gradient is not finite at the starting point.
    """

    x: tf.Tensor
    fun: tf.Tensor
    nit: tf.Tensor
    nfev: tf.Tensor
    status: tf.Tensor

    @property
    def success(self) -> tf.Tensor:
        """bool [n]: what was asked holds, `gtol` or an `ftol` above 0."""
        return self.status > 0

    @property
    def message(self) -> list[str]:
        """[n] what `status` says, in words."""
        return [_MESSAGES[status] for status in self.status.numpy().tolist()]


class _State(NamedTuple):
    x: tf.Tensor
    fun: tf.Tensor
    gradient: tf.Tensor
    trial: tf.Tensor
    direction: tf.Tensor
    length: tf.Tensor
    pairs: Pairs
    restarted: tf.Tensor  # the value where the history was last dropped
    nit: tf.Tensor
    nfev: tf.Tensor
    status: tf.Tensor
    done: tf.Tensor


@dataclasses.dataclass(frozen=True)
class _Step:
    """What a search does with an evaluation; the arguments are `Minimizer`'s."""

    ftol: float
    gtol: float
    maxiter: int
    maxls: int

    def is_flat(self, x, gradient, lower, upper):
        projected = tf.clip_by_value(x - gradient, lower, upper) - x
        return tf.reduce_max(tf.abs(projected), axis=1) <= self.gtol

    def __call__(self, s: _State, lower, upper, fun, gradient) -> _State:
        """Returns the state after the evaluation of the trials."""
        finite = tf.math.is_finite(fun) & tf.reduce_all(tf.math.is_finite(gradient), axis=1)
        step = s.trial - s.x
        slope = dot(s.gradient, step)
        noise = 4 * np.finfo(fun.dtype.as_numpy_dtype).eps * tf.abs(s.fun)
        accepted = finite & (fun <= s.fun + _ARMIJO * slope + noise) & ~s.done
        nit = s.nit + tf.cast(accepted, tf.int32)
        nfev = s.nfev + tf.cast(~s.done, tf.int32)

        decrease = s.fun - fun
        scale = tf.maximum(tf.maximum(tf.abs(fun), tf.abs(s.fun)), 1.0)
        small = accepted & (decrease <= self.ftol * scale) & (self.ftol > 0)
        pairs = s.pairs.push(step, gradient - s.gradient, accepted)
        x, new_fun = choose(accepted, s.trial, s.x), tf.where(accepted, fun, s.fun)
        new_gradient = choose(accepted, gradient, s.gradient)
        flat = accepted & self.is_flat(x, new_gradient, lower, upper)

        # After a rejected step comes the minimum of the parabola through what is known of the line.
        parabola = -slope * s.length / (2 * tf.maximum(-decrease - slope, 1e-30))
        shorter = tf.where(
            finite, tf.clip_by_value(parabola, 0.1 * s.length, 0.5 * s.length), 0.1 * s.length
        )
        length = tf.where(accepted, tf.ones_like(shorter), shorter)

        # Where no step lowers the value the history may be to blame: it is dropped, unless that
        # has been tried from here.
        exhausted = tf.where(accepted, decrease <= 0, length < 0.5**self.maxls) & ~s.done
        precision = exhausted & ~(new_fun < s.restarted - noise)
        restart = exhausted & ~precision
        pairs = tf.cond(tf.reduce_any(restart), lambda: pairs.drop(restart), lambda: pairs)  # rare
        free = free_variables(x, new_gradient, lower, upper)
        steepest = -new_gradient * free
        newton = -inverse_hessian(pairs, free)(new_gradient[:, None])[:, 0]
        newton = choose(dot(newton, new_gradient) < 0, newton, steepest)
        direction = choose(accepted, newton, s.direction)
        direction = choose(restart, steepest, direction)
        length = tf.where(restart, _first_length(steepest), length)
        ended = [(flat, _GTOL), (small, _FTOL), (precision, _PRECISION)]
        status = s.status
        for where, code in reversed(ended):
            status = tf.where(where & ~s.done, code, status)
        return _State(
            x, new_fun, new_gradient,
            trial=tf.clip_by_value(x + length[:, None] * direction, lower, upper),
            direction=direction, length=length, pairs=pairs,
            restarted=tf.where(restart, new_fun, s.restarted),
            nit=nit, nfev=nfev, status=status,
            done=s.done | flat | small | precision | (nit >= self.maxiter),
        )  # fmt: skip


class Minimizer:
    """A batched L-BFGS for one function, compiled once and used for any batch.

    Args:
        value_and_grad: `value_and_grad(x, *args) -> (values [n], gradients [n, size])`, row by row
            and in TensorFlow operations.
        maxcor: pairs of history.
        ftol: stop when a step lowers the value by at most `ftol * max(|f|, |f'|, 1)`; 0: never.
        gtol: stop when no component of the projected gradient exceeds this.
        maxiter: most steps of a problem.
        maxls: most evaluations of one line search.
        jit_compile: compile with XLA.

    Raises:
        TypeError, ValueError: settings out of their range; when it is called: starting points that
            are not finite floats [n, size], or bounds that do not fit them.
    """

    def __init__(
        self,
        value_and_grad: Callable[..., tuple[tf.Tensor, tf.Tensor]],
        *,
        maxcor: int = 10,
        ftol: float = 1e-9,
        gtol: float = 1e-5,
        maxiter: int = 1000,
        maxls: int = 20,
        jit_compile: bool = False,
    ):
        if not callable(value_and_grad):
            raise TypeError(
                "`value_and_grad` must be a function (x, *args) -> (values, gradients). Received: "
                f"{value_and_grad!r}."
            )
        for name, value in (("maxcor", maxcor), ("maxiter", maxiter), ("maxls", maxls)):
            check_positive_integer(name, value)
        for name, least in (("ftol", ftol), ("gtol", gtol)):
            if not 0 <= least < np.inf:
                raise ValueError(f"`{name}` must be a number of at least 0. Received: {least!r}.")
        self.value_and_grad = value_and_grad
        self.maxcor = maxcor
        self._step = _Step(ftol, gtol, maxiter, maxls)
        self.jit_compile = jit_compile
        self._start = tf.function(
            self._first, autograph=False, jit_compile=jit_compile, reduce_retracing=not jit_compile
        )
        self._advance = tf.function(self._advance_while, autograph=False, jit_compile=jit_compile)

    def __call__(self, x0, lower, upper, args=()) -> MinimizeResult:
        """Minimizes from x0 [n, size] within [lower, upper], which broadcast to x0."""
        for name, values in {"x0": x0, "lower": lower, "upper": upper}.items():
            check_unmasked(name, values)
        x0 = tf.convert_to_tensor(x0)
        _check_start(x0, lower, upper)
        lower, upper = (
            tf.broadcast_to(tf.cast(np.asarray(bound), x0.dtype), tf.shape(x0))
            for bound in (lower, upper)
        )
        rows = (lower, upper, *map(tf.convert_to_tensor, args))
        state = self._start(tf.clip_by_value(x0, lower, upper), rows)
        state = run_to_the_end(self._advance, state, rows, fixed_shapes=self.jit_compile)
        return MinimizeResult(state.x, state.fun, state.nit, state.nfev, state.status)

    def _first(self, x, rows) -> _State:
        lower, upper, *args = rows
        fun, gradient = self.value_and_grad(x, *args)
        free = free_variables(x, gradient, lower, upper)
        direction = -gradient * free
        zeros = tf.zeros_like(fun)
        count = tf.zeros_like(fun, tf.int32)
        finite = tf.math.is_finite(fun) & tf.reduce_all(tf.math.is_finite(gradient), axis=1)
        length = _first_length(direction)
        flat = self._step.is_flat(x, gradient, lower, upper)
        trial = tf.clip_by_value(x + length[:, None] * direction, lower, upper)
        pairs = Pairs.empty(x, self.maxcor)
        return _State(
            x, fun, gradient, trial, direction, length, pairs,
            restarted=zeros + np.inf, nit=count, nfev=count + 1,
            status=tf.where(finite, tf.where(flat, _GTOL, _MAXITER), _NOT_FINITE),
            done=~finite | flat,
        )  # fmt: skip

    def _advance_while(
        self, state: _State, rows, most_left: tf.Tensor, most_steps: tf.Tensor
    ) -> _State:
        return step_until(lambda s: self._evaluate(s, *rows), state, most_left, most_steps)

    def _evaluate(self, s: _State, lower, upper, *args) -> _State:
        fun, gradient = self.value_and_grad(s.trial, *args)
        return traced_once(self._step, s, lower, upper, fun, gradient)


def _first_length(direction: tf.Tensor) -> tf.Tensor:
    """The length [n] of a step down the gradient of which nothing more is known: at most 1 long."""
    norm = tf.norm(direction, axis=1)
    return tf.minimum(tf.ones_like(norm), 1 / tf.maximum(norm, 1e-30))


def _check_start(x0: tf.Tensor, lower: Any, upper: Any) -> None:
    if not x0.dtype.is_floating or x0.shape.rank != 2 or not np.isfinite(x0).all():
        raise ValueError(
            "`x0` must be finite floats [n, size]. Received: dtype "
            f"{x0.dtype.name}, shape {tuple(x0.shape)}."
        )
    lower, upper = np.asarray(lower), np.asarray(upper)
    if lower.dtype.kind not in "fiu" or upper.dtype.kind not in "fiu":
        raise TypeError(
            f"`lower` and `upper` must be numbers. Received: {lower.dtype} and {upper.dtype}."
        )
    if not (lower <= upper).all():  # NaN fails too
        raise ValueError(
            f"`lower` must not be above `upper`. Received: lower={lower!r}, upper={upper!r}."
        )
    for bound in (lower, upper):
        np.broadcast_to(bound, x0.shape)  # raises unless it can be


def minimize(value_and_grad, x0, lower, upper, args=(), **options) -> MinimizeResult:
    """Minimizes a batch of smooth functions in boxes by L-BFGS.

    Args:
        value_and_grad: `value_and_grad(x, *args) -> (values [n], gradients [n, size])`; row i of
            the result may depend on row i of `x` and `args` only.
        x0: float32 or float64 [n, size], the starting points; brought into the box.
        lower, upper: bounds that broadcast to [n, size]; may be infinite.
        args: tensors with n rows that belong to the problems; solved problems leave the batch,
            and their rows with them.
        **options: `maxcor`, `ftol`, `gtol`, `maxiter`, `maxls`, `jit_compile` of `Minimizer`.

    Returns:
        A `MinimizeResult`.

    Raises:
        TypeError, ValueError: as `Minimizer`.

    Example:

        target = tf.random.normal([5, 3])
        result = minimize(lambda x, t: (tf.reduce_sum((x - t) ** 2, 1), 2 * (x - t)),
                          tf.zeros([5, 3]), 0.0, 1.0, args=(target,))
        # result.x is tf.clip_by_value(target, 0, 1)
    """
    return Minimizer(value_and_grad, **options)(x0, lower, upper, args)
