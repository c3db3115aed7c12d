"""Cancel a request, or close its client, at any moment: nothing stays behind."""

from __future__ import annotations

import math
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing
from disconnect_helpers import FROM_START
from net_helpers import (
    CHAT,
    TLSFront,
    cancel_everywhere,
    client_over,
    http_client,
    open_sockets,
    outcome,
    serve,
    watch,
)
from transport_helpers import HELLO, PLAIN, both_kinds, is_closed, read_plain, read_stream, split_end

from trio_openai import APIStatusError, TrioOpenAI, TrioTransport
from trio_openai.testing import Cut, RecordedRequest, Reply
from trio_openai.testing._memory import MemoryStream


async def test_cancelled_while_connecting(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, PLAIN)
    hang = True

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        if hang:
            await trio.sleep_forever()
        return await server.open_stream()

    client, transport = client_over(server, open_stream=open_stream, max_connections=1, timeout=None)
    async with client:
        with trio.move_on_after(1):
            await read_plain(client)
        assert transport.statistics().active == 0
        hang = False
        assert await read_plain(client) == "Hello there, you."


async def test_cancelled_while_waiting_for_the_headers(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, [Reply(delay=math.inf), PLAIN])
    client, transport = client_over(server, max_connections=1)
    async with client:
        with trio.move_on_after(1):
            await read_plain(client)
        assert transport.statistics().active == 0
        await server.wait_disconnect(since=FROM_START)
        assert await read_plain(client) == "Hello there, you."


@pytest.mark.promise(n=1)
@both_kinds
@pytest.mark.parametrize("stream", [True, False])
async def test_server_notices_a_cancellation_inside_a_body_at_once(
    nursery: trio.Nursery, memory: bool, stream: bool
) -> None:
    reply = (HELLO if stream else PLAIN).stall_after(200)
    server = await serve(nursery, [reply, HELLO if stream else PLAIN], memory=memory)
    client, transport = client_over(server, max_connections=1)
    read: Any = read_stream if stream else read_plain
    async with client:
        async with trio.open_nursery() as reading:
            reading.start_soon(read, client)
            await server.wait_requests(1)
            await trio.testing.wait_all_tasks_blocked(0.01)
            reading.cancel_scope.cancel()
        assert transport.statistics().active == 0
        await server.wait_disconnect(since=FROM_START)
        assert await read(client) == "Hello there, you."


async def test_cancelled_while_a_large_body_is_being_sent(nursery: trio.Nursery) -> None:
    nursery.start_soon(watch)
    began, cancelled, gone = trio.Event(), trio.Event(), trio.Event()

    async def read_a_little(stream: trio.SocketStream) -> None:
        await stream.receive_some(1)
        began.set()
        await cancelled.wait()
        try:
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass
        gone.set()

    before = open_sockets()
    listeners: list[trio.SocketListener] = await nursery.start(trio.serve_tcp, read_a_little, 0)
    transport = TrioTransport(max_connections=1)
    url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    async with TrioOpenAI(base_url=url, http_client=http_client(transport)) as client:
        async with trio.open_nursery() as sending:
            messages = [{"role": "user", "content": "x" * 30_000_000}]
            sending.start_soon(lambda: client.chat.completions.create(model="m", messages=messages))
            await began.wait()
            await trio.testing.wait_all_tasks_blocked(0.01)
            sending.cancel_scope.cancel()
        assert transport.statistics().active == 0
        cancelled.set()
        await gone.wait()
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert open_sockets() == before + len(listeners)


Scenario = Callable[[TrioOpenAI], Awaitable[object]]


async def leave_early(client: TrioOpenAI) -> None:
    async with client.chat.completions.stream(**CHAT) as stream:
        async for _ in stream:
            break


async def third_door(client: TrioOpenAI) -> None:
    stream = await client.chat.completions.create(**CHAT, stream=True)
    try:
        await stream.get_final_completion()
    finally:
        await stream.aclose()


async def twice(client: TrioOpenAI) -> None:
    await read_stream(client)
    await read_plain(client)


async def failing(client: TrioOpenAI) -> None:
    assert isinstance(await outcome(client.chat.completions.create, model="fail", messages=[]), APIStatusError)


async def trying_again(client: TrioOpenAI) -> None:
    params = {**CHAT, "model": "busy"}
    await client.chat.completions.create(**params)
    async with client.chat.completions.stream(**params) as stream:
        await stream.until_done()


async def redirected(client: TrioOpenAI) -> None:
    await client.chat.completions.create(**{**CHAT, "model": "moved"})


