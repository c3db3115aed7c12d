"""Scenarios for a sweep: a `Scenario`, the `World` of one of its points, and places with and without sockets."""

from __future__ import annotations

import enum
import functools
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any
from unittest.mock import patch

import attrs
import httpx
import trio
import trustme
from net_helpers import CHAT, TLSFront, open_sockets
from observer_helpers import CallOrder

from trio_openai import AdaptiveLimiter, RateLimiter, Servers, TransportStatistics, TrioOpenAI, TrioTransport
from trio_openai._request import session
from trio_openai.testing import RecordedRequest, Reply, ScriptedServer

HELLO = Reply.chat("Hello there.", usage=False)
PLAIN = Reply.chat("Hello there.", stream=False)
BURST = HELLO.sliced(HELLO.length())
SHORT = HELLO.sliced(HELLO.length() // 2 + 1)  # two writes, because each write adds points to a sweep


class Blow(enum.Enum):
    """The event that strikes at the k-th step."""

    CANCEL = "cancelled"
    INTERRUPT = "Ctrl-C"  # raised in the main task even inside shields, so the scenario runs there


class Victim:
    """The scope that is cancelled, with the times when it was cancelled and left.

    Attributes:
        inside: it has been entered and not left yet. Only steps meanwhile count.
    """

    def __init__(self) -> None:
        self.inside = False
        self._scope = trio.CancelScope()
        self._struck_at: float | None = None
        self._left_at: float | None = None

    def strike(self) -> None:
        self._struck_at = trio.current_time()
        self._scope.cancel()

    def __enter__(self) -> trio.CancelScope:
        self.inside = True
        return self._scope.__enter__()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self.inside = False
        self._left_at = trio.current_time()
        return self._scope.__exit__(exc_type, exc, traceback)

    @property
    def was_struck(self) -> bool:
        return self._struck_at is not None

    @property
    def seconds_to_leave(self) -> float:
        """The seconds from the blow to the end of the scope."""
        return 0.0 if self._struck_at is None or self._left_at is None else self._left_at - self._struck_at


class CountedStream(trio.abc.HalfCloseableStream):
    """An end of a connection in memory that knows whether it is open, and can be as slow as a network."""

    def __init__(self, inner: Any, world: World) -> None:
        self._inner = inner
        self._world = world
        world.open_streams.add(self)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        step = self._world.scenario.bytes_a_second or max(1, len(data))
        for at in range(0, len(data), step):
            if at:
                await trio.sleep(1)
            await self._inner.send_all(data[at : at + step])

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data: bytes | bytearray = await self._inner.receive_some(max_bytes)
        return data

    async def send_eof(self) -> None:
        await self._inner.send_eof()

    def close(self) -> None:
        self._world.open_streams.discard(self)
        self._inner.close()

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()


@attrs.define(eq=False)
class World:
    """The surroundings in which one point is played.

    Attributes:
        home: the nursery of all that is not under test.
        client: what is under test: a `TrioOpenAI`, or for comparison a stock client.
        transport: its transport, if that is ours.
        victim: what the blow falls on.
        open_streams: connections in memory that this end has open.
        limiter: the client's, if the scenario has one.
        calls: the client's observer.
    """

    scenario: Scenario
    home: trio.Nursery
    server: ScriptedServer
    client: Any = None
    transport: TrioTransport | None = None
    victim: Victim = attrs.field(factory=Victim)
    open_streams: set[CountedStream] = attrs.field(factory=set[CountedStream])
    limiter: AdaptiveLimiter | RateLimiter | None = None
    calls: CallOrder = attrs.field(factory=CallOrder)
    refused: int = 0

    def sockets(self) -> int:
        """Return the number of open sockets of this process, or 0 in places without sockets."""
        return open_sockets() if self.scenario.place.sockets else 0

    def held(self) -> TransportStatistics | None:
        """Return the statistics of the pool, or None if the pool is not this library's."""
        return self.transport.statistics() if self.transport else None

    async def open_stream(self, host: str, port: int) -> CountedStream:
        """Open a connection in memory, as slowly and after as many refusals as the scenario wants."""
        await trio.sleep(self.scenario.connect_seconds)
        if self.refused < self.scenario.refusals:
            self.refused += 1
            raise ConnectionRefusedError("connection refused")
        return CountedStream(await self.server.open_stream(host, port), self)


Act = Callable[[World], Awaitable[object]]


@attrs.frozen
class Place:
    """A place where a scenario is played.

    Attributes:
        build: starts the server and makes the client.
        sockets: that one connection has in this process, at both its ends.
    """

    build: Callable[[World], Awaitable[None]]
    sockets: int = 0


async def ask_again(world: World) -> None:
    """Send the request that has to work afterwards."""
    async with world.client.chat.completions.stream(**{**CHAT, "model": "afterwards"}) as stream:
        completion = await stream.get_final_completion()
    assert completion.choices[0].message.content == "Hello there."


@attrs.frozen
class Scenario:
    """One scenario: what is played, where, and what the server replies.

    Attributes:
        act: one async function. What it raises itself, beside the cancellation, is a fault.
        replies: to its requests, in turn, the last of them again and again. The request afterwards gets `BURST`.
        place: where it is played.
        neighbours: only what is inside `world.victim` is struck, at any step of any task meanwhile; the rest has to
            come to its end.
        survives: the client can be asked once more.
        blow: what it is.
        options: for `TrioOpenAI`.
        limiter: makes one for the client.
        ask: the request afterwards.
        max_connections: of the pool: one, so that it cannot be lost without the next request hanging.
        connect_seconds, refusals, bytes_a_second: of the network, in memory.
    """

    act: Act
    replies: Sequence[Reply] = (SHORT,)
    place: Place = attrs.field(factory=lambda: IN_MEMORY)
    neighbours: bool = attrs.field(default=False, kw_only=True)
    survives: bool = attrs.field(default=True, kw_only=True)
    blow: Blow = attrs.field(default=Blow.CANCEL, kw_only=True)
    options: Mapping[str, Any] = attrs.field(factory=dict[str, Any], kw_only=True)
    limiter: Callable[[], AdaptiveLimiter | RateLimiter | None] = attrs.field(default=lambda: None, kw_only=True)
    ask: Act = attrs.field(default=ask_again, kw_only=True)
    max_connections: int = attrs.field(default=1, kw_only=True)
    connect_seconds: float = attrs.field(default=0.0, kw_only=True)
    refusals: int = attrs.field(default=0, kw_only=True)
    bytes_a_second: int | None = attrs.field(default=None, kw_only=True)

    def script(self) -> Callable[[RecordedRequest], Reply]:
        """Return a new script of the replies."""
        left = list(self.replies)

        def choose(request: RecordedRequest) -> Reply:
            if b'"afterwards"' in request.body:
                return BURST
            return left.pop(0) if len(left) > 1 else left[0]

        return choose


# Places.


async def _in_memory(world: World) -> None:
    await world.server.start(world.home, memory=True)
    _make_client(world, open_stream=world.open_stream)


async def _on_sockets(world: World) -> None:
    await world.server.start(world.home)
    _make_client(world, in_http_client=True)


async def _several_in_memory(world: World) -> None:
    """Make one client of two servers. They share a pool of connections, so that one look shows what both hold."""
    await world.server.start(world.home, memory=True)
    _make_client(world, open_stream=world.open_stream)
    first = world.client
    _make_client(world, open_stream=world.open_stream, transport=world.transport)
    world.client = Servers([first, world.client])


IN_MEMORY = Place(_in_memory)
SEVERAL = Place(_several_in_memory)
ON_SOCKETS = Place(_on_sockets, sockets=2)


@functools.cache
def tls_contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the TLS context of the server, and one of a client that trusts it."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


def over_tls(*, sockets: bool) -> Place:
    """TLS, in memory or on real sockets."""
    server_context, client_context = tls_contexts()

    async def build(world: World) -> None:
        await world.server.start(world.home, memory=True)
        front = TLSFront(world.server, server_context, world.home)

        async def open_stream(host: str, port: int) -> CountedStream:
            return CountedStream(await front.open_stream(host, port), world)

        port = await front.listen() if sockets else 443
        url = f"https://127.0.0.1:{port}/v1"
        _make_client(world, url, ssl_context=client_context, open_stream=None if sockets else open_stream)

    return Place(build, sockets=2 if sockets else 0)


def _make_client(
    world: World,
    base_url: str | None = None,
    *,
    in_http_client: bool = False,
    transport: TrioTransport | None = None,
    **about: Any,
) -> None:
    """Make a client with a transport of its own, or one in the program's `http_client`: their requests differ."""
    if transport is None:
        transport = TrioTransport(max_connections=world.scenario.max_connections, **about)
        world.limiter = world.scenario.limiter()
    world.transport = transport
    usual = {"base_url": base_url or world.server.base_url, "limiter": world.limiter, "observer": world.calls}
    options = {**usual, **world.scenario.options}
    if in_http_client:
        http = httpx.AsyncClient(transport=world.transport, trust_env=False)
        world.client = world.server.client(http_client=http, **options)
        return
    with patch.object(session, "TrioTransport", lambda **_: world.transport):
        world.client = TrioOpenAI(**{"api_key": "sk-scripted", **options})


def through(library: Any) -> Place:
    """Use this library's client over the stock client of httpx or httpx2."""

    async def build(world: World) -> None:
        await world.server.start(world.home)
        size = world.scenario.max_connections
        http = _stock_client(library, size)
        options = {"observer": world.calls, "max_connections": size, **world.scenario.options}
        world.client = world.server.client(http_client=http, **options)

    return Place(build, sockets=2)


def without_us(library: Any, *, tls: bool = False) -> Place:
    """Use the stock client alone, for comparison."""
    server_context, client_context = tls_contexts()

    async def build(world: World) -> None:
        await world.server.start(world.home, memory=tls)
        url = world.server.base_url
        if tls:
            url = f"https://127.0.0.1:{await TLSFront(world.server, server_context, world.home).listen()}/v1"
        size = world.scenario.max_connections
        world.client = _stock_client(library, size, base_url=url, verify=client_context)

    return Place(build, sockets=2)


def _stock_client(library: Any, size: int, **options: Any) -> Any:
    limits = library.Limits(max_connections=size)
    return library.AsyncClient(
        **{"limits": limits, "timeout": None, "verify": tls_contexts()[1], "trust_env": False, **options}
    )


async def block(world: World) -> None:
    async with world.client.chat.completions.stream(**CHAT) as stream:
        async for _ in stream:
            pass


async def block_left_early(world: World) -> None:
    async with world.client.chat.completions.stream(**CHAT) as stream:
        async for _ in stream:
            break


async def third_door(world: World) -> None:
    async with await world.client.chat.completions.create(**CHAT, stream=True) as stream:
        await stream.get_final_completion()


async def third_door_by_hand(world: World) -> None:
    stream = await world.client.chat.completions.create(**CHAT, stream=True)
    try:
        await anext(stream)
    finally:
        await stream.aclose()


async def one_after_another(world: World) -> None:
    await block(world)
    await block(world)
