"""Every client that the library can be used with, each with a server that plays the same scripted replies."""

from __future__ import annotations

import functools
import importlib.util
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import attrs
import httpx
import pytest
import trio
from net_helpers import serve, watch
from proxy_helpers import ToyProxy

from trio_openai import TrioOpenAI, TrioTransport
from trio_openai.testing import Cut, Pause, RecordedRequest, Reply, Reset, ScriptedServer, ServerStatistics, Step
from trio_openai.testing._script import Script, script_of
from trio_openai.testing._server import Ledger

ELSEWHERE = "http://api.test/v1"


class Server(Protocol):
    """The server of a test, whichever HTTP client talks to it."""

    @property
    def requests(self) -> list[RecordedRequest]: ...
    async def wait_requests(self, count: int = 1) -> None: ...
    async def wait_disconnect(self, count: int = 1, *, since: ServerStatistics | None = None) -> None: ...
    async def wait_idle(self) -> None: ...


class PlayedServer:
    """The replies of a script without HTTP, for a mock transport and an ASGI application."""

    def __init__(self, script: Script) -> None:
        self._script = script_of(script)
        self._ledger = Ledger()

    @property
    def requests(self) -> list[RecordedRequest]:
        return self._ledger.requests

    async def wait_requests(self, count: int = 1) -> None:
        await self._ledger.wait_until(lambda: len(self._ledger.requests) >= count)

    async def wait_disconnect(self, count: int = 1, *, since: ServerStatistics | None = None) -> None:
        before = self._ledger.disconnects if since is None else since.disconnects
        await self._ledger.wait_until(lambda: self._ledger.disconnects - before >= count)

    async def wait_idle(self) -> None:
        await self._ledger.wait_until(lambda: self._ledger.replying == 0)

    def _ended(self, *, whole: bool) -> None:
        self._ledger.disconnects += not whole
        self._ledger.ended()

    async def _begin(self, request: RecordedRequest) -> Reply:
        """Wait as long as the reply's delay says, and return the reply."""
        self._ledger.began(request)
        reply = self._script.reply_to(request)
        is_due = False
        try:
            await trio.sleep(reply.delay)
            is_due = True
        finally:
            if not is_due:
                self._ended(whole=False)
        return reply

    def mock(self, library: Any) -> Any:
        """Return a transport of httpx or httpx2."""

        async def answer(request: Any) -> Any:
            headers = [(name.lower(), value) for name, value in request.headers.multi_items()]
            target = request.url.raw_path.decode()
            reply = await self._begin(RecordedRequest(request.method, target, headers, request.content))
            body = _body_class(library)(reply.body, self._ended)
            return library.Response(reply.status, headers=list(reply.headers), stream=body)

        return library.MockTransport(answer)

    async def application(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        """Run as an ASGI application."""
        headers = [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]]
        pieces: list[bytes] = []
        while True:
            message = await receive()
            pieces.append(message["body"])
            if not message["more_body"]:
                break
        target = scope["raw_path"].decode() + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
        reply = await self._begin(RecordedRequest(scope["method"], target, headers, b"".join(pieces)))
        is_whole = False
        try:
            raw = [(name.encode(), value.encode()) for name, value in reply.headers]
            await send({"type": "http.response.start", "status": reply.status, "headers": raw})
            for step in reply.body:
                if isinstance(step, bytes):
                    await send({"type": "http.response.body", "body": step, "more_body": True})
                else:
                    await _wait(step)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            is_whole = True
        finally:
            self._ended(whole=is_whole)


async def _wait(step: Step) -> None:
    assert not isinstance(step, Cut | Reset), "an application cannot break the connection"
    await trio.sleep(step.seconds if isinstance(step, Pause) else float("inf"))


class _PlayedBody:
    """A body that is made while it is read. A subclass makes it a stream of httpx or httpx2."""

    broken: type[Exception]

    def __init__(self, steps: tuple[Step, ...], ended: Callable[..., None]) -> None:
        self._steps = list(steps)
        self._tell: Callable[..., None] | None = ended

    def _ended(self, *, whole: bool) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(whole=whole)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while self._steps:
            step = self._steps[0]
            if isinstance(step, Cut | Reset):
                self._ended(whole=True)
                raise self.broken("peer closed connection without sending complete message body")
            if not isinstance(step, bytes):
                await _wait(step)
            del self._steps[0]
            if isinstance(step, bytes):
                return step
        self._ended(whole=True)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._ended(whole=not self._steps)
        await trio.lowlevel.checkpoint()


@functools.cache
def _body_class(library: Any) -> Any:
    return type("Body", (_PlayedBody, library.AsyncByteStream), {"broken": library.RemoteProtocolError})


Make = Callable[..., TrioOpenAI]


@attrs.frozen
class Stage:
    """A server, and a function that makes a client of it."""

    server: Server
    client: Make

    def slots_in_use(self, client: TrioOpenAI) -> int:
        """Return the pool's connections, whichever client counts them."""
        slots = client._session.slots
        if slots is not None and slots.borrowed_tokens:
            return int(slots.borrowed_tokens)
        transport: Any = getattr(client._session.http, "_transport", None)
        return transport.statistics().active if isinstance(transport, TrioTransport) else 0


