"""The server: what is listened on, one connection's life, and the ending of both.

A connection is one task that reads a request, plays the reply, and reads the next. While it plays, a second task goes
on reading: that is the only way to learn at once that the peer has left, also when the script is waiting. What it reads
besides is the next request, come early, and is kept for it.
"""

from __future__ import annotations

import enum
import inspect
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import trio

from trio_openai.testing._ledger import Ledger, ServerStatistics
from trio_openai.testing._memory import MemoryStream
from trio_openai.testing._replies import Cut, Pause, Reply, Reset, Step
from trio_openai.testing._requests import Incoming, RecordedRequest, RequestParser
from trio_openai.testing._wire import keeps_connection, wire_steps

if TYPE_CHECKING:
    from trio_openai import TrioOpenAI

Script: TypeAlias = Reply | Sequence[Reply] | Callable[[RecordedRequest], Reply]
ServerStream: TypeAlias = trio.SocketStream | MemoryStream

_HOST = "127.0.0.1"
_READ_SIZE = 65536
_MAX_EARLY = 1024 * 1024  # of the next request, read while a reply is written; beyond it the peer is not watched
_REFUSAL_TIME = 1.0


class ScriptedServer:
    """An HTTP/1.1 server for tests: it answers by a script, records what it was asked, and sees who leaves early.

    It listens on loopback or, started with `memory=True`, on nothing at all: `open_stream` hands out connections in
    memory, and a test runs on `autojump_clock` without a socket and without waiting.

    Attributes:
        base_url: For the client, such as "http://127.0.0.1:40123/v1"; set by `start`. In memory the port means nothing.
    """

    def __init__(self, script: Script) -> None:
        """Make a server; nothing happens until `start`.

        Args:
            script: A reply for every request; or replies in turn, and after the last an error 500 that says so; or a
                function from the request to its reply. What that function raises ends the server and comes out of the
                nursery it was started in, so a failing assertion in it fails the test.
        """
        self.base_url = ""
        self._choose = _chooser(script)
        self._ledger = Ledger()
        self._nursery: trio.Nursery | None = None
        self._ended = trio.Event()
        self._memory = False
        self._port = 0

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every request that was read to its end, in that order."""
        return self._ledger.requests

    async def start(self, nursery: trio.Nursery, *, memory: bool = False, port: int = 0) -> None:
        """Begin to serve; return when connections can be made.

        Args:
            nursery: Where the server's tasks live; cancelling it ends the server.
            memory: No socket: connections come from `open_stream` alone.
            port: The port on 127.0.0.1; 0 is a free one.

        Raises:
            RuntimeError: It is running already.
            OSError: The port cannot be listened on; the server is not running.
        """
        if self._nursery is not None:
            raise RuntimeError("this server is running already")
        self._memory = memory
        await nursery.start(self._run, port)

    async def aclose(self) -> None:
        """End the server: stop listening and close every connection. Idempotent; it may be started again."""
        if self._nursery is None:
            await trio.lowlevel.checkpoint()
            return
        self._nursery.cancel_scope.cancel()
        await self._ended.wait()

    async def open_stream(self, host: str = _HOST, port: int = 0) -> trio.abc.HalfCloseableStream:
        """Connect to this server, whatever host and port say: in memory, or by TCP if it was started so.

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
        """A client of this server, over memory if it was started so.

        Args:
            options: For `TrioOpenAI`; `api_key` and `base_url` are supplied if absent.

        Returns:
            The client, to be used with `async with` or closed by `aclose()`.

        Raises:
            RuntimeError: The server has not been started.
        """
        if not self.base_url:
            raise RuntimeError("start the server first: its base_url is not known yet")
        from trio_openai import TrioOpenAI  # late: the server itself must not need the client

        options = {"api_key": "sk-scripted", "base_url": self.base_url, **options}
        if self._memory and options.get("http_client") is None:
            options["http_client"] = self._memory_http_client(options.get("max_connections", 1000))
        return TrioOpenAI(**options)

    def statistics(self) -> ServerStatistics:
        """The counts at this moment."""
        return self._ledger.statistics()

    async def wait_requests(self, count: int = 1) -> None:
        """Return when at least `count` requests, ever, have been read to their end (their replies then begin)."""
        await self._ledger.wait_until(lambda: len(self._ledger.requests) >= count)

    async def wait_disconnect(self, count: int = 1) -> None:
        """Return when at least `count` replies, ever, have lost their peer before their end."""
        await self._ledger.wait_until(lambda: self._ledger.disconnects >= count)

    async def wait_idle(self) -> None:
        """Return when no connection is inside a reply (a request that has not been read yet does not count)."""
        await self._ledger.wait_until(lambda: self._ledger.replying == 0)

    async def wait_closed(self) -> None:
        """Return when no connection is open (one that is still to be accepted does not count)."""
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

    async def _accept(self, listeners: list[trio.SocketListener], nursery: trio.Nursery) -> None:
        if listeners:
            await trio.serve_listeners(self._serve, listeners, handler_nursery=nursery)
        await trio.sleep_forever()

    async def _serve(self, stream: ServerStream) -> None:
        await _Connection(stream, self._ledger, self._choose).serve()

    def _memory_http_client(self, max_connections: int) -> Any:
        import httpx

        from trio_openai import TrioTransport

        transport = TrioTransport(max_connections=max_connections, open_stream=self.open_stream)
        return httpx.AsyncClient(transport=transport, trust_env=False)  # a proxy would lead out of memory


