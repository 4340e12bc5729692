"""The monitor's verdicts, with ranks that are threads of this process."""

from __future__ import annotations

import threading
import time

import pytest

from minires.distributed.monitor import Monitor
from minires.distributed.signs import SignsOfLife
from minires.errors import DistributedError


class Job:
    """A monitor and its ranks; `aborted` lists the ranks that were told to end."""

    def __init__(self, ranks: int, timeout: float) -> None:
        self.monitor = Monitor(ranks, timeout)
        self.thread = threading.Thread(target=self.monitor.run)
        self.thread.start()
        address = ("localhost", self.monitor.listener.getsockname()[1])
        self.aborted: list[int] = []
        self.ranks = [SignsOfLife(address, rank, lambda code, rank=rank: self.end(rank)) for rank in range(ranks)]

    def end(self, rank: int) -> None:
        self.aborted.append(rank)
        self.ranks[rank].goodbye()

    def wait(self) -> None:
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture
def job(monkeypatch):
    monkeypatch.setattr("minires.distributed.signs.BEAT_SECONDS", 0.05)
    started = []

    def start(ranks, timeout=5.0):
        started.append(Job(ranks, timeout))
        return started[-1]

    yield start
    for each in started:
        for signs in each.ranks:
            signs.goodbye()
            signs._connection.close()
        each.monitor.listener.close()
        for connection in each.monitor.partial:
            connection.close()


def test_it_ends_when_all_have_said_goodbye(job, capfd):
    running = job(3)
    for signs in running.ranks:
        signs.goodbye()
    running.wait()
    assert capfd.readouterr().err == ""
    assert running.aborted == []


def test_a_closed_connection_is_a_rank_that_died(job, capfd):
    running = job(2)
    running.ranks[1]._connection.shutdown(2)
    running.wait()
    assert "rank 1 of 2 on" in capfd.readouterr().err
    time.sleep(0.2)
    assert running.aborted == [0]


def test_a_rank_that_has_said_why_is_not_reported_again(job, capfd):
    running = job(2)
    running.ranks[0].failed()
    running.ranks[1]._connection.shutdown(2)
    running.ranks[0].goodbye()
    running.ranks[0].failed()
    running.wait()
    assert capfd.readouterr().err == ""


def test_silence_is_noticed_and_the_others_are_told(job, capfd):
    running = job(2, timeout=1.0)
    running.ranks[0]._is_over.set()  # its thread says nothing more
    running.wait()
    assert "rank 0 of 2" in (text := capfd.readouterr().err)
    assert "has given no sign of life for 1 s" in text
    assert 1 in running.aborted


def test_a_rank_for_which_the_others_wait_says_where_it_is(job, capfd):
    running = job(2, timeout=1.0)
    with running.ranks[1].waiting():
        running.wait()
    text = capfd.readouterr().err
    assert "rank 0 of 2" in text
    assert "hangs: 1 ranks have waited for it for 1 s" in text
    assert "is here:" in text
    assert "test_monitor.py" in text  # the main thread is in this test


def test_nobody_hangs_while_a_rank_is_busy(job, capfd):
    running = job(2, timeout=0.5)
    with running.ranks[1].waiting():
        with running.ranks[0].busy(True):
            time.sleep(1.2)
        time.sleep(0.3)  # rank 0 is on its way; that rank 1 has waited for a second was not its fault
        assert capfd.readouterr().err == ""
    for signs in running.ranks:
        signs.goodbye()
    running.wait()
    assert capfd.readouterr().err == ""


def test_a_rank_that_does_not_come_after_its_work_hangs(job, capfd):
    running = job(2, timeout=0.5)
    with running.ranks[1].waiting():
        with running.ranks[0].busy(True):
            time.sleep(0.2)
        running.wait()
    assert "rank 0 of 2" in (said := capfd.readouterr().err)
    assert "hangs" in said


def test_calls_that_do_not_belong_together_are_reported(job, capfd):
    running = job(2, timeout=0.6)
    with running.ranks[0].waiting(), running.ranks[1].waiting():
        running.wait()
    assert "wait for each other" in capfd.readouterr().err


def test_without_a_monitor_a_rank_says_so():
    with pytest.raises(DistributedError, match="cannot reach the monitor"):
        SignsOfLife(("localhost", 1), 0, lambda code: None)
