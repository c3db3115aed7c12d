"""The transport and its pool: reuse, slots, closing, TLS, Unix sockets; under plain httpx and under `TrioOpenAI`."""

from __future__ import annotations

import gc
import math
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio
import trio.testing
import trustme
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

from trio_openai import APIConnectionError, APIStatusError, TrioOpenAI, TrioTransport
from trio_openai.testing import Cut, Pause, RecordedRequest, Reply, Stall, sse_event
from trio_openai.testing._memory import MemoryStream

HELLO = Reply.chat("Hello there, you.")
PLAIN = Reply.chat("Hello there, you.", stream=False)
URL = "http://test/v1"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

both_kinds = pytest.mark.parametrize("memory", [True, False], ids=["memory", "socket"])


async def read_stream(client: TrioOpenAI) -> str:
    async with client.chat.completions.stream(**CHAT) as stream:
        return "".join([text async for text in stream.text_deltas])


async def read_plain(client: TrioOpenAI) -> str | None:
    completion = await client.chat.completions.create(**CHAT)
    return completion.choices[0].message.content


class HandMade:
    """A server of hand-written connections in memory: the n-th is served by the n-th function, the last by the rest."""

    def __init__(self, nursery: trio.Nursery, *serving: Callable[[MemoryStream], Awaitable[object]]) -> None:
        self.opened = 0
        self.live: list[MemoryStream] = []
        self._nursery = nursery
        self._serving = serving
        nursery.start_soon(watch)

    async def open_stream(self, host: str, port: int) -> MemoryStream:
        await trio.lowlevel.checkpoint()
        near, far = MemoryStream.pair()
        self._nursery.start_soon(self._serving[min(self.opened, len(self._serving) - 1)], far)
        self.opened += 1
        self.live.append(near)
        return near

    def open_now(self) -> int:
        return sum(not is_closed(stream) for stream in self.live)


def is_closed(stream: MemoryStream) -> bool:
    return stream._inner.receive_stream._closed


