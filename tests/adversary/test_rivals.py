"""Searches that cannot come nearer than another one of their image end."""

import numpy as np

from intriguing_tf.adversary.rivals import Rivals

NOTHING = np.inf


def behind(rivals, images, distance, model, nfev=50):
    images, distance, model = map(np.asarray, (images, distance, model))
    return rivals.behind(images, distance, model, np.full(len(images), nfev)).tolist()


def rivals_of(images, known=NOTHING):
    return Rivals(np.asarray(images), np.full(len(images), known), 100)


def test_a_search_ends_once_what_it_found_or_expects_is_farther_than_what_another_found():
    images = [0, 0, 1, 1, 1]
    found, model = [1.0, 1.2, NOTHING, 2.0, 2.0], [1.0, 1.0, 3.0, 2.0, 2.5]
    assert behind(rivals_of(images), images, found, model) == [False, True, True, False, False]


def test_where_nothing_was_found_nothing_ends():
    images = [0, 0]
    assert behind(rivals_of(images), images, [NOTHING] * 2, [1.0, 9.0]) == [False, False]


def test_what_was_found_before_counts_and_images_do_not_mix():
    assert not rivals_of([0, 1]).any and rivals_of([0, 0]).any and rivals_of([0, 1], 1.0).any
    assert behind(rivals_of([0, 1], 1.0), [0, 1], [2.0, 1.01], [1.0, 1.0]) == [True, False]
    rivals = rivals_of([0, 0])
    behind(rivals, [0, 0], [1.0, 5.0], [1.0, 5.0])
    assert behind(rivals, [0], [1.2], [1.2]) == [True]  # the nearest has left the batch


def test_the_doubt_shrinks_with_the_budget_and_no_search_ends_at_once():
    images, found = [0, 0], [1.0, 1.08]
    ends = [behind(rivals_of(images), images, found, found, nfev)[1] for nfev in (1, 5, 50, 100)]
    assert ends == [False, False, True, True]
