"""A connection in memory, with the two things that trio's own lacks: closing without an await, and a reset."""

from __future__ import annotations

import trio
import trio.testing


class MemoryStream(trio.abc.HalfCloseableStream):
    """One end of a connection in memory; its buffers have no limit, so there is no backpressure.

    Closing is what a process that goes away does to its socket: the other end reads what was sent, then the end, and
    can send no more.
    """

    def __init__(
        self, inner: trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]
    ) -> None:
        self._inner = inner
        self._peer: MemoryStream | None = None
        self._was_reset = False

    @staticmethod
    def pair() -> tuple[MemoryStream, MemoryStream]:
        """Two ends of a new connection."""
        left, right = map(MemoryStream, trio.testing.memory_stream_pair())
        left._peer, right._peer = right, left
        return left, right

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send; never waits for the reader.

        Raises:
            trio.BrokenResourceError: The other end is closed.
            trio.ClosedResourceError: This end is closed.
        """
        await self._inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Return at once."""
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive at least one byte; nothing at the end.

        Raises:
            trio.BrokenResourceError: The other end has reset the connection, and all that it sent has been read.
            trio.ClosedResourceError: This end is closed.
        """
        data = await self._inner.receive_some(max_bytes)
        if not data and self._was_reset:
            raise trio.BrokenResourceError("connection reset by peer")
        return data

    async def send_eof(self) -> None:
        """Send no more, but go on receiving."""
        await self._inner.send_eof()

    def close(self) -> None:
        """Close this end, now."""
        self._inner.send_stream.close()
        self._inner.receive_stream.close()

    def reset(self) -> None:
        """Close this end such that the other end's `receive_some` fails, not ends."""
        if self._peer is not None:
            self._peer._was_reset = True
        self.close()

    async def aclose(self) -> None:
        """Close this end; it is closed also when this is cancelled."""
        self.close()
        await trio.lowlevel.checkpoint()
