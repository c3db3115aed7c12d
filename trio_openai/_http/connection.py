"""One connection: write a request to its stream, and feed what it returns to the HTTP parser.

This module joins the two halves below it. `byte_streams.py` reads bytes and knows nothing of HTTP. `http1.py` parses
bytes and does no I/O. `Connection.receive` makes one read and passes it to the parser; the callers loop until they have
what they want: the head (`read_head`), the next part of the body (`Body.read`), or the end of the message (`drain`).

Three situations need care:

* The server may answer before it has read the request. A server that refuses an upload (413, say) often stops reading,
  so sending would block until a deadline. `send_until_refused` therefore reads while it sends.
* TLS may end without `close_notify`. Anybody on the network can cut a TCP connection, so a body that ends only with the
  connection counts as truncated then (RFC 9112, section 9.8). A body with a length or chunks does not need the signal.
* Errors must not reveal the API key. A traceback keeps the locals of each frame, and tools print them. So the head of a
  request exists only as a `memoryview`, whose `repr` shows no content, and headers as `httpx.Headers`, which masks
  them.

All errors that leave this module are httpx exceptions or `trio.BrokenResourceError`.
"""

from __future__ import annotations

import contextlib
import functools
import re
import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import attrs
import trio

from trio_openai._httpx import httpx

from .background_read import BackgroundRead
from .byte_streams import Origin, close_now, reader_of, reason_of
from .http1 import ConnectionEndedError, ProtocolError, ResponseParser, serialize
from .raw_request import RawRequest, content_of
from .shared_epoll import SharedReader

if TYPE_CHECKING:
    from .proxy import Proxy

_SMALL_BODY = 64 * 1024  # bytes; a request body up to this size is sent in one write together with the head


class UnprovenEndError(httpx.ReadError):
    """TLS ended without `close_notify`, and nothing else marks the end of the body, so it may be truncated.

    See RFC 9112, section 9.8.
    """


class UnparsableResponse(httpx.RemoteProtocolError):
    """The server's response is not HTTP/1.1.

    It is not worth a retry: the response would be the same, and the server might generate, and charge for, another one.
    """

    is_final = True


@attrs.define(eq=False, repr=False)
class Connection:
    """An open stream to an origin, and the parser of the current response.

    Attributes:
        stream: the byte stream, over TLS for `https`.
        origin: the scheme, host and port that requests go to.
        parser: the parser of the current or latest response.
        proxy: the proxy that the stream goes through, or None.
        expires_at: the trio time at which to close the connection while it is idle.
        is_spoiled: True if a request was not sent completely, so that no other request may follow it.
        is_ours: True if nobody else can have a reference to the stream, and close it.
        number: the number of the connection in its pool, from 1.
        read: an async function that returns the next bytes of the stream, or `b""` at its end.
    """

    stream: trio.abc.Stream
    origin: Origin
    parser: ResponseParser
    proxy: Proxy | None = None
    expires_at: float = 0.0
    is_spoiled: bool = False
    is_ours: bool = False
    number: int = 0
    read: Callable[[], Awaitable[bytes | bytearray]] = attrs.field(init=False)
    _reader: SharedReader | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        if self.is_ours and isinstance(self.stream, trio.SocketStream):
            self._reader = SharedReader(self.stream.socket)
            self.read = self._reader.read
        else:
            self.read = reader_of(self.stream)

    async def receive(self) -> None:  # noqa: ASYNC910 - every read, also one that fails, is a checkpoint
        """Read once, and feed the parser with the bytes or the end of the stream.

        Raises:
            httpx.ReadError: the connection broke.
            UnprovenEndError: TLS ended without `close_notify`, and only that end would complete the body.
        """
        try:
            data = await self.read()
        except (trio.BrokenResourceError, OSError) as error:
            if not _is_tls_cut(error):
                raise httpx.ReadError(f"the connection{self.via} broke: {reason_of(error)}") from error
            if self.parser.until_close and not self.parser.complete:
                words = "ended without a TLS close_notify, so the response may be truncated"
                raise UnprovenEndError(f"the connection{self.via} {words}") from error
            data = b""  # the parser knows from the length or the chunks whether this is the end
        if data:
            self.parser.receive_data(data)
        else:
            self.parser.receive_eof()

    async def send(self, request: httpx.Request | RawRequest) -> None:
        """Write a request.

        Raises:
            trio.BrokenResourceError: the connection broke.
            ValueError: a header contains a character that HTTP forbids. Nothing was sent.
        """
        stream = self.stream
        # A memoryview's repr does not show the key.
        head = request.serialized() if isinstance(request, RawRequest) else memoryview(self._serialized(request))
        content = content_of(request)
        if len(content or b"") <= _SMALL_BODY:
            await stream.send_all(memoryview(b"".join((head, content or b""))))  # one system call and one packet
        else:
            await stream.send_all(head)
            await stream.send_all(memoryview(content or b""))
        if content is None and not isinstance(request, RawRequest):
            await _send_chunks(request, cast("httpx.AsyncByteStream", request.stream), stream)

    def _serialized(self, request: httpx.Request) -> bytes:
        """Return the head of a request as bytes."""
        target, headers = request.url.raw_path, request.headers
        if self.proxy is not None and self.is_forwarded:
            target, headers = self.proxy.forwarded(request)
        if b"%" in self.origin[1]:
            headers = _without_zone_in_host(headers)
        return serialize(request.method, target, headers)

    def may_block(self, request: httpx.Request | RawRequest) -> bool:
        """Return whether sending may have to wait for the server to read. A short request fits into a socket's buffer.

        This also decides whether to watch for an early response. A short request is never watched, because the watching
        read is cancelled afterwards, and a stream that a program brings may lose bytes when a read is cancelled.
        """
        content = content_of(request)
        return content is None or len(content) > _SMALL_BODY

    def check(self) -> None:
        """Raise an error if the response is not HTTP, or if the connection ended before the response did.

        Raises:
            UnparsableResponse: the response is not HTTP/1.1.
            httpx.RemoteProtocolError: the connection ended too early.
        """
        try:
            self.parser.check()
        except ProtocolError as error:
            words = f"{error} (received{self.via})" if self.proxy is not None else str(error)
            kind = httpx.RemoteProtocolError if isinstance(error, ConnectionEndedError) else UnparsableResponse
            raise kind(words) from error

    @property
    def is_forwarded(self) -> bool:
        """True if requests are sent to a proxy, which forwards them."""
        return self.proxy is not None and self.proxy.forwards(self.origin[0])

    @property
    def via(self) -> str:
        """A clause for error messages, such as ` through the proxy p:3128`, or an empty string."""
        return f" through {self.proxy.name}" if self.proxy is not None else ""

    def close(self) -> None:
        """Close the stream at once, and release the parser."""
        self.parser.close()
        if self._reader is not None:
            self._reader.close()  # it wakes the task that waits for the socket
        close_now(self.stream)


