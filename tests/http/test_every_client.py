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
import math
from typing import Any

import every_client
import pytest
import trio
import trio.testing
from every_client import Kind, Stage
from net_helpers import CHAT, cancel_everywhere, no_environment, open_sockets, outcome

from trio_openai import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    Deadlines,
    RateLimitError,
    StreamTruncatedError,
    TrioOpenAI,
)
from trio_openai.testing import Pause, RecordedRequest, Reply, Stall

TEXT = "Hello there, you."
HELLO = Reply.chat(TEXT)
PLAIN = Reply.chat(TEXT, stream=False)
BUSY = Reply.error(503, "busy", headers={"retry-after-ms": "1"})


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)
    monkeypatch.setattr("trio_openai._wire.retries.delay", lambda *_: 0.0)  # before another attempt


@pytest.fixture
def clock() -> trio.testing.MockClock:
    """Return a mock clock that jumps when no task has run for a while, since nothing else will happen then."""
    return trio.testing.MockClock(autojump_threshold=0.02)


NEVER = Reply(delay=math.inf)


def as_asked(request: RecordedRequest) -> Reply:
    return HELLO if request.json().get("stream") else PLAIN


async def read_stream(client: TrioOpenAI, **params: Any) -> str:
    async with client.chat.completions.stream(**CHAT, **params) as stream:
        return "".join([text async for text in stream.text_deltas])


async def read_plain(client: TrioOpenAI, **params: Any) -> str | None:
    return (await client.chat.completions.create(**CHAT, **params)).choices[0].message.content


every = every_client.of()
live = every_client.of(lambda kind: kind.is_live)
breakable = every_client.of(lambda kind: kind.can_break)
stock = every_client.of(lambda kind: kind.is_stock)
sockets = every_client.of(lambda kind: kind.has_sockets and kind.is_live)


# What arrives.


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
    assert open_sockets() <= before + 1  # the listener, which is closed when the test is over


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


# The statuses, and trying again.


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
            await stage.server.wait_disconnect(number)
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
            await stage.server.wait_disconnect(number)
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
            await stage.server.wait_disconnect(2)
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
            await stage.server.wait_disconnect(number)
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


# Time, and many at a time.


