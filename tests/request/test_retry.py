"""Retries over the wire, up to the first event and never after it. `tests/wire/test_retries.py` has the arithmetic."""

from __future__ import annotations

import email.utils
import math
import time
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from net_helpers import CHAT, client_over, outcome, serve

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
from trio_openai.testing import Cut, Pause, RecordedRequest, Reply, ScriptedServer, Stall

HELLO = Reply.chat("Hello there.")
PLAIN = Reply.chat("Hello there.", stream=False)
ROLE = {"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}}]}


async def read(client: TrioOpenAI, *, stream: bool = False, **params: Any) -> str | None:
    if not stream:
        return (await client.chat.completions.create(**CHAT, **params)).choices[0].message.content
    async with client.chat.completions.stream(**CHAT, **params) as opened:
        return (await opened.get_final_completion()).choices[0].message.content


async def attempts(server: ScriptedServer, *, stream: bool = False, **options: Any) -> tuple[Any, int, float]:
    """Return the result or error of one call, the number of its requests, and how long it took."""
    client, transport = client_over(server, max_connections=1, **options)
    before, requests = trio.current_time(), len(server.requests)
    async with client:
        result = await outcome(read, client, stream=stream)
        elapsed = trio.current_time() - before
        assert transport.statistics().active == 0
    return result, len(server.requests) - requests, elapsed


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
async def test_temporary_status_is_retried(
    nursery: trio.Nursery, autojump_clock: object, status: int, stream: bool
) -> None:
    busy = Reply.error(status, "busy")
    server = await serve(nursery, [busy, busy, HELLO if stream else PLAIN])
    result, requests, elapsed = await attempts(server, stream=stream)
    assert (result, requests) == ("Hello there.", 3)
    assert 1.5 * 0.75 <= elapsed <= 1.51
    first, *others = server.requests
    assert all(other == first for other in others), "the same request each time"


async def test_last_error_is_raised_when_retries_are_used_up(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, lambda request: Reply.error(503, f"busy {len(server.requests)}"))
    for most in (0, 1, 4):
        before = len(server.requests)
        error, requests, _ = await attempts(server, max_retries=most)
        assert isinstance(error, APIStatusError)
        assert requests == most + 1
        assert f"busy {before + requests}" in str(error)


@pytest.mark.parametrize(
    "reply",
    [
        Reply.error(400, "no"),
        Reply.error(401, "no"),
        Reply.error(404, "no"),
        Reply.error(429, "no", code="insufficient_quota"),
        Reply.error(429, "no", headers={"x-should-retry": "false"}),
        Reply.error(429, "no", headers={"retry-after": "121"}),
        Reply.error(503, "no", headers={"retry-after-ms": "121000"}),
        Reply(200, body=b"not json"),
        Reply.json({"error": {"message": "no", "code": "insufficient_quota"}}),
    ],
)
async def test_permanent_failures_are_not_retried(nursery: trio.Nursery, autojump_clock: object, reply: Reply) -> None:
    server = await serve(nursery, [reply, PLAIN])
    error, requests, elapsed = await attempts(server)
    assert isinstance(error, APIError)
    assert requests == 1
    assert elapsed < 0.1


async def test_retry_waits_as_long_as_the_server_asks(nursery: trio.Nursery, autojump_clock: object) -> None:
    date = email.utils.formatdate(time.time() + 60, usegmt=True)
    for headers, least, most in (
        ({"retry-after": "7"}, 7, 7.01),
        ({"retry-after-ms": "250"}, 0.25, 0.26),
        ({"retry-after": date}, 50, 60.5),
        ({"x-should-retry": "true"}, 0.37, 0.51),
    ):
        server = await serve(nursery, [Reply.error(429, "slow", headers=headers), PLAIN])
        result, requests, elapsed = await attempts(server)
        assert (result, requests) == ("Hello there.", 2)
        assert least <= elapsed <= most


async def test_x_should_retry_true_retries_any_status(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, [Reply.error(400, "no", headers={"x-should-retry": "true"}), PLAIN])
    assert (await attempts(server))[:2] == ("Hello there.", 2)


async def test_failed_connection_is_retried(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, [Reply.raw(), Reply.raw(b"HTTP/1.1 2"), PLAIN])
    failures = 1

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError("refused")
        return await server.open_stream()

    result, requests, _ = await attempts(server, open_stream=open_stream, max_retries=3)
    assert (result, requests) == ("Hello there.", 3)
    failures = 100
    error, requests, _ = await attempts(server, open_stream=open_stream)
    assert type(error) is APIConnectionError
    assert "refused" in str(error)
    assert (requests, failures) == (0, 97)


async def test_headers_deadline_is_retried(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, [Reply(delay=math.inf), PLAIN])
    result, requests, elapsed = await attempts(server, timeout=Deadlines(headers=5))
    assert (result, requests) == ("Hello there.", 2)
    assert 5.3 <= elapsed <= 5.6
    server = await serve(nursery, Reply(delay=math.inf))
    error, requests, _ = await attempts(server, timeout=Deadlines(headers=5))
    assert (type(error), error.phase, requests) == (APITimeoutError, "headers", 3)


async def test_truncated_plain_answer_is_retried(nursery: trio.Nursery, autojump_clock: object) -> None:
    """Nothing of it was delivered, so a retry repeats nothing. openai-python does the same."""
    server = await serve(nursery, [PLAIN.cut_after(5), PLAIN.reset_after(5), PLAIN])
    assert (await attempts(server))[:2] == ("Hello there.", 3)


@pytest.mark.parametrize(
    "first",
    [
        Reply.sse(Cut()),
        HELLO.cut_after(10),
        HELLO.reset_after(10),
        Reply.sse({"error": {"message": "busy", "code": "rate_limit_exceeded"}}),
        Reply.sse({"error": {"message": "busy", "type": "overloaded_error"}}),
        Reply.sse({"error": {"message": "busy", "code": 503}}),
        Reply.sse({"error": {"message": "busy", "code": "server_error"}}, done=False),
    ],
    ids=["cut at once", "cut in an event", "reset", "rate limit", "overloaded", "503", "server error"],
)
async def test_stream_that_fails_before_its_first_event_is_retried(
    nursery: trio.Nursery, autojump_clock: object, first: Reply
) -> None:
    server = await serve(nursery, [first, HELLO])
    client, transport = client_over(server)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        assert (await stream.get_final_completion()).choices[0].message.content == "Hello there."
        assert stream.timings.retries == 1
        assert stream.timings.headers is not None
        assert transport.statistics().active == 0
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "first",
    [
        Reply.sse(ROLE, Cut()),
        Reply.sse(ROLE, {"error": {"message": "busy", "code": "rate_limit_exceeded"}}, done=False),
        Reply.sse({"error": {"message": "no", "code": "insufficient_quota"}}),
        Reply.sse({"error": {"message": "no", "code": "invalid_api_key"}}),
        Reply.sse("not json"),
        Reply(200, {"content-type": "text/html"}, b"<html>"),
    ],
    ids=["cut after an event", "overloaded after an event", "quota", "bad key", "not json", "html"],
)
async def test_stream_is_not_retried_after_an_event_or_a_permanent_failure(
    nursery: trio.Nursery, autojump_clock: object, first: Reply
) -> None:
    server = await serve(nursery, [first, HELLO])
    error, requests, _ = await attempts(server, stream=True)
    assert isinstance(error, APIError)
    assert requests == 1


