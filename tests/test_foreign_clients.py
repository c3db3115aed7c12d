"""Clients of the user's own: httpx and httpx2 with their stock transports, mock transports, others by shape."""

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
from net_helpers import CHAT, CancelAtStep, no_environment, open_sockets, outcome, serve, watch

from trio_openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    Deadlines,
    StreamTruncatedError,
    TrioOpenAI,
    TrioTransport,
)
from trio_openai.testing import Pause, Reply, Reset, ScriptedServer, Stall

HELLO = Reply.chat("Hello there, you.")
PLAIN = Reply.chat("Hello there, you.", stream=False)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


def stock_httpx(**options: Any) -> Any:
    return httpx.AsyncClient(**options)


def stock_httpx2(**options: Any) -> Any:
    import httpx2

    return httpx2.AsyncClient(**options)


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
    slots = client._caller.session.slots
    return slots.borrowed_tokens if slots is not None else 0


@kinds
async def test_streams_and_plain_answers(nursery: trio.Nursery, make: Make) -> None:
    before = open_sockets()
    server, client = await connect(nursery, lambda r: HELLO if r.json().get("stream") else PLAIN, make)
    async with client:
        for _ in range(3):
            assert await read_stream(client) == "Hello there, you."
            assert await read_plain(client) == "Hello there, you."
        assert slots_in_use(client) == 0
        assert server.requests[0].header("authorization") == "Bearer sk-scripted"
        assert server.requests[0].header("accept-encoding") == "identity"
    await server.wait_closed()
    await server.aclose()
    gc.collect()
    assert open_sockets() == before


@kinds
async def test_a_stream_left_early_is_closed_at_once(nursery: trio.Nursery, make: Make) -> None:
    server, client = await connect(nursery, Reply.chat("Hello there, you.", pace=0.01).stall_after(900), make)
    async with client:
        for number in range(1, 4):
            async with client.chat.completions.stream(**CHAT) as stream:
                async for _ in stream:
                    break
            await server.wait_disconnect(number)
            assert slots_in_use(client) == 0
            assert isinstance(await outcome(stream.__anext__), trio.ClosedResourceError)
    gc.collect()  # an abandoned generator warns here


@kinds
async def test_a_third_door_stream_is_closed_with_the_client(nursery: trio.Nursery, make: Make) -> None:
    server, client = await connect(nursery, HELLO.stall_after(500), make)
    async with client:
        streams = [await client.chat.completions.create(**CHAT, stream=True) for _ in range(3)]
        await anext(streams[0])
    await server.wait_closed()
    assert slots_in_use(client) == 0
    assert isinstance(await outcome(streams[0].__anext__), trio.ClosedResourceError)
    gc.collect()


@kinds
async def test_a_cancelled_read_closes_the_connection_and_frees_the_slot(nursery: trio.Nursery, make: Make) -> None:
    server, client = await connect(
        nursery, [HELLO.stall_after(500), PLAIN.stall_after(5), PLAIN], make, max_connections=1
    )
    async with client:
        for number, read in ((1, read_stream), (2, read_plain)):
            async with trio.open_nursery() as reading:
                reading.start_soon(read, client)
                await server.wait_requests(number)
                await trio.testing.wait_all_tasks_blocked(0.02)
                reading.cancel_scope.cancel()
            await server.wait_disconnect(number)
            assert slots_in_use(client) == 0
        assert await read_plain(client) == "Hello there, you."
    await server.wait_closed()
    gc.collect()