async def receive_request(stream: MemoryStream) -> bytes:
    """A request whose body, if it has one, came with its head; nothing at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = bytes(await stream.receive_some())
        if not more:
            return b""
        data += more
    return data


async def answer(stream: MemoryStream, *writes: bytes) -> bytes:
    request = await receive_request(stream)
    for data in writes if request else ():
        await stream.send_all(data)
    return request


async def answer_always(stream: MemoryStream) -> None:
    while await answer(stream, OK):
        pass
    stream.close()


# Reuse.


@both_kinds
async def test_one_connection_serves_one_request_after_another(nursery: trio.Nursery, memory: bool) -> None:
    server = await serve(nursery, lambda request: HELLO if request.json().get("stream") else PLAIN, memory=memory)
    client, transport = client_over(server)
    async with client:
        for _ in range(5):
            assert await read_stream(client) == "Hello there, you."
            assert await read_plain(client) == "Hello there, you."
        assert server.statistics().accepted == 1
        assert attrs.astuple(transport.statistics()) == (0, 0, 1, 1, 9)
    await server.wait_closed()


@pytest.mark.parametrize(
    "reply",
    [
        attrs.evolve(PLAIN, headers=(*PLAIN.headers, ("connection", "close"))),
        attrs.evolve(PLAIN, framing="close"),
        Reply.raw(b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n" + bytes(PLAIN.body[0])),  # type: ignore[arg-type]
    ],
    ids=["connection: close", "until close", "HTTP/1.0"],
)
async def test_a_connection_that_must_not_be_used_again_is_closed(
    nursery: trio.Nursery, autojump_clock: object, reply: Reply
) -> None:
    server = await serve(nursery, reply)
    client, transport = client_over(server)
    async with client:
        for number in (1, 2):
            assert await read_plain(client) == "Hello there, you."
            assert server.statistics().accepted == number
            assert transport.statistics().idle == 0
        await server.wait_closed()


@both_kinds
async def test_a_connection_that_the_server_closed_meanwhile_is_not_used(nursery: trio.Nursery, memory: bool) -> None:
    server = await serve(nursery, attrs.evolve(PLAIN, close_after=True), memory=memory)
    client, _ = client_over(server, max_retries=0)
    async with client:
        for number in (1, 2, 3):
            assert await read_plain(client) == "Hello there, you."
            await server.wait_closed()
            assert len(server.requests) == number
            assert server.statistics().accepted == number


async def test_a_post_on_a_stale_connection_is_not_sent_again_by_the_transport(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    """The server may have processed it. A GET is sent again, once (RFC 9110, section 9.2.2)."""
    seen: list[bytes] = []

    async def answer_once(stream: MemoryStream) -> None:
        await answer(stream, OK)
        seen.append(await receive_request(stream))
        stream.close()

    async def only_listen(stream: MemoryStream) -> None:
        seen.append(await receive_request(stream))
        stream.close()

    for method, sent in (("POST", 1), ("PATCH", 1), ("GET", 2), ("DELETE", 2)):
        seen.clear()
        hand = HandMade(nursery, answer_once, only_listen)
        transport = TrioTransport(open_stream=hand.open_stream)
        async with http_client(transport) as client:
            await client.request(method, URL)
            error = await outcome(client.request, method, URL)
            assert isinstance(error, httpx.RemoteProtocolError)
            assert len(seen) == hand.opened == sent
            assert len(set(seen)) == 1
            assert transport.statistics().active == 0
            assert hand.open_now() == 0


@pytest.mark.parametrize("retries", [0, 1, 2])
async def test_sending_a_post_again_after_a_stale_connection_counts_as_a_retry(
    nursery: trio.Nursery, autojump_clock: object, retries: int
) -> None:
    server = await serve(nursery, [PLAIN, Reply.raw(), Reply.raw(), PLAIN])
    client, _ = client_over(server, max_retries=retries)
    async with client:
        await read_plain(client)
        result = await outcome(read_plain, client)
    assert isinstance(result, APIConnectionError) == (retries < 2)
    assert len(server.requests) == 2 + retries


async def test_a_fresh_connection_that_fails_is_not_tried_again_by_the_transport(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def hang_up(stream: MemoryStream) -> None:
        await receive_request(stream)
        stream.close()

    hand = HandMade(nursery, hang_up)
    async with http_client(TrioTransport(open_stream=hand.open_stream)) as client:
        assert isinstance(await outcome(client.get, URL), httpx.RemoteProtocolError)
    assert hand.opened == 1


@pytest.mark.parametrize("beginning", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"?"])
async def test_a_request_is_never_sent_again_after_a_byte_of_a_response(
    nursery: trio.Nursery, autojump_clock: object, beginning: bytes
) -> None:
    async def break_off(stream: MemoryStream) -> None:
        await answer(stream, OK)
        await answer(stream, beginning)
        stream.close()

    hand = HandMade(nursery, break_off, answer_always)
    async with http_client(TrioTransport(open_stream=hand.open_stream)) as client:
        await client.post(URL)
        assert isinstance(await outcome(client.post, URL), httpx.RemoteProtocolError)
    assert hand.opened == 1


async def test_a_body_that_was_made_as_it_went_is_not_sent_again(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def answer_once(stream: MemoryStream) -> None:
        await answer(stream, OK)
        await receive_request(stream)
        stream.close()

    hand = HandMade(nursery, answer_once, answer_always)
    async with http_client(TrioTransport(open_stream=hand.open_stream)) as client:
        await client.get(URL)
        assert isinstance(await outcome(client.post, URL, content=Pieces(b"one", b"two")), httpx.TransportError)
    assert hand.opened == 1


async def test_an_idle_connection_expires(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, PLAIN)
    client, transport = client_over(server, keepalive_expiry=30.0)
    async with client:
        await read_plain(client)
        await trio.sleep(29.9)
        await read_plain(client)
        assert server.statistics().accepted == 1
        await trio.sleep(30.1)
        await read_plain(client)
        assert server.statistics().accepted == 2
        assert transport.statistics().idle == 1
        assert server.statistics().connections == 1


async def test_idle_connections_expire_whenever_anything_happens_in_the_pool(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, lambda request: HELLO if request.json().get("stream") else PLAIN)
    client, _ = client_over(server, keepalive_expiry=30.0)
    async with client:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        await read_plain(client)
        await trio.sleep(31)
        assert server.statistics().connections == 2, "nothing has happened since"
        await stream.until_done()
        await trio.testing.wait_all_tasks_blocked()
        assert server.statistics().connections == 1, "only that of the stream, which has just been parked"


async def test_looking_at_the_statistics_needs_no_event_loop() -> None:
    await trio.lowlevel.checkpoint()
    assert TrioTransport().statistics().idle == 0


async def test_a_response_that_was_not_asked_for_is_never_the_answer_to_a_later_request(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def say_too_much(stream: MemoryStream) -> None:
        await answer(stream, OK + OK.replace(b"ok", b"NO"))
        await receive_request(stream)
        stream.close()

    hand = HandMade(nursery, say_too_much, answer_always)
    async with http_client(TrioTransport(open_stream=hand.open_stream)) as client:
        assert (await client.get(URL)).text == "ok"
        assert (await client.get(URL)).text == "ok"
    assert hand.opened == 2


async def test_an_unasked_response_in_a_tls_record_of_its_own_is_never_an_answer(
    nursery: trio.Nursery, autojump_clock: object, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """Both records are in one read of the socket, so the second one waits inside OpenSSL where no poll sees it."""

    async def say_too_much(far: MemoryStream) -> None:
        near, behind = trio.testing.memory_stream_pair()
        server = trio.SSLStream(near, tls[0], server_side=True, https_compatible=True)

        async def inward() -> None:
            async for data in far:
                await behind.send_all(data)

        async def outward() -> None:
            async for data in behind:
                await far.send_all(data)

        async with trio.open_nursery() as relays:
            relays.start_soon(inward)
            relays.start_soon(outward)
            data = b""
            while b"\r\n\r\n" not in data:
                data += await server.receive_some()
            relays.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await server.send_all(OK)
            await server.send_all(OK.replace(b"ok", b"NO"))
            await far.send_all(await behind.receive_some())  # both in one piece
            await trio.sleep(1000)

    async def honest(far: MemoryStream) -> None:
        server = trio.SSLStream(far, tls[0], server_side=True, https_compatible=True)
        while True:
            data = b""
            while b"\r\n\r\n" not in data:
                data += await server.receive_some()
            await server.send_all(OK)

    hand = HandMade(nursery, say_too_much, honest)
    transport = TrioTransport(open_stream=hand.open_stream, ssl_context=tls[1])
    async with http_client(transport) as client:
        assert (await client.get("https://good.test/")).text == "ok"
        assert (await client.get("https://good.test/")).text == "ok"
    nursery.cancel_scope.cancel()


async def test_connections_to_other_origins_give_way_and_the_limit_is_kept(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    hand = HandMade(nursery, answer_always)
    transport = TrioTransport(open_stream=hand.open_stream, max_connections=2)
    async with http_client(transport) as client:
        for number in range(5):
            await client.get(f"http://host{number}/")
            assert hand.open_now() <= 2
        async with trio.open_nursery() as some:
            for number in range(5, 15):
                some.start_soon(client.get, f"http://host{number}/")
            while transport.statistics().active:
                assert hand.open_now() <= 2
                await trio.lowlevel.checkpoint()
        assert transport.statistics().idle == hand.open_now() == 2
    assert hand.open_now() == 0


async def test_a_request_leaves_no_cyclic_garbage(nursery: trio.Nursery) -> None:
    server = await serve(nursery, HELLO)
    client, _ = client_over(server)
    async with client:
        await read_stream(client)
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                await read_stream(client)
            left = [thing for thing in gc.get_objects() if type(thing).__module__ == "trio_openai._http.http1"]
        finally:
            gc.enable()
    assert len(left) <= 2


# Parking.


def split_end(reply: Reply) -> Reply:
    """The same, with the end of the body in a write of its own, a moment later."""
    raw = b"".join(b"%x\r\n%b\r\n" % (len(step), step) for step in reply.body if isinstance(step, bytes))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return Reply.raw(head + raw, Pause(0.001), b"0\r\n\r\n", close=False)


@both_kinds
async def test_a_connection_is_parked_at_the_terminal_event_and_reused_when_its_body_has_ended(
    nursery: trio.Nursery, memory: bool
) -> None:
    server = await serve(nursery, split_end(HELLO), memory=memory)
    client, transport = client_over(server)
    async with client:
        for number in range(4):
            assert await read_stream(client) == "Hello there, you."
            assert transport.statistics().idle == 1, "nobody waits for the end of the body"
            assert transport.statistics().active == 0
            await server.wait_idle()
            assert transport.statistics().reused == number
        assert server.statistics().accepted == 1


async def test_a_body_that_never_ends_after_done_costs_the_connection_and_nothing_else(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, attrs.evolve(HELLO, body=(*HELLO.body, Stall())))
    client, transport = client_over(server)
    async with client:
        for number in (1, 2, 3):
            assert await read_stream(client) == "Hello there, you."
            assert server.statistics().accepted == number
            await trio.testing.wait_all_tasks_blocked()
            assert server.statistics().connections == 1
        assert transport.statistics().active == 0
    await server.wait_closed()


@pytest.mark.promise(n=8)
async def test_many_parked_connections_do_not_delay_a_request(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, attrs.evolve(HELLO, body=(*HELLO.body, Stall())))
    client, _ = client_over(server)
    async with client:
        async with trio.open_nursery() as some:
            for _ in range(100):
                some.start_soon(read_stream, client)
        before = trio.current_time()
        await read_stream(client)
        assert trio.current_time() - before < 0.02


async def test_garbage_after_the_terminal_event_costs_the_connection_and_nothing_else(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, attrs.evolve(split_end(HELLO), body=(*split_end(HELLO).body[:-1], b"XYZ\r\n")))
    client, _ = client_over(server)
    async with client:
        for number in (1, 2, 3):
            assert await read_stream(client) == "Hello there, you."
            await server.wait_idle()
            assert server.statistics().accepted == number


# Slots.


async def test_requests_get_their_slots_in_order(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, attrs.evolve(PLAIN, delay=1.0))
    client, transport = client_over(server, max_connections=1)
    async with client, trio.open_nursery() as some:
        for number in range(10):
            some.start_soon(lambda n: client.chat.completions.create(**CHAT, seed=n), number)
            await trio.testing.wait_all_tasks_blocked()
        assert transport.statistics().waiting == 9
        assert transport.statistics().active == 1
    assert [request.json()["seed"] for request in server.requests] == list(range(10))


async def test_a_request_cancelled_while_it_waits_for_a_slot_takes_none(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, lambda request: attrs.evolve(PLAIN, delay=5.0))
    client, transport = client_over(server, max_connections=1)
    async with client:
        async with trio.open_nursery() as some:
            some.start_soon(read_plain, client)
            await server.wait_requests(1)
            for _ in range(10):
                with trio.move_on_after(0.1):
                    await read_plain(client)
            assert transport.statistics().waiting == 0
        assert transport.statistics().active == 0
        assert await read_plain(client) == "Hello there, you."
        assert len(server.requests) == 2


async def test_a_slot_handed_over_to_a_request_at_the_moment_of_its_cancellation_is_not_lost(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, PLAIN)
    client, transport = client_over(server, max_connections=1)
    async with client:
        for _ in range(20):
            stream = await client.chat.completions.create(**CHAT, stream=True)
            async with trio.open_nursery() as waiting:
                waiting.start_soon(read_plain, client)
                await trio.testing.wait_all_tasks_blocked()
                await stream.aclose()
                waiting.cancel_scope.cancel()
            assert transport.statistics().active == 0
        assert await read_plain(client) == "Hello there, you."


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
        await server.wait_disconnect()
        assert await read_plain(client) == "Hello there, you."


@pytest.mark.promise(n=1)
@both_kinds
@pytest.mark.parametrize("stream", [True, False])
async def test_cancelled_in_the_middle_of_a_body_and_the_server_sees_it_at_once(
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
        await server.wait_disconnect()
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
    """Answers every other request as the demanded model does when it is busy."""

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
async def test_a_cancellation_at_any_checkpoint_leaves_nothing_behind(
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
async def test_a_cancellation_at_any_checkpoint_of_a_retry_leaves_nothing_behind(
    nursery: trio.Nursery, autojump_clock: object, before: bool
) -> None:
    server = await serve(nursery, Busy())
    client, transport = client_over(server, max_connections=1, keepalive_expiry=math.inf)

    async def check() -> None:
        held = transport.statistics()
        assert (held.active, held.waiting) == (0, 0)
        await trio.testing.wait_all_tasks_blocked()  # what was sent has been read
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
async def test_a_cancellation_at_any_checkpoint_leaves_no_socket(nursery: trio.Nursery, scenario: Scenario) -> None:
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
async def test_a_cancellation_at_any_checkpoint_of_a_tls_connection_leaves_nothing_behind(
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


# Closing from outside.


@both_kinds
async def test_aclose_from_another_task_gives_the_reader_closed_resource_error(
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
        await server.wait_disconnect()
        assert stream.snapshot.choices
        assert stream.verdict.state == "closed"
        assert isinstance(await outcome(stream.__anext__), trio.ClosedResourceError)
        await stream.aclose()


async def test_aclose_from_another_task_while_a_tls_stream_is_read(
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
    await server.wait_disconnect()
    nursery.cancel_scope.cancel()


async def test_two_readers_get_busy_resource_error_and_the_first_goes_on(
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
async def test_closing_the_client_closes_its_open_streams_and_whatever_is_under_way(
    nursery: trio.Nursery, memory: bool
) -> None:
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


async def test_a_request_that_is_connecting_when_the_client_is_closed_does_not_live_on(
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


# TLS.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's context and one for a client that trusts it."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("good.test", "localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


TLSPair = tuple[ssl.SSLContext, ssl.SSLContext]


def tls_client(front: TLSFront, host: str, context: ssl.SSLContext | None, **options: Any) -> TrioOpenAI:
    transport = TrioTransport(open_stream=front.open_stream, ssl_context=context)
    options = {"max_retries": 0, "api_key": "k", **options}
    return TrioOpenAI(base_url=f"https://{host}/v1", http_client=http_client(transport), **options)


async def test_tls_with_a_good_certificate(nursery: trio.Nursery, tls: TLSPair) -> None:
    server = await serve(nursery, HELLO)
    async with tls_client(TLSFront(server, tls[0], nursery), "good.test", tls[1]) as client:
        for _ in range(3):
            assert await read_stream(client) == "Hello there, you."
        assert server.statistics().accepted == 1
    await server.wait_closed()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("host", "trusting"), [("wrong.test", True), ("good.test", False)])
async def test_tls_with_the_wrong_host_or_an_untrusted_authority_is_refused_before_anything_is_sent(
    nursery: trio.Nursery, tls: TLSPair, host: str, trusting: bool
) -> None:
    server = await serve(nursery, HELLO)
    context = tls[1] if trusting else ssl.create_default_context()
    async with tls_client(TLSFront(server, tls[0], nursery), host, context) as client:
        error = await outcome(read_plain, client)
        assert isinstance(error, APIConnectionError)
        assert "certificate verify failed" in str(error)
        await server.wait_closed()
        assert server.requests == []
    nursery.cancel_scope.cancel()


async def test_ssl_cert_file_is_honoured_on_real_sockets(
    nursery: trio.Nursery, tls: TLSPair, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    server = await serve(nursery, HELLO, memory=False)
    port = await TLSFront(server, tls[0], nursery).listen()
    url = f"https://localhost:{port}/v1"
    async with TrioOpenAI(base_url=url, max_retries=0) as client:
        assert isinstance(await outcome(read_stream, client), APIConnectionError)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    async with TrioOpenAI(base_url=url, max_retries=0) as client:
        assert await read_stream(client) == "Hello there, you."
    nursery.cancel_scope.cancel()


CERTIFICATES = {
    "a missing file": ("SSL_CERT_FILE", "missing.pem", "No such file"),
    "a file of something else": ("SSL_CERT_FILE", "text.pem", "SSL_CERT_FILE"),
    "a directory as a file": ("SSL_CERT_FILE", "", "SSL_CERT_FILE"),
    "a missing directory": ("SSL_CERT_DIR", "missing", "not a directory"),
    "a file as a directory": ("SSL_CERT_DIR", "text.pem", "not a directory"),
}


@pytest.mark.parametrize(("variable", "name", "words"), CERTIFICATES.values(), ids=CERTIFICATES.keys())
async def test_an_unusable_ssl_cert_file_or_dir_is_named_and_not_retried(
    nursery: trio.Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, name: str, words: str
) -> None:
    (tmp_path / "text.pem").write_text("not a certificate")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / name))
    server = await serve(nursery, HELLO, memory=False)
    before = open_sockets()
    async with TrioOpenAI(base_url=server.base_url.replace("http:", "https:"), max_retries=5) as client:
        error = await outcome(read_stream, client)
        gc.collect()  # a forgotten socket warns here
        assert isinstance(error, APIConnectionError)
        assert error.is_final
        for part in (variable, str(tmp_path / name), words):
            assert part in str(error)
        assert client.statistics().transport.opened == 0  # type: ignore[union-attr]
        del error
        await server.wait_closed()
        assert open_sockets() == before
    nursery.cancel_scope.cancel()


async def test_a_tls_handshake_that_hangs_and_is_cancelled_closes_the_stream(
    nursery: trio.Nursery, autojump_clock: object, tls: TLSPair
) -> None:
    async def say_nothing(stream: MemoryStream) -> None:
        while await stream.receive_some():
            pass

    hand = HandMade(nursery, say_nothing)
    transport = TrioTransport(open_stream=hand.open_stream, ssl_context=tls[1])
    async with TrioOpenAI(api_key="k", base_url="https://good.test", http_client=http_client(transport)) as client:
        with trio.move_on_after(1):
            await read_plain(client)
        assert transport.statistics().active == 0
        assert hand.opened == 1
        assert hand.open_now() == 0


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 100, b""])
async def test_a_server_that_does_not_speak_tls_is_a_connection_error_and_its_stream_is_closed(
    nursery: trio.Nursery, autojump_clock: object, tls: TLSPair, said: bytes
) -> None:
    async def speak(stream: MemoryStream) -> None:
        await stream.receive_some()
        if said:
            await stream.send_all(said)
        stream.close()

    hand = HandMade(nursery, speak)
    transport = TrioTransport(open_stream=hand.open_stream, ssl_context=tls[1])
    options: Any = {"api_key": "k", "max_retries": 0, "http_client": http_client(transport)}
    async with TrioOpenAI(base_url="https://good.test", **options) as client:
        assert isinstance(await outcome(read_plain, client), APIConnectionError)
        assert hand.open_now() == 0


async def test_a_host_name_that_tls_refuses_leaks_no_stream(
    nursery: trio.Nursery, autojump_clock: object, tls: TLSPair
) -> None:
    hand = HandMade(nursery, answer_always)
    async with http_client(TrioTransport(open_stream=hand.open_stream, ssl_context=tls[1])) as client:
        assert isinstance(await outcome(client.get, "https://.good.test/"), httpx.ConnectError)
        assert hand.open_now() == 0


async def test_a_host_name_that_no_resolver_takes_is_a_connection_error() -> None:
    async with http_client(TrioTransport()) as client:
        for host in ("a" * 64 + ".test", "a..test"):
            assert isinstance(await outcome(client.get, f"http://{host}/"), httpx.ConnectError)


# Where a stream comes from.


async def test_a_unix_socket(nursery: trio.Nursery, tmp_path: Path) -> None:
    server = await serve(nursery, HELLO)
    path = str(tmp_path / "socket")
    listening = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    await listening.bind(path)
    listening.listen()
    nursery.start_soon(trio.serve_listeners, server._serve, [trio.SocketListener(listening)])
    before = open_sockets()
    async with TrioOpenAI(base_url="http://localhost/v1", http_client=http_client(TrioTransport(uds=path))) as client:
        for _ in range(3):
            assert await read_stream(client) == "Hello there, you."
        assert server.statistics().accepted == 1
    await server.wait_closed()
    assert open_sockets() == before
    transport = TrioTransport(uds=str(tmp_path / "none"))
    async with TrioOpenAI(base_url="http://localhost", max_retries=0, http_client=http_client(transport)) as client:
        error = await outcome(read_plain, client)
        assert isinstance(error, APIConnectionError)
        assert "No such file" in str(error)
    nursery.cancel_scope.cancel()


async def test_a_connection_that_is_refused_says_why(nursery: trio.Nursery) -> None:
    nursery.start_soon(watch)
    with trio.socket.socket() as taken:
        await taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            async with TrioOpenAI(base_url=f"http://{host}:{port}", max_retries=0) as client:
                error = await outcome(read_plain, client)
                assert isinstance(error, APIConnectionError)
                assert f"{host}:{port}" in str(error)
                assert "refused" in str(error)


async def test_an_ipv6_literal_reaches_the_opener_without_brackets(nursery: trio.Nursery) -> None:
    server = await serve(nursery, PLAIN)
    asked: list[tuple[str, int]] = []

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        asked.append((host, port))
        return await server.open_stream()

    client, _ = client_over(server, open_stream=open_stream, base_url="http://[::1]:8080/v1")
    async with client:
        await read_plain(client)
    assert asked == [("::1", 8080)]
    assert server.requests[0].header("host") == "[::1]:8080"


async def test_a_stream_that_cannot_be_closed_at_once_is_refused_with_advice_and_closed(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    class Slow(trio.abc.Stream):
        closed = False

        async def send_all(self, data: object) -> None:
            raise AssertionError("nothing may be sent")

        async def wait_send_all_might_not_block(self) -> None: ...

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            raise AssertionError("nothing may be read")

        async def aclose(self) -> None:
            self.closed = True
            await trio.lowlevel.checkpoint()

    stream = Slow()

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return stream

    transport = TrioTransport(open_stream=open_stream)
    async with http_client(transport) as client:
        error = await outcome(client.get, URL)
        assert isinstance(error, TypeError)
        assert "Slow" in str(error)
        assert "close()" in str(error)
        assert stream.closed
        assert transport.statistics().active == 0


async def test_a_stapled_stream_of_closable_parts_is_taken(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def serve_pair(far: trio.StapledStream[Any, Any]) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += await far.receive_some()
        await far.send_all(OK)

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(serve_pair, far)
        await trio.lowlevel.checkpoint()
        return near

    async with http_client(TrioTransport(open_stream=open_stream)) as client:
        assert (await client.get(URL)).text == "ok"


@pytest.mark.parametrize("error", [OSError("no route"), trio.BrokenResourceError("gone")])
async def test_what_an_opener_raises_for_the_network_is_a_connection_error(error: Exception) -> None:
    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        raise error

    transport = TrioTransport(open_stream=open_stream)
    async with TrioOpenAI(base_url="http://localhost", max_retries=0, http_client=http_client(transport)) as client:
        caught = await outcome(read_plain, client)
        assert isinstance(caught, APIConnectionError)
        assert str(error) in str(caught)
        assert transport.statistics().active == 0


async def test_an_openers_own_bug_comes_out_bare_and_holds_nothing() -> None:
    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    transport = TrioTransport(open_stream=open_stream)
    async with TrioOpenAI(base_url="http://localhost", http_client=http_client(transport)) as client:
        assert type(await outcome(read_plain, client)) is ZeroDivisionError
        assert transport.statistics().active == 0


async def test_a_socket_whose_options_are_refused_is_not_leaked(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """macOS answers EINVAL for a connection that its peer has already reset."""
    server = await serve(nursery, PLAIN, memory=False)
    before = open_sockets()

    def refuse(*args: object) -> None:
        raise OSError(22, "Invalid argument")

    async with TrioOpenAI(base_url=server.base_url, max_retries=0) as client:
        monkeypatch.setattr(trio.SocketStream, "setsockopt", refuse)
        result = await outcome(read_plain, client)
        monkeypatch.undo()
        assert result == "Hello there, you." or isinstance(result, APIConnectionError)
        gc.collect()  # a forgotten socket warns here
    del result
    await server.wait_closed()
    assert open_sockets() == before


def test_tcp_keep_alive_is_on() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            server = await serve(nursery, PLAIN, memory=False)
            transport = TrioTransport()
            async with http_client(transport) as client:
                await client.post(server.base_url)
                stream: Any = next(iter(transport._idle)).stream
                assert stream.getsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_KEEPALIVE)
                assert stream.getsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY)
            nursery.cancel_scope.cancel()

    trio.run(main)


@pytest.mark.parametrize("options", [{"max_connections": 0}, {"max_connections": -1}, {"uds": "x", "open_stream": 1}])
def test_options_that_cannot_work_are_refused_at_once(options: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        TrioTransport(**options)


# What a server may do.


async def test_a_head_over_the_bound_is_an_error_and_closes_the_connection(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, Reply(headers={"x": "y" * 200_000}, body=b"{}"))
    client, transport = client_over(server, max_retries=0)
    async with client:
        error = await outcome(read_plain, client)
        assert isinstance(error, APIConnectionError)
        assert "too large" in str(error)
        assert transport.statistics().active == 0
        await server.wait_closed()


async def test_an_endless_head_is_an_error(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def flood(stream: MemoryStream) -> None:
        await answer(stream, b"HTTP/1.1 200 OK\r\n")
        try:
            while True:
                await stream.send_all(b"x: y\r\n" * 100)
        except trio.BrokenResourceError:
            pass

    hand = HandMade(nursery, flood)
    async with http_client(TrioTransport(open_stream=hand.open_stream)) as client:
        assert isinstance(await outcome(client.get, URL), httpx.RemoteProtocolError)


async def test_a_large_body_in_the_segment_of_a_small_head_is_taken(nursery: trio.Nursery) -> None:
    body = b"z" * 20_000
    hand = HandMade(nursery, lambda stream: answer(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n" + body))
    async with http_client(TrioTransport(open_stream=hand.open_stream, max_header_bytes=4096)) as client:
        assert (await client.get(URL)).content == body


@pytest.mark.parametrize("closing", ["close", "reset"])
async def test_an_answer_that_comes_before_the_request_was_read_counts(nursery: trio.Nursery, closing: str) -> None:
    """413 and goodbye, while 30 MB are still on their way."""
    nursery.start_soon(watch)
    body = b'{"error": {"message": "too large"}}'
    head = b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)

    async def refuse(stream: trio.SocketStream) -> None:
        await stream.receive_some(1000)
        await stream.send_all(head + body)
        if closing == "close":
            await stream.send_eof()
        stream.socket.close()

    listeners: list[trio.SocketListener] = await nursery.start(trio.serve_tcp, refuse, 0)
    port = listeners[0].socket.getsockname()[1]
    transport = TrioTransport()
    options: Any = {"max_retries": 0, "http_client": http_client(transport)}
    async with TrioOpenAI(base_url=f"http://127.0.0.1:{port}", **options) as client:
        messages = [{"role": "user", "content": "x" * 30_000_000}]
        error = await outcome(client.chat.completions.create, model="m", messages=messages)
        assert isinstance(error, APIStatusError)
        assert error.status_code == 413
        assert "too large" in str(error)
        assert transport.statistics().active == transport.statistics().idle == 0


class Pieces(httpx.AsyncByteStream):
    """A body made as it goes, with a checkpoint before every piece."""

    def __init__(self, *pieces: bytes, error: Exception | None = None) -> None:
        self._pieces = iter(pieces)
        self._error = error

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await trio.sleep(0.001)
        for piece in self._pieces:
            return piece
        raise self._error or StopAsyncIteration


async def test_a_connection_on_which_a_request_was_not_sent_whole_is_not_used_again(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def answer_early(stream: MemoryStream) -> None:
        await stream.receive_some(10)
        await stream.send_all(OK)
        stream._inner.receive_stream.close()  # the client's next write fails, its reads do not

    hand = HandMade(nursery, answer_early, answer_always)
    async with http_client(TrioTransport(open_stream=hand.open_stream)) as client:
        assert (await client.post(URL, content=Pieces(*[b"piece"] * 5))).text == "ok"
        assert (await client.get(URL)).text == "ok"
    assert hand.opened == 2


async def test_the_early_answer_of_a_server_that_reads_no_further_is_not_waited_for_in_vain(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    """It neither reads nor closes: whoever only writes never sees the 413 that is there to be read."""

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        near, far = trio.testing.lockstep_stream_pair()
        nursery.start_soon(refuse, far)
        await trio.lowlevel.checkpoint()
        return near

    async def refuse(far: trio.abc.Stream) -> None:
        await far.receive_some(10)
        await far.send_all(b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}")
        await trio.sleep_forever()

    nursery.start_soon(watch)
    transport = TrioTransport(open_stream=open_stream)
    options: Any = {"max_retries": 0, "timeout": 10.0, "http_client": http_client(transport)}
    async with TrioOpenAI(base_url="http://localhost", **options) as client:
        error = await outcome(read_plain, client)
        assert isinstance(error, APIStatusError)
        assert error.status_code == 413
        assert transport.statistics().active == 0


async def test_1xx_responses_are_passed_over(nursery: trio.Nursery, autojump_clock: object) -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nx-request-id: wrong\r\n\r\n"
    rest = b"HTTP/1.1 200 OK\r\nx-request-id: right\r\ncontent-length: 2\r\n\r\nok"
    hand = HandMade(nursery, lambda stream: answer(stream, early[:30], early[30:], rest))
    async with http_client(TrioTransport(open_stream=hand.open_stream)) as client:
        response = await client.get(URL)
        assert (response.status_code, response.text, response.headers["x-request-id"]) == (200, "ok", "right")


# Under plain httpx.


async def test_plain_httpx_gets_everything_it_expects(nursery: trio.Nursery) -> None:
    server = await serve(nursery, lambda r: Reply(200, {"x-a": "1"}, [r.method.encode(), r.body]), memory=False)
    transport = TrioTransport()
    async with http_client(transport) as client:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            response = await client.request(method, server.base_url, content=b"" if method == "GET" else b"body")
            assert response.content == method.encode() + (b"" if method == "GET" else b"body")
            assert response.http_version == "HTTP/1.1"
            assert response.headers["x-a"] == "1"
        async with client.stream("GET", server.base_url) as response:
            assert await response.aread() == b"GET"
        assert transport.statistics().opened == 1


async def test_head_has_no_body_and_the_connection_goes_on(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def serve_head(stream: MemoryStream) -> None:
        while request := await receive_request(stream):
            await stream.send_all(OK[:-2] if request.startswith(b"HEAD") else OK)

    hand = HandMade(nursery, serve_head)
    async with http_client(TrioTransport(open_stream=hand.open_stream)) as client:
        with trio.fail_after(5):
            for _ in range(2):
                response = await client.head(URL)
                assert response.headers["content-length"] == "2"
                assert response.content == b""
                assert (await client.get(URL)).text == "ok"
    assert hand.opened == 1


async def test_a_body_made_as_it_goes_is_sent_in_chunks(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply(200))

    transport = TrioTransport(open_stream=server.open_stream)
    async with http_client(transport) as client:
        await client.post(server.base_url, content=Pieces(b"one", b"", b"two"))
        await client.post(server.base_url, files={"file": ("a.txt", b"content")})
        await client.post(server.base_url, content=b"x" * 1_000_000)
        assert transport.statistics().opened == 1
    assert server.requests[0].body == b"onetwo"
    assert b"content" in server.requests[1].body
    assert server.requests[2].body == b"x" * 1_000_000


async def test_a_body_that_fails_on_its_way_lets_its_exception_out_bare(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply(200))

    transport = TrioTransport(open_stream=server.open_stream)
    async with http_client(transport) as client:
        content = Pieces(b"one", error=ZeroDivisionError())
        assert type(await outcome(client.post, server.base_url, content=content)) is ZeroDivisionError
        assert transport.statistics().active == transport.statistics().idle == 0


@pytest.mark.parametrize("url", ["ftp://host/", "ws://host/", "/relative", "http://", "//host/path"])
async def test_a_url_that_is_not_http_is_refused_as_by_httpx_itself(url: str) -> None:
    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        raise AssertionError("nothing may be opened")

    async with http_client(TrioTransport(open_stream=open_stream)) as client:
        assert isinstance(await outcome(client.get, url), httpx.UnsupportedProtocol)


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        (httpx.Timeout(None, connect=1), httpx.ConnectTimeout),
        (httpx.Timeout(None, read=1), httpx.ReadTimeout),
        (httpx.Timeout(None, pool=1), httpx.PoolTimeout),
    ],
)
async def test_httpx_timeouts_apply_and_release(
    nursery: trio.Nursery, autojump_clock: object, limits: httpx.Timeout, error: type[Exception]
) -> None:
    server = await serve(nursery, [Reply(delay=math.inf), Reply(200, body=b"ok")])
    block = error is httpx.ConnectTimeout

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        if block:
            await trio.sleep_forever()
        return await server.open_stream()

    transport = TrioTransport(open_stream=open_stream, max_connections=1)
    async with http_client(transport) as client, trio.open_nursery() as others:
        if error is httpx.PoolTimeout:
            others.start_soon(client.get, server.base_url)
            await server.wait_requests(1)
        assert isinstance(await outcome(client.get, server.base_url, timeout=limits), error)
        others.cancel_scope.cancel()
    assert transport.statistics().active == 0


async def test_a_response_left_early_frees_its_slot(nursery: trio.Nursery) -> None:
    server = await serve(nursery, HELLO.stall_after(300))
    transport = TrioTransport(open_stream=server.open_stream, max_connections=1)
    for _ in range(3):
        response = await transport.handle_async_request(httpx.Request("POST", server.base_url))
        assert isinstance(response.stream, httpx.AsyncByteStream)
        assert await anext(aiter(response.stream))
        await response.aclose()
        assert transport.statistics().active == 0
    await server.wait_disconnect(3)


async def test_a_cancelled_read_of_a_body_loses_nothing(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply(200, body=[b"one", Pause(1), b"two", Pause(1), b"three"]))
    transport = TrioTransport(open_stream=server.open_stream)
    response = await transport.handle_async_request(httpx.Request("GET", server.base_url))
    assert isinstance(response.stream, httpx.AsyncByteStream)
    body = aiter(response.stream)
    pieces: list[bytes] = []
    for _ in range(4):
        with trio.CancelScope() as scope:
            scope.cancel()
            pieces.append(await anext(body))
        assert scope.cancelled_caught
        with trio.move_on_after(0.1):
            pieces.append(await anext(body, b""))
        pieces.append(await anext(body, b""))
    await transport.aclose()
    assert b"".join(pieces) == b"onetwothree"


# Many.


async def test_a_thousand_streams_at_once(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply.chat("Hello", usage=False))
    client, transport = client_over(server)
    texts: list[str] = []

    async def one() -> None:
        texts.append(await read_stream(client))

    async with client:
        async with trio.open_nursery() as streams:
            for _ in range(1_000):
                streams.start_soon(one)
        assert texts == ["Hello"] * 1_000
        held = transport.statistics()
        assert (held.active, held.waiting) == (0, 0)
        assert held.idle == server.statistics().connections
    await server.wait_closed()


@pytest.mark.promise(n=8)
async def test_an_open_idle_stream_is_small(nursery: trio.Nursery) -> None:
    """Under 20 KiB for the client's side. Sockets, since the far end of a memory stream would count as well."""
    count = 50
    listeners: list[trio.SocketListener] = await nursery.start(trio.serve_tcp, stream_and_stall, 0)
    nursery.start_soon(watch)
    url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    async with TrioOpenAI(base_url=url) as client:
        streams = []
        for number in range(count + 1):
            if number == 1:  # the first one pays for what is made once
                gc.collect()
                tracemalloc.start()
            stream = await client.chat.completions.create(**CHAT, stream=True)
            await anext(stream)
            streams.append(stream)
        gc.collect()
        size = sum(
            trace.size
            for trace in tracemalloc.take_snapshot().traces
            if not any("serve_listeners" in str(frame) for frame in trace.traceback)
        )
        tracemalloc.stop()
    assert size / count < 2 * 20 * 1024  # the serving task and its socket are in it
    nursery.cancel_scope.cancel()


async def stream_and_stall(stream: trio.SocketStream) -> None:
    await stream.receive_some()
    event = sse_event({"id": "1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}}]})
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    await stream.send_all(head + b"%x\r\n%b\r\n" % (len(event), event))
    try:
        await stream.receive_some()
    except trio.BrokenResourceError:
        pass
