"""HTTP clients of the user, one kind at a time. `test_every_client.py` tests what holds for all of them."""

from __future__ import annotations

import gc
import gzip
import importlib.util
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from disconnect_helpers import FROM_START
from every_client import certificates
from net_helpers import CHAT, no_environment, outcome, serve, watch

from trio_openai import APIConnectionError, APIError, APIStatusError, StreamTruncatedError, TrioOpenAI, TrioTransport
from trio_openai.testing import Reply, Reset, ScriptedServer, Stall

HELLO = Reply.chat("Hello there, you.")
PLAIN = Reply.chat("Hello there, you.", stream=False)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


def stock_httpx(**options: Any) -> Any:
    return httpx.AsyncClient(verify=certificates(), **options)


def stock_httpx2(**options: Any) -> Any:
    import httpx2

    return httpx2.AsyncClient(verify=certificates(), **options)


has_httpx2 = importlib.util.find_spec("httpx2") is not None
kinds = pytest.mark.parametrize(
    "make",
    [
        pytest.param(stock_httpx, id="httpx"),
        pytest.param(stock_httpx2, id="httpx2", marks=pytest.mark.skipif(not has_httpx2, reason="no httpx2")),
    ],
)
Make = Callable[..., Any]


async def read_stream(client: TrioOpenAI, **params: Any) -> str:
    async with client.chat.completions.stream(**CHAT, **params) as stream:
        return "".join([text async for text in stream.text_deltas])


async def read_plain(client: TrioOpenAI, **params: Any) -> str | None:
    return (await client.chat.completions.create(**CHAT, **params)).choices[0].message.content


async def connect(nursery: trio.Nursery, script: Any, make: Make, **options: Any) -> tuple[ScriptedServer, TrioOpenAI]:
    server = await serve(nursery, script, memory=False)
    return server, server.client(http_client=make(), **options)


def slots_in_use(client: TrioOpenAI) -> int:
    slots = client._session.slots
    return slots.borrowed_tokens if slots is not None else 0


@kinds
async def test_errors_of_another_client_are_translated(nursery: trio.Nursery, make: Make) -> None:
    replies: list[tuple[Reply, type[APIError]]] = [
        (Reply.raw(), APIConnectionError),
        (Reply.raw(b"SSH-2.0\r\n"), APIConnectionError),
        (Reply(body=[Reset()], framing="raw"), APIConnectionError),
        (Reply.error(401, "no"), APIStatusError),
        (HELLO.cut_after(700), StreamTruncatedError),
        (HELLO.reset_after(700), StreamTruncatedError),
        (Reply.error(500, "no").cut_after(5), APIStatusError),
    ]
    for reply, expected in replies:
        server, client = await connect(nursery, reply, make, max_retries=0)
        async with client:
            error = await outcome(read_stream, client)
            assert isinstance(error, expected)
            assert len(str(error)) > 10
            assert not str(error).endswith(": ")
            assert slots_in_use(client) == 0
        await server.aclose()
    client = TrioOpenAI(base_url=server.base_url, http_client=make(), max_retries=0)
    async with client:
        assert isinstance(await outcome(read_stream, client), APIConnectionError)
    gc.collect()


def raw_deflate(data: bytes) -> bytes:
    deflating = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflating.compress(data) + deflating.flush()


def two_members(data: bytes) -> bytes:
    return gzip.compress(data[:200]) + gzip.compress(data[200:])


CODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "gzip of two members": ("gzip", two_members),
    "upper case": ("GZIP", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "identity": ("identity", bytes),
}


