"""The pool of the transport: connections are reused safely, slots are fair, and an idle stream is small."""

from __future__ import annotations

import gc
import tracemalloc

import attrs
import httpx
import pytest
import trio
import trio.testing
from net_helpers import (
    CHAT,
    client_over,
    http_client,
    outcome,
    serve,
    watch,
)
from transport_helpers import (
    HELLO,
    OK,
    PLAIN,
    URL,
    HandMade,
    Pieces,
    answer,
    answer_always,
    both_kinds,
    read_plain,
    read_stream,
    receive_request,
    split_end,
)

from trio_openai import APIConnectionError, TrioOpenAI, TrioTransport
from trio_openai.testing import Reply, Stall, sse_event
from trio_openai.testing._memory import MemoryStream


@both_kinds
async def test_connection_serves_one_request_after_another(nursery: trio.Nursery, memory: bool) -> None:
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
async def test_connection_that_must_not_be_reused_is_closed(
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
async def test_idle_connection_closed_by_the_server_is_not_used(nursery: trio.Nursery, memory: bool) -> None:
    server = await serve(nursery, attrs.evolve(PLAIN, close_after=True), memory=memory)
    client, _ = client_over(server, max_retries=0)
    async with client:
        for number in (1, 2, 3):
            assert await read_plain(client) == "Hello there, you."
            await server.wait_closed()
            assert len(server.requests) == number
            assert server.statistics().accepted == number


async def test_transport_does_not_repeat_a_post_on_a_stale_connection(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    """Raise an error, since the server may have processed the POST. Repeat a GET once (RFC 9110, section 9.2.2)."""
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
async def test_repeating_a_post_after_a_stale_connection_counts_as_a_retry(
    nursery: trio.Nursery, autojump_clock: object, retries: int
) -> None:
    server = await serve(nursery, [PLAIN, Reply.raw(), Reply.raw(), PLAIN])
    client, _ = client_over(server, max_retries=retries)
    async with client:
        await read_plain(client)
        result = await outcome(read_plain, client)
    assert isinstance(result, APIConnectionError) == (retries < 2)
    assert len(server.requests) == 2 + retries


async def test_transport_does_not_retry_on_a_new_connection(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def hang_up(stream: MemoryStream) -> None:
        await receive_request(stream)
        stream.close()

    hand = HandMade(nursery, hang_up)
    async with http_client(TrioTransport(open_stream=hand.open_stream)) as client:
        assert isinstance(await outcome(client.get, URL), httpx.RemoteProtocolError)
    assert hand.opened == 1


@pytest.mark.parametrize("beginning", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"?"])
async def test_request_is_never_repeated_after_a_byte_of_a_response(
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


async def test_streamed_request_body_is_not_repeated(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def answer_once(stream: MemoryStream) -> None:
        await answer(stream, OK)
        await receive_request(stream)
        stream.close()

    hand = HandMade(nursery, answer_once, answer_always)
    async with http_client(TrioTransport(open_stream=hand.open_stream)) as client:
        await client.get(URL)
        assert isinstance(await outcome(client.post, URL, content=Pieces(b"one", b"two")), httpx.TransportError)
    assert hand.opened == 1


async def test_idle_connection_expires(nursery: trio.Nursery, autojump_clock: object) -> None:
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


async def test_any_activity_in_the_pool_closes_expired_connections(
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


async def test_statistics_need_no_event_loop() -> None:
    await trio.lowlevel.checkpoint()
    assert TrioTransport().statistics().idle == 0


async def test_unrequested_response_is_never_used_for_a_later_request(
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


async def test_idle_connections_to_other_origins_are_closed_to_keep_the_limit(
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


async def test_request_leaves_no_cyclic_garbage(nursery: trio.Nursery) -> None:
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


@both_kinds
async def test_connection_is_parked_at_the_terminal_event_and_reused_after_its_body(
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


async def test_body_that_never_ends_after_done_costs_only_the_connection(
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
async def test_parked_connections_do_not_delay_a_request(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, attrs.evolve(HELLO, body=(*HELLO.body, Stall())))
    client, _ = client_over(server)
    async with client:
        async with trio.open_nursery() as some:
            for _ in range(100):
                some.start_soon(read_stream, client)
        before = trio.current_time()
        await read_stream(client)
        assert trio.current_time() - before < 0.02


async def test_garbage_after_the_terminal_event_costs_only_the_connection(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, attrs.evolve(split_end(HELLO), body=(*split_end(HELLO).body[:-1], b"XYZ\r\n")))
    client, _ = client_over(server)
    async with client:
        for number in (1, 2, 3):
            assert await read_stream(client) == "Hello there, you."
            await server.wait_idle()
            assert server.statistics().accepted == number


async def test_slots_are_given_out_in_order(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, attrs.evolve(PLAIN, delay=1.0))
    client, transport = client_over(server, max_connections=1)
    async with client, trio.open_nursery() as some:
        for number in range(10):
            some.start_soon(lambda n: client.chat.completions.create(**CHAT, seed=n), number)
            await trio.testing.wait_all_tasks_blocked()
        assert transport.statistics().waiting == 9
        assert transport.statistics().active == 1
    assert [request.json()["seed"] for request in server.requests] == list(range(10))


async def test_request_cancelled_while_waiting_for_a_slot_takes_none(
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


async def test_slot_given_to_a_request_that_is_being_cancelled_is_not_lost(
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


async def test_thousand_streams_at_once(nursery: trio.Nursery) -> None:
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
async def test_open_idle_stream_uses_little_memory(nursery: trio.Nursery) -> None:
    """Use under 20 KiB on the client's side. This uses sockets: the far end of a memory stream would count too."""
    count = 50
    listeners: list[trio.SocketListener] = await nursery.start(trio.serve_tcp, stream_and_stall, 0)
    nursery.start_soon(watch)
    url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    async with TrioOpenAI(base_url=url) as client:
        streams = []
        for number in range(count + 1):
            if number == 1:  # the first stream also pays for objects that are created once
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
    assert size / count < 2 * 20 * 1024  # includes the serving task and its socket
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