def _is_tls_cut(error: BaseException) -> bool:
    """Return whether TLS ended without a `close_notify`. OpenSSL's versions use different exceptions for it."""
    cause = error.__cause__  # trio wraps the exception of the ssl module
    is_eof = isinstance(cause, ssl.SSLEOFError | ssl.SSLSyscallError)
    return is_eof or (isinstance(cause, ssl.SSLError) and "UNEXPECTED_EOF" in str(cause))


def _without_zone_in_host(headers: httpx.Headers) -> httpx.Headers:
    """Remove the zone of an IPv6 address from the `Host` header, since other machines do not know it (RFC 6874)."""
    headers = headers.copy()
    headers["Host"] = re.sub(r"%[^\]]*", "", headers.get("host", ""))
    return headers


_EARLY_SECONDS = 1.0  # how long to wait for the body of an early response
_EARLY_READS = 16  # how many reads to spend on the body of an early response


async def send_until_refused(connection: Connection, request: httpx.Request | RawRequest) -> None:
    """Send a request, but stop if the server answers with an error before it has read the entire request.

    A server that refuses an upload (413, 401) may stop reading, and the rest could never be sent. After an early
    success (2xx) the rest is sent. In both cases `connection.parser` contains the head of the early response
    afterwards.

    Raises:
        httpx.TransportError: the connection ended or broke before there was a response.
        trio.BrokenResourceError: the connection broke while sending.
    """
    if not connection.may_block(request):
        await connection.send(request)
        return
    sending = trio.CancelScope()
    early = BackgroundRead(functools.partial(_read_early_response, connection, sending))
    with sending:
        try:
            await connection.send(request)
        finally:
            with trio.CancelScope(shield=True):  # the reading task must be gone before anybody else reads
                await early.cancel()
    connection.is_spoiled = connection.is_spoiled or sending.cancelled_caught
    early.result()  # raise what broke the reading task


async def _read_early_response(connection: Connection, sending: trio.CancelScope) -> bytes:
    """Wait for the head of an early response. If it is an error, cancel the sending of the request.

    The bytes stay in the parser. This returns none, only because `BackgroundRead` expects bytes.
    """
    parser = connection.parser
    try:
        await read_head(connection)
        if parser.status is not None and parser.status < 300:
            return b""
        # Cancelling a send breaks a TLS stream, so the body with the server's explanation must be read before that.
        with trio.move_on_after(_EARLY_SECONDS), contextlib.suppress(httpx.TransportError):  # noqa: ASYNC912 - nothing to wait for if the response is complete
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
        httpx.TransportError: the connection ended or broke, or the response is not HTTP.
    """
    while True:
        await connection.receive()
        if connection.parser.status is not None:
            return
        connection.check()


_DRAIN_SECONDS = 0.005  # how long to wait for the end of a parked connection's body


async def drain(connection: Connection) -> None:  # noqa: ASYNC910 - the caller has just passed a checkpoint
    """Read the rest of a parked connection's response, which should be a few bytes that have already arrived.

    If they have not, opening a new connection is better than waiting, so this gives up after a few milliseconds.
    """
    with trio.move_on_after(_DRAIN_SECONDS), contextlib.suppress(httpx.TransportError):
        while True:
            await connection.receive()
            connection.check()
            if connection.parser.complete:
                return


async def _send_chunks(request: httpx.Request, body: httpx.AsyncByteStream, stream: trio.abc.Stream) -> None:
    """Write a body that is produced while it is sent, chunked if its length is unknown (RFC 9112, section 7.1)."""
    await trio.lowlevel.checkpoint()
    chunked = request.headers.get("transfer-encoding", "").lower() == "chunked"
    chunks: Any = aiter(body)
    try:
        async for chunk in chunks:
            if chunk:  # an empty chunk would mark the end of the body
                await stream.send_all(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
        if chunked:
            await stream.send_all(b"0\r\n\r\n")
    finally:
        if hasattr(chunks, "aclose"):  # an async generator must not be left to the garbage collector
            await chunks.aclose()