class Busy:
    """A script that fails every other request for the model `busy`."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, request: RecordedRequest) -> Reply:
        asked = request.json()
        self._count += 1
        if asked["model"] == "busy" and self._count % 2:
            return Reply.sse(Cut()) if asked.get("stream") else Reply.error(503, "busy")
        return answers(request)


def answers(request: RecordedRequest) -> Reply:
    asked = request.json()
    if asked["model"] == "fail":
        return Reply.error(400, "no")
    if asked["model"] == "moved" and request.path != "/v2":
        return Reply(307, {"location": "/v2"}, b"moved")
    return split_end(HELLO) if asked.get("stream") else PLAIN.sliced(50)


scenarios = pytest.mark.parametrize("scenario", [twice, leave_early, third_door, failing, redirected])

moments = pytest.mark.parametrize("before", [False, True], ids=["after a step", "before a step"])


@pytest.mark.promise(n=1)
@scenarios
@moments
async def test_cancellation_at_any_checkpoint_leaves_nothing_behind(
    nursery: trio.Nursery, scenario: Scenario, before: bool
) -> None:
    server = await serve(nursery, answers)
    client, transport = client_over(server, max_connections=1)

    async def check() -> None:
        held = transport.statistics()
        assert (held.active, held.waiting) == (0, 0)
        await server.wait_idle()
        await trio.testing.wait_all_tasks_blocked()
        assert server.statistics().connections == transport.statistics().idle <= 1
        with trio.fail_after(5):
            assert await read_plain(client) == "Hello there, you."

    async with client:
        assert await cancel_everywhere(lambda: scenario(client), check, before=before) > 5
    await server.wait_closed()


@pytest.mark.promise(n=1)
@moments
async def test_cancellation_at_any_checkpoint_of_a_retry_leaves_nothing_behind(
    nursery: trio.Nursery, autojump_clock: object, before: bool
) -> None:
    server = await serve(nursery, Busy())
    client, transport = client_over(server, max_connections=1, keepalive_expiry=math.inf)

    async def check() -> None:
        held = transport.statistics()
        assert (held.active, held.waiting) == (0, 0)
        await trio.testing.wait_all_tasks_blocked()  # the server has read what was sent
        requests = len(server.requests)
        await trio.sleep(100)
        assert len(server.requests) == requests, "nothing goes on behind the caller's back"
        assert server.statistics().connections == held.idle <= 1
        assert await read_plain(client) == "Hello there, you."

    async with client:
        assert await cancel_everywhere(lambda: trying_again(client), check, before=before) > 10
    await server.wait_closed()


@pytest.mark.promise(n=1)
@scenarios
async def test_cancellation_at_any_checkpoint_leaves_no_socket(nursery: trio.Nursery, scenario: Scenario) -> None:
    server = await serve(nursery, answers, memory=False)
    before = open_sockets()

    async def with_a_client() -> None:
        async with TrioOpenAI(api_key="k", base_url=server.base_url) as client:
            await scenario(client)

    async def check() -> None:
        with trio.fail_after(5):
            await trio.testing.wait_all_tasks_blocked(0.005)
            await server.wait_closed()
        assert open_sockets() == before

    assert await cancel_everywhere(with_a_client, check, before=False) > 5


@pytest.mark.promise(n=1)
@moments
async def test_cancellation_at_any_checkpoint_of_tls_leaves_nothing_behind(
    nursery: trio.Nursery, tls: tuple[ssl.SSLContext, ssl.SSLContext], before: bool
) -> None:
    server = await serve(nursery, answers)
    front = TLSFront(server, tls[0], nursery)
    opened: list[MemoryStream] = []

    async def open_stream(host: str, port: int) -> MemoryStream:
        stream = await front.open_stream(host, port)
        opened.append(stream)
        return stream

    async def once() -> None:
        transport = TrioTransport(open_stream=open_stream, ssl_context=tls[1])
        url = "https://good.test/v1"
        async with TrioOpenAI(api_key="k", base_url=url, http_client=http_client(transport)) as client:
            try:
                await twice(client)
            finally:
                assert transport.statistics().active == 0

    async def check() -> None:
        assert all(is_closed(stream) for stream in opened)
        opened.clear()

    assert await cancel_everywhere(once, check, before=before) > 10
    nursery.cancel_scope.cancel()


@both_kinds
async def test_aclose_in_another_task_raises_closed_resource_error_in_the_reader(
    nursery: trio.Nursery, memory: bool
) -> None:
    server = await serve(nursery, HELLO.stall_after(500), memory=memory)
    client, transport = client_over(server)
    async with client:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        results: list[object] = []

        async def read() -> None:
            results.append(await outcome(stream.until_done))

        async with trio.open_nursery() as readers:
            readers.start_soon(read)
            await trio.testing.wait_all_tasks_blocked(0.01)
            await stream.aclose()
            assert transport.statistics().active == 0
        assert isinstance(results[0], trio.ClosedResourceError)
        await server.wait_disconnect(since=FROM_START)
        assert stream.snapshot.choices
        assert stream.verdict.state == "closed"
        assert isinstance(await outcome(stream.__anext__), trio.ClosedResourceError)
        await stream.aclose()


async def test_aclose_in_another_task_while_a_tls_stream_is_read(
    nursery: trio.Nursery, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    server = await serve(nursery, HELLO.stall_after(500))
    transport = TrioTransport(open_stream=TLSFront(server, tls[0], nursery).open_stream, ssl_context=tls[1])
    url = "https://good.test/v1"
    async with TrioOpenAI(api_key="k", base_url=url, http_client=http_client(transport)) as client:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        async with trio.open_nursery() as readers:

            async def read() -> None:
                assert isinstance(await outcome(stream.until_done), trio.ClosedResourceError)

            readers.start_soon(read)
            await trio.testing.wait_all_tasks_blocked(0.01)
            await stream.aclose()
    await server.wait_disconnect(since=FROM_START)
    nursery.cancel_scope.cancel()


async def test_second_reader_gets_busy_resource_error_and_the_first_continues(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, Reply.chat("Hello there, you.", pace=1.0))
    client, _ = client_over(server)
    async with client, client.chat.completions.stream(**CHAT) as stream, trio.open_nursery() as readers:
        texts: list[str] = []

        async def read() -> None:
            texts.extend([text async for text in stream.text_deltas])

        readers.start_soon(read)
        await trio.sleep(1.5)
        for again in (stream.__anext__, stream.until_done, stream.text_deltas.__anext__):  # type: ignore[attr-defined]
            assert isinstance(await outcome(again), trio.BusyResourceError)
        await trio.sleep(100)
        assert "".join(texts) == "Hello there, you."


@both_kinds
async def test_closing_the_client_closes_open_streams_and_running_requests(nursery: trio.Nursery, memory: bool) -> None:
    def script(request: RecordedRequest) -> Reply:
        return HELLO.stall_after(500) if request.json().get("stream") else Reply(delay=math.inf)

    server = await serve(nursery, script, memory=memory)
    client, transport = client_over(server)
    results: list[object] = []

    async def read() -> None:
        results.append(await outcome(read_stream, client))

    async def ask() -> None:
        results.append(await outcome(read_plain, client))

    abandoned = [await client.chat.completions.create(**CHAT, stream=True) for _ in range(3)]
    async with trio.open_nursery() as tasks:
        for _ in range(3):
            tasks.start_soon(read)
            tasks.start_soon(ask)
        await server.wait_requests(9)
        await trio.testing.wait_all_tasks_blocked(0.01)
        await client.aclose()
        assert transport.statistics().active == 0
    assert len(results) == 6
    assert all(isinstance(result, trio.ClosedResourceError) for result in results)
    assert isinstance(await outcome(abandoned[0].__anext__), trio.ClosedResourceError)
    await server.wait_closed()
    await client.aclose()
    assert isinstance(await outcome(read_plain, client), RuntimeError)
    assert isinstance(await outcome(read_stream, client), RuntimeError)


async def test_request_that_is_connecting_ends_when_the_client_closes(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, HELLO)

    async def open_slowly(host: str, port: int) -> trio.abc.Stream:
        await trio.sleep(1)
        return await server.open_stream()

    client, transport = client_over(server, open_stream=open_slowly)
    results: list[object] = []

    async def ask() -> None:
        results.append(await outcome(client.chat.completions.create, **CHAT, stream=True))

    async with trio.open_nursery() as tasks:
        tasks.start_soon(ask)
        await trio.sleep(0.5)
        await client.aclose()
    assert isinstance(results[0], trio.ClosedResourceError | RuntimeError), "not a stream on a closed client"
    assert transport.statistics().active == 0
    await server.wait_closed()
    assert server.requests == []


@pytest.mark.promise(n=1)
async def test_closing_the_client_under_cancellation_closes_everything(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, HELLO.stall_after(500))
    client, _ = client_over(server)
    streams = [await client.chat.completions.create(**CHAT, stream=True) for _ in range(3)]
    with trio.CancelScope() as scope:
        scope.cancel()
        await client.aclose()
    assert all(stream.verdict.state == "closed" for stream in streams)
    await server.wait_closed()