@kinds
@pytest.mark.parametrize(("coding", "compress"), CODINGS.values(), ids=CODINGS)
async def test_compressed_response_is_decompressed(
    nursery: trio.Nursery, make: Make, coding: str, compress: Callable[[bytes], bytes]
) -> None:
    headers = {"content-encoding": coding, "content-type": "text/event-stream"}
    for size in (100_000, 7):
        server, client = await connect(nursery, Reply(200, headers, compress(body_of(HELLO))).sliced(size), make)
        async with client:
            assert await read_stream(client) == "Hello there, you."
        async with TrioOpenAI(base_url=server.base_url) as ours:
            assert await read_stream(ours) == "Hello there, you."
            assert ours.statistics().transport.active == 0  # type: ignore[union-attr]
    gc.collect()


@pytest.mark.parametrize("size", [1024 * 1024 + 100, 5_000_000])
async def test_large_compressed_response_is_decompressed_completely(nursery: trio.Nursery, size: int) -> None:
    text = "a" * size
    whole = gzip.compress(b"".join(s for s in Reply.chat(text, stream=False).body if isinstance(s, bytes)))
    for reply in (
        Reply(200, {"content-encoding": "gzip"}, whole),
        Reply(200, {"content-encoding": "gzip"}, [whole[:-9], whole[-9:]]),
    ):
        server = await serve(nursery, reply, memory=False)
        async with TrioOpenAI(base_url=server.base_url) as client:
            assert await read_plain(client) == text


@pytest.mark.parametrize("cut", [10, -1, -8, -20])
async def test_truncated_compressed_response_is_an_error(nursery: trio.Nursery, cut: int) -> None:
    whole = gzip.compress(body_of(HELLO))
    headers = {"content-encoding": "gzip", "content-type": "text/event-stream"}
    server = await serve(nursery, Reply(200, headers, whole[:cut]), memory=False)
    async with TrioOpenAI(base_url=server.base_url, max_retries=0) as client:
        result = await outcome(read_stream, client)
        assert isinstance(result, APIError) or (cut > -9 and result == "Hello there, you.")


@kinds
@pytest.mark.parametrize("ours", [True, False])
async def test_compressed_stream_left_early_is_closed_at_once(nursery: trio.Nursery, make: Make, ours: bool) -> None:
    body = gzip.compress(b"".join(step for step in HELLO.body if isinstance(step, bytes)))
    headers = {"content-encoding": "gzip", "content-type": "text/event-stream"}
    server, client = await connect(nursery, Reply(200, headers, [body[:-20], Stall()]), make, max_connections=1)
    if ours:
        await client.aclose()
        client = TrioOpenAI(base_url=server.base_url, max_connections=1)
    async with client:
        for number in (1, 2):
            async with client.chat.completions.stream(**CHAT) as stream:
                await anext(stream)
            await server.wait_disconnect(number, since=FROM_START)
            with trio.move_on_after(0.02):
                await read_stream(client)
            assert slots_in_use(client) == 0
            await server.wait_closed()
        if ours:
            transport: Any = client.statistics().transport
            assert transport.active == 0
    gc.collect()


# Mock transports and other shapes.


def mock(handler: Callable[[httpx.Request], httpx.Response], **options: Any) -> TrioOpenAI:
    http = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    return TrioOpenAI(base_url="http://localhost/v1", http_client=http, **{"max_retries": 0, **options})


def body_of(reply: Reply) -> bytes:
    return b"".join(step for step in reply.body if isinstance(step, bytes))


EVENTS = {"content-type": "text/event-stream"}


async def test_mock_transport(nursery: trio.Nursery) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for step in HELLO.body:
            if isinstance(step, bytes):
                yield step

    client = mock(lambda request: httpx.Response(200, headers=EVENTS, content=body_of(HELLO)))
    async with client:
        assert await read_stream(client) == "Hello there, you."
        async with client.chat.completions.stream(**CHAT) as stream:
            await anext(stream)
        assert slots_in_use(client) == 0
    client = mock(lambda request: httpx.Response(200, headers=EVENTS, content=pieces()))
    async with client:
        assert await read_stream(client) == "Hello there, you."
        assert slots_in_use(client) == 0
    client = mock(lambda request: httpx.Response(401, json={"error": {"message": "no"}}))
    async with client:
        assert isinstance(await outcome(read_stream, client), APIStatusError)
    gc.collect()


