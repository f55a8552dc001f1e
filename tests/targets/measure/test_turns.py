"""Threads take turns on a machine, and not on two."""

import threading

import pytest

from edgekit.targets.measure.turns import turn_of


def never():
    raise AssertionError


def test_a_machine_has_one_turn_at_a_time():
    beaten = threading.Event()
    order = []

    def second():
        with turn_of("one", beaten.set):
            order.append("second")

    with turn_of("one", never):
        thread = threading.Thread(target=second)
        thread.start()
        assert beaten.wait(10)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_others_do_not_wait():
    with turn_of("one", never), turn_of("another", never), turn_of(None, never):
        reached = True
    assert reached


def test_waiting_can_be_ended():
    def stop():
        raise KeyboardInterrupt

    with turn_of("one", never), pytest.raises(KeyboardInterrupt), turn_of("one", stop):
        pass
