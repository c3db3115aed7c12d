"""What the server counts, and the waiting for it."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import trio

from trio_openai.testing._requests import RecordedRequest


@attrs.frozen
class ServerStatistics:
    """A `ScriptedServer`'s counts at one moment.

    Attributes:
        connections: Open now.
        accepted: Opened since the server was made.
        requests: Requests that were read to their end and got a reply, or the beginning of one.
        disconnects: Replies whose peer went away before their end. Not those that a `Cut` or `Reset` broke off, nor
            those that the server's own end broke off.
    """

    connections: int
    accepted: int
    requests: int
    disconnects: int


class Ledger:
    """Counts connections and replies; whoever waits for a count is woken when any of them changes."""

    def __init__(self) -> None:
        self.requests: list[RecordedRequest] = []
        self.disconnects = 0
        self.replying = 0
        self._connections = 0
        self._accepted = 0
        self._changed = trio.Event()

    def opened(self) -> None:
        self._connections += 1
        self._accepted += 1

    def closed(self) -> None:
        self._connections -= 1
        self._wake()

    def began(self, request: RecordedRequest) -> None:
        self.requests.append(request)
        self.replying += 1
        self._wake()

    def ended(self) -> None:
        self.replying -= 1
        self._wake()

    def statistics(self) -> ServerStatistics:
        return ServerStatistics(self._connections, self._accepted, len(self.requests), self.disconnects)

    async def wait_until(self, true: Callable[[], bool]) -> None:
        await trio.lowlevel.checkpoint()
        while not true():
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
