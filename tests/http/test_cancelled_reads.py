"""Cancelling a wait for a body loses nothing, whichever HTTP client reads it: the next wait continues.

The library itself cancels such waits, when a tool has something to report or a stream is settled.
"""

from __future__ import annotations

import gc

import every_client
import httpx
import pytest
import trio
import trio.testing
from disconnect_helpers import FROM_START
from every_client import Kind
from net_helpers import CHAT, no_environment, outcome
from tool_helpers import QUESTION, calling, end, nap, piece

from trio_openai import TrioOpenAI
from trio_openai._http.foreign_body import closing_deadline
from trio_openai.testing import Reply

HELLO = Reply.chat("One two three four five.", pace=0.3)
TEXT = "One two three four five."

every = every_client.of()
live = every_client.of(lambda kind: kind.is_live)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


@pytest.fixture
def clock() -> trio.testing.MockClock:
    """Return a mock clock that jumps when no task has run for a while, since nothing else will happen then."""
    return trio.testing.MockClock(autojump_threshold=0.02)


@pytest.mark.promise(n=5)
@every
async def test_stream_is_complete_although_every_wait_is_cancelled(
    nursery: trio.Nursery, clock: object, kind: Kind
) -> None:
    stage = await kind.build(nursery, [HELLO])
    pieces: list[str] = []
    cancelled = 0
    async with stage.client(timeout=None) as client, client.chat.completions.stream(**CHAT) as stream:
        while not str(stream.verdict).startswith("done"):
            with trio.move_on_after(0.1) as scope:
                pieces += [text async for text in stream.text_deltas]
            cancelled += scope.cancelled_caught
    assert stream.snapshot.choices[0].message.content == TEXT
    assert cancelled >= 5 or not kind.is_live
    assert stage.slots_in_use(client) == 0
    gc.collect()


@every
@pytest.mark.parametrize("door", ["create", "start_stream"])
async def test_settling_a_stream_during_a_read_reaches_its_end(
    nursery: trio.Nursery, clock: object, kind: Kind, door: str
) -> None:
    stage = await kind.build(nursery, [HELLO])
    async with stage.client(timeout=None) as client, trio.open_nursery() as readers:
        if door == "create":
            stream = await client.chat.completions.create(**CHAT, stream=True)
            with trio.move_on_after(0.4):
                await stream.until_done()
        else:
            stream = await client.chat.completions.start_stream(readers, **CHAT)
            await anext(stream)
            await trio.sleep(0.4)
        await stream.settle(60)
    assert str(stream.verdict).startswith("done")
    assert stream.snapshot.usage is not None
    assert stream.snapshot.choices[0].message.content == TEXT
    gc.collect()


@every
async def test_tool_report_during_a_read_does_not_break_the_stream(
    nursery: trio.Nursery, clock: object, kind: Kind
) -> None:
    calls = calling(("nap", {"seconds": 0.1}), ("nap", {"seconds": 0.2}))
    slow = Reply.sse(piece(0, '{"seconds": 0.1}', "nap"), piece(1, '{"seconds": 0.2}', "nap"), end(), pace=1.0)
    for reply in (slow, calls):
        stage = await kind.build(nursery, [reply, HELLO])
        async with stage.client(timeout=None, max_retries=0) as client:
            async with client.chat.completions.run_tools(model="m", messages=QUESTION, tools=[nap]) as run:
                completion = await run.get_final_completion()
            assert completion.choices[0].message.content == TEXT
            assert run.statistics().done == 2
            assert len(stage.server.requests) == 2
            assert stage.slots_in_use(client) == 0
    gc.collect()


@pytest.mark.promise(n=1)
@live
async def test_leaving_the_block_during_a_read_leaves_no_task(nursery: trio.Nursery, clock: object, kind: Kind) -> None:
    stage = await kind.build(nursery, [HELLO.stall_after(300)])

    async def leave() -> None:
        async with client.chat.completions.stream(**CHAT) as stream:
            with trio.move_on_after(1):
                await stream.until_done()
            with trio.move_on_after(1):
                await stream.until_done()

    async with stage.client(timeout=None) as client:
        before = trio.lowlevel.current_statistics().tasks_living
        await leave()
        assert stage.slots_in_use(client) == 0
        await stage.server.wait_disconnect(1, since=FROM_START)
        await stage.server.wait_idle()
        await trio.testing.wait_all_tasks_blocked(0.005)
        assert (
            trio.lowlevel.current_statistics().tasks_living <= before + 1
        )  # the server's task, which waits for a request
    gc.collect()


async def test_error_during_a_cancelled_wait_is_raised_by_the_next_wait(
    autojump_clock: object,
) -> None:
    class Body(httpx.AsyncByteStream):
        def __aiter__(self) -> Body:
            return self

        async def __anext__(self) -> bytes:
            await trio.sleep(1)
            raise ZeroDivisionError

    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, stream=Body())))
    async with TrioOpenAI(base_url="http://localhost/v1", http_client=http) as client:
        async with client.chat.completions.stream(**CHAT) as stream:
            with trio.move_on_after(0.5) as scope:
                await anext(stream)
            assert scope.cancelled_caught
            await trio.sleep(5)
            assert type(await outcome(stream.__anext__)) is ZeroDivisionError


async def test_closing_another_transport_respects_the_callers_deadline(autojump_clock: object) -> None:
    now = trio.current_time()
    assert closing_deadline() - now == 5
    for given, expected in ((100, 5), (3, 3), (0.5, 1), (-1, 1)):
        with trio.move_on_after(given) if given >= 0 else trio.CancelScope(deadline=-1):
            assert closing_deadline() - now == pytest.approx(expected)
