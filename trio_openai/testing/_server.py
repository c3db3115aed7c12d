"""`ScriptedServer`: the listener, the connections, and the counts that tests wait for.

The problem: tests must prove that the client closes connections at once, so the server has to notice a disconnect
immediately, even in the middle of a scripted pause. And tests must not sleep.

The idea: a connection is one task that reads a request, writes the reply, and reads the next request. While it writes,
a second task (`_ServerConnection._watch`) keeps reading, because a read is the only way to notice that the peer has
left. If it reads data instead, that is the next request arriving early, and the data is kept for the parser.

Rules that hold it together:

* Every change of a count wakes the tasks in `Ledger.wait_until`, so `wait_disconnect()` and the like need no polling.
* Connections are closed without an await, so cancelling the server's nursery closes them all.
* A list of replies that runs out ends the server with an `AssertionError`, since an error reply alone might be retried,
  caught or expected, and the test would pass by accident. It is raised where the server's nursery ends, so it knows all
  requests and is raised once.
* An exception in the script (a failing assertion, say) is not caught. It leaves through the nursery that the server was
  started in, and so fails the test.
* Nothing here imports the client at module level, so the server also tests other clients.

Where to look next: `_http.py` for the bytes, `_memory.py` for connections without sockets.
"""

from __future__ import annotations

import enum
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import trio

from trio_openai.testing._http import Incoming, RequestParser, keeps_connection, wire_steps
from trio_openai.testing._memory import MemoryStream
from trio_openai.testing._replies import Reply
from trio_openai.testing._requests import RecordedRequest
from trio_openai.testing._script import Script, ScriptRunner, script_of
from trio_openai.testing._steps import Cut, Pause, Reset, Step

if TYPE_CHECKING:
    from trio_openai import TrioOpenAI

ServerStream: TypeAlias = trio.SocketStream | MemoryStream

_HOST = "127.0.0.1"
_READ_SIZE = 65536
_MAX_EARLY = 1024 * 1024  # bytes of early requests to keep; beyond that the peer is no longer watched
_REFUSAL_TIME = 1.0  # seconds for sending an error reply and draining the request it refuses


@attrs.frozen
class ServerStatistics:
    """The counts of a `ScriptedServer` at one moment.

    Attributes:
        connections: Connections that are open now.
        accepted: Connections opened since the server was created.
        requests: Requests that were read completely and got a reply, or the beginning of one.
        disconnects: Replies whose peer left before their end. Replies that a `Cut`, a `Reset` or the end of the server
            broke off do not count.
    """

    connections: int
    accepted: int
    requests: int
    disconnects: int


class Ledger:
    """The counts of connections and replies. Any change wakes the tasks that wait for a count."""

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


