"""Behaviour that is the same for every HTTP client: each test runs over every kind of client in `every_client.py`.

These promises do not hold for some clients:

| promise                                      | not with      | because                                           |
|----------------------------------------------|---------------|---------------------------------------------------|
| events come as they are sent; deadlines hold | ASGI          | httpx's `ASGITransport` runs the application to   |
| in a body; who leaves one early is noticed   |               | its end before it hands over the head: all of     |
|                                              |               | that is the phase `headers`                       |
| a broken connection is noticed               | ASGI          | an application has none that it could break       |
| a slow reader slows the server               | ASGI, SOCKS   | as above; and streams in memory have no limit     |
| a TLS handshake may be cancelled, and a      | httpx, httpx2 | httpcore forgets the socket: the collector has to |
| SOCKS proxy may refuse                       |               | close it                                          |
| HTTP/2                                       | all           | refused with advice (`test_foreign_clients.py`)   |
"""

from __future__ import annotations

import gc
from typing import Any

import every_client
import pytest
import trio
import trio.testing
from disconnect_helpers import FROM_START
from every_client import Kind
from every_client_helpers import BUSY, HELLO, NEVER, TEXT, every, live, read_plain, read_stream
from net_helpers import CHAT, cancel_everywhere, no_environment, open_sockets, outcome

from trio_openai import (
    APIError,
    APIResponseValidationError,
    APIStatusError,
    AuthenticationError,
    RateLimitError,
    StreamTruncatedError,
)
from trio_openai.testing import Pause, RecordedRequest, Reply

PLAIN = Reply.chat(TEXT, stream=False)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)
    monkeypatch.setattr("trio_openai._wire.retries.delay", lambda *_: 0.0)  # no delay before a retry


@pytest.fixture
def clock() -> trio.testing.MockClock:
    """Return a mock clock that jumps when no task has run for a while, since nothing else will happen then."""
    return trio.testing.MockClock(autojump_threshold=0.02)


def as_asked(request: RecordedRequest) -> Reply:
    return HELLO if request.json().get("stream") else PLAIN


breakable = every_client.of(lambda kind: kind.can_break)

stock = every_client.of(lambda kind: kind.is_stock)


# Responses.


@every
async def test_streams_and_plain_answers(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    before = open_sockets()
    stage = await kind.build(nursery, as_asked)
    async with stage.client() as client:
        for _ in range(3):
            assert await read_stream(client) == TEXT
            assert await read_plain(client) == TEXT
        assert stage.slots_in_use(client) == 0
        assert stage.server.requests[0].header("authorization") == "Bearer sk-scripted"
        assert stage.server.requests[0].header("accept-encoding") == "identity"
        assert stage.server.requests[0].json()["messages"] == CHAT["messages"]
    await stage.server.wait_idle()
    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await trio.testing.wait_all_tasks_blocked()
    gc.collect()
    assert open_sockets() <= before + 1  # the listener, which is closed at the end of the test


@every
async def test_verdict_response_and_timings(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    headers = {"x-request-id": "req_7", "x-more": "yes"}
    stage = await kind.build(nursery, Reply.chat(TEXT, headers=headers))
    async with stage.client() as client, client.chat.completions.stream(**CHAT) as stream:
        completion = await stream.get_final_completion()
        assert completion.choices[0].message.content == TEXT
        assert completion.usage is not None
        assert stream.verdict.state == "done"
        assert stream.verdict.reason == "stop"
        assert stream.request_id == "req_7"
        assert stream.response.headers["x-more"] == "yes"
        assert stream.timings.headers is not None


@every
async def test_body_in_small_chunks(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    stage = await kind.build(nursery, Reply.chat("Grüße, 世界.").sliced(7))
    async with stage.client() as client:
        assert await read_stream(client) == "Grüße, 世界."


@pytest.mark.promise(n=4)
@every
async def test_stream_without_terminal_event_is_truncated(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}]}
    stage = await kind.build(nursery, Reply.sse(chunk, done=False))
    async with stage.client() as client, client.chat.completions.stream(**CHAT) as stream:
        error = await outcome(stream.until_done)
        assert isinstance(error, StreamTruncatedError)
        assert error.partial.choices[0].message.content == "Hel"
        assert stream.verdict.state == "truncated"
        assert stage.slots_in_use(client) == 0


@pytest.mark.promise(n=4)
@breakable
@pytest.mark.parametrize("fault", ["cut_after", "reset_after"])
async def test_stream_with_broken_connection_is_truncated(
    nursery: trio.Nursery, clock: object, kind: Kind, fault: str
) -> None:
    stage = await kind.build(nursery, getattr(HELLO, fault)(700))
    async with stage.client() as client, client.chat.completions.stream(**CHAT) as stream:
        error = await outcome(stream.until_done)
        assert isinstance(error, StreamTruncatedError)
        assert error.partial.choices[0].message.content
        assert len(str(error)) > 10
        assert not str(error).endswith(": ")
        assert stage.slots_in_use(client) == 0


@every
async def test_an_error_inside_a_stream(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}]}
    stage = await kind.build(nursery, Reply.sse(chunk, {"error": {"message": "no more", "code": "x"}}))
    async with stage.client() as client, client.chat.completions.stream(**CHAT) as stream:
        error = await outcome(stream.until_done)
        assert type(error) is APIError
        assert (error.code, error.partial.choices[0].message.content) == ("x", "Hel")
        assert stream.verdict.state == "failed"


