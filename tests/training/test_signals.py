"""The first request to stop is remembered, the second is obeyed."""

import contextlib
import signal
import threading

import pytest

from edgekit.training.signals import Interrupts


def send(number):
    signal.getsignal(number)(number, None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_remembered_and_the_second_one_obeyed(number):
    with Interrupts() as interrupts:
        assert not interrupts.requested
        send(number)
        assert interrupts.requested
        with pytest.raises(KeyboardInterrupt):
            send(number)


def test_two_different_signals_are_two_requests():
    with Interrupts():
        send(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_handlers_from_before_come_back_also_after_an_error(number):
    heard = []
    before = signal.signal(number, lambda *got: heard.append(got[0]))
    try:
        with contextlib.suppress(ZeroDivisionError), Interrupts():
            send(number)
            raise ZeroDivisionError
        assert heard == []
        send(number)
        assert heard == [number]
    finally:
        signal.signal(number, before)


def test_a_thread_installs_nothing():
    before = signal.getsignal(signal.SIGTERM)
    during = []

    def enter():
        with Interrupts() as interrupts:
            during.append((signal.getsignal(signal.SIGTERM), interrupts.requested))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert during == [(before, False)]
    assert signal.getsignal(signal.SIGTERM) is before
