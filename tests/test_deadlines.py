"""Deadlines: each one fires on time, names its phase, and runs only while the client waits for the network."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
import trio.testing
from error_helpers import ask, chunk
from net_helpers import CHAT, client_over, outcome, serve

from trio_openai import (
    APIConnectionError,
    APITimeoutError,
    Deadlines,
)
from trio_openai.testing import Pause, Reply, ScriptedServer, Stall, sse_event

pytestmark = pytest.mark.promise(n=3)


# Deadlines.


async def timed(server: ScriptedServer, deadlines: Any, **options: Any) -> tuple[Any, float]:
    """Return the error of a whole stream under deadlines, and how long it took."""
    client, transport = client_over(server, **{"max_retries": 0, "max_connections": 1, **options})
    before = trio.current_time()

    async def read() -> None:
        async with client.chat.completions.stream(**CHAT, timeout=deadlines) as stream:
            await stream.until_done()

    async with client:
        error = await outcome(read)
        elapsed = trio.current_time() - before
        assert transport.statistics().active == 0
    return error, elapsed


PACED = Reply.sse(chunk("a"), Pause(3), chunk("b"), Pause(3), chunk("c", "stop"))

PHASES: dict[str, tuple[Reply, Deadlines, str, float]] = {
    "headers": (Reply(delay=math.inf), Deadlines(headers=2, total=9), "headers", 2),
    "first_event": (Reply.sse(Stall()), Deadlines(headers=1, first_event=2, idle=5), "first_event", 2),
    "first_content": (Reply.sse(chunk(), Pause(1), chunk(), Stall()), Deadlines(first_content=2), "first_content", 2),
    "idle": (Reply.sse(chunk("a"), Pause(1), chunk("b"), Stall()), Deadlines(idle=2), "idle", 3),
    "idle before the first event": (Reply.sse(Stall()), Deadlines(idle=2), "idle", 2),
    "total while it flows": (PACED, Deadlines(idle=4, total=5), "total", 5),
    "total before the headers": (Reply(delay=math.inf), Deadlines(headers=9, total=5), "total", 5),
    "a number": (Reply.sse(chunk("a"), Stall()), 2.5, "idle", 2.5),  # type: ignore[dict-item]
}


@pytest.mark.parametrize(("reply", "deadlines", "phase", "seconds"), PHASES.values(), ids=PHASES)
async def test_deadline_fires_on_time_and_names_its_phase(
    nursery: trio.Nursery, autojump_clock: object, reply: Reply, deadlines: Deadlines, phase: str, seconds: float
) -> None:
    server = await serve(nursery, reply)
    error, elapsed = await timed(server, deadlines)
    assert type(error) is APITimeoutError
    assert isinstance(error, TimeoutError)
    assert isinstance(error, APIConnectionError)
    assert error.phase == phase
    assert elapsed == pytest.approx(seconds, abs=0.01)
    assert phase in str(error)
    if reply.body and phase not in ("first_event", "headers") and reply.body[0] != Stall():
        assert error.partial is not None
        assert error.request_id == "req_scripted"
    await server.wait_closed()


async def test_connect_deadline(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    server = await serve(nursery, Reply())
    error, elapsed = await timed(server, Deadlines(connect=2, headers=3), open_stream=open_stream)
    assert (type(error), error.phase) == (APITimeoutError, "connect")
    assert elapsed == pytest.approx(2)


async def test_headers_deadline_starts_with_the_request(nursery: trio.Nursery, autojump_clock: object) -> None:
    """Take 3 s to read the request and then stay silent: the deadline passes after 4 s, not after 3 + 4."""

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        near, far = trio.testing.lockstep_stream_pair()
        nursery.start_soon(read_late, far)
        await trio.lowlevel.checkpoint()
        return near

    async def read_late(far: trio.abc.Stream) -> None:
        await trio.sleep(3)
        await far.receive_some(100_000)
        await trio.sleep_forever()

    server = await serve(nursery, Reply())
    error, elapsed = await timed(server, Deadlines(headers=4), open_stream=open_stream)
    assert (type(error), error.phase) == (APITimeoutError, "headers")
    assert elapsed == pytest.approx(4, abs=0.01)


async def test_keep_alive_comments_do_not_keep_a_dead_stream_open(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    for comment in (b": ping\n\n", b":\n\n", b"event: ping\n\n", b"data: : keepalive\n\n", b"\n", b": x", b"id: 7\n\n"):
        pings = [step for _ in range(100) for step in (Pause(1), comment)]
        server = await serve(
            nursery, Reply(200, {"content-type": "text/event-stream"}, [sse_event(chunk("a")), *pings])
        )
        error, elapsed = await timed(server, Deadlines(idle=5))
        assert (type(error), error.phase) == (APITimeoutError, "idle"), comment
        assert elapsed == pytest.approx(5, abs=0.01), comment
        assert error.partial.choices[0].message.content == "a"


async def test_deadlines_pause_while_the_consumer_is_busy(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.chat("one two three four five", pace=0.5))
    client, _ = client_over(server, max_retries=0)
    deadlines = Deadlines(first_event=2, first_content=3, idle=2, total=10)
    async with client, client.chat.completions.stream(**CHAT, timeout=deadlines) as stream:
        async for _ in stream:
            await trio.sleep(100)
        assert stream.snapshot.choices[0].message.content == "one two three four five"


async def test_arrived_event_is_delivered_however_late_it_is_read(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, Reply.sse(*[step for _ in range(5) for step in (chunk("a"), Pause(1.9))], done=True))
    client, _ = client_over(server, max_retries=0)
    async with client, client.chat.completions.stream(**CHAT, timeout=Deadlines(idle=2)) as stream:
        seen = 0
        async for _ in stream:
            seen += 1
            await trio.sleep(1.9)
        assert seen == 5


async def test_stalled_plain_response_hits_a_deadline(nursery: trio.Nursery, autojump_clock: object) -> None:
    for stalled in (0, 1, 50):
        server = await serve(nursery, Reply.chat("Hi", stream=False).stall_after(stalled))
        before = trio.current_time()
        error, _ = await ask(server, timeout=2)
        assert type(error) is APITimeoutError
        assert error.phase == "idle"
        assert error.request_id == "req_scripted"
        assert trio.current_time() - before == pytest.approx(2, abs=0.01)


async def test_total_deadline_includes_retries_and_their_delays(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.error(503, "later", headers={"retry-after": "100"}))
    error, elapsed = await timed(server, Deadlines(total=30), max_retries=5)
    assert (type(error), error.phase) == (APITimeoutError, "total")
    assert elapsed == pytest.approx(30, abs=0.01)
    assert len(server.requests) == 1


async def test_without_deadline_a_call_waits_for_ever(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.chat("Hi there", pace=5_000.0))
    client, _ = client_over(server, timeout=None)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        assert (await stream.get_final_completion()).choices[0].message.content == "Hi there"


async def test_users_own_deadline_cancels_without_a_library_error(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, Reply.sse(chunk("a"), Stall()))
    client, transport = client_over(server, timeout=Deadlines(idle=5))
    async with client:
        stream = await client.chat.completions.create(**CHAT, stream=True)

        async def read() -> None:
            with trio.fail_after(5):
                async with stream:
                    await stream.until_done()

        assert type(await outcome(read)) is trio.TooSlowError
        assert transport.statistics().active == 0
        assert stream.snapshot.choices[0].message.content == "a"