@kinds
async def test_a_cancellation_at_any_checkpoint_leaves_nothing_behind(nursery: trio.Nursery, make: Make) -> None:
    server, client = await connect(
        nursery, lambda r: HELLO if r.json().get("stream") else PLAIN, make, max_connections=1
    )

    async def leave_early() -> None:
        async with client.chat.completions.stream(**CHAT) as stream:
            await anext(stream)

    async def both() -> None:
        await read_stream(client)
        await read_plain(client)

    async with client:
        for scenario in (both, leave_early):
            for step in range(1_000):
                with trio.CancelScope() as scope:
                    canceller = CancelAtStep(scope, step, before=False)
                    trio.lowlevel.add_instrument(canceller)
                    try:
                        await scenario()
                    finally:
                        trio.lowlevel.remove_instrument(canceller)
                assert slots_in_use(client) == 0
                with trio.fail_after(5):
                    assert await read_plain(client) == "Hello there, you."
                if not canceller.fired:
                    break
            assert step > 3
        await server.wait_idle()
        assert server.statistics().connections <= 1
    await server.wait_closed()
    gc.collect()


@kinds
async def test_requests_cancelled_while_they_wait_for_a_slot_lose_none(nursery: trio.Nursery, make: Make) -> None:
    """httpcore's pool loses a slot for good when this happens in its queue."""
    first = HELLO.stall_after(300)
    server, client = await connect(nursery, [first, first, *[PLAIN] * 10], make, max_connections=2)
    async with client:
        held = [await client.chat.completions.create(**CHAT, stream=True) for _ in range(2)]
        async with trio.open_nursery() as waiting:
            for _ in range(20):
                waiting.start_soon(read_plain, client)
            await trio.testing.wait_all_tasks_blocked(0.01)
            waiting.cancel_scope.cancel()
        assert len(server.requests) == 2
        for stream in held:
            await stream.aclose()
        assert slots_in_use(client) == 0
        with trio.fail_after(5):
            async with trio.open_nursery() as some:
                for _ in range(5):
                    some.start_soon(read_plain, client)
    gc.collect()


@kinds
async def test_aclose_from_another_task_gives_the_reader_closed_resource_error(
    nursery: trio.Nursery, make: Make
) -> None:
    server, client = await connect(nursery, HELLO.stall_after(500), make, max_connections=1)
    async with client:
        for number in (1, 2):
            stream = await client.chat.completions.create(**CHAT, stream=True)
            results: list[object] = []

            async def read(stream: Any = stream, results: list[object] = results) -> None:
                results.append(await outcome(stream.until_done))

            async with trio.open_nursery() as readers:
                readers.start_soon(read)
                await trio.testing.wait_all_tasks_blocked(0.02)
                await stream.aclose()
            assert isinstance(results[0], trio.ClosedResourceError)
            await server.wait_disconnect(number)
            assert slots_in_use(client) == 0
    gc.collect()


@kinds
async def test_two_readers_get_busy_resource_error(nursery: trio.Nursery, make: Make) -> None:
    _, client = await connect(nursery, HELLO.stall_after(500), make)
    async with client, client.chat.completions.stream(**CHAT) as stream, trio.open_nursery() as readers:
        readers.start_soon(outcome, stream.until_done)
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert isinstance(await outcome(stream.__anext__), trio.BusyResourceError)
        readers.cancel_scope.cancel()


@kinds
async def test_its_errors_are_translated(nursery: trio.Nursery, make: Make) -> None:
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


@kinds
async def test_deadlines_apply(nursery: trio.Nursery, make: Make) -> None:
    for reply, deadlines, phase in (
        (Reply(delay=60), Deadlines(headers=0.05), "headers"),
        (Reply(delay=60), Deadlines(total=0.05), "total"),
        (HELLO.stall_after(700), Deadlines(idle=0.05), "idle"),
        (Reply.sse(Stall()), Deadlines(first_event=0.05), "first_event"),
    ):
        server, client = await connect(nursery, reply, make, max_retries=0, timeout=deadlines)
        async with client:
            error = await outcome(read_stream, client)
            assert isinstance(error, APITimeoutError)
            assert error.phase == phase
            assert slots_in_use(client) == 0
            await server.wait_closed()
        await server.aclose()
    gc.collect()


