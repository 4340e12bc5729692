"""Ctrl-C and SIGTERM between, and in the middle of, what a process does."""

from __future__ import annotations

import signal

import pytest

from minires.training import interrupt
from minires.training.interrupt import InterruptHandler, TrainingInterrupted


def reentrant() -> None:
    raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stdout>'>")  # as CPython words it


def test_ctrl_c_in_the_middle_of_a_print_stops_the_run_all_the_same() -> None:
    """The announcement would print while something is being printed, which the stream refuses."""
    with InterruptHandler(reentrant) as interruption:
        signal.raise_signal(signal.SIGINT)
        assert interruption.requested
        with pytest.raises(KeyboardInterrupt):
            interruption.check()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_waits_for_the_end_of_the_step_and_the_second_does_not(number) -> None:
    announced: list[bool] = []
    before = signal.getsignal(number)
    with InterruptHandler(lambda: announced.append(True)) as interruption:
        interruption.check()
        signal.raise_signal(number)
        assert (interruption.requested, announced) == (number, [True])
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_sigterm_gives_up_a_step_that_takes_long(monkeypatch) -> None:
    """A busy step: the interpreter runs, as it does between the kernels of a large network."""
    monkeypatch.setattr(interrupt, "GRACE", 0.05)
    with InterruptHandler(lambda: None), pytest.raises(KeyboardInterrupt):  # noqa: PT012 (the loop is what is stopped)
        signal.raise_signal(signal.SIGTERM)
        for _ in range(10**9):
            pass


def test_a_handler_of_the_programs_own_stays_in_charge() -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        with InterruptHandler(lambda: None) as interruption:
            signal.raise_signal(signal.SIGTERM)
            assert (came, interruption.requested) == ([signal.SIGTERM], 0)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_error_says_which_signal_stopped_the_run() -> None:
    assert TrainingInterrupted("stopped").signal == signal.SIGINT
    assert TrainingInterrupted("stopped", signal.SIGTERM).signal == signal.SIGTERM


def test_the_grace_leaves_time_to_save_within_five_seconds():
    assert 0 < interrupt.GRACE <= 3.5
