"""Box-constrained L-BFGS for a batch of problems, one compiled loop for all of them.

`minimize` is for any batch of smooth problems in boxes; the search over c of the adversary builds
on the same curvature pairs. Method: projected quasi-Newton steps on the variables that are not held
at a bound (Bertsekas 1982; Schmidt, Kim and Sra 2011), with the two-loop recursion of L-BFGS
(Nocedal 1980) carried out on the small matrix of inner products, so that a step costs a few
batched matrix products whatever the history.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from intriguing_tf.adversary.compaction import run_to_the_end
from intriguing_tf.checks import check_positive_integer

_GTOL, _FTOL, _MAXITER, _PRECISION, _NOT_FINITE = 1, 2, 0, -1, -2
_MESSAGES = {
    _GTOL: "the projected gradient is at most gtol",
    _FTOL: "the last step lowered the value by at most ftol",
    _MAXITER: "maxiter steps were taken",
    _PRECISION: "no step lowers the value any more at the precision of its numbers",
    _NOT_FINITE: "the value or gradient is not finite at the starting point",
}
_ARMIJO = 1e-4  # fraction of the predicted decrease that a step must bring


class Pairs(NamedTuple):
    """The last m steps of each problem and the changes of its gradient.

    A ring for each problem, written in place: shifting all of it would cost more than a step.

    Attributes:
        steps: [n, m, size]; a row of zeros is an empty place.
        changes: [n, m, size].
        oldest: int32 [n] the place that the next pair takes.
    """

    steps: tf.Tensor
    changes: tf.Tensor
    oldest: tf.Tensor

    @classmethod
    def empty(cls, like: tf.Tensor, maxcor: int) -> Pairs:
        """Returns places for `maxcor` pairs of problems with the shape and dtype of `like`."""
        nothing = tf.repeat(tf.zeros_like(like)[:, None, :], maxcor, axis=1)
        return cls(nothing, tf.identity(nothing), tf.zeros_like(like[:, 0], tf.int32))

    def push(self, step: tf.Tensor, change: tf.Tensor, where: tf.Tensor) -> Pairs:
        """Returns the pairs with the newest added, and the oldest dropped, where told to."""
        places = tf.stack([tf.range(tf.shape(self.oldest)[0]), self.oldest], axis=1)

        def put(new: tf.Tensor, into: tf.Tensor) -> tf.Tensor:
            rows = choose(where, new, tf.gather_nd(into, places))
            return tf.tensor_scatter_nd_update(into, places, rows)

        following = (self.oldest + 1) % self.steps.shape[1]
        oldest = tf.where(where, following, self.oldest)
        return Pairs(put(step, self.steps), put(change, self.changes), oldest)

    def drop(self, where: tf.Tensor) -> Pairs:
        """Returns the pairs without those of the rows told."""
        nothing = tf.zeros([], self.steps.dtype)
        return self._replace(
            steps=choose(where, nothing, self.steps), changes=choose(where, nothing, self.changes)
        )


def choose(where: tf.Tensor, this: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Returns rows of `this` where the mask [n] says so, else rows of `other`."""
    return tf.where(tf.reshape(where, [-1] + [1] * (other.shape.rank - 1)), this, other)


