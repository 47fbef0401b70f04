"""Connections over which too little comes are cut, in time and not before."""

import socket
import time

import pytest

from intriguing_tf import zoo
from intriguing_tf.zoo.pace import Pace, Stalled

PATIENCE = zoo.Patience(connect=0.5, silence=0.5, window=1, slowest=100)


@pytest.fixture
def ends():
    here, there = socket.socketpair()
    here.settimeout(30)
    with here, there:
        yield here, there


@pytest.mark.slow
def test_a_connection_without_an_answer_is_cut_after_connect_and_silence(ends):
    with Pace(PATIENCE) as pace:
        pace.watch(ends[0])
        began = time.monotonic()
        assert ends[0].recv(1) == b""  # waits, without an end of its own
        assert 0.9 < time.monotonic() - began < 10
        assert pace.stalled == "stalled: 0 bytes in 1 s"


@pytest.mark.slow
def test_what_is_fast_enough_in_every_window_is_left_alone(ends):
    with Pace(PATIENCE) as pace:
        pace.watch(ends[0])
        pace.start()
        for _ in range(15):
            pace.count(1000)
            time.sleep(0.1)
        assert not pace.stalled
        assert ends[0].recv(1) == b""  # nothing more comes
        assert pace.stalled.startswith("stalled: ")


@pytest.mark.slow
def test_after_the_end_nothing_is_cut(ends):
    with Pace(PATIENCE) as pace:
        pace.watch(ends[0])
    time.sleep(1.5)
    ends[1].send(b"x")
    assert ends[0].recv(1) == b"x" and not pace.stalled


@pytest.mark.slow
def test_all_answers_together_must_be_fast_enough():
    with Pace(PATIENCE) as pace:
        pace.check()
        for _ in range(12):
            pace.start()  # a new answer each time, so that no window ever ends
            pace.count(1)
            time.sleep(0.1)
        with pytest.raises(Stalled, match="stalled: 12 bytes in 1"):
            pace.check()
