"""One step of the compiled search, but for the network: judge the trials, and propose the next."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from intriguing_tf.adversary.lbfgs import Pairs, choose, dot, free_variables, inverse_hessian
from intriguing_tf.adversary.problem import Evaluated
from intriguing_tf.adversary.settings import SearchConstants

SETTLED = 2  # so many steps in a row that hardly move end a search


class Rows(NamedTuple):
    """What belongs to the images and does not change."""

    originals: tf.Tensor  # [n, size]
    targets: tf.Tensor  # [n]
    lower: tf.Tensor  # [n, size]
    upper: tf.Tensor  # [n, size]
    gap: tf.Tensor  # [n] margin at the original
    confidence: tf.Tensor  # [n] margins are raised by this: below 0 they survive rounding
    enough: tf.Tensor  # [n] squared distance at which a search ends
    sharpness: tf.Tensor  # [n]
    image: tf.Tensor  # [n] searches of one image compete
    most: tf.Tensor  # [n] gradient evaluations
    most_found: tf.Tensor  # [n] if a point was found; the bundle follows


class State(NamedTuple):
    """Where the search for each image stands."""

    x: tf.Tensor  # [n, size] the point
    loss: tf.Tensor  # [n] soft margin at x
    gradient: tf.Tensor  # [n, size] its gradient
    margin: tf.Tensor  # [n] hard margin at x
    trial: tf.Tensor  # [n, size] the point to evaluate next
    direction: tf.Tensor  # [n, size]
    length: tf.Tensor  # [n] of the step along the direction
    pairs: Pairs
    multiplier: tf.Tensor  # [n] lambda = 1 / c
    merit: tf.Tensor  # [n] weight of the margin in the merit function
    overshoot: tf.Tensor  # [n] how far beyond the boundary to aim, as a share of the gap
    log_weights: tf.Tensor  # [n, classes]
    unconditional: tf.Tensor  # [n] the next trial is taken whatever it brings
    best: tf.Tensor  # [n, size] nearest adversarial point so far
    best_square: tf.Tensor  # [n] its squared distance; infinite before the first success
    best_multiplier: tf.Tensor  # [n]
    settled: tf.Tensor  # [n] steps in a row that hardly moved
    waited: tf.Tensor  # [n] evaluations since the last that found something nearer
    nfev: tf.Tensor  # [n]
    done: tf.Tensor  # [n]


@dataclasses.dataclass(frozen=True)
class Step:
    """What a search does with an evaluation.

    Args:
        constants: of the search.
        xtol: steps below this share of |r| are small; two small steps in a row end a search.
        adapts_weights: as of the `Loss`.
    """

    constants: SearchConstants
    xtol: float
    adapts_weights: bool

    def __call__(self, s: State, rows: Rows, there: Evaluated) -> State:
        """Returns the state after the evaluation of the trials: judges them, proposes the next."""
        constants = self.constants
        margin = there.margin + rows.confidence
        there_square = square(s.trial - rows.originals)
        finite = there.finite
        improves = (margin < 0) & (there_square < s.best_square) & finite & ~s.done

        # The merit function is |r|^2 + weight * margin, with the soft margin's own changes.
        offset = s.margin - s.loss
        merit_here = square(s.x - rows.originals) + s.merit * tf.maximum(s.margin, 0.0)
        merit_there = there_square + s.merit * tf.maximum(there.loss + offset, 0.0)
        closes = (margin < constants.close * s.margin) & (s.margin > constants.near / 2 * rows.gap)
        accepted = (merit_there <= merit_here * (1 + 1e-5)) | closes | s.unconditional
        accepted |= (s.length < constants.shortest_step) | _is_stalled(s, constants)
        accepted &= finite & ~s.done

        # A rejected trial teaches curvature too: most of what there is, where the margin has kinks.
        learnt = finite & ~s.done
        pairs = s.pairs.push(s.trial - s.x, there.gradient - s.gradient, learnt & ~s.unconditional)
        near = accepted & (margin < constants.near * rows.gap)
        overshoot = tf.where(
            near, tf.where(margin < 0, 0.5 * s.overshoot, 1.5 * s.overshoot), s.overshoot
        )
        moved = tf.sqrt(square(s.trial - s.x) / tf.maximum(there_square, 1e-30))
        log_weights, changed, rising = self._reweigh(
            s.log_weights, there.above, rows, near & (moved < constants.settling)
        )
        rests = (
            (moved < self.xtol * s.length) & (tf.abs(margin) < constants.near * rows.gap) & ~rising
        )
        found = improves | tf.math.is_finite(s.best_square)
        most_overshoot = tf.where(found, constants.most_overshoot * tf.ones_like(overshoot), 1.0)
        settled = tf.where(accepted, tf.where(rests, s.settled + 1, 0), s.settled)
        nfev = s.nfev + tf.cast(~s.done, tf.int32)
        most = tf.where(found, rows.most_found, rows.most)
        multiplier = tf.where(s.multiplier > 0, s.multiplier, there.multiplier(there_square))
        satisfied = improves & (there_square <= rows.enough)
        stuck = ~accepted & (s.length < constants.shortest_step * 1e-3)
        state = s._replace(
            x=choose(accepted, s.trial, s.x),
            loss=tf.where(accepted, there.loss, s.loss),
            gradient=choose(accepted, there.gradient, s.gradient),
            margin=tf.where(accepted, margin, s.margin),
            length=tf.where(accepted, tf.minimum(2 * s.length, 1.0), constants.shorten * s.length),
            pairs=pairs,
            overshoot=tf.clip_by_value(overshoot, constants.least_overshoot, most_overshoot),
            log_weights=log_weights, unconditional=changed,
            best=choose(improves, s.trial, s.best),
            best_square=tf.where(improves, there_square, s.best_square),
            best_multiplier=tf.where(improves, multiplier, s.best_multiplier),
            settled=settled, waited=tf.where(improves, 0, s.waited + 1), nfev=nfev,
            done=s.done | (settled >= SETTLED) | (nfev >= most) | stuck | satisfied,
        )  # fmt: skip
        return self._propose(state, rows, learnt)

    def _propose(self, s: State, rows: Rows, learnt: tf.Tensor) -> State:
        """Chooses c and the direction where the last trial taught something; the next trial."""
        constants = self.constants
        r = s.x - rows.originals
        multiplier = s.multiplier
        wanted = tf.where(
            s.margin > constants.far * rows.gap,
            constants.close * s.margin,
            s.margin + s.overshoot * rows.gap,
        )
        total = 2 * r + multiplier[:, None] * s.gradient
        free = free_variables(s.x, total, rows.lower, rows.upper)
        # Half of |r|^2 + multiplier * margin: its gradient changes by no multiple of the step.
        changes = s.pairs.steps + 0.5 * multiplier[:, None, None] * s.pairs.changes
        newton = inverse_hessian(s.pairs._replace(changes=changes), free, tf.ones_like(multiplier))
        home, downhill = tf.unstack(newton(tf.stack([r, 0.5 * s.gradient], axis=1)), axis=1)
        slope = dot(s.gradient, downhill)
        needed = (wanted - dot(s.gradient, home)) / tf.where(slope > 0, slope, 1.0)
        multiplier = tf.where(learnt & (slope > 0), tf.maximum(needed, 0.0), multiplier)
        direction = -(home + multiplier[:, None] * downhill)
        stalled = _is_stalled(s, constants)
        direction = choose(stalled, _deepfool_step(s, rows), direction)
        scale = tf.reduce_mean(rows.upper - rows.lower, axis=1)  # where infinite, no step is long
        size = tf.sqrt(tf.reduce_mean(direction**2, axis=1)) / scale
        direction *= tf.minimum(constants.longest_step / tf.maximum(size, 1e-30), 1.0)[:, None]
        direction = choose(learnt, direction, s.direction)
        length = tf.where(stalled, tf.ones_like(s.length), s.length)
        trial = tf.clip_by_value(s.x + length[:, None] * direction, rows.lower, rows.upper)
        nowhere = tf.reduce_all(trial == s.x, axis=1)
        return s._replace(
            direction=direction, length=length, multiplier=multiplier, trial=trial,
            merit=tf.maximum(0.9 * s.merit, constants.merit * multiplier),
            done=s.done | nowhere | ~tf.math.is_finite(size),
        )  # fmt: skip

    def _reweigh(self, log_weights, above, rows: Rows, where):
        """The multiplier update of the soft maximum, where it changes the gradient, and where some
        class is still coming back, so that the search must not end."""
        if not self.adapts_weights:
            return log_weights, tf.zeros_like(where), tf.zeros_like(where)
        scores = rows.sharpness[:, None] * above
        old = tf.nn.softmax(scores + log_weights)
        total = tf.reduce_logsumexp(scores + log_weights, axis=1, keepdims=True)
        updated = scores + log_weights - total
        updated = tf.clip_by_value(updated, self.constants.least_log_weight, 0.0)
        change = tf.reduce_sum(tf.abs(tf.nn.softmax(scores + updated) - old), axis=1)
        rising = tf.reduce_any(updated > log_weights + self.constants.rising, axis=1)
        return choose(where, updated, log_weights), where & (change > 0.01), where & rising


def _is_stalled(s: State, constants: SearchConstants) -> tf.Tensor:
    """Where the model has led nowhere for long, as on networks of many kinks."""
    astray = tf.math.is_inf(s.best_square) | (s.margin > 0)
    return (s.waited >= constants.patience) & astray


def _deepfool_step(s: State, rows: Rows) -> tf.Tensor:
    """The shortest steps that close the margin if it is linear (Moosavi-Dezfooli et al. 2016)."""
    downhill = s.gradient * free_variables(s.x, s.gradient, rows.lower, rows.upper)
    wanted = tf.maximum(s.margin, 0.0) + s.overshoot * rows.gap
    return -downhill * (wanted / tf.maximum(dot(downhill, downhill), 1e-30))[:, None]


def square(r: tf.Tensor) -> tf.Tensor:
    return dot(r, r)