@kinds
async def test_redirects_and_retries_work(nursery: trio.Nursery, make: Make) -> None:
    moved = Reply(307, {"location": "/v2/x"})
    server, client = await connect(
        nursery, [moved, PLAIN, Reply.error(503, "x", headers={"retry-after-ms": "1"}), PLAIN], make
    )
    async with client:
        assert await read_plain(client) == "Hello there, you."
        assert await read_plain(client) == "Hello there, you."
        assert slots_in_use(client) == 0
    assert server.requests[1].header("authorization") == "Bearer sk-scripted"
    assert server.requests[1].body == server.requests[0].body


@kinds
async def test_a_read_that_was_cancelled_is_never_taken_for_the_end(nursery: trio.Nursery, make: Make) -> None:
    """The generators of another client die of a cancellation. What was still to come is missing, and must be missed."""
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}
    usage = {"id": "c", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
    _, client = await connect(nursery, Reply.sse(chunk, Pause(0.2), usage), make)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        await anext(stream)
        with trio.move_on_after(0.02):
            await anext(stream)
        result = await outcome(stream.until_done)
        if result is None:
            assert stream.snapshot.usage is not None, "it went on, and got all"
        else:
            assert isinstance(result, APIError | trio.ClosedResourceError)
            assert stream.verdict.state != "done"


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
async def test_a_compressed_answer_is_decompressed(
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
async def test_a_large_compressed_answer_is_decompressed_whole(nursery: trio.Nursery, size: int) -> None:
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
async def test_a_compressed_answer_that_is_cut_is_an_error(nursery: trio.Nursery, cut: int) -> None:
    whole = gzip.compress(body_of(HELLO))
    headers = {"content-encoding": "gzip", "content-type": "text/event-stream"}
    server = await serve(nursery, Reply(200, headers, whole[:cut]), memory=False)
    async with TrioOpenAI(base_url=server.base_url, max_retries=0) as client:
        result = await outcome(read_stream, client)
        assert isinstance(result, APIError) or (cut > -9 and result == "Hello there, you.")


@kinds
@pytest.mark.parametrize("ours", [True, False])
async def test_a_compressed_stream_left_early_is_closed_at_once(nursery: trio.Nursery, make: Make, ours: bool) -> None:
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
            await server.wait_disconnect(number)
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


async def test_a_mock_transport(nursery: trio.Nursery) -> None:
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


async def test_a_body_whose_closing_is_slow_or_fails_does_not_hold_the_block(
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
async def test_an_error_without_words_gets_some(error: Exception) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    async with mock(fail) as client:
        caught = await outcome(read_plain, client)
        assert type(caught) is APIConnectionError
        assert type(error).__name__ in str(caught)


async def test_a_bug_in_a_users_transport_comes_out_bare() -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError

    async with mock(fail) as client:
        assert type(await outcome(read_plain, client)) is ZeroDivisionError
        assert slots_in_use(client) == 0


async def test_an_asgi_application() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for step in HELLO.body:
            await send({"type": "http.response.body", "body": step, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    http = httpx.AsyncClient(transport=httpx.ASGITransport(application))
    async with TrioOpenAI(base_url="http://localhost/v1", http_client=http) as client:
        assert await read_stream(client) == "Hello there, you."
        async with client.chat.completions.stream(**CHAT) as stream:
            await anext(stream)
        assert slots_in_use(client) == 0
    gc.collect()


async def test_a_client_that_answers_in_http_2_is_refused_with_advice() -> None:
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


def test_a_client_class_from_a_module_that_is_not_registered_is_taken() -> None:
    kind = type("Mine", (httpx.AsyncClient,), {"__module__": "nowhere.to.be.found"})
    assert TrioOpenAI(base_url="http://localhost", http_client=kind())


async def test_event_hooks_and_their_failures(nursery: trio.Nursery) -> None:
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


async def test_a_client_with_our_transport_is_not_held_to_a_stock_pools_limit(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
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