@every
async def test_deadlines_before_the_response_head(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    stage = await kind.build(nursery, NEVER)
    for deadlines, phase in ((Deadlines(headers=3), "headers"), (Deadlines(total=3), "total")):
        async with stage.client(max_connections=1, max_retries=0, timeout=deadlines) as client:
            for read in (read_stream, read_plain):
                error = await outcome(read, client)
                assert isinstance(error, APITimeoutError)
                assert error.phase == phase
                assert stage.slots_in_use(client) == 0
    await stage.server.wait_disconnect(4)
    gc.collect()


@live
async def test_waiting_for_a_slot_counts_towards_the_connect_deadline(
    nursery: trio.Nursery, clock: object, kind: Kind
) -> None:
    stage = await kind.build(nursery, Reply(200, HELLO.headers, (HELLO.body[0], Pause(5), *HELLO.body[1:])))
    async with stage.client(max_connections=1, timeout=Deadlines(connect=3, headers=60)) as client:
        async with client.chat.completions.stream(**CHAT) as stream:
            before = trio.current_time()
            error = await outcome(read_stream, client)
            assert isinstance(error, APITimeoutError)
            assert error.phase == "connect"
            assert "1 stream is open" in str(error)
            assert "max_connections" in str(error)
            assert 3 <= trio.current_time() - before < 4, "it is not tried again, at the end of the line"
            await stream.until_done()
        assert await read_stream(client) == TEXT
        assert len(stage.server.requests) == 2


@live
async def test_moving_queue_for_slots_does_not_time_out(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    stage = await kind.build(nursery, Reply(200, HELLO.headers, (HELLO.body[0], Pause(2), *HELLO.body[1:])))
    async with stage.client(max_connections=1, max_retries=0, timeout=Deadlines(connect=3, headers=60)) as client:
        async with trio.open_nursery() as some:
            for _ in range(4):
                some.start_soon(read_stream, client)
        assert len(stage.server.requests) == 4


@live
async def test_calls_do_not_wait_for_each_others_connections(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    stage = await kind.build(nursery, Reply(200, HELLO.headers, (HELLO.body[0], Pause(9), *HELLO.body[1:])))
    async with stage.client(max_connections=2, max_retries=0) as client:
        async with client.run_many([client.chat.completions.call(**CHAT)] * 5, max_concurrent=50) as results:
            assert [result.error async for result in results] == [None] * 5


@live
async def test_headers_deadline_does_not_apply_to_gaps_in_a_stream(
    nursery: trio.Nursery, clock: object, kind: Kind
) -> None:
    stage = await kind.build(nursery, [Reply(307, {"location": "/v2/x"}), Reply.chat(TEXT, pace=5)])
    async with stage.client(timeout=Deadlines(headers=3), max_retries=0) as client:
        assert await read_stream(client) == TEXT


@live
async def test_deadlines_inside_the_body(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    pings = Reply.sse(*[Pause(1), b": ping\n\n"] * 1000)
    for number, (reply, deadlines, phase) in enumerate(
        (
            (HELLO.stall_after(700), Deadlines(idle=3), "idle"),
            (pings, Deadlines(idle=3), "idle"),
            (Reply.sse(Stall()), Deadlines(first_event=3), "first_event"),
            (HELLO.stall_after(700), Deadlines(total=3), "total"),
        )
    ):
        stage = await kind.build(nursery, reply)
        async with stage.client(max_connections=1, max_retries=0, timeout=deadlines) as client:
            error = await outcome(read_stream, client)
            assert isinstance(error, APITimeoutError), number
            assert error.phase == phase
            assert stage.slots_in_use(client) == 0
            await stage.server.wait_disconnect(1)
    gc.collect()


@every
async def test_run_many_is_bounded_and_keeps_the_order(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    def answer(request: RecordedRequest) -> Reply:
        return Reply.chat(request.json()["model"]) if request.json()["model"] != "slow" else NEVER

    stage = await kind.build(nursery, answer)
    async with stage.client(max_connections=3) as client:
        calls = [client.chat.completions.call(key=n, **{**CHAT, "model": f"m{n}"}) for n in range(12)]
        async with client.run_many(calls, max_concurrent=4, ordered=True) as results:
            got = [(item.key, item.value.choices[0].message.content) async for item in results]
        assert got == [(n, f"m{n}") for n in range(12)]
        slow = (client.chat.completions.call(key=n, **{**CHAT, "model": "slow"}) for n in range(100))
        async with client.run_many(slow, max_concurrent=2), trio.open_nursery() as _:
            await stage.server.wait_requests(14)
            await trio.testing.wait_all_tasks_blocked(0.005)
            assert len(stage.server.requests) == 14
        await stage.server.wait_disconnect(2)
        assert stage.slots_in_use(client) == 0
    gc.collect()


@pytest.mark.promise(n=6)
@sockets
async def test_slow_reader_slows_down_the_server(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    chunk = HELLO.body[0]
    padding = b": " + b"x" * 65_000 + b"\n\n"
    stage = await kind.build(nursery, Reply(200, dict(HELLO.headers), (chunk, *[padding] * 1000, *HELLO.body[1:])))
    async with stage.client() as client:
        async with client.chat.completions.stream(**CHAT) as stream:
            await anext(stream)
            await trio.testing.wait_all_tasks_blocked(0.005)
        await stage.server.wait_disconnect(1)


# What is sent, and bytes.


@every
async def test_uploads(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    stage = await kind.build(nursery, [BUSY, Reply.json({"text": "Hello."})])
    async with stage.client() as client:
        sound = b"RIFF" + bytes(200_000)
        transcription = await client.audio.transcriptions.create(file=("a.wav", sound), model="whisper-1")
        assert transcription.text == "Hello."
        assert stage.slots_in_use(client) == 0
    first, second = (request.body for request in stage.server.requests)
    assert len(first) == len(second) > 200_000
    assert b'filename="a.wav"' in second
    assert sound in second


@every
async def test_byte_stream(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    sound = bytes(range(256)) * 300
    stage = await kind.build(nursery, Reply(200, {"content-type": "audio/mpeg"}, [sound[:1000], sound[1000:]]))
    async with stage.client(max_connections=1) as client:
        params: Any = {"model": "tts-1", "voice": "alloy", "input": "Hello."}
        for _ in range(2):
            async with client.audio.speech.stream_bytes(**params) as stream:
                assert b"".join([piece async for piece in stream]) == sound
        async with client.audio.speech.stream_bytes(**params) as stream:
            await anext(stream)
        assert stage.slots_in_use(client) == 0
        assert await client.audio.speech.create(**params) == sound


@every
async def test_connection_refused(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    stage: Stage = await kind.build(nursery, HELLO)
    client = stage.client(max_retries=0)
    if hasattr(stage.server, "aclose"):
        await stage.server.aclose()
        async with client:
            error = await outcome(read_stream, client)
            assert type(error) is APIConnectionError
            assert len(str(error)) > 10
            assert stage.slots_in_use(client) == 0
    await client.aclose()
    assert isinstance(await outcome(read_stream, client), RuntimeError | trio.ClosedResourceError | APIError)
