"""One connection to an origin: requests are written to it, and responses are parsed from it."""

from __future__ import annotations

import contextlib
import functools
import re
import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import attrs
import httpx
import trio

from .background_read import BackgroundRead
from .byte_streams import Origin, close_now, reader_of, reason_of
from .http1 import ConnectionEndedError, ProtocolError, ResponseParser, serialize

if TYPE_CHECKING:
    from .proxy import Proxy

_SMALL_BODY = 64 * 1024  # a request body up to this size goes out in one write with the head


class UnprovenEndError(httpx.ReadError):
    """TLS ended without `close_notify`, and nothing but that end would say that the body is complete.

    Anybody on the way can cut a TCP connection, so the body counts as truncated (RFC 9112, section 9.8).
    """


class UnparsableResponse(httpx.RemoteProtocolError):
    """The peer answered, but not in HTTP/1.1. Another attempt would get the same, and cost another generation."""

    is_final = True


@attrs.define(eq=False, repr=False)
class Connection:
    """An open stream to an origin, and the parser of its last response."""

    stream: trio.abc.Stream
    origin: Origin
    parser: ResponseParser
    proxy: Proxy | None = None  # that it goes through
    expires_at: float = 0.0
    is_spoiled: bool = False  # a request was not sent whole: no other one may follow it
    read: Callable[[], Awaitable[bytes | bytearray]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.read = reader_of(self.stream)

    async def receive(self) -> None:  # noqa: ASYNC910 - a read that fails has been one
        """Feed the parser with one read."""
        try:
            data = await self.read()
        except (trio.BrokenResourceError, OSError) as error:
            if not _is_tls_cut(error):
                raise httpx.ReadError(f"the connection{self.way} broke: {reason_of(error)}") from error
            if self.parser.until_close and not self.parser.complete:
                words = "ended without TLS's close_notify, so the response may have been cut"
                raise UnprovenEndError(f"the connection{self.way} {words}") from error
            data = b""
        if data:
            self.parser.receive_data(data)
        else:
            self.parser.receive_eof()

    async def send(self, request: httpx.Request) -> None:
        """Write a request. Its head only ever stands in a `memoryview`: a traceback's locals do not show the key."""
        stream, proxy = self.stream, self.proxy
        target, headers = request.url.raw_path, request.headers
        if proxy is not None and self.is_forwarded:
            target, headers = proxy.forwarded(request)
        if b"%" in self.origin[1]:
            headers = _without_zone_in_host(headers)
        head = memoryview(serialize(request.method, target, headers))
        body = request.stream
        content = b"".join(body) if isinstance(body, httpx.ByteStream) else b""
        if len(content) <= _SMALL_BODY:
            await stream.send_all(memoryview(b"".join((head, content))))
        else:
            await stream.send_all(head)
            await stream.send_all(memoryview(content))
        if not isinstance(body, httpx.ByteStream):
            await _send_pieces(request, cast("httpx.AsyncByteStream", body), stream)

    def may_block(self, request: httpx.Request) -> bool:
        """Return whether sending may wait for the server to read. What is short fits into a socket's buffer.

        A short request is never watched for an early answer, also over a stream that is no socket: the watching read is
        cancelled afterwards, and a stream of the program's own may lose bytes by that.
        """
        body = request.stream
        return not (isinstance(body, httpx.ByteStream) and sum(map(len, body)) <= _SMALL_BODY)

    def check(self) -> None:
        """Raise if what came is not HTTP, or not the whole of it."""
        try:
            self.parser.check()
        except ProtocolError as error:
            words = f"{error} (it came{self.way})" if self.proxy is not None else str(error)
            kind = httpx.RemoteProtocolError if isinstance(error, ConnectionEndedError) else UnparsableResponse
            raise kind(words) from error

    @property
    def is_forwarded(self) -> bool:
        """Whether requests are handed to a proxy."""
        return self.proxy is not None and self.proxy.forwards(self.origin[0])

    @property
    def way(self) -> str:
        """What a message says of the way that it goes, after a noun."""
        return f" through {self.proxy.name}" if self.proxy is not None else ""

    def close(self) -> None:
        """Close the stream at once, and let go of the parser."""
        self.parser.close()
        close_now(self.stream)


def _is_tls_cut(error: BaseException) -> bool:
    """Return whether TLS ended without a `close_notify`. Which exception says so depends on the version of OpenSSL."""
    cause = error.__cause__
    is_eof = isinstance(cause, ssl.SSLEOFError | ssl.SSLSyscallError)
    return is_eof or (isinstance(cause, ssl.SSLError) and "UNEXPECTED_EOF" in str(cause))


def _without_zone_in_host(headers: httpx.Headers) -> httpx.Headers:
    headers = headers.copy()
    headers["Host"] = re.sub(r"%[^\]]*", "", headers.get("host", ""))
    return headers


_EARLY_SECONDS = 1.0  # how long the body of an early answer is waited for
_EARLY_READS = 16  # of the body of an early answer


async def send_until_refused(connection: Connection, request: httpx.Request) -> None:
    """Send a request, but stop when the server answers with an error before it has read all of it.

    A server that refuses an upload (413, 401) may read no further: the rest could not be sent before a deadline. If it
    accepts early (2xx), the rest is sent. Afterwards `connection.parser` has the head of an early answer.

    Raises:
        httpx.TransportError: the connection ended, or broke, before there was an answer.
        trio.BrokenResourceError: it broke while this was sending.
    """
    if not connection.may_block(request):
        await connection.send(request)
        return
    sending = trio.CancelScope()
    answer = BackgroundRead(functools.partial(_early_answer, connection, sending))
    with sending:
        try:
            await connection.send(request)
        finally:
            with trio.CancelScope(shield=True):
                await answer.cancel()
    connection.is_spoiled = connection.is_spoiled or sending.cancelled_caught
    answer.result()


async def _early_answer(connection: Connection, sending: trio.CancelScope) -> bytes:
    """Wait for the head of an answer, and cancel the sending of the request if it refuses it."""
    parser = connection.parser
    try:
        await read_head(connection)
        if parser.status is not None and parser.status < 300:
            return b""
        # Over TLS a cancelled send breaks the stream, so what the server says about it is read before that.
        with trio.move_on_after(_EARLY_SECONDS), contextlib.suppress(httpx.TransportError):  # noqa: ASYNC912 - not if the answer is complete
            for _ in range(_EARLY_READS):
                if parser.complete:
                    break
                await connection.receive()
                connection.check()
    except httpx.TransportError:
        sending.cancel()
        raise
    sending.cancel()
    return b""


async def read_head(connection: Connection) -> None:
    """Read until the head of the response is complete.

    Raises:
        httpx.TransportError: the connection ended or broke before, or what came is not HTTP.
    """
    while True:
        await connection.receive()
        if connection.parser.status is not None:
            return
        connection.check()


_DRAIN_SECONDS = 0.005  # how long a parked connection's end of body is waited for when the connection is wanted


async def drain(connection: Connection) -> None:  # noqa: ASYNC910 - a read that fails at once is none
    """Read what a parked connection's response still had to say, which should be next to nothing."""
    with trio.move_on_after(_DRAIN_SECONDS), contextlib.suppress(httpx.TransportError):
        while True:
            await connection.receive()
            connection.check()
            if connection.parser.complete:
                return


async def _send_pieces(request: httpx.Request, body: httpx.AsyncByteStream, stream: trio.abc.Stream) -> None:
    """Write a body that is made as it goes."""
    await trio.lowlevel.checkpoint()
    chunked = request.headers.get("transfer-encoding", "").lower() == "chunked"
    pieces: Any = aiter(body)
    try:
        async for piece in pieces:
            if piece:
                await stream.send_all(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            await stream.send_all(b"0\r\n\r\n")
    finally:
        if hasattr(pieces, "aclose"):  # an async generator, which must not be left to the garbage collector
            await pieces.aclose()
