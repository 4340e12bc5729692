"""Ctrl-C between, and in the middle of, what a process does."""

from __future__ import annotations

import signal

import pytest

from minires.training.interrupt import InterruptHandler


def reentrant() -> None:
    raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stdout>'>")  # as CPython words it


def test_ctrl_c_in_the_middle_of_a_print_stops_the_run_all_the_same() -> None:
    """The announcement would print while something is being printed, which the stream refuses."""
    with InterruptHandler(reentrant) as interruption:
        signal.raise_signal(signal.SIGINT)
        assert interruption.requested
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
