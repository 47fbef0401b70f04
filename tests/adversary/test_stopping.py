"""Time limits and Ctrl-C."""

import os
import signal
import time

import pytest

from intriguing_tf.adversary.stopping import AttackInterrupted, Stopping


def test_without_a_limit_it_never_stops():
    with Stopping() as stop:
        assert not stop() and stop.reason is None


def test_a_limit_passes():
    with Stopping(0.01) as stop:
        time.sleep(0.02)
        assert stop() and stop.reason == "time_limit"


def test_the_first_ctrl_c_asks_and_the_second_raises():
    with pytest.raises(KeyboardInterrupt), Stopping() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop() and stop.reason == "interrupted"
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_users_own_stays():
    seen = []
    signal.signal(signal.SIGINT, lambda *_: seen.append(1))
    try:
        with Stopping() as stop:
            os.kill(os.getpid(), signal.SIGINT)
        assert seen == [1] and not stop()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_it_is_a_keyboard_interrupt_with_the_result():
    assert isinstance(AttackInterrupted("result"), KeyboardInterrupt)
    assert AttackInterrupted("result").result == "result"
