"""Connections for the tests of `shared_epoll.py`."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import trio
import trio.testing

from trio_openai._http.shared_epoll import EpollStatistics, SharedReader, shared_epoll

UNUSED = EpollStatistics(sockets=0, tasks_waiting=0)


class Pair:
    """A connection: `peer` writes, and `reader` reads what it wrote. `got` is what `keep_reading` has read."""

    def __init__(self, number: int | None = None) -> None:
        self.peer, ours = socket.socketpair()
        if self.peer.fileno() == number:
            self.peer, ours = ours, self.peer
        if number not in (None, ours.fileno()):  # this descriptor is to be used
            os.dup2(ours.fileno(), number)
            ours.close()
            ours = socket.socket(fileno=number)
        ours.setblocking(False)
        self.sock = ours
        self.reader = SharedReader(trio.socket.from_stdlib_socket(ours))
        self.got = b""
        self.outcome = ""

    async def keep_reading(self, scope: trio.CancelScope | None = None) -> None:
        """Read until the end, and remember how it ended."""
        self.outcome = "reading"
        with scope or trio.CancelScope():
            try:
                while data := await self.reader.read():
                    self.got += data
                self.outcome = "end"
            except BaseException as error:
                self.outcome = type(error).__name__
                if isinstance(error, trio.Cancelled):
                    raise

    def close(self) -> None:
        self.reader.close()
        self.peer.close()


@contextlib.contextmanager
def pairs(count: int) -> Iterator[list[Pair]]:
    """Open connections, and check that nothing is left of them when they have been closed."""
    opened = [Pair() for _ in range(count)]
    try:
        yield opened
    finally:
        for pair in opened:
            pair.close()
        assert shared_epoll().statistics() == UNUSED


async def settle() -> None:
    """Wait until no task has anything to do."""
    await trio.testing.wait_all_tasks_blocked()