@pytest.mark.promise(n=5)
async def test_nothing_is_sent_again_after_the_first_event(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.sse(ROLE, Cut()))
    client, _ = client_over(server, max_retries=5)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        await anext(stream)
        for _ in range(5):
            assert type(await outcome(stream.__anext__)) is StreamTruncatedError
    assert len(server.requests) == 1


async def test_retries_before_and_after_the_headers_share_one_limit(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, [Reply.error(503, "busy"), Reply.sse(Cut()), Reply.error(503, "busy"), HELLO])
    client, _ = client_over(server, max_retries=3)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        await stream.until_done()
        assert stream.timings.retries == 3
    server = await serve(nursery, [Reply.error(503, "busy"), Reply.sse(Cut()), Reply.error(503, "busy"), HELLO])
    error, requests, _ = await attempts(server, stream=True, max_retries=2)
    assert isinstance(error, APIStatusError)
    assert requests == 3


# Cancellation and closing.


async def test_cancellation_ends_the_wait_before_a_retry(nursery: trio.Nursery, autojump_clock: object) -> None:
    for first, stream in ((Reply.error(429, "slow", headers={"retry-after": "100"}), False), (Reply.sse(Cut()), True)):
        server = await serve(nursery, [first, HELLO])
        client, transport = client_over(server)
        async with client:
            with trio.move_on_after(0.1) as scope:
                await read(client, stream=stream)
            assert scope.cancelled_caught
            assert trio.current_time() == pytest.approx(scope.deadline)
            assert transport.statistics().active == 0
        await trio.sleep(200)
        assert len(server.requests) == 1