def _chooser(script: Script) -> Callable[[RecordedRequest], Reply]:
    if isinstance(script, Reply):
        return lambda _: script
    if callable(script):
        return lambda request: _checked(script(request))
    if isinstance(script, str | bytes | Mapping) or not isinstance(script, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(_NO_SCRIPT.format(what=type(script).__name__))
    replies = iter([_checked(reply) for reply in script])
    ended = Reply.error(500, "The script has ended.", code="script_ended", headers={"x-should-retry": "false"})
    return lambda _: next(replies, ended)


def _checked(given: Any) -> Reply:
    if isinstance(given, Reply):
        return given
    if inspect.iscoroutine(given):
        given.close()
    raise TypeError(_NO_SCRIPT.format(what=type(given).__name__))


_NO_SCRIPT = (
    'ScriptedServer takes a Reply, such as Reply.chat("Hello"), a list of them, or a function from the request '
    "to a Reply, not {what}"
)


class _Ending(enum.Enum):
    """How a reply ended: written to its end, broken off by its script, or left by the peer."""

    WHOLE = enum.auto()
    SCRIPTED = enum.auto()
    GONE = enum.auto()


@attrs.define(eq=False)
class _Connection:
    """One peer, from its first byte to its last."""

    _stream: ServerStream
    _ledger: Ledger
    _choose: Callable[[RecordedRequest], Reply]
    _parser: RequestParser = attrs.field(factory=RequestParser)
    _early: bytearray = attrs.field(factory=bytearray)

    async def serve(self) -> None:
        """Answer until the peer leaves or a reply ends the connection, then close it."""
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
        """The next request; None if there is none to come."""
        await trio.lowlevel.checkpoint()
        while not self._parser.complete and self._parser.refusal is None:
            data = bytes(self._early) or await self._receive()
            self._early.clear()
            if not data:
                return None
            self._parser.feed(data)
        return self._parser.complete.popleft() if self._parser.complete else None

    async def _receive(self) -> bytes | bytearray:
        """Some bytes, or none if the peer is gone in whatever way."""
        try:
            return await self._stream.receive_some(_READ_SIZE)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.lowlevel.checkpoint()
            return b""

    async def _answer(self, incoming: Incoming) -> bool:
        """Play the reply; whether the connection goes on."""
        self._ledger.began(incoming.request)
        try:
            reply = self._choose(incoming.request)
            ending = await self._play(wire_steps(reply, incoming))
            self._ledger.disconnects += ending is _Ending.GONE
        finally:
            self._ledger.ended()
        return ending is _Ending.WHOLE and keeps_connection(reply, incoming)

    async def _play(self, steps: Iterator[Step]) -> _Ending:
        ending = _Ending.GONE  # what it stays if the watcher cancels the writing
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

    async def _write(self, steps: Iterator[Step]) -> _Ending:
        await trio.lowlevel.checkpoint()  # the watcher begins first
        try:
            for step in steps:
                if isinstance(step, (Cut, Reset)):
                    (_close if isinstance(step, Cut) else _reset)(self._stream)
                    return _Ending.SCRIPTED
                await self._do(step)
        except trio.BrokenResourceError:
            return _Ending.GONE
        return _Ending.WHOLE

    async def _do(self, step: Step) -> None:
        if isinstance(step, bytes):
            await self._stream.send_all(step)
        elif isinstance(step, Pause):
            await trio.sleep(step.seconds)
        else:
            await trio.sleep_forever()

    async def _refuse(self, status: int, message: str) -> None:
        """Say why, then read what the peer is still sending: closing with it unread would destroy the answer."""
        await trio.lowlevel.checkpoint()
        incoming = Incoming(RecordedRequest("", "", []), http11=True, keep_alive=False)
        with trio.move_on_after(_REFUSAL_TIME), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            for step in wire_steps(Reply.error(status, message), incoming):
                await self._do(step)
            await self._stream.send_eof()
            while await self._stream.receive_some(_READ_SIZE):
                pass


def _close(stream: ServerStream) -> None:
    """Close without an await, so that no cancellation can come in between."""
    if isinstance(stream, MemoryStream):
        stream.close()
    else:
        stream.socket.close()


def _reset(stream: ServerStream) -> None:
    """Close such that the peer's next read fails: on a socket, no lingering means RST."""
    if isinstance(stream, MemoryStream):
        stream.reset()
        return
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()
