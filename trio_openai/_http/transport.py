"""The httpx transport: HTTP/1.1 over trio streams, with a pool that nothing can leak from.

Rules:

* A slot and a connection belong to one exchange. An `ExitStack` holds them until there is a `Body`, which holds them
  then. Whatever ends the exchange gives them back, synchronously: cancellation can come at any checkpoint, and there is
  none in that.
* A connection goes back to the pool only if it can carry another request for certain: the response is whole, or the
  caller says that the rest of it is of no interest (`close(park=True)`, after a stream's terminal event). Of the latter
  the rest is looked for when the connection is next wanted, so nobody waits for it.
* A connection from the pool is probed before it is used. If it fails all the same before any byte of a response, the
  server has probably closed it meanwhile. But it may also have processed the request. So only a request with an
  idempotent method goes out once more on a new connection (RFC 9110, section 9.2.2); for a POST the caller decides.
* What goes wrong is an httpx exception, as from any httpx transport, so this one also serves without the rest of the
  library. Timeouts are httpx's: `connect`, `pool`, `write`, and `read`, which here bounds the wait for the whole head
  of a response.

It does not speak HTTP/2.
"""

from __future__ import annotations

import contextlib
import functools
import math
import ssl
from typing import TYPE_CHECKING

import httpx
import trio