@attrs.frozen
class Kind:
    """One kind of client.

    Attributes:
        build: starts a server with a script.
        is_live: a body is handed over as it comes, and a server hears who leaves in the middle of it.
        can_break: a connection can be broken in the middle of a body.
        is_stock: the pool is httpcore's, which a call may not be lost in.
        has_sockets: there are connections that press back.
    """

    build: Callable[[trio.Nursery, Script], Awaitable[Stage]]
    is_live: bool = True
    can_break: bool = True
    is_stock: bool = False
    has_sockets: bool = True


def _pool(library: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Return a stock pool with as many connections as the client may use."""
    limits = library.Limits(max_connections=options.get("max_connections", 100))
    return {"limits": limits, "trust_env": False, "verify": certificates()}


@functools.cache
def certificates() -> ssl.SSLContext:
    """Return one SSL context for all clients, because making one takes 20 ms."""
    return ssl.create_default_context()


async def _own(nursery: trio.Nursery, script: Script) -> Stage:
    server = await serve(nursery, script, memory=False)
    return Stage(server, server.client)


async def _own_in_httpx(nursery: trio.Nursery, script: Script) -> Stage:
    server = await serve(nursery, script, memory=False)

    def make(**options: Any) -> TrioOpenAI:
        transport = TrioTransport(max_connections=options.pop("max_connections", 100))
        return server.client(http_client=httpx.AsyncClient(transport=transport), **options)

    return Stage(server, make)


async def _own_by_proxy(nursery: trio.Nursery, script: Script) -> Stage:
    server = await serve(nursery, script, memory=False)  # it is handed the requests, like a proxy
    return Stage(server, lambda **o: server.client(base_url=ELSEWHERE, proxy=_root(server), **o))


async def _own_by_socks(nursery: trio.Nursery, script: Script) -> Stage:
    server = await serve(nursery, script)
    toy = ToyProxy(nursery, server.open_stream)

    def make(**options: Any) -> TrioOpenAI:
        most = options.pop("max_connections", 100)
        transport = TrioTransport(max_connections=most, open_stream=toy.open_stream, proxy="socks5://proxy.test")
        return server.client(base_url=ELSEWHERE, http_client=httpx.AsyncClient(transport=transport), **options)

    return Stage(server, make)


def _root(server: ScriptedServer) -> str:
    return server.base_url.removesuffix("/v1")


def _stock(name: str) -> Callable[[trio.Nursery, Script], Awaitable[Stage]]:
    async def build(nursery: trio.Nursery, script: Script) -> Stage:
        library: Any = importlib.import_module(name)
        server = await serve(nursery, script, memory=False)
        return Stage(server, lambda **o: server.client(http_client=library.AsyncClient(**_pool(library, o)), **o))

    return build


async def _stock_by_proxy(nursery: trio.Nursery, script: Script) -> Stage:
    server = await serve(nursery, script, memory=False)

    def make(**options: Any) -> TrioOpenAI:
        http = httpx.AsyncClient(proxy=_root(server), **_pool(httpx, options))
        return server.client(base_url=ELSEWHERE, http_client=http, **options)

    return Stage(server, make)


def _mock(name: str) -> Callable[[trio.Nursery, Script], Awaitable[Stage]]:
    async def build(nursery: trio.Nursery, script: Script) -> Stage:
        library: Any = importlib.import_module(name)
        server = PlayedServer(script)
        return _played(nursery, server, lambda: library.AsyncClient(transport=server.mock(library)))

    return build


async def _asgi(nursery: trio.Nursery, script: Script) -> Stage:
    server = PlayedServer(script)
    transport = httpx.ASGITransport(server.application)
    return _played(nursery, server, lambda: httpx.AsyncClient(transport=transport))


def _played(nursery: trio.Nursery, server: PlayedServer, http: Callable[[], Any]) -> Stage:
    nursery.start_soon(watch)
    return Stage(server, lambda **o: TrioOpenAI(api_key="sk-scripted", base_url=ELSEWHERE, http_client=http(), **o))


KINDS: dict[str, Kind] = {
    "own": Kind(_own),
    "own in httpx": Kind(_own_in_httpx),
    "own by a proxy": Kind(_own_by_proxy),
    "own by SOCKS": Kind(_own_by_socks, has_sockets=False),
    "httpx": Kind(_stock("httpx"), is_stock=True),
    "httpx2": Kind(_stock("httpx2"), is_stock=True),
    "httpx by a proxy": Kind(_stock_by_proxy, is_stock=True),
    "httpx mock": Kind(_mock("httpx")),
    "httpx2 mock": Kind(_mock("httpx2")),
    "ASGI": Kind(_asgi, is_live=False, can_break=False, has_sockets=False),
}


def of(wanted: Callable[[Kind], bool] = lambda kind: True) -> Any:
    """Run a test with each kind of client as `kind`. Kinds of httpx2 are skipped if it is not installed."""
    no_httpx2 = pytest.mark.skipif(importlib.util.find_spec("httpx2") is None, reason="httpx2 is not installed")
    return pytest.mark.parametrize(
        "kind",
        [
            pytest.param(kind, id=name, marks=[no_httpx2] if "httpx2" in name else [])
            for name, kind in KINDS.items()
            if wanted(kind)
        ],
    )
