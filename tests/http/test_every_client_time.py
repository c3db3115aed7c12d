"""Time, many calls, and uploads, the same for every HTTP client (see `test_every_client.py`)."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import trio
import trio.testing
from disconnect_helpers import FROM_START
from every_client import Kind, Stage
from every_client_helpers import BUSY, HELLO, NEVER, TEXT, every, live, read_plain, read_stream, sockets
from net_helpers import CHAT, no_environment, outcome

from trio_openai import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    Deadlines,
)
from trio_openai.testing import Pause, RecordedRequest, Reply, Stall


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)
    monkeypatch.setattr("trio_openai._wire.retries.delay", lambda *_: 0.0)  # no delay before a retry


@pytest.fixture
def clock() -> trio.testing.MockClock:
    """Return a mock clock that jumps when no task has run for a while, since nothing else will happen then."""
    return trio.testing.MockClock(autojump_threshold=0.02)


# Deadlines, and many calls at a time.


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
    await stage.server.wait_disconnect(4, since=FROM_START)
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
            await stage.server.wait_disconnect(1, since=FROM_START)
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
        await stage.server.wait_disconnect(2, since=FROM_START)
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
        await stage.server.wait_disconnect(1, since=FROM_START)


# Uploads and byte streams.


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
