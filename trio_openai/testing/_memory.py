"""A connection in memory that can be closed without an await and can be reset, which trio's own cannot."""

from __future__ import annotations

import trio
import trio.testing


class MemoryStream(trio.abc.HalfCloseableStream):
    """One end of a connection in memory. Its buffers are unlimited, so there is no backpressure.

    Closing it acts like a process that exits: the other end can still read what was sent, then end-of-file, and can no
    longer send.
    """

    def __init__(
        self, inner: trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]
    ) -> None:
        self._inner = inner
        self._peer: MemoryStream | None = None
        self._was_reset = False

    @staticmethod
    def pair() -> tuple[MemoryStream, MemoryStream]:
        """Return both ends of a new connection."""
        left, right = map(MemoryStream, trio.testing.memory_stream_pair())
        left._peer, right._peer = right, left
        return left, right

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send data without waiting for the reader.

        Raises:
            trio.BrokenResourceError: The other end is closed.
            trio.ClosedResourceError: This end is closed.
        """
        await self._inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Return at once."""
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive at least one byte, or `b""` at end-of-file.

        Raises:
            trio.BrokenResourceError: The other end has reset the connection, and everything it sent has been read.
            trio.ClosedResourceError: This end is closed.
        """
        data = await self._inner.receive_some(max_bytes)
        if not data and self._was_reset:
            raise trio.BrokenResourceError("connection reset by peer")
        return data

    async def send_eof(self) -> None:
        """Stop sending. Receiving is still possible."""
        await self._inner.send_eof()

    def close(self) -> None:
        """Close this end at once, without a checkpoint."""
        self._inner.send_stream.close()
        self._inner.receive_stream.close()

    def reset(self) -> None:
        """Close this end so that the other end's `receive_some` raises an error instead of returning end-of-file."""
        if self._peer is not None:
            self._peer._was_reset = True
        self.close()

    async def aclose(self) -> None:
        """Close this end, even if this call is cancelled."""
        self.close()
        await trio.lowlevel.checkpoint()
