"""An httpx transport that speaks HTTP/1.1 over trio streams, with its own connection pool.

The problem. A program cancels streams all the time: a deadline passes, a user presses stop, a race has a winner. After
each cancellation, at whatever checkpoint, the connection must be closed or back in the pool and its slot must be free
(promise 1). httpx's stock transport cannot guarantee that. httpcore loses a pool slot when a request is cancelled while
it waits for a connection. It also passes the body through nested async generators, and a generator that is not
exhausted runs its cleanup whenever the garbage collector gets to it.

The idea. A request owns one *slot* (permission to use a connection, see `slots.py`) and one connection. While the
request is being sent, both are registered in an `ExitStack`; afterwards the response's `Body` owns them. Whichever way
the request ends, its owner gives both back. Giving back is synchronous, so there is no checkpoint at which it could be
cancelled.

The rules:

* A connection returns to the pool only if it can certainly carry another request. Either the response is complete, or
  the caller parks it (`close(park=True)`): a stream that has seen its terminal event has no use for the last bytes of
  the body. A parked connection is drained when it is next wanted, so nobody waits for the server.
* A pooled connection is probed before it is reused, because the server may have closed it. If it breaks before the
  first byte of a response anyway, an idempotent request is sent once more over a new connection (RFC 9110, section
  9.2.2). A POST is not: the server may have processed it, so the caller has to decide.
* The pool has no background task, which would outlive every scope. Expired connections are closed when the next request
  begins or the next response ends.
* When the process runs out of file descriptors, a request waits for one of our own connections instead of failing. See
  `_connect_or_wait`.
* Errors are httpx exceptions, or those of httpx2 if the request is one of httpx2. So the transport also works in a
  plain `httpx.AsyncClient` or `httpx2.AsyncClient`. The timeouts are httpx's:
  `connect`, `pool`, `write` and `read`. Here `read` bounds the wait for the entire head of a response.

HTTP/2 is not supported. To cancel one HTTP/2 stream, a client has to send `RST_STREAM`, and the available
implementations do not, so the server would keep generating.

To follow a response's bytes, read `body.py` next, then `connection.py`.
"""

from __future__ import annotations

import contextlib
import math
import ssl
from typing import TYPE_CHECKING, Any, cast

import trio

from trio_openai._httpx import error_of, httpx, package_of

from .body import BODY, Body, body_class
from .byte_streams import (
    Origin,
    OutOfFilesError,
    StreamOpener,
    close_now,
    default_tls,
    has_data_or_end,
    has_port,
    host_for_os,
    is_out_of_files,
    open_tcp,
    open_tls,
    reason_of,
    refuse_unclosable,
    unix_opener,
    without_zone,
)
from .connection import Connection, drain, read_head, send_until_refused
from .http1 import MAX_HEADER_BYTES, ResponseParser
from .idle import IdleConnections
from .pool_log import log_connection
from .raw_answer import RawAnswer
from .raw_request import RawRequest, content_of, origin_of
from .slots import Slots, limit_of, within

if TYPE_CHECKING:
    from trio_openai._statistics import TransportStatistics

    from .proxy import Proxy, Route

NATIVE = "trio_openai.native"
"""The key in `request.extensions` of a function to call as soon as a request reaches this transport."""

FORWARDER = "trio_openai.forwarder"
"""The key in `response.extensions` of a clause such as ` through the proxy p:3128`.

It is set if a proxy forwarded the request, because then the response may come from the proxy and not from the server.
"""

_EARLY_RESPONSE_SECONDS = 1.0  # how long to wait for the response to a request that could not be sent completely

# RFC 9110, section 9.2.2: a client may repeat these on its own after a connection failure.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