@every
async def test_response_that_is_not_an_event_stream_is_an_error(
    nursery: trio.Nursery, clock: object, kind: Kind
) -> None:
    stage = await kind.build(nursery, Reply(200, {"content-type": "text/html"}, b"<html>Welcome</html>"))
    async with stage.client(max_retries=0) as client:
        assert isinstance(await outcome(read_stream, client), APIResponseValidationError | StreamTruncatedError)
        assert isinstance(await outcome(read_plain, client), APIResponseValidationError)
        assert stage.slots_in_use(client) == 0


# Statuses and retries.


@pytest.mark.promise(n=3)
@every
async def test_error_statuses_raise_library_errors(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    quota = Reply.error(429, "used up", code="insufficient_quota", headers={"x-request-id": "req_q"})
    stage = await kind.build(nursery, [Reply.error(401, "no such key"), quota, BUSY, Reply(500)])
    async with stage.client(max_retries=0) as client:
        error = await outcome(read_stream, client)
        assert isinstance(error, AuthenticationError)
        assert "no such key" in str(error)
        error = await outcome(read_plain, client.with_options(max_retries=3))
        assert isinstance(error, RateLimitError)
        assert (error.code, error.request_id) == ("insufficient_quota", "req_q")
        for _ in range(2):
            assert isinstance(await outcome(read_stream, client), APIStatusError)
        assert len(stage.server.requests) == 4
        assert stage.slots_in_use(client) == 0


@every
async def test_redirects_and_retries(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    moved = Reply(307, {"location": "/v2/x"})
    overloaded = Reply.sse({"error": {"message": "overloaded", "type": "server_error", "code": "server_overloaded"}})
    stage = await kind.build(nursery, [moved, PLAIN, BUSY, PLAIN, BUSY, overloaded, HELLO])
    async with stage.client(max_connections=1) as client:
        assert await read_plain(client) == TEXT
        assert await read_plain(client) == TEXT
        with_pause = client.with_options(max_retries=2)
        async with with_pause.chat.completions.stream(**CHAT) as stream:
            assert (await stream.get_final_completion()).choices[0].message.content == TEXT
            assert stream.timings.retries == 2
        assert stage.slots_in_use(client) == 0
    assert stage.server.requests[1].header("authorization") == "Bearer sk-scripted"
    assert stage.server.requests[1].target.endswith("/v2/x")
    assert stage.server.requests[1].body == stage.server.requests[0].body


@breakable
async def test_connection_that_breaks_before_the_first_event_is_retried(
    nursery: trio.Nursery, clock: object, kind: Kind
) -> None:
    stage = await kind.build(nursery, [HELLO.cut_after(0), HELLO.reset_after(20), HELLO])
    async with stage.client(max_connections=1) as client:
        assert await read_stream(client) == TEXT
        assert stage.slots_in_use(client) == 0


# Leaving early.


@pytest.mark.promise(n=1)
@live
async def test_stream_left_early_is_closed_at_once(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    stage = await kind.build(nursery, Reply.chat(TEXT, pace=0.1).stall_after(900))
    async with stage.client(max_connections=1) as client:
        for number in range(1, 4):
            async with client.chat.completions.stream(**CHAT) as stream:
                async for _ in stream:
                    break
            assert stage.slots_in_use(client) == 0
            await stage.server.wait_disconnect(number, since=FROM_START)
            assert isinstance(await outcome(stream.__anext__), trio.ClosedResourceError)
    gc.collect()  # an abandoned generator warns here


class MineError(Exception):
    """An exception of the user."""


@pytest.mark.promise(n=2)
@every
async def test_user_exception_is_not_wrapped(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    stage = await kind.build(nursery, HELLO)

    async def fail(door: str) -> None:
        async with trio.open_nursery() if door == "nursery" else stage.client() as place:
            if door == "nursery":
                stream = await client.chat.completions.start_stream(place, **CHAT)
                await anext(stream)
                await stream.aclose()
            raise MineError

    async def fail_in_block() -> None:
        async with client.chat.completions.stream(**CHAT) as stream:
            await anext(stream)
            raise MineError

    async with stage.client(max_connections=1) as client:
        assert type(await outcome(fail_in_block)) is MineError
        assert type(await outcome(fail, "client")) is MineError
        assert stage.slots_in_use(client) == 0
        assert await read_stream(client) == TEXT


@pytest.mark.promise(n=1)
@every
async def test_streams_of_a_nursery_and_of_create_are_closed_with_their_scope(
    nursery: trio.Nursery, clock: object, kind: Kind
) -> None:
    stage = await kind.build(nursery, HELLO)
    async with stage.client() as client:
        async with trio.open_nursery() as some:
            stream = await client.chat.completions.start_stream(some, **CHAT)
            assert (await stream.get_final_completion()).choices[0].message.content == TEXT
        streams = [await client.chat.completions.create(**CHAT, stream=True) for _ in range(3)]
        await anext(streams[0])
    assert stage.slots_in_use(client) == 0
    await stage.server.wait_idle()
    assert isinstance(await outcome(streams[0].__anext__), trio.ClosedResourceError)
    gc.collect()


@pytest.mark.promise(n=1)
@every
async def test_cancelled_wait_frees_the_slot(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    stage = await kind.build(nursery, [HELLO.stall_after(500), PLAIN.stall_after(5), NEVER, PLAIN])
    async with stage.client(max_connections=1) as client:
        for number, read in ((1, read_stream), (2, read_plain), (3, read_plain)):
            async with trio.open_nursery() as reading:
                reading.start_soon(read, client)
                await stage.server.wait_requests(number)
                await trio.testing.wait_all_tasks_blocked(0.005)
                reading.cancel_scope.cancel()
            await stage.server.wait_disconnect(number, since=FROM_START)
            assert stage.slots_in_use(client) == 0
        assert await read_plain(client) == TEXT
    gc.collect()


@pytest.mark.promise(n=1)
@stock
async def test_cancellation_at_any_checkpoint_leaves_nothing_behind(
    nursery: trio.Nursery, clock: object, kind: Kind
) -> None:
    stage = await kind.build(nursery, as_asked)

    async def leave_early() -> None:
        async with client.chat.completions.stream(**CHAT) as stream:
            await anext(stream)

    async def both() -> None:
        await read_stream(client)
        await read_plain(client)

    async def check() -> None:
        assert stage.slots_in_use(client) == 0
        with trio.fail_after(5):
            assert await read_plain(client) == TEXT

    async with stage.client(max_connections=1) as client:
        for scenario in (both, leave_early):
            assert await cancel_everywhere(scenario, check, before=False) > 3
        await stage.server.wait_idle()
    gc.collect()


@pytest.mark.promise(n=1)
@every
async def test_requests_cancelled_while_waiting_for_a_slot_lose_no_slot(
    nursery: trio.Nursery, clock: object, kind: Kind
) -> None:
    """Cancel requests in the queue for slots. httpcore's pool loses a slot for good in this case."""
    stage = await kind.build(nursery, [NEVER, NEVER, *[PLAIN] * 10])
    async with stage.client(max_connections=2, timeout=None) as client, trio.open_nursery() as held:
        for _ in range(2):
            held.start_soon(read_plain, client)
        await stage.server.wait_requests(2)
        async with trio.open_nursery() as waiting:
            for _ in range(20):
                waiting.start_soon(read_plain, client)
            await trio.testing.wait_all_tasks_blocked(0.005)
            waiting.cancel_scope.cancel()
        assert len(stage.server.requests) == 2
        held.cancel_scope.cancel()
        with trio.CancelScope(shield=True), trio.fail_after(5):
            await stage.server.wait_disconnect(2, since=FROM_START)
            async with trio.open_nursery() as some:
                for _ in range(5):
                    some.start_soon(read_plain, client)
        assert stage.slots_in_use(client) == 0
    gc.collect()


@live
async def test_aclose_in_another_task_raises_closed_resource_error_in_the_reader(
    nursery: trio.Nursery, clock: object, kind: Kind
) -> None:
    stage = await kind.build(nursery, HELLO.stall_after(500))
    async with stage.client(max_connections=1) as client:
        for number in (1, 2):
            stream = await client.chat.completions.create(**CHAT, stream=True)
            results: list[object] = []

            async def read(stream: Any = stream, results: list[object] = results) -> None:
                results.append(await outcome(stream.until_done))

            async with trio.open_nursery() as readers:
                readers.start_soon(read)
                await trio.testing.wait_all_tasks_blocked(0.005)
                await stream.aclose()
            assert isinstance(results[0], trio.ClosedResourceError)
            await stage.server.wait_disconnect(number, since=FROM_START)
            assert stage.slots_in_use(client) == 0
    gc.collect()


@live
async def test_second_reader_gets_busy_resource_error(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    stage = await kind.build(nursery, HELLO.stall_after(500))
    async with stage.client() as client, client.chat.completions.stream(**CHAT) as stream:
        async with trio.open_nursery() as readers:
            readers.start_soon(outcome, stream.until_done)
            await trio.testing.wait_all_tasks_blocked(0.005)
            assert isinstance(await outcome(stream.__anext__), trio.BusyResourceError)
            readers.cancel_scope.cancel()


@pytest.mark.promise(n=4)
@live
async def test_cancelled_read_is_never_mistaken_for_the_end(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    """Cancel a read of another client, which ends its generators, and check that the missing rest is noticed."""
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}
    usage = {"id": "c", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
    stage = await kind.build(nursery, Reply.sse(chunk, Pause(2), usage))
    async with stage.client() as client, client.chat.completions.stream(**CHAT) as stream:
        await anext(stream)
        with trio.move_on_after(1):
            await anext(stream)
        result = await outcome(stream.until_done)
        if result is None:
            assert stream.snapshot.usage is not None, "it went on, and got all"
        else:
            assert isinstance(result, APIError | trio.ClosedResourceError)
            assert stream.verdict.state != "done"
