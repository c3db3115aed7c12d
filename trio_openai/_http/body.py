"""The body of a response."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol, cast

import httpx
import trio

from .connection import Connection
from .slots import within

BODY = "trio_openai.body"
"""The key in `response.extensions` under which this transport hands out the `Body` to those who read it directly."""


class ReadableBody(Protocol):
    """A body: `read` until `b""`, and `aclose` at any time."""

    async def read(self) -> bytes:
        """The next bytes, `b""` at the end."""
        ...

    async def aclose(self, *, park: bool = False) -> None:
        """Give up the connection, before any checkpoint if that is possible. `park`: the rest is of no interest."""
        ...

    def close_soon(self) -> None:
        """Give up the connection without waiting: at once if that is possible, else by a task. Raises nothing."""
        ...


class Body(httpx.AsyncByteStream):
    """The body of one response. It holds the connection and the slot until its end, or until it is closed."""

    def __init__(self, connection: Connection, release: Callable[..., None], read_timeout: float | None) -> None:
        self._connection: Connection | None = connection  # None once it has been given up
        self._release = release
        self._read_timeout = read_timeout
        self._ended = False

    async def read(self) -> bytes:
        """The next bytes of the body, as many as have arrived; `b""` at its end, and then the connection is free.

        A checkpoint only if it has to wait. No timeout applies.

        Raises:
            httpx.ReadError: the connection broke.
            httpx.RemoteProtocolError: it ended before the body did, or what came is not HTTP. All that came before has
                been returned.
            trio.ClosedResourceError: the body was closed before, or is while this waits.
        """
        connection = self._connection
        if self._ended:
            return b""  # noqa: ASYNC910 - as documented
        if connection is None:
            raise trio.ClosedResourceError("this response has been closed")
        parser = connection.parser
        while not (data := parser.take_body()):
            connection.check()
            if parser.complete:
                self._ended = True
                self.close()
                break
            await connection.receive()
        return data  # noqa: ASYNC910 - as documented

    def close(self, *, park: bool = False) -> None:
        """Give up the slot and the connection: to the pool if the body is whole, else closed. Idempotent, synchronous.

        Args:
            park: keep the connection although the body has not ended, since it will do so without more of interest.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            self._release(park=park)

    def close_soon(self) -> None:
        """As `close`. Bodies of other transports take a task for it."""
        self.close()

    async def aclose(self, *, park: bool = False) -> None:
        """`close`, then a checkpoint that cannot be cancelled."""
        self.close(park=park)
        await trio.lowlevel.cancel_shielded_checkpoint()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """For httpx, which reads a body by iterating: `read`, under the request's `read` timeout."""
        await trio.lowlevel.checkpoint()
        data = await within(self._read_timeout, httpx.ReadTimeout, self.read)
        if not data:
            raise StopAsyncIteration
        return data


def body_of(response: httpx.Response) -> ReadableBody:
    """The body of a response that came from `send`."""
    return cast("ReadableBody", response.extensions[BODY])