from .body import BODY, Body
from .byte_streams import (
    Origin,
    OutOfFilesError,
    StreamOpener,
    close_now,
    default_tls,
    dialled,
    has_port,
    has_something_to_say,
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
from .slots import Slots, within

if TYPE_CHECKING:
    from trio_openai._statistics import TransportStatistics

    from .proxy import Proxy, Route

NATIVE = "trio_openai.native"
"""The key in `request.extensions` of a function that is called when a request reaches this transport."""

FORWARDER = "trio_openai.forwarder"
"""The key in `response.extensions` of a proxy's name, if the answer may be its own: it was handed the request."""

_LAST_WORD_SECONDS = 1.0  # how long the answer to a request that could not be sent whole is waited for

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


class TrioTransport(httpx.AsyncBaseTransport):
    """An `httpx.AsyncBaseTransport` on trio.

    Args:
        max_connections: exchanges at a time; further requests wait for a slot, in order of arrival.
        keepalive_expiry: seconds that an idle connection is kept. It is closed at the first request or end of a
            response after that: the pool has no task of its own, which would outlive every scope.
        ssl_context: for `https`; by default one is made when first needed, which verifies certificates against
            `SSL_CERT_FILE`, `SSL_CERT_DIR` or certifi's list.
        uds: path of a Unix socket to connect to, whatever the URL's host.
        open_stream: how to open a byte stream to `(host, port)`, in place of TCP.
        max_header_bytes: bytes that the head of a response may have.
        proxy: the URL of a proxy, or an `httpx.Proxy`, by way of which every connection goes: `http://`, `https://`,
            `socks5://` or `socks5h://`, perhaps with `user:password@`. By default none, whatever the environment says.
        trust_env: whether `SSL_CERT_FILE` and `SSL_CERT_DIR` count.

    Raises:
        TypeError: the proxy is neither a URL nor an `httpx.Proxy`.
        ValueError: it is not a proxy's URL; both `uds` and `open_stream`, or a `max_connections` below 1.
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
        proxy = _hidden(proxy)  # a traceback that begins here does not show its password
        if max_connections < 1:
            raise ValueError("max_connections has to be at least 1")
        if uds is not None and open_stream is not None:
            raise ValueError("give TrioTransport either uds or open_stream, not both")
        self._route: Route | None = proxy if proxy is None or callable(proxy) else proxy.check().always()
        self._slots = Slots(max_connections)
        self._keepalive_expiry = keepalive_expiry
        self._ssl_context = ssl_context
        self._trust_env = trust_env
        self._open_stream = open_stream or (unix_opener(uds) if uds else open_tcp)
        self._max_header_bytes = max_header_bytes
        self._idle: dict[Connection, None] = {}  # oldest first
        self._idle_by_origin: dict[Origin, dict[Connection, None]] = {}
        self._active: set[Connection] = set()
        self._closed = False
        self._opening = 0  # connections
        self._most_idle = max_connections  # fewer once the file descriptors have run out: others need some too
        self._waiting_for_files = trio.lowlevel.ParkingLot()
        self._opened = self._reused = 0

    @property
    def max_connections(self) -> int:
        """How many exchanges there may be at a time."""
        return self._slots.count

    def statistics(self) -> TransportStatistics:
        """Return the state of the pool as of now. Callable from any thread."""
        from trio_openai._statistics import TransportStatistics

        return TransportStatistics(
            active=self._slots.borrowed_tokens,
            waiting=self._slots.tasks_waiting,
            idle=len(self._idle),
            opened=self._opened,
            reused=self._reused,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read the head of its response. The body is read, and must be closed, by the caller.

        Raises:
            httpx.TransportError: in one of its subclasses. The connection is closed and the slot is free.
            ValueError: a header that HTTP forbids. Nothing has been sent.
            trio.ClosedResourceError: the transport is closed, before or while this waits.
        """
        url = request.url
        if url.scheme not in ("http", "https") or not url.host or not has_port(url):
            raise httpx.UnsupportedProtocol(f"cannot send a request to {url!r}: it takes http(s):// and a host")
        request.extensions.get(NATIVE, _nothing)()
        with contextlib.ExitStack() as undo:
            slot = object()
            timeouts = await self._slots.take(slot, request)
            undo.callback(self._slots.release, slot)
            connection = await self._exchange(request, timeouts, undo)
            body = Body(connection, functools.partial(self._release, connection, slot), timeouts.get("read"))
            undo.pop_all()
        parser = connection.parser
        assert parser.status is not None
        extensions: dict[str, object] = {"http_version": b"HTTP/" + parser.http_version.encode(), BODY: body}
        if connection.is_forwarded:
            extensions[FORWARDER] = connection.way
        return httpx.Response(parser.status, headers=parser.take_headers(), stream=body, extensions=extensions)

    async def aclose(self) -> None:
        """Close every connection, the active ones too: whoever reads one gets `trio.ClosedResourceError`."""
        self._closed = True
        for connection in [*self._active, *self._idle]:
            connection.close()
        self._idle.clear()
        self._idle_by_origin.clear()
        while self._waiting_for_files:
            self._freed()
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def _exchange(
        self, request: httpx.Request, timeouts: dict[str, float | None], undo: contextlib.ExitStack
    ) -> Connection:
        """Send the request on some connection until one answers with a head. What has to be undone is in `undo`."""
        is_replayable = isinstance(request.stream, httpx.ByteStream)
        is_queued = bool(self._waiting_for_files)  # nobody overtakes those who wait already
        connection = None if is_queued else await self._take_idle(_origin(request), undo)
        if connection is not None:
            try:
                await self._talk(request, connection, timeouts)
            except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
                if connection.parser.started or not is_replayable or request.method not in _IDEMPOTENT:
                    raise
                self._discard(connection)  # it had gone stale: a new one, once
            else:
                self._reused += 1
                return connection
        connection = await within(timeouts.get("connect"), httpx.ConnectTimeout, self._connect, request, undo)
        await self._talk(request, connection, timeouts)
        return connection

    async def _connect(self, request: httpx.Request, undo: contextlib.ExitStack) -> Connection:
        """Open a connection. If there is no file descriptor left, wait until one of our own connections is free."""
        self._opening += 1
        try:
            connection = await self._connect_or_wait(request, undo)
        except BaseException:
            self._opening -= 1
            self._freed()  # it is the turn of another one
            raise
        self._opening -= 1
        return connection

    async def _connect_or_wait(self, request: httpx.Request, undo: contextlib.ExitStack) -> Connection:
        must_wait = bool(self._waiting_for_files)
        while True:  # noqa: ASYNC913 - opening is one
            if must_wait:
                if not self._idle:
                    await self._wait_for_a_file()
                if (idle := await self._take_idle(_origin(request), undo)) is not None:
                    self._reused += 1
                    return idle
                self._close_oldest()
            try:
                connection = await self._open(request)
            except OutOfFilesError:
                must_wait = True
                self._most_idle = min(self._most_idle, (len(self._active) + len(self._idle)) * 3 // 4)
                if not (self._active or self._idle or self._opening > 1):
                    raise
            else:
                self._hold(connection, undo)
                return connection

    async def _wait_for_a_file(self) -> None:
        self._opening -= 1
        try:
            await self._waiting_for_files.park()
        except BaseException:
            self._opening += 1
            raise

    def _freed(self) -> None:
        """Wake who waits for a file descriptor: one, or all if nothing is open for which they could wait.

        Those who are woken count as opening at once.
        """
        if self._waiting_for_files:
            count = 1 if self._active or self._opening else math.inf
            self._opening += len(self._waiting_for_files.unpark(count=count))

    def _hold(self, connection: Connection, undo: contextlib.ExitStack) -> None:
        """Have the connection closed when the exchange is undone, unless `_release` takes it back before."""
        self._active.add(connection)
        undo.callback(self._discard, connection)

    def _discard(self, connection: Connection) -> None:
        if connection in self._active:
            self._active.remove(connection)
            connection.close()
            self._freed()

    async def _open(self, request: httpx.Request) -> Connection:
        self._check_open()
        self._make_room()
        origin = _origin(request)
        host = origin[1].decode("ascii")
        open_stream, proxy = self._open_stream, self._route(request.url) if self._route else None
        name = without_zone(host)
        if proxy is not None:
            open_stream = proxy.opener(origin[0], open_stream, self._tls)
        try:
            context = self._tls() if origin[0] == b"https" else None
            stream = await open_stream(dialled(host) if proxy is None else name, origin[2])
            with contextlib.ExitStack() as undo:
                await refuse_unclosable(stream)
                undo.callback(close_now, stream)
                if context is not None:
                    stream = await open_tls(stream, context, request.extensions.get("sni_hostname") or name)
                self._check_open()  # it may have been closed meanwhile
                undo.pop_all()
        except (OSError, trio.BrokenResourceError, httpx.ConnectError, ValueError) as error:
            # ValueError: it cannot be a host's name. httpx.ConnectError: the proxy cannot be reached.
            if is_out_of_files(error):
                raise OutOfFilesError(f"{host}:{origin[2]}") from error
            if isinstance(error, httpx.ConnectError):
                raise
            way = f" through {proxy.name}" if proxy is not None else ""
            raise httpx.ConnectError(f"cannot connect to {host}:{origin[2]}{way}: {reason_of(error)}") from error
        self._opened += 1
        return Connection(stream, origin, ResponseParser(), proxy)

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this TrioTransport is closed")

    def _tls(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            self._ssl_context = default_tls(trust_env=self._trust_env)
            self._ssl_context.set_alpn_protocols(["http/1.1"])
        return self._ssl_context

    async def _talk(self, request: httpx.Request, connection: Connection, timeouts: dict[str, float | None]) -> None:
        """Send the request, and read until the head of the response is whole."""
        has_body = request.method != "HEAD"
        connection.parser.close()
        connection.parser = ResponseParser(max_header_bytes=self._max_header_bytes, has_body=has_body)
        broken: httpx.TransportError | None = None
        began = trio.current_time()
        try:
            await within(timeouts.get("write"), httpx.WriteTimeout, send_until_refused, connection, request)
        except httpx.WriteTimeout as error:
            broken = error
        except trio.BrokenResourceError as error:
            broken = httpx.WriteError(
                f"the connection{connection.way} broke while the request was sent: {reason_of(error)}"
            )
            broken.__cause__ = error.with_traceback(None)  # its frames hold the request, with the key
        connection.is_spoiled = connection.is_spoiled or broken is not None
        if connection.parser.status is not None:  # the answer came before the request was sent whole
            return  # noqa: ASYNC910 - to send is one
        if broken is None:
            limit = timeouts.get("read")
            left = None if limit is None else max(0.0, limit - (trio.current_time() - began))
            await within(left, httpx.ReadTimeout, read_head, connection)
        else:
            await self._read_last_word(connection, broken)

    async def _read_last_word(self, connection: Connection, broken: httpx.TransportError) -> None:
        """The server may have answered before it had read the whole request, and stopped reading: its answer counts."""
        try:
            await within(_LAST_WORD_SECONDS, httpx.ReadTimeout, read_head, connection)
        except httpx.TransportError:
            raise broken from broken.__cause__

    # The pool.

    async def _take_idle(self, origin: Origin, undo: contextlib.ExitStack) -> Connection | None:
        """The connection to an origin that was used last and still works."""
        await trio.lowlevel.checkpoint()
        self._expire()
        has_waited = False
        while idle := self._idle_by_origin.get(origin):
            connection = next(reversed(idle))
            self._forget(connection)
            self._hold(connection, undo)
            if not connection.parser.complete and not has_waited:
                await drain(connection)
                has_waited = True  # once: a server that never ends its bodies must not cost more than that
            parser = connection.parser
            if parser.complete and parser.keep_alive and not await has_something_to_say(connection.stream):
                return connection
            self._discard(connection)
        return None

    def _expire(self) -> None:
        """Close the idle connections whose time is up."""
        if not self._idle:
            return
        now = trio.current_time()
        while self._idle and (connection := next(iter(self._idle))).expires_at <= now:
            self._forget(connection)
            connection.close()

    def _make_room(self) -> None:
        """Idle connections to other origins give way when the limit is reached."""
        while self._idle and len(self._idle) + self._slots.borrowed_tokens > self._slots.count:
            self._close_oldest()

    def _close_oldest(self) -> None:
        """Close the idle connection that was parked first, if there is one."""
        if self._idle:
            oldest = next(iter(self._idle))
            self._forget(oldest)
            oldest.close()

    def _forget(self, connection: Connection) -> None:
        del self._idle[connection]
        same = self._idle_by_origin[connection.origin]
        del same[connection]
        if not same:
            del self._idle_by_origin[connection.origin]

    def _release(self, connection: Connection, slot: object, *, park: bool) -> None:
        """Take a connection and its slot back: to the pool if it can be used again, else it is closed."""
        self._expire()
        parser = connection.parser
        reusable = parser.keep_alive if parser.complete else park and not parser.until_close
        has_room = len(self._idle) < self._most_idle
        if reusable and has_room and not connection.is_spoiled and not self._closed and connection in self._active:
            self._active.remove(connection)
            connection.expires_at = trio.current_time() + self._keepalive_expiry
            self._idle[connection] = None
            self._idle_by_origin.setdefault(connection.origin, {})[connection] = None
            self._freed()
        self._discard(connection)
        self._slots.release(slot)


def _nothing() -> None:
    pass


def _hidden(proxy: str | httpx.URL | httpx.Proxy | Proxy | Route | None) -> Proxy | Route | None:
    if proxy is None or callable(proxy):
        return proxy
    from .proxy import Proxy  # late: most programs have none

    return Proxy.of(proxy)


def _origin(request: httpx.Request) -> Origin:
    url = request.url
    return url.raw_scheme, url.raw_host, url.port or (443 if url.scheme == "https" else 80)
