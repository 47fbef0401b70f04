"""What a traced function computes: names do not count, all else does."""

import numpy as np
import pytest
import tensorflow as tf

from intriguing_tf.fingerprints import plain
from intriguing_tf.traced_structure import structure

ROWS = tf.TensorSpec([None, 3])
PAIR = np.array([2.0, 3.0, 4.0], np.float32)


def found(function, known=(), spec=ROWS):
    traced = tf.function(function, autograph=False).get_concrete_function(spec)
    return plain(structure(traced, known))


def called(inner):
    """A function within another, within another: their names are counted up."""
    inmost = tf.function(inner)
    middle = tf.function(lambda x: inmost(x) + 1)
    return lambda x: middle(x) * 2


def looped(times):
    return lambda x: tf.while_loop(lambda i, _: i < times, lambda i, y: (i + 1, y * 2), (0, x))[1]


def branched(factor):
    return lambda x: tf.cond(tf.reduce_sum(x) > 0, lambda: x, lambda: factor * x)


def switched(factor):
    return lambda x: tf.switch_case(tf.size(x), [lambda: x, lambda: x * factor])


def times(factor):
    return lambda x: x * factor


def checked(x):
    tf.debugging.assert_positive(x)
    return tf.sin(x)


@tf.custom_gradient
def own_gradient(x):
    return x, lambda upstream: 3 * upstream


OTHERS = {
    "operation": (tf.nn.relu, tf.nn.tanh),
    "setting": (lambda x: tf.nn.leaky_relu(x, 0.1), lambda x: tf.nn.leaky_relu(x, 0.9)),
    "constant": (lambda x: x * PAIR, lambda x: x * np.nextafter(PAIR, np.float32(9))),
    "order": (lambda x: x - tf.sin(x), lambda x: tf.sin(x) - x),
    "output": (lambda x: tf.split(x, 3, 1)[0], lambda x: tf.split(x, 3, 1)[1]),
    "captured": (times(tf.constant(PAIR)), times(tf.constant(PAIR + 1))),
    "called": (called(tf.sin), called(tf.cos)),
    "loop": (looped(3), looped(4)),
    "condition": (branched(2.0), branched(3.0)),
    "switch": (switched(2.0), switched(3.0)),
    "gradient": (own_gradient, lambda x: tf.identity(x)),
    "strings": (
        lambda x: tf.strings.length(tf.constant(["a", "bc"])),
        lambda x: tf.strings.length(tf.constant(["a", "bcd"])),
    ),
    "control": (tf.sin, checked),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_all_that_computes_counts_and_is_found_alike_each_time(kind):
    one, other = OTHERS[kind]
    first = found(one)
    found(other), found(looped(1))  # names are counted up
    assert all(found(one) == first for _ in range(8))  # mappings of TensorFlow have any order
    assert found(other) != first


def test_names_do_not_count():
    def named(prefix):
        def function(x):
            with tf.name_scope(prefix):
                return tf.nn.relu(x, name=f"{prefix}_relu")

        return function

    assert found(named("a")) == found(named("b"))


def test_known_variables_stand_for_themselves_and_others_for_their_values():
    one, same, other = tf.Variable(1.0), tf.Variable(1.0), tf.Variable(2.0)
    assert found(times(one)) == found(times(same)) != found(times(other))
    assert found(times(one), [one]) == found(times(other), [other])
    assert found(times(one), [one, other]) != found(times(other), [one, other])


def test_the_value_of_what_is_counted_up_does_not_count():
    calls = tf.Variable(0)

    def counting(x):
        calls.assign_add(1)
        return x

    before = found(counting)
    calls.assign(7)
    assert found(counting) == before


@pytest.mark.parametrize("call", [tf.py_function, tf.numpy_function])
def test_what_python_does_in_between_does_not_count(call):
    def function(x):
        return call(lambda y: y, [x], tf.float32)

    assert found(function) == found(function)