class ScriptedServer:
    """An HTTP/1.1 server for tests that follows a script, records requests, and notices disconnects.

    It listens on loopback. Started with `memory=True`, it listens nowhere: `open_stream` returns connections in memory,
    so a test can run on `autojump_clock` without sockets and without waiting.

    Attributes:
        base_url: The URL for the client, such as "http://127.0.0.1:40123/v1". Set by `start`. In memory, the port has
            no meaning.
    """

    def __init__(self, script: Script) -> None:
        """Create a server. Nothing happens until `start`.

        Args:
            script: One reply for every request; or a list of replies, sent one after the other; or a function that
                takes the request and returns its reply. An exception in that function ends the server and is raised by
                the nursery that it was started in, so a failing assertion fails the test. A request after the last
                reply of a list does the same: it gets error 410, which is not retried, and then the server ends with
                an `AssertionError` that names all requests.
        """
        self.base_url: str = ""
        self._script = script_of(script)
        self._ledger = Ledger()
        self._nursery: trio.Nursery | None = None
        self._ended = trio.Event()
        self._memory = False
        self._port = 0

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests that were read completely, in order."""
        return self._ledger.requests

    async def start(self, nursery: trio.Nursery, *, memory: bool = False, port: int = 0) -> None:
        """Start the server. Return when it accepts connections.

        Args:
            nursery: The nursery for the server's tasks. Cancelling it ends the server.
            memory: Use no socket: connections come only from `open_stream`.
            port: The port on 127.0.0.1. 0 picks a free one.

        Raises:
            RuntimeError: The server is running already.
            OSError: The port is not available. The server is not running.
        """
        if self._nursery is not None:
            raise RuntimeError("this server is running already")
        self._memory = memory
        await nursery.start(self._run, port)

    async def aclose(self) -> None:
        """Stop listening and close every connection. Idempotent. The server can be started again."""
        if self._nursery is None:
            await trio.lowlevel.checkpoint()
            return
        self._nursery.cancel_scope.cancel()
        await self._ended.wait()

    async def open_stream(self, host: str = _HOST, port: int = 0) -> trio.abc.HalfCloseableStream:
        """Connect to this server, in memory or by TCP depending on how it was started. Ignores `host` and `port`.

        Raises:
            ConnectionRefusedError: The server is not running.
        """
        await trio.lowlevel.checkpoint()
        if self._nursery is None:
            raise ConnectionRefusedError(f"the scripted server is not running (connecting to {host}:{port})")
        if not self._memory:
            return await trio.open_tcp_stream(_HOST, self._port)
        near, far = MemoryStream.pair()
        self._nursery.start_soon(self._serve, far)
        return near

    def client(self, **options: Any) -> TrioOpenAI:
        """Create a client of this server, over memory if the server was started with `memory=True`.

        Args:
            options: Options of `TrioOpenAI`. `api_key` and `base_url` have defaults here.

        Returns:
            The client. Use it with `async with`, or close it with `aclose()`.

        Raises:
            RuntimeError: The server has not been started.
        """
        if not self.base_url:
            raise RuntimeError("start the server before making a client: its base_url is not known yet")
        from trio_openai import TrioOpenAI  # here, because the server itself must work without the client

        options = {"api_key": "sk-scripted", "base_url": self.base_url, **options}
        if self._memory and options.get("http_client") is None:
            options["http_client"] = self._memory_http_client(options.get("max_connections", 1000))
        return TrioOpenAI(**options)

    def statistics(self) -> ServerStatistics:
        """Return the current counts."""
        return self._ledger.statistics()

    async def wait_requests(self, count: int = 1) -> None:
        """Wait until the server has read at least `count` complete requests in total. Their replies then begin."""
        await self._ledger.wait_until(lambda: len(self._ledger.requests) >= count)

    async def wait_disconnect(self, count: int = 1, *, since: ServerStatistics | None = None) -> None:
        """Wait until the peers of at least `count` replies have left before the end.

        Disconnects before this call do not count. If there may have been some already that should count, because other
        tasks have run since, take `before = server.statistics()` in time and pass `since=before`.

        Args:
            count: The number of disconnects.
            since: Count the disconnects after these statistics were taken. None counts from this call.
        """
        before = self._ledger.disconnects if since is None else since.disconnects
        await self._ledger.wait_until(lambda: self._ledger.disconnects - before >= count)

    async def wait_idle(self) -> None:
        """Wait until no reply is being written. A request that has not been read yet does not count."""
        await self._ledger.wait_until(lambda: self._ledger.replying == 0)

    async def wait_closed(self) -> None:
        """Wait until no connection is open. A connection that has not been accepted yet does not count."""
        await self._ledger.wait_until(lambda: self._ledger.statistics().connections == 0)

    async def _run(self, port: int, *, task_status: trio.TaskStatus[None]) -> None:
        listeners = [] if self._memory else await trio.open_tcp_listeners(port, host=_HOST)
        try:
            self._port = listeners[0].socket.getsockname()[1] if listeners else 80
            self.base_url = f"http://{_HOST}:{self._port}/v1"
            self._ended = trio.Event()
            async with trio.open_nursery() as self._nursery:
                task_status.started()
                await self._accept(listeners, self._nursery)
        finally:
            self._nursery = None
            self._ended.set()
            for listener in listeners:
                listener.socket.close()
            self._script.check(self._ledger.requests)

    async def _accept(self, listeners: list[trio.SocketListener], nursery: trio.Nursery) -> None:
        if listeners:
            await trio.serve_listeners(self._serve, listeners, handler_nursery=nursery)
        await trio.sleep_forever()

    async def _serve(self, stream: ServerStream) -> None:
        await _ServerConnection(stream, self._ledger, self._script, self._end).serve()

    def _end(self) -> None:
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    def _memory_http_client(self, max_connections: int) -> Any:
        from trio_openai import TrioTransport
        from trio_openai._httpx import httpx

        transport = TrioTransport(max_connections=max_connections, open_stream=self.open_stream)
        return httpx.AsyncClient(transport=transport, trust_env=False)  # a proxy would need a socket


class _ReplyEnding(enum.Enum):
    """The end of a reply: it was complete, its script broke it off, or the peer left."""

    COMPLETE = enum.auto()
    SCRIPTED = enum.auto()
    PEER_LEFT = enum.auto()


@attrs.define(eq=False)
class _ServerConnection:
    """One peer, from its first byte to its last."""

    _stream: ServerStream
    _ledger: Ledger
    _script: ScriptRunner
    _end_server: Callable[[], None]
    _parser: RequestParser = attrs.field(factory=RequestParser)
    _early: bytearray = attrs.field(factory=bytearray)

    async def serve(self) -> None:
        """Answer requests until the peer leaves or a reply ends the connection, then close it."""
        self._ledger.opened()
        try:
            while True:
                incoming = await self._next()
                if incoming is None or not await self._answer(incoming):
                    break
            if self._parser.refusal is not None:
                await self._refuse(self._parser.refusal.status, self._parser.refusal.message)
        finally:
            _close(self._stream)
            self._ledger.closed()

    async def _next(self) -> Incoming | None:
        """Return the next request, or None if the peer has left or sent something invalid."""
        await trio.lowlevel.checkpoint()
        while not self._parser.complete and self._parser.refusal is None:
            data = bytes(self._early) or await self._receive()
            self._early.clear()
            if not data:
                return None
            self._parser.feed(data)
        return self._parser.complete.popleft() if self._parser.complete else None

    async def _receive(self) -> bytes | bytearray:
        """Receive some bytes, or `b""` if the peer has left or reset the connection."""
        try:
            return await self._stream.receive_some(_READ_SIZE)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.lowlevel.checkpoint()
            return b""

    async def _answer(self, incoming: Incoming) -> bool:
        """Write the reply. Return whether the connection can carry another request."""
        self._ledger.began(incoming.request)
        try:
            reply = self._script.reply_to(incoming.request)
            ending = await self._play(wire_steps(reply, incoming))
            self._ledger.disconnects += ending is _ReplyEnding.PEER_LEFT
        finally:
            self._ledger.ended()
        if self._script.has_ended_with(incoming.request):
            self._end_server()
        return ending is _ReplyEnding.COMPLETE and keeps_connection(reply, incoming)

    async def _play(self, steps: Iterator[Step]) -> _ReplyEnding:
        ending = _ReplyEnding.PEER_LEFT  # it stays so if `_watch` cancels the writing
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, nursery.cancel_scope)
            ending = await self._write(steps)
            nursery.cancel_scope.cancel()
        return ending

    async def _watch(self, writing: trio.CancelScope) -> None:
        while data := await self._receive():
            self._early += data
            if len(self._early) > _MAX_EARLY:
                return
        writing.cancel()

    async def _write(self, steps: Iterator[Step]) -> _ReplyEnding:
        await trio.lowlevel.checkpoint()  # let `_watch` start first, so that it misses nothing
        try:
            for step in steps:
                if isinstance(step, (Cut, Reset)):
                    (_close if isinstance(step, Cut) else _reset)(self._stream)
                    return _ReplyEnding.SCRIPTED
                await self._do(step)
        except trio.BrokenResourceError:
            return _ReplyEnding.PEER_LEFT
        return _ReplyEnding.COMPLETE

    async def _do(self, step: Step) -> None:
        if isinstance(step, bytes):
            await self._stream.send_all(step)
        elif isinstance(step, Pause):
            await trio.sleep(step.seconds)
        else:
            await trio.sleep_forever()

    async def _refuse(self, status: int, message: str) -> None:
        """Send an error, then read what the peer is still sending.

        If a socket is closed with unread data, the OS sends RST, and the peer may never see the error.
        """
        await trio.lowlevel.checkpoint()
        incoming = Incoming(RecordedRequest("", "", []), http11=True, keep_alive=False)
        with trio.move_on_after(_REFUSAL_TIME), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            for step in wire_steps(Reply.error(status, message), incoming):
                await self._do(step)
            await self._stream.send_eof()
            while await self._stream.receive_some(_READ_SIZE):
                pass


def _close(stream: ServerStream) -> None:
    """Close without an await, so that a cancellation cannot prevent it."""
    if isinstance(stream, MemoryStream):
        stream.close()
    else:
        stream.socket.close()


def _reset(stream: ServerStream) -> None:
    """Close so that the peer's next read fails. On a socket, a linger time of zero makes the OS send RST."""
    if isinstance(stream, MemoryStream):
        stream.reset()
        return
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()