async def test_body_that_closes_slowly_or_fails_to_close_does_not_block(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    nursery.start_soon(watch)

    class Body(httpx.AsyncByteStream):
        closed = False

        def __init__(self, closing: Exception | None) -> None:
            self._closing = closing

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            await trio.sleep(0.1)
            return b": ping\n\n" + body_of(HELLO)[:400]

        async def aclose(self) -> None:
            self.closed = True
            if self._closing is None:
                await trio.sleep(1_000)
            else:
                raise self._closing

    for closing in (None, httpx.ReadError("cannot close"), httpx.CloseError("cannot close")):
        body = Body(closing)
        client = mock(lambda request, body=body: httpx.Response(200, headers=EVENTS, stream=body))  # type: ignore[misc]
        before = trio.current_time()
        error = await outcome(leave_early, client)
        assert error is None, "the work is done: a connection that cannot be closed is not the user's concern"
        assert trio.current_time() - before < 30
        assert slots_in_use(client) == 0
        assert body.closed


async def leave_early(client: TrioOpenAI) -> None:
    async with client.chat.completions.stream(**CHAT) as stream:
        await anext(stream)


@pytest.mark.parametrize("error", [httpx.ReadError(""), httpx.ConnectError(""), httpx.RemoteProtocolError("")])
async def test_error_without_message_gets_one(error: Exception) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    async with mock(fail) as client:
        caught = await outcome(read_plain, client)
        assert type(caught) is APIConnectionError
        assert type(error).__name__ in str(caught)


async def test_bug_in_a_users_transport_is_not_wrapped() -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError

    async with mock(fail) as client:
        assert type(await outcome(read_plain, client)) is ZeroDivisionError
        assert slots_in_use(client) == 0


async def test_client_with_http2_is_refused_with_advice() -> None:
    closed = False

    class Body(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"data: [DONE]\n\n"

        async def aclose(self) -> None:
            nonlocal closed
            closed = True

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=EVENTS, stream=Body(), extensions={"http_version": b"HTTP/2"})

    async with mock(answer) as client:
        error = await outcome(read_stream, client)
        assert isinstance(error, RuntimeError)
        assert "http2=False" in str(error)
        assert closed
        assert slots_in_use(client) == 0


def test_client_class_of_an_unregistered_module_is_accepted() -> None:
    kind = type("Mine", (httpx.AsyncClient,), {"__module__": "nowhere.to.be.found"})
    assert TrioOpenAI(base_url="http://localhost", http_client=kind())


async def test_event_hooks_and_their_errors(nursery: trio.Nursery) -> None:
    class MineError(Exception):
        pass

    seen: list[str] = []

    async def on_request(request: httpx.Request) -> None:
        seen.append(request.method)

    async def on_response(response: httpx.Response) -> None:
        seen.append(str(response.status_code))
        if len(seen) > 2:
            raise MineError

    server = await serve(nursery, HELLO)
    transport = TrioTransport(open_stream=server.open_stream)
    hooks: Any = {"request": [on_request], "response": [on_response]}
    async with server.client(http_client=httpx.AsyncClient(transport=transport, event_hooks=hooks)) as client:
        assert await read_stream(client) == "Hello there, you."
        assert seen == ["POST", "200"]
        assert type(await outcome(read_stream, client)) is MineError
        assert transport.statistics().active == 0


async def test_stock_pool_limit_does_not_apply_to_our_transport(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply(delay=60))
    transport = TrioTransport(open_stream=server.open_stream)
    client = server.client(http_client=httpx.AsyncClient(transport=transport), timeout=None)
    async with client, trio.open_nursery() as some:
        for _ in range(150):
            some.start_soon(read_plain, client)
        await trio.testing.wait_all_tasks_blocked()
        assert len(server.requests) == 150
        some.cancel_scope.cancel()
    await server.wait_closed()