class TrioTransport(httpx.AsyncBaseTransport):
    """An `httpx.AsyncBaseTransport` that runs on trio and keeps a pool of HTTP/1.1 connections.

    It also works in an `httpx2.AsyncClient`, whose requests then get responses and exceptions of httpx2.

    Args:
        max_connections: the number of requests that may hold a connection at a time. Further requests wait, first come
            first served.
        keepalive_expiry: seconds to keep an idle connection. It is closed at the next request or end of a response
            after that time, since the pool has no background task.
        ssl_context: the TLS settings for `https`. By default one is created on first use; it verifies certificates
            against `SSL_CERT_FILE`, `SSL_CERT_DIR` or certifi's list.
        uds: the path of a Unix socket to connect to, whatever the host in the URL.
        open_stream: an async function that opens a byte stream to `(host, port)` instead of TCP.
        max_header_bytes: the largest response head to accept, in bytes.
        proxy: a proxy for every connection: an `httpx.Proxy`, or a URL that begins with `http://`, `https://`,
            `socks5://` or `socks5h://` and may contain `user:password@`. The default is no proxy; the environment
            variables for proxies are ignored.
        trust_env: whether to read `SSL_CERT_FILE` and `SSL_CERT_DIR`.

    Raises:
        TypeError: `proxy` is neither a URL nor an `httpx.Proxy`.
        ValueError: `proxy` is not a valid proxy URL, both `uds` and `open_stream` are given, or `max_connections` is
            less than 1.
    """

    def __init__(
        self,
        *,
        max_connections: int = 1000,
        keepalive_expiry: float = 30.0,
        ssl_context: ssl.SSLContext | None = None,
        uds: str | None = None,
        open_stream: StreamOpener | None = None,
        max_header_bytes: int = MAX_HEADER_BYTES,
        proxy: str | httpx.URL | httpx.Proxy | Proxy | Route | None = None,
        trust_env: bool = True,
    ) -> None:
        proxy = _without_password(proxy)  # rebind the name, so that no traceback shows the password among the locals
        if max_connections < 1:
            raise ValueError(f"max_connections must be at least 1, not {max_connections}")
        if uds is not None and open_stream is not None:
            raise ValueError("pass either uds or open_stream to TrioTransport, not both")
        self._route: Route | None = proxy if proxy is None or callable(proxy) else proxy.check().always()
        self._slots = Slots(max_connections)
        self._keepalive_expiry = keepalive_expiry
        self._ssl_context = ssl_context
        self._trust_env = trust_env
        self._opens_sockets = open_stream is None
        self._open_stream = open_stream or (unix_opener(uds) if uds else open_tcp)
        self._max_header_bytes = max_header_bytes
        self._idle = IdleConnections()
        self._active: set[Connection] = set()
        self._closed = False
        self._opening = 0  # connections that are being opened
        # Lowered once file descriptors have run out, because idle connections occupy descriptors that others need.
        self._most_idle = max_connections
        self._waiting_for_files = trio.lowlevel.ParkingLot()
        self._opened = self._reused = 0

    @property
    def max_connections(self) -> int:
        """The number of requests that may hold a connection at a time."""
        return self._slots.count

    def statistics(self) -> TransportStatistics:
        """Return a snapshot of the pool's state. May be called from any thread."""
        from trio_openai._statistics import TransportStatistics

        return TransportStatistics(
            active=self._slots.borrowed_tokens,
            waiting=self._slots.tasks_waiting,
            idle=len(self._idle),
            opened=self._opened,
            reused=self._reused,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read the head of its response. The caller reads the body and must close it.

        The request may be one of httpx or httpx2. The response and the exceptions are of the same package.

        If this fails or is cancelled, the connection is closed and the slot is free.

        Raises:
            httpx.TransportError: the connection failed, a timeout passed, or the response is not HTTP/1.1.
            ValueError: a header contains a character that HTTP forbids. Nothing was sent.
            trio.ClosedResourceError: the transport was closed, before this call or while it waited.
        """
        package = package_of(request)
        try:
            return await self._respond(request, package)
        except httpx.TransportError as error:
            if package is httpx:
                raise
            failed = error_of(package, error)
        raise failed  # outside of `except`, so that its context is not the same error of the other package

    async def _respond(self, request: httpx.Request, package: Any) -> httpx.Response:
        """Return the response as an object of `package`."""
        url = request.url
        if url.scheme not in ("http", "https") or not url.host or not has_port(url):
            raise httpx.UnsupportedProtocol(f"cannot send a request to {url!r}: use http:// or https:// and a host")
        if (on_arrival := request.extensions.get(NATIVE)) is not None:
            on_arrival()
        connection, body = await self._begin(request, body_class(package))
        parser = connection.parser
        assert parser.status is not None  # `_exchange` returns only when the head is complete
        extensions: dict[str, object] = {"http_version": b"HTTP/" + parser.http_version.encode(), BODY: body}
        if connection.is_forwarded:
            extensions[FORWARDER] = connection.via
        response = package.Response(parser.status, headers=parser.take_headers(), stream=body, extensions=extensions)
        return cast("httpx.Response", response)

    async def _begin(self, request: httpx.Request | RawRequest, make_body: type[Body]) -> tuple[Connection, Body]:
        """Send a request and read the head of its response. Return the body, and the connection that it owns."""
        slot = object()
        timeouts = await self._slots.take(slot, request)
        held: list[Connection] = []
        try:
            connection = await self._exchange(request, timeouts, held)
            return connection, make_body(connection, slot, self._release, timeouts.get("read"))
        except BaseException:  # an `ExitStack` would cost 5 µs of CPU and 1 KiB
            for connection in held:
                self._discard(connection, "its request failed or was cancelled")
            self._slots.release(slot)
            raise

    async def aclose(self) -> None:
        """Close every connection, including those in use: their readers get `trio.ClosedResourceError`."""
        self._closed = True
        for connection in [*self._active, *self._idle]:
            _close(connection, "the transport was closed")
        self._idle.clear()
        while self._waiting_for_files:
            self._wake_waiting()
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def _exchange(
        self, request: httpx.Request | RawRequest, timeouts: dict[str, float | None], held: list[Connection]
    ) -> Connection:
        """Send the request and read the head of its response. Add to `held` what must be closed if that fails."""
        is_replayable = content_of(request) is not None
        is_queued = bool(self._waiting_for_files)  # a new request must not overtake the ones that wait already
        connection = None if is_queued else await self._take_idle(origin_of(request), held)
        if connection is not None:
            try:
                await self._talk(request, connection, timeouts)
            except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
                if connection.parser.started or not is_replayable or request.method not in _IDEMPOTENT:
                    raise
                self._discard(connection, "the server had closed it")  # try once more, over a new connection
            else:
                self._reused += 1
                return connection
        connection = await within(timeouts.get("connect"), httpx.ConnectTimeout, self._connect, request, held)
        await self._talk(request, connection, timeouts)
        return connection

    async def _connect(self, request: httpx.Request | RawRequest, held: list[Connection]) -> Connection:
        """Open a connection, or wait for one if no file descriptor is left."""
        self._opening += 1
        try:
            connection = await self._connect_or_wait(request, held)
        except BaseException:
            self._opening -= 1
            self._wake_waiting()  # this request no longer needs a file descriptor, so another one may try
            raise
        self._opening -= 1
        return connection

    async def _connect_or_wait(self, request: httpx.Request | RawRequest, held: list[Connection]) -> Connection:
        """Open a connection, reusing or closing idle ones when file descriptors have run out.

        A connection can only be opened when a descriptor is free. So a request that cannot open one parks itself, and
        every connection that is closed or becomes idle wakes the next waiting request (`_wake_waiting`). If this pool
        holds no connection that could ever be closed, waiting is pointless and the error is raised.
        """
        must_wait = bool(self._waiting_for_files)
        while True:  # noqa: ASYNC913 - opening a connection is a checkpoint
            if must_wait:
                if not self._idle:
                    await self._wait_for_a_file()
                if (idle := await self._take_idle(origin_of(request), held)) is not None:
                    self._reused += 1
                    return idle
                self._close_oldest()
            try:
                connection = await self._open(request)
            except OutOfFilesError:
                must_wait = True
                # Leave a quarter of the descriptors that we could get to the rest of the program.
                self._most_idle = min(self._most_idle, (len(self._active) + len(self._idle)) * 3 // 4)
                if not (self._active or self._idle or self._opening > 1):
                    raise
            else:
                self._hold(connection, held)
                return connection

    async def _wait_for_a_file(self) -> None:
        """Wait until a connection is closed or becomes idle. A waiting request does not count as opening."""
        self._opening -= 1
        try:
            await self._waiting_for_files.park()
        except BaseException:
            self._opening += 1
            raise

    def _wake_waiting(self) -> None:
        """Wake the first request that waits for a file descriptor, or all of them if no connection is left to wait for.

        The requests that are woken count as opening at once, so that none of them concludes that nothing is going on.
        """
        if self._waiting_for_files:
            count = 1 if self._active or self._opening else math.inf
            self._opening += len(self._waiting_for_files.unpark(count=count))

    def _hold(self, connection: Connection, held: list[Connection]) -> None:
        """Take a connection into use, and note that it has to be closed if its request fails."""
        self._active.add(connection)
        held.append(connection)

    def _discard(self, connection: Connection, why: str) -> None:
        """Close a connection that is in use. Do nothing if it was given up before."""
        if connection in self._active:
            self._active.remove(connection)
            _close(connection, why)
            self._wake_waiting()

    async def _open(self, request: httpx.Request | RawRequest) -> Connection:
        """Open a stream to the request's origin, through the proxy if there is one, and with TLS for `https`.

        Raises:
            httpx.ConnectError: the server or the proxy cannot be reached, or the TLS handshake failed.
            httpx.ProxyError: the proxy refused.
            OutOfFilesError: no file descriptor is left.
        """
        self._check_open()
        self._make_room()
        began, origin = trio.current_time(), origin_of(request)
        host = origin[1].decode("ascii")
        open_stream, proxy = self._open_stream, self._route(request.url) if self._route else None
        name = without_zone(host)
        if proxy is not None:
            open_stream = proxy.opener(origin[0], open_stream, self._tls)
        try:
            context = self._tls() if origin[0] == b"https" else None
            stream = await open_stream(host_for_os(host) if proxy is None else name, origin[2])
            with contextlib.ExitStack() as undo:
                await refuse_unclosable(stream)
                undo.callback(close_now, stream)
                if context is not None:
                    stream = await open_tls(stream, context, request.extensions.get("sni_hostname") or name)
                self._check_open()  # the transport may have been closed during the handshake
                undo.pop_all()
        except (OSError, trio.BrokenResourceError, httpx.ConnectError, ValueError) as error:
            # ValueError: IDNA cannot encode the host name. httpx.ConnectError: the proxy cannot be reached.
            if is_out_of_files(error):
                raise OutOfFilesError(f"{host}:{origin[2]}") from error
            if isinstance(error, httpx.ConnectError):
                raise
            via = f" through {proxy.name}" if proxy is not None else ""
            raise httpx.ConnectError(f"cannot connect to {host}:{origin[2]}{via}: {reason_of(error)}") from error
        self._opened += 1
        is_ours, number = self._opens_sockets, self._opened
        connection = Connection(stream, origin, ResponseParser(), proxy, is_ours=is_ours, number=number)
        log_connection("connection opened", connection, seconds=trio.current_time() - began)
        return connection

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this TrioTransport is closed")

    def _tls(self) -> ssl.SSLContext:
        """Return the TLS settings. Creating them takes about 20 ms, so it happens on first use and only once."""
        if self._ssl_context is None:
            self._ssl_context = default_tls(trust_env=self._trust_env)
            self._ssl_context.set_alpn_protocols(["http/1.1"])
        return self._ssl_context

    async def _talk(  # noqa: ASYNC910 - sending is a checkpoint
        self, request: httpx.Request | RawRequest, connection: Connection, timeouts: dict[str, float | None]
    ) -> None:
        """Send the request and read until the response's head is complete."""
        has_body = request.method != "HEAD"
        connection.parser.close()
        connection.parser = ResponseParser(max_header_bytes=self._max_header_bytes, has_body=has_body)
        broken: httpx.TransportError | None = None
        began, is_sent = trio.current_time(), False
        # Both waits share a scope: trio keeps one with a deadline for a while after its end.
        with trio.CancelScope(deadline=began + limit_of(timeouts, "write")) as scope:  # noqa: ASYNC912
            try:
                await send_until_refused(connection, request)
            except trio.BrokenResourceError as error:
                words = f"the connection{connection.via} broke while the request was sent: {reason_of(error)}"
                broken = httpx.WriteError(words)
                broken.__cause__ = error.with_traceback(None)  # the frames' locals contain the request with the API key
            else:
                is_sent = True
                if connection.parser.status is None:  # else the response came before the request was sent completely
                    scope.deadline = began + limit_of(timeouts, "read")
                    await read_head(connection)
        if scope.cancelled_caught and is_sent:
            raise httpx.ReadTimeout(f"timed out after {timeouts['read']:g} s")
        if scope.cancelled_caught:
            broken = httpx.WriteTimeout(f"timed out after {timeouts['write']:g} s")
        if broken is not None:
            connection.is_spoiled = True
            if connection.parser.status is None:
                await self._read_early_response(connection, broken)

    async def _read_early_response(self, connection: Connection, broken: httpx.TransportError) -> None:
        """Read the response to a request that could not be sent completely, or raise `broken`.

        A server may answer (413, say) and close the connection without reading the rest of the request. Sending then
        fails, but the response may be waiting in the receive buffer, and it explains the failure.
        """
        try:
            await within(_EARLY_RESPONSE_SECONDS, httpx.ReadTimeout, read_head, connection)
        except httpx.TransportError:
            raise broken from broken.__cause__

    # The pool of idle connections.

    async def _take_idle(self, origin: Origin, held: list[Connection]) -> Connection | None:
        """Take the most recently used idle connection to an origin, closing those that no longer work."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._expire()
        has_waited = False
        while (connection := self._idle.latest(origin)) is not None:
            self._idle.remove(connection)
            self._hold(connection, held)
            if not connection.parser.complete and not has_waited:
                await drain(connection)
                has_waited = True  # wait only once, so a server that never ends its bodies does not add up delays
            parser = connection.parser
            # An idle connection must be silent. If it is readable, the server has closed it or sent unrequested bytes.
            if parser.complete and parser.keep_alive and not await has_data_or_end(connection.stream):
                log_connection("connection reused", connection)
                return connection
            self._discard(connection, "it had ended, or had not come to the end of its response")
        return None

    def _expire(self) -> None:
        """Close the idle connections that have been kept for `keepalive_expiry` seconds."""
        if not self._idle:
            return
        now = trio.current_time()
        while self._idle and self._idle.oldest().expires_at <= now:
            self._close_oldest("it was idle for too long")

    def _make_room(self) -> None:
        """Close the oldest idle connections to other origins if a new one would exceed `max_connections`."""
        while self._idle and len(self._idle) + self._slots.borrowed_tokens > self._slots.count:
            self._close_oldest()

    def _close_oldest(self, why: str = "another one needs its place") -> None:
        """Close the idle connection that was parked first, if there is one."""
        if self._idle:
            _close(self._idle.take_oldest(), why)

    def _release(self, connection: Connection, slot: object, *, park: bool) -> None:
        """Take a connection and its slot back. Keep the connection if it can be reused, otherwise close it."""
        self._expire()
        parser = connection.parser
        # A body that ends with the connection (RFC 9112, section 6.3) leaves nothing to reuse.
        reusable = parser.keep_alive if parser.complete else park and not parser.until_close
        has_room = len(self._idle) < self._most_idle
        if reusable and has_room and not connection.is_spoiled and not self._closed and connection in self._active:
            self._active.remove(connection)
            connection.expires_at = trio.current_time() + self._keepalive_expiry
            self._idle.add(connection)
            log_connection("connection kept", connection)
            self._wake_waiting()
        why = "nothing can follow its response" if parser.complete else "its response was left early"
        self._discard(connection, why)  # does nothing if the connection is idle now
        self._slots.release(slot)


def _close(connection: Connection, why: str) -> None:
    connection.close()
    log_connection("connection closed", connection, why=why)


def _without_password(proxy: str | httpx.URL | httpx.Proxy | Proxy | Route | None) -> Proxy | Route | None:
    """Wrap a proxy's URL in a `Proxy`, whose `repr` does not show the password."""
    if proxy is None or callable(proxy):
        return proxy
    from .proxy import Proxy  # imported late, because most programs use no proxy

    return Proxy.of(proxy)


# For the library's own requests, without the objects of httpx.


def takes_raw(transport: TrioTransport) -> bool:
    """Return whether a transport takes raw requests. A proxy needs an `httpx.Request`."""
    return transport._route is None  # pyright: ignore[reportPrivateUsage]


async def open_raw(transport: TrioTransport, request: RawRequest) -> RawAnswer:
    """Do what `handle_async_request` does. Raises what that raises."""
    connection, body = await transport._begin(request, Body)  # pyright: ignore[reportPrivateUsage]
    parser = connection.parser
    assert parser.status is not None
    return RawAnswer(parser.status, parser.take_headers(), parser.http_version, body)
