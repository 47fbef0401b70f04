import pytest

from intriguing_tf.experiments import Figure7


def test_nothing_is_drawn_of_no_digits():
    with pytest.raises(ValueError, match=r"`shown` must be a positive integer. Received: 0"):
        Figure7(shown=0)