async def test_next_step_continues_a_cancelled_wait_before_a_retry(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, [Reply.sse(Cut()), HELLO])
    client, _ = client_over(server)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        with trio.move_on_after(0.1) as scope:
            await anext(stream)
        assert scope.cancelled_caught
        assert (await stream.get_final_completion()).choices[0].message.content == "Hello there."
    assert len(server.requests) == 2


async def test_repeatedly_cancelled_waits_add_up_to_the_retry_delay(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    """Check a program that polls with short timeouts: it must get to the retry."""
    too_many = Reply.error(429, "later", headers={"retry-after": "3"})
    server = await serve(nursery, [Reply.sse(Cut()), too_many, HELLO])
    client, _ = client_over(server)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        began = trio.current_time()
        for _ in range(100):
            with trio.move_on_after(0.2):
                await anext(stream)
                break
        assert 3 < trio.current_time() - began < 6
        assert len(server.requests) == 3
        assert stream.timings.retries == 2
        assert (await stream.get_final_completion()).choices[0].message.content == "Hello there."


@pytest.mark.parametrize("closing", ["stream", "client"])
@pytest.mark.parametrize("second", [HELLO, Reply(delay=math.inf), Reply.error(503, "busy")])
@pytest.mark.parametrize("moment", [0.1, 5.0])
async def test_aclose_ends_a_reader_that_waits_for_a_retry(
    nursery: trio.Nursery, autojump_clock: object, closing: str, second: Reply, moment: float
) -> None:
    if moment > 1 and second is HELLO:
        return  # the whole stream has been read by then
    server = await serve(nursery, [Reply.sse(Cut()), second, second, second])
    client, transport = client_over(server, max_retries=3 if moment < 1 else 10)
    results: list[Any] = []
    async with client:
        stream = await client.chat.completions.create(**CHAT, stream=True)

        async def reading() -> None:
            results.append(await outcome(stream.until_done))

        async with trio.open_nursery() as readers:
            readers.start_soon(reading)
            await trio.sleep(moment)
            assert not results or moment > 1
            before = trio.current_time()
            await (stream if closing == "stream" else client).aclose()
            requests = len(server.requests)
            await trio.testing.wait_all_tasks_blocked()
            if not isinstance(results[0], APIStatusError):
                assert isinstance(results[0], trio.ClosedResourceError | RuntimeError)
            assert trio.current_time() == before
        assert transport.statistics().active == 0
        assert isinstance(await outcome(stream.__anext__), trio.ClosedResourceError | RuntimeError | APIStatusError)
        await trio.sleep(100)
        assert len(server.requests) == requests


async def test_stream_closed_during_a_cancelled_retry_stays_closed(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, [Reply.sse(Cut()), HELLO])
    client, _ = client_over(server)
    async with client:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        with trio.move_on_after(0.1):
            await anext(stream)
        await stream.aclose()
        assert isinstance(await outcome(stream.__anext__), trio.ClosedResourceError)
        assert stream.verdict.state == "closed"
    assert len(server.requests) == 1


# Keys from a function.


async def test_key_function_is_called_before_every_attempt(nursery: trio.Nursery, autojump_clock: object) -> None:
    asked = 0

    async def key() -> str:
        nonlocal asked
        asked += 1
        await trio.sleep(0.1)
        return f"sk-number-{asked}"

    server = await serve(nursery, [Reply.error(503, "busy"), Reply.sse(Cut()), HELLO, PLAIN])
    client, _ = client_over(server, api_key=key)
    async with client:
        assert asked == 0
        assert await read(client, stream=True) == "Hello there."
        assert await read(client) == "Hello there."
    sent = [request.header("authorization") for request in server.requests]
    assert sent == [f"Bearer sk-number-{number}" for number in (1, 2, 3, 4)]


async def test_exception_of_a_key_function_is_raised_as_is(nursery: trio.Nursery, autojump_clock: object) -> None:
    class MineError(Exception):
        pass

    server = await serve(nursery, PLAIN)
    for error in (MineError(), httpx.ConnectError("mine"), OSError("mine")):

        async def key(error: Exception = error) -> str:
            await trio.lowlevel.checkpoint()
            raise error

        client, transport = client_over(server, api_key=key)
        async with client:
            assert await outcome(read, client) is error
            assert transport.statistics().active == 0
    assert server.requests == []


@pytest.mark.parametrize("made", ["bad\n", "", " ", None, b"sk", 5])
async def test_invalid_result_of_a_key_function_raises(
    nursery: trio.Nursery, autojump_clock: object, made: Any
) -> None:
    async def key() -> Any:
        await trio.lowlevel.checkpoint()
        return made

    server = await serve(nursery, PLAIN)
    client, _ = client_over(server, api_key=key)
    async with client:
        assert isinstance(await outcome(read, client), ValueError | TypeError)
    assert server.requests == []


async def test_hanging_key_function_is_limited_by_total(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def key() -> str:
        await trio.sleep_forever()
        raise AssertionError

    server = await serve(nursery, PLAIN)
    client, transport = client_over(server, api_key=key, timeout=Deadlines(total=5))
    async with client:
        error = await outcome(read, client)
        assert (type(error), error.phase) == (APITimeoutError, "total")
        assert transport.statistics().active == 0


# Many failures at the same time.


@pytest.mark.filterwarnings("ignore:a stream was never closed:ResourceWarning")
async def test_many_failures_and_cancellations_leak_no_connection(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    kinds = [
        PLAIN,
        Reply.error(503, "busy"),
        Reply(delay=math.inf),
        PLAIN.cut_after(5),
        Reply.raw(b"garbage"),
        Reply.json({}).stall_after(1),
        Reply(200, body=[Pause(0.3), b"{}"]),
        Reply(200, body=[Stall()]),
    ]

    def script(request: RecordedRequest) -> Reply:
        return kinds[request.json()["seed"] % len(kinds)]

    server = await serve(nursery, script)
    transport = TrioTransport(open_stream=server.open_stream, max_connections=7)
    http = httpx.AsyncClient(transport=transport)
    async with server.client(http_client=http, timeout=1.0, max_retries=1) as client:

        async def one(number: int) -> None:
            with trio.move_on_after((number * 37 % 100) / 50):
                await outcome(client.chat.completions.create, **CHAT, seed=number, stream=number % 3 == 0)

        async with trio.open_nursery() as storm:
            for number in range(200):
                storm.start_soon(one, number)
        held = transport.statistics()
        assert held.waiting == 0
        assert held.active == len(client._session.lifetime.streams), (
            "streams of the third door are open until they are closed"
        )
        for stream in list(client._session.lifetime.streams):
            await stream.aclose()
        assert transport.statistics().active == 0
        assert await read(client, seed=0) == "Hello there."
    await server.wait_closed()
