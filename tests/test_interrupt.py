"""Ctrl-C at a point of our choosing."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from heed.interrupt import deferred_interrupt


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_press_only_asks() -> None:
    before = signal.getsignal(signal.SIGINT)
    with deferred_interrupt() as asked:
        assert not asked.is_set()
        press()
        assert asked.is_set()
    assert signal.getsignal(signal.SIGINT) is before


def test_the_second_press_interrupts_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with deferred_interrupt() as asked:
        press()
        assert asked.is_set()
        with pytest.raises(KeyboardInterrupt):
            press()
    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_in_the_block_gives_the_handler_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError, match="mine"), deferred_interrupt():
        raise RuntimeError("mine")
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_nothing_is_changed() -> None:
    before = signal.getsignal(signal.SIGINT)
    found = []

    def work() -> None:
        with deferred_interrupt() as asked:
            found.append((asked.is_set(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, before)]
