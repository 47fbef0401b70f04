import pytest

from intriguing_tf import zoo


@pytest.mark.parametrize(
    ("attempt", "asked", "seconds"),
    [(2, None, 0), (3, None, 1), (4, None, 2), (9, None, 60), (2, 7, 7), (3, 7, 7), (2, 1e9, 60)],
)
def test_pauses_grow_unless_the_server_asks(attempt, asked, seconds):
    assert zoo.Patience().before(attempt, asked) == seconds
