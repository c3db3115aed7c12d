"""`TrioTransport` under clients of httpx2: requests, responses, bodies and exceptions are those of httpx2."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import trio
from disconnect_helpers import FROM_START
from net_helpers import CHAT, no_environment, outcome, serve
from proxy_helpers import ToyProxy

from trio_openai import APIConnectionError, Deadlines, StreamTruncatedError, TrioOpenAI, TrioTransport
from trio_openai.testing import Pause, Reply, ScriptedServer, Stall

httpx2: Any = pytest.importorskip("httpx2")
HELLO = Reply.chat("Hello there, you.", stream=True)
PLAIN = Reply.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
PACKAGES = {"httpx": httpx, "httpx2": httpx2}
packages = pytest.mark.parametrize("package", PACKAGES.values(), ids=PACKAGES)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


async def connect(nursery: trio.Nursery, script: Any, package: Any, **options: Any) -> tuple[ScriptedServer, Any, Any]:
    server = await serve(nursery, script)
    transport: Any = TrioTransport(open_stream=server.open_stream, **options)
    return server, package.AsyncClient(transport=transport, trust_env=False), transport


@packages
async def test_response_belongs_to_the_package_of_the_client(nursery: trio.Nursery, package: Any) -> None:
    server, http, transport = await connect(nursery, PLAIN, package)
    async with http:
        for _ in range(2):
            response = await http.get(server.base_url)
            assert type(response) is package.Response
            assert type(response.headers) is package.Headers
            assert response.content == b"hello"
            assert response.request.url == server.base_url
        assert transport.statistics().active == 0


@packages
async def test_body_left_early_releases_its_connection(nursery: trio.Nursery, package: Any) -> None:
    reply = Reply(200, {}, [b"one", Stall()])
    server, http, transport = await connect(nursery, reply, package)
    async with http:
        async with http.stream("GET", server.base_url) as response:
            assert await anext(aiter(response.stream._stream)) == b"one", "httpx's own generators warn if left early"
            assert transport.statistics().active == 1
        assert transport.statistics().active == 0
        await server.wait_disconnect(since=FROM_START)


@packages
@pytest.mark.parametrize("size", [10, 200_000])
async def test_bytes_are_sent_with_their_length(nursery: trio.Nursery, package: Any, size: int) -> None:
    server, http, _ = await connect(nursery, PLAIN, package)
    async with http:
        await http.post(server.base_url, content=b"x" * size)
    assert server.requests[0].body == b"x" * size
    assert ("content-length", str(size)) in server.requests[0].headers


@packages
async def test_generated_body_is_sent_in_chunks(nursery: trio.Nursery, package: Any) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    server, http, _ = await connect(nursery, PLAIN, package)
    async with http:
        await http.post(server.base_url, content=pieces())
    assert server.requests[0].body == b"onetwo"
    assert ("transfer-encoding", "chunked") in server.requests[0].headers


@packages
@pytest.mark.parametrize(
    ("reply", "name"),
    [
        (Reply.raw(), "RemoteProtocolError"),
        (Reply.raw(b"SSH-2.0\r\n"), "RemoteProtocolError"),
        (HELLO.cut_after(700), "RemoteProtocolError"),
        (HELLO.reset_after(700), "ReadError"),
        (Reply(delay=10), "ReadTimeout"),
        (Reply(200, {}, [b"one", Pause(10)]), "ReadTimeout"),
    ],
)
async def test_exceptions_belong_to_the_package_of_the_client(
    nursery: trio.Nursery, autojump_clock: object, package: Any, reply: Reply, name: str
) -> None:
    server, http, transport = await connect(nursery, reply, package)
    async with http:
        with pytest.raises(getattr(package, name)) as caught:
            await http.get(server.base_url)
        assert str(caught.value)
        assert caught.value.request.url == server.base_url
        assert caught.value.__context__ is None or not isinstance(caught.value.__context__, httpx.HTTPError)
        assert transport.statistics().active == 0


@packages
async def test_address_that_cannot_be_reached_keeps_its_cause(package: Any) -> None:
    async def refuse(host: str, port: int) -> Any:
        await trio.lowlevel.checkpoint()
        raise ConnectionRefusedError

    http = package.AsyncClient(transport=TrioTransport(open_stream=refuse), trust_env=False)
    async with http:
        with pytest.raises(package.ConnectError, match=r"cannot connect to nowhere\.test:80") as caught:
            await http.get("http://nowhere.test")
        assert isinstance(caught.value.__cause__, ConnectionRefusedError)
        with pytest.raises(package.UnsupportedProtocol):
            await http.get("ftp://nowhere.test")


@packages
async def test_proxy_and_url_of_either_package_are_accepted(nursery: trio.Nursery, package: Any) -> None:
    server = await serve(nursery, HELLO)
    for proxy in (package.URL("socks5://proxy.test"), package.Proxy("socks5://proxy.test")):
        toy = ToyProxy(nursery, server.open_stream)
        transport = TrioTransport(open_stream=toy.open_stream, proxy=proxy)
        http = package.AsyncClient(transport=transport, trust_env=False)
        client = TrioOpenAI(api_key="k", base_url=package.URL("http://api.test/v1"), http_client=http)
        async with client, client.chat.completions.stream(**CHAT) as stream:
            assert "".join([text async for text in stream.text_deltas]) == "Hello there, you."


@packages
async def test_client_over_our_transport_keeps_the_promises(nursery: trio.Nursery, package: Any) -> None:
    server, http, transport = await connect(nursery, [HELLO, HELLO.stall_after(700), HELLO.cut_after(700)], package)
    async with server.client(http_client=http, max_retries=0) as client:
        async with client.chat.completions.stream(**CHAT) as stream:
            assert "".join([text async for text in stream.text_deltas]) == "Hello there, you."
        async with client.chat.completions.stream(**CHAT) as stream:
            await anext(stream)
            assert client._session.slots.borrowed_tokens == 0, "only the transport counts"
        assert transport.statistics().active == 0
        await server.wait_disconnect(since=FROM_START)
        with pytest.raises(StreamTruncatedError):
            async with client.chat.completions.stream(**CHAT) as stream:
                await stream.until_done()
        assert transport.statistics().active == 0


@packages
async def test_redirect_to_an_invalid_address_is_an_error(nursery: trio.Nursery, package: Any) -> None:
    reply = Reply.json({}, status=307, headers={"location": "http://api.test:port/"})
    server, http, transport = await connect(nursery, reply, package)
    async with server.client(http_client=http) as client:
        error = await outcome(client.chat.completions.create, **CHAT)
        assert type(error) is APIConnectionError
        assert transport.statistics().active == 0
    assert len(server.requests) == 1, "another attempt would get the same redirect"


async def test_stock_httpx2_by_a_proxy_applies_no_timeout_to_gaps_in_a_stream(nursery: trio.Nursery) -> None:
    pieces = [piece for piece in HELLO.body if isinstance(piece, bytes)]
    reply = Reply(200, {"content-type": "text/event-stream"}, [*pieces[:3], Pause(0.3), *pieces[3:]])
    server = await serve(nursery, reply, memory=False)  # it is handed the requests, like a proxy
    http = httpx2.AsyncClient(proxy=server.base_url.removesuffix("/v1"), trust_env=False)
    timeout = Deadlines(headers=0.1)
    async with server.client(base_url="http://api.test/v1", http_client=http, timeout=timeout) as client:
        async with client.chat.completions.stream(**CHAT) as stream:
            assert "".join([text async for text in stream.text_deltas]) == "Hello there, you."


@packages
async def test_response_that_is_not_http_is_not_retried(nursery: trio.Nursery, package: Any) -> None:
    server, http, _ = await connect(nursery, Reply.raw(b"SSH-2.0\r\n"), package)
    async with server.client(http_client=http, max_retries=2) as client:
        assert isinstance(await outcome(lambda: client.models.list()), APIConnectionError)
    assert len(server.requests) == 1
