"""The body of a response: what reads it, and what owns the connection meanwhile.

`Body` is the last step of a byte on its way out of HTTP. `Stream` calls `Body.read`, which returns what the parser has
already decoded, and otherwise waits for one read of the socket. There is no channel, no task and no async generator in
between. So a program that stops reading stops the server (backpressure), and cancelling a read leaves nothing behind.

`Body` also owns the connection and the pool slot of its response. It gives them back at the end of the body or when it
is closed. Closing is synchronous and idempotent.

`ReadableBody` is the interface that the rest of the library uses. It has three kinds: `Body`, `ForeignBody` (for HTTP
clients that the program brings, see `foreign_body.py`), and the decompressing bodies of `codings.py` around either.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar, Protocol, cast

import trio

from trio_openai._httpx import error_of, httpx

from .connection import Connection
from .slots import within

BODY = "trio_openai.body"
"""The key in `response.extensions` of a response's `ReadableBody`."""


class ReadableBody(Protocol):
    """A response body that can be read piece by piece and closed at any time."""

    async def read(self) -> bytes:
        """Return the next bytes, or `b""` at the end."""
        ...

    async def aclose(self, *, park: bool = False) -> None:
        """Give up the connection, before the first checkpoint if the transport allows that.

        Args:
            park: keep the connection for the next request, because the rest of the body is known to be unimportant.
        """
        ...

    def close_soon(self) -> None:
        """Give up the connection without waiting: at once if possible, otherwise in a background task."""
        ...


class Body(httpx.AsyncByteStream):
    """The body of one response of `TrioTransport`, which owns the connection and the slot until it is closed.

    Args:
        connection: the connection to read.
        slot: what the connection occupies in the pool.
        release: called once, with the connection, the slot and `park=`, to give both back.
        read_timeout: seconds that httpx may wait for the next bytes. `read` ignores it.

    Attributes:
        package: the package, httpx or httpx2, whose exceptions iterating raises. `read` always raises those of httpx.
    """

    package: ClassVar[Any] = httpx

    def __init__(
        self, connection: Connection, slot: object, release: Callable[..., None], read_timeout: float | None
    ) -> None:
        self._connection: Connection | None = connection  # None once it has been given back
        self._slot = slot
        self._release = release
        self._read_timeout = read_timeout
        self._ended = False

    async def read(self) -> bytes:
        """Return all bytes that have arrived, waiting for more if there are none. Return `b""` at the end of the body.

        At the end the connection goes back to the pool. This is a checkpoint only if it has to wait, and no timeout
        applies: the caller is responsible for both. If it is cancelled, nothing is lost.

        Raises:
            httpx.ReadError: the connection broke. All bytes before that have been returned.
            httpx.RemoteProtocolError: the connection ended before the body did, or the server sent something that is
                not HTTP. All bytes before that have been returned.
            trio.ClosedResourceError: the body was closed, before this call or while it waited.
        """
        connection = self._connection
        if self._ended:
            return b""  # noqa: ASYNC910 - as documented
        if connection is None:
            raise trio.ClosedResourceError("this response has been closed")
        parser = connection.parser
        if parser.needs_data:  # nearly always, and cheaper than to take and check nothing
            await connection.receive()
        while not (data := parser.take_body()):
            connection.check()  # only now, so that the bytes before an error are delivered first
            if parser.complete:
                self._ended = True
                self.close()
                break
            await connection.receive()
        return data  # noqa: ASYNC910 - as documented

    def close(self, *, park: bool = False) -> None:
        """Give up the slot and the connection. Idempotent.

        A connection whose response is complete goes back to the pool. Any other is closed, which tells the server to
        stop.

        Args:
            park: keep the connection although the body has not ended, because only unimportant bytes are missing.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            self._release(connection, self._slot, park=park)

    def close_soon(self) -> None:
        """Call `close`. Only the bodies of other transports need a task for this."""
        self.close()

    async def aclose(self, *, park: bool = False) -> None:  # noqa: ASYNC124, ASYNC910 - other bodies have to wait
        """Call `close`. This is no checkpoint, which would cost as much as the rest of the end of a stream."""
        self.close(park=park)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Return the next bytes for httpx, which iterates over a body, under the request's `read` timeout."""
        await trio.lowlevel.checkpoint()
        try:
            data = await within(self._read_timeout, httpx.ReadTimeout, self.read)
        except httpx.TransportError as error:
            if self.package is httpx:
                raise
            failed = error_of(self.package, error)
        else:
            if not data:
                raise StopAsyncIteration
            return data
        raise failed


@functools.cache
def body_class(package: Any) -> type[Body]:
    """Return the class of bodies for the clients of httpx or httpx2. Each accepts only its own byte streams."""
    if package is httpx:
        return Body
    return type("Body", (Body, package.AsyncByteStream), {"package": package})


def body_of(response: httpx.Response) -> ReadableBody:
    """Return the body of a response that came from `send`."""
    return cast("ReadableBody", response.extensions[BODY])