def dot(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Returns the inner products [n] of the rows of two matrices."""
    return tf.reduce_sum(a * b, axis=-1)


def free_variables(
    x: tf.Tensor, gradient: tf.Tensor, lower: tf.Tensor, upper: tf.Tensor
) -> tf.Tensor:
    """Returns 1 where a variable may move and 0 where a bound holds it, in the dtype of `x`."""
    held = ((x <= lower) & (gradient > 0)) | ((x >= upper) & (gradient < 0))
    return tf.cast(~held, x.dtype)


def inverse_hessian(
    pairs: Pairs, free: tf.Tensor, curvature: tf.Tensor | None = None
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the L-BFGS approximation of the inverse Hessian on the free variables.

    Args:
        pairs: steps and gradient changes; pairs without positive curvature are passed over.
        free: [n, size] of ones and zeros.
        curvature: [n] of the Hessian before any pair; by default the newest valid pair's
            y.y / s.y, or 1.

    Returns:
        A function from k vectors [n, k, size] to k vectors [n, k, size]; zero on held variables.
    """
    steps, changes, oldest = pairs
    m = steps.shape[1]
    places = tf.range(m)
    in_order = (oldest[:, None] + places) % m  # oldest first
    in_place = (places - oldest[:, None]) % m  # and back
    moving = changes * free[:, None]
    sy, yy = _inner_products(steps, moving), _inner_products(changes, moving)
    sy, yy = (_take(_take(gram, in_order, 1), in_order, 2) for gram in (sy, yy))
    s_y, y_y = tf.linalg.diag_part(sy), tf.linalg.diag_part(yy)
    tiny = np.finfo(sy.dtype.as_numpy_dtype).eps
    valid = (s_y > tiny * y_y) & (s_y > 0)
    inverse_s_y = tf.where(valid, 1.0 / tf.where(valid, s_y, 1.0), 0.0)
    if curvature is None:
        inverse_curvature = tf.ones_like(s_y[:, 0])
        for i in range(m):
            ratio = s_y[:, i] / tf.where(valid[:, i], y_y[:, i], 1.0)
            inverse_curvature = tf.where(valid[:, i], ratio, inverse_curvature)
    else:
        inverse_curvature = 1 / curvature

    def apply(vectors: tf.Tensor) -> tf.Tensor:
        vectors = vectors * free[:, None]
        along_steps = _take(_inner_products(steps, vectors), in_order, 1)
        along_changes = _take(_inner_products(changes, vectors), in_order, 1)
        alphas, betas = (
            _take(weights, in_place, 1)
            for weights in _two_loops(
                sy, yy, inverse_s_y, along_steps, along_changes, inverse_curvature
            )
        )
        straight = vectors - _combinations(alphas, changes)
        bent = _combinations(betas, steps)
        return (inverse_curvature[:, None, None] * straight + bent) * free[:, None]

    return apply


# Vector by vector: XLA multiplies a thin matrix with a vector ten times as fast as with another.


def _inner_products(rows: tf.Tensor, vectors: tf.Tensor) -> tf.Tensor:
    """Returns [n, m, k] of rows [n, m, size] and vectors [n, k, size]."""
    columns = tf.unstack(vectors[..., None], axis=1)
    return tf.concat([tf.matmul(rows, column) for column in columns], axis=2)


def _combinations(weights: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Returns k combinations [n, k, size] of rows [n, m, size] for weights [n, m, k]."""
    columns = tf.unstack(weights[..., None], axis=2)
    return tf.concat([tf.matmul(c, rows, transpose_a=True) for c in columns], axis=1)


def _take(values: tf.Tensor, order: tf.Tensor, axis: int) -> tf.Tensor:
    return tf.gather(values, order, axis=axis, batch_dims=1)


def _two_loops(sy, yy, inverse_s_y, along_steps, along_changes, inverse_curvature):
    """The two-loop recursion in coordinates: what to take of each change and of each step.

    `along_steps` and `along_changes` [n, m, k] are the inner products with k vectors; so are the
    results.
    """
    m = sy.shape[1]
    alphas: list = [None] * m
    for i in reversed(range(m)):
        rest = along_steps[:, i]
        for j in range(i + 1, m):
            rest -= alphas[j] * sy[:, i, j, None]
        alphas[i] = inverse_s_y[:, i, None] * rest
    stacked = tf.stack(alphas, axis=1)
    seen = inverse_curvature[:, None, None] * (along_changes - tf.matmul(yy, stacked))
    betas: list = []
    for i in range(m):
        rest = seen[:, i]
        for j in range(i):
            rest += betas[j] * sy[:, j, i, None]
        betas.append(alphas[i] - inverse_s_y[:, i, None] * rest)
    return stacked, tf.stack(betas, axis=1)


class MinimizeResult(NamedTuple):
    """Minimisers of a batch of problems.

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
    steps: tf.Tensor
    changes: tf.Tensor
    oldest: tf.Tensor
    restarted: tf.Tensor  # the value where the history was last dropped
    nit: tf.Tensor
    nfev: tf.Tensor
    status: tf.Tensor
    done: tf.Tensor


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
        self.maxcor, self.ftol, self.gtol = maxcor, ftol, gtol
        self.maxiter, self.maxls = maxiter, maxls
        self.jit_compile = jit_compile
        self._start = tf.function(
            self._first, autograph=False, jit_compile=jit_compile, reduce_retracing=not jit_compile
        )
        self._advance = tf.function(self._advance_while, autograph=False, jit_compile=jit_compile)

    def __call__(self, x0, lower, upper, args=()) -> MinimizeResult:
        """Minimises from x0 [n, size] within [lower, upper], which broadcast to x0."""
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
        flat = self._is_flat(x, gradient, lower, upper)
        trial = tf.clip_by_value(x + length[:, None] * direction, lower, upper)
        pairs = Pairs.empty(x, self.maxcor)
        return _State(
            x, fun, gradient, trial, direction, length, *pairs,
            restarted=zeros + np.inf, nit=count, nfev=count + 1,
            status=tf.where(finite, tf.where(flat, _GTOL, _MAXITER), _NOT_FINITE),
            done=~finite | flat,
        )  # fmt: skip

    def _is_flat(self, x, gradient, lower, upper):
        projected = tf.clip_by_value(x - gradient, lower, upper) - x
        return tf.reduce_max(tf.abs(projected), axis=1) <= self.gtol

    def _advance_while(self, state: _State, rows, enough: tf.Tensor) -> _State:
        """Steps until at most `enough` problems are left."""
        return tf.while_loop(
            lambda *s: tf.reduce_sum(tf.cast(~s[-1], tf.int32)) > enough,
            lambda *s: self._step(_State(*s), *rows),
            state,
            parallel_iterations=1,
        )

    def _step(self, s: _State, lower, upper, *args) -> _State:
        fun, gradient = self.value_and_grad(s.trial, *args)
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
        pairs = Pairs(s.steps, s.changes, s.oldest).push(step, gradient - s.gradient, accepted)
        x, new_fun = choose(accepted, s.trial, s.x), tf.where(accepted, fun, s.fun)
        new_gradient = choose(accepted, gradient, s.gradient)
        flat = accepted & self._is_flat(x, new_gradient, lower, upper)

        # A rejected step goes on to the minimum of the parabola through what is known of the line.
        parabola = -slope * s.length / (2 * tf.maximum(-decrease - slope, 1e-30))
        shorter = tf.where(
            finite, tf.clip_by_value(parabola, 0.1 * s.length, 0.5 * s.length), 0.1 * s.length
        )
        length = tf.where(accepted, tf.ones_like(shorter), shorter)

        # Where no step lowers the value the history may be to blame: it is dropped, unless that
        # has been tried from here.
        exhausted = (accepted & (decrease <= 0)) | (~accepted & (length < 0.5**self.maxls))
        precision = exhausted & ~(new_fun < s.restarted - noise)
        restart = exhausted & ~precision
        pairs = pairs.drop(restart)
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
            direction=direction, length=length, **pairs._asdict(),
            restarted=tf.where(restart, new_fun, s.restarted),
            nit=nit, nfev=nfev, status=status,
            done=s.done | flat | small | precision | (nit >= self.maxiter),
        )  # fmt: skip


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
    """Minimises a batch of smooth functions in boxes by L-BFGS.

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
