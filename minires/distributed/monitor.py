"""A process beside rank 0 that notices when a rank dies, is stopped or hangs, says which, and ends the job.

Every rank keeps a connection to it and sends a sign of life each second (`signs.py`). The monitor outlives the ranks,
because an MPI launcher kills all of them at once when one dies: whoever is to say which one it was must not be a rank.

    connection closed without a goodbye              that rank was killed, or ended by itself
    no sign of life for `timeout` seconds            it is stopped (SIGSTOP), or its machine cannot be reached
    others wait for it for `timeout` seconds         it hangs: it is asked for its stack, prints it, and ends the job

It is started with Python's standard library alone, as a file: python monitor.py RANKS TIMEOUT, and prints its port.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from typing import Any

GRACE = 0.5  # seconds in which all connections of a dying job close: the first to close is the one that died
STEP = 0.2


class Rank:
    """What the monitor knows of a rank."""

    def __init__(self, connection: socket.socket, hello: dict[str, Any]) -> None:
        self.connection = connection
        self.rank, self.host, self.pid = hello["rank"], hello["host"], hello["pid"]
        self.heard = time.monotonic()
        self.calls, self.waits, self.busy = 0, 0.0, False  # collective calls so far, seconds in the present one
        self.changed = self.heard  # when `calls` last grew
        self.state = "alive"  # "left" after a goodbye, "failed" once it has said so, "gone" without either

    def name(self, ranks: int) -> str:
        return f"rank {self.rank} of {ranks} on {self.host} (process {self.pid})"


class Monitor:
    """Listens to `ranks` ranks."""

    def __init__(self, ranks: int, timeout: float) -> None:
        self.ranks, self.timeout = ranks, timeout
        self.listener = socket.create_server(("", 0))
        self.busy_at = float("-inf")  # when a rank last had work that may take long
        self.known: dict[socket.socket, Rank] = {}
        self.partial: dict[socket.socket, bytes] = {}
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)

    def run(self) -> None:
        """Return when every rank has left, or when the job has been ended."""
        begun = time.monotonic()
        while len(self.known) < self.ranks or any(rank.state == "alive" for rank in self.known.values()):
            for key, _ in self.selector.select(STEP):
                self.read(key.fileobj)
            if self.gone() or ((verdict := self.silent() or self.hanging()) and self.end(*verdict)):
                return
            if not self.partial and time.monotonic() - begun > 10 * self.timeout:
                return  # nobody came: the job ended before it began

    def read(self, source: Any) -> None:
        """Take what has come from one connection."""
        if source is self.listener:
            connection, _ = self.listener.accept()
            self.selector.register(connection, selectors.EVENT_READ)
            self.partial[connection] = b""
            return
        try:
            text = source.recv(1 << 16)
        except OSError:
            text = b""
        *lines, self.partial[source] = (self.partial[source] + text).split(b"\n")
        for line in lines:
            self.take(source, json.loads(line))
        if not text:
            self.selector.unregister(source)
            source.close()
            if source in self.known and self.known[source].state == "alive":
                self.known[source].state = "gone"

    def take(self, source: socket.socket, message: dict[str, Any]) -> None:
        """Note what a rank says."""
        if source not in self.known:
            self.known[source] = Rank(source, message)
            return
        rank, now = self.known[source], time.monotonic()
        rank.heard = now
        if "state" in message:
            rank.state = message["state"]
        else:
            rank.changed = now if message["calls"] != rank.calls else rank.changed
            if rank.busy or message["busy"]:
                self.busy_at = now
            rank.calls, rank.waits, rank.busy = message["calls"], message["waits"], message["busy"]

    # -- verdicts -----------------------------------------------------------------------------------------------------

    def gone(self) -> bool:
        """Whether a rank is gone; says which one, unless a rank has said itself that it failed."""
        first = next((rank for rank in self.known.values() if rank.state == "gone"), None)
        if first is None:
            return False
        until = time.monotonic() + GRACE
        while time.monotonic() < until:  # perhaps another rank has already said why
            for key, _ in self.selector.select(STEP / 4):
                self.read(key.fileobj)
        if all(rank.state != "failed" for rank in self.known.values()):
            self.say(
                f"{first.name(self.ranks)} has ended without an error of its own: it was killed, for example for want "
                "of memory, or a program in it crashed. All ranks end"
            )
            self.order_all("abort")
        return True

    def silent(self) -> tuple[Rank, str] | None:
        """The rank without a sign of life, and what to say of it."""
        for rank in self.alive():
            if time.monotonic() - rank.heard > self.timeout:
                return rank, f"has given no sign of life for {self.timeout:.0f} s: it is stopped, or cannot be reached"
        return None

    def hanging(self) -> tuple[Rank, str] | None:
        """The rank for which the others wait, and what to say of it."""
        alive = self.alive()
        if len(alive) < self.ranks or any(rank.busy for rank in alive):
            return None
        if time.monotonic() - self.busy_at < self.timeout:
            return None  # the others have waited for what was busy, and the rank has just begun to come
        waiting = [rank for rank in alive if rank.waits > self.timeout]
        late = [rank for rank in alive if not rank.waits and time.monotonic() - rank.changed > self.timeout]
        if waiting and late:
            return late[0], f"hangs: {len(waiting)} ranks have waited for it for {self.timeout:.0f} s"
        if len(waiting) == self.ranks:
            rank = min(waiting, key=lambda each: each.calls)
            return rank, f"and the others wait for each other for {self.timeout:.0f} s, each in another call"
        return None

    def alive(self) -> list[Rank]:
        return [rank for rank in self.known.values() if rank.state == "alive"]

    def end(self, rank: Rank, why: str) -> bool:
        """End the job because of `rank`."""
        longer = "A longer time: MINIRES_RANK_TIMEOUT=SECONDS"
        self.say(f"{rank.name(self.ranks)} {why}. All ranks end. ({longer})")
        self.order(rank, "stack")  # which also aborts; without effect on a stopped process
        time.sleep(1.0)
        self.order_all("abort")
        time.sleep(1.0)
        return True

    def order_all(self, what: str) -> None:
        for rank in self.known.values():
            self.order(rank, what)

    def order(self, rank: Rank, what: str) -> None:
        """Send an order. The connection may be closed already."""
        try:
            rank.connection.setblocking(False)
            rank.connection.sendall(f"{what}\n".encode())
        except OSError:
            pass

    def say(self, text: str) -> None:
        sys.stderr.write(f"minires: {text}\n")
        sys.stderr.flush()


if __name__ == "__main__":
    monitor = Monitor(int(sys.argv[1]), float(sys.argv[2]))
    sys.stdout.write(f"{monitor.listener.getsockname()[1]}\n")
    sys.stdout.flush()
    sys.stdout.close()
    monitor.run()
