"""Promise 7: every step is a checkpoint, bursts do not block the scheduler, and cancelled steps lose no event."""

from __future__ import annotations

import time
from typing import Any

import pytest
import trio
import trio.testing
from net_helpers import CancelAtStep, client_over, outcome, serve

from trio_openai import Deadlines, TrioOpenAI
from trio_openai.testing import Pause, Reply

pytestmark = pytest.mark.promise(n=7)

CHAT: dict[str, Any] = {"model": "m", "messages": []}


def numbered(count: int, *, pace: float = 0.0) -> Reply:
    chunks = [{"id": "c", "choices": [{"index": 0, "delta": {"content": f"{number} "}}]} for number in range(count)]
    last = {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return Reply.sse(*chunks, last, pace=pace)


def burst(count: int) -> Reply:
    """Return a reply whose events arrive in one piece."""
    body = b"".join(step for step in numbered(count).body if isinstance(step, bytes))
    return Reply(200, {"content-type": "text/event-stream"}, body)


async def test_a_burst_of_buffered_events_lets_other_tasks_run(nursery: trio.Nursery) -> None:
    server = await serve(nursery, burst(20_000))
    client, _ = client_over(server)
    turns = 0
    running = True

    async def count_turns() -> None:
        nonlocal turns
        while running:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with client, client.chat.completions.stream(**CHAT) as stream, trio.open_nursery() as others:
        others.start_soon(count_turns)
        before = time.perf_counter()
        await stream.until_done()
        elapsed = time.perf_counter() - before
        running = False
    assert turns > 10
    assert elapsed / turns < 0.05, "other tasks run about every millisecond; the limit leaves room for a busy machine"


async def test_one_turn_of_the_scheduler_delivers_a_bounded_number_of_events(nursery: trio.Nursery) -> None:
    """Count the events between two turns of the scheduler, because a clock is unreliable on a busy machine."""
    server = await serve(nursery, burst(20_000))
    client, _ = client_over(server)

    class Turns(trio.abc.Instrument):
        turns = 0

        def after_task_step(self, task: trio.lowlevel.Task) -> None:
            if task is reader:
                self.turns += 1

    reader = trio.lowlevel.current_task()
    async with client, client.chat.completions.stream(**CHAT) as stream:
        await anext(stream)
        counting = Turns()
        trio.lowlevel.add_instrument(counting)
        most = seen = last = 0
        async for _ in stream:
            seen = seen + 1 if counting.turns == last else 1
            last, most = counting.turns, max(most, seen)
        trio.lowlevel.remove_instrument(counting)
    assert most < 2_000, "a burst of one millisecond has a few hundred events at most"


async def test_a_deadline_fires_in_the_middle_of_a_burst(nursery: trio.Nursery) -> None:
    server = await serve(nursery, burst(50_000))
    client, _ = client_over(server)
    seen = 0
    async with client, client.chat.completions.stream(**CHAT) as stream:
        await anext(stream)
        started = time.perf_counter()
        with trio.move_on_after(0.05) as scope:
            async for _ in stream:
                seen += 1
        elapsed = time.perf_counter() - started
        assert scope.cancelled_caught, "the stream ended before the deadline: use a longer burst in this test"
        assert elapsed < 0.5
        assert (await anext(stream)).choices[0].delta.content == f"{seen + 1} ", "an event was lost"


async def test_every_step_is_a_checkpoint_for_cancellation(nursery: trio.Nursery) -> None:
    server = await serve(nursery, burst(50))
    client, _ = client_over(server)
    async with client:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        for number in range(50):
            for step in (stream.__anext__, stream.text_deltas.__anext__):  # type: ignore[attr-defined]
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await step()
                assert scope.cancelled_caught
            assert (await anext(stream)).choices[0].delta.content == f"{number} "
        await stream.until_done()
        for step in (stream.__anext__, stream.until_done, stream.get_final_completion):
            with trio.CancelScope() as scope:
                scope.cancel()
                await outcome(step)
            assert scope.cancelled_caught, "a step after the end of the stream was not a checkpoint"


@pytest.mark.parametrize("what", ["until_done", "create", "text", "client.aclose"])
async def test_async_methods_are_checkpoints(nursery: trio.Nursery, what: str) -> None:
    server = await serve(nursery, burst(5))
    client, _ = client_over(server)
    async with client:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        if what == "text":
            await stream.until_done()
        with trio.testing.assert_checkpoints():
            if what == "until_done":
                await stream.until_done()
            elif what == "client.aclose":
                await client.aclose()
            elif what == "create":
                other = await client.chat.completions.create(**CHAT, stream=True)
            else:
                assert [text async for text in stream.text_deltas] == []
        if what == "create":
            await other.aclose()


async def test_aclose_of_a_closed_stream_is_a_checkpoint(nursery: trio.Nursery) -> None:
    server = await serve(nursery, burst(5))
    client, _ = client_over(server)
    task = trio.lowlevel.current_task()

    class Steps(trio.abc.Instrument):
        steps = 0

        def after_task_step(self, stepped: trio.lowlevel.Task) -> None:
            self.steps += stepped is task

    async with client:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        for _ in range(3):
            counting = Steps()
            trio.lowlevel.add_instrument(counting)
            await stream.aclose()
            trio.lowlevel.remove_instrument(counting)
            assert counting.steps >= 1


async def read_with_interruptions(client: TrioOpenAI, step: int, *, before: bool) -> tuple[list[str], bool]:
    """Read a stream, cancel the reader once at step number `step`, and read the rest.

    Returns:
        The texts of all events, and whether the reader had this many steps and was cancelled.
    """
    texts: list[str] = []
    async with client.chat.completions.stream(**CHAT) as stream:
        done = False
        with trio.CancelScope() as scope:
            canceller = CancelAtStep(scope, step, before=before)
            trio.lowlevel.add_instrument(canceller)
            try:
                async for event in stream:
                    texts.append(event.choices[0].delta.content or "")
                done = True
            finally:
                trio.lowlevel.remove_instrument(canceller)
        assert done or scope.cancelled_caught
        texts.extend([event.choices[0].delta.content or "" async for event in stream])
        assert stream.snapshot.choices[0].message.content == "".join(texts)
        assert stream.verdict.state == "done"
    return texts, canceller.fired


@pytest.mark.parametrize("before", [False, True], ids=["after a step", "before a step"])
@pytest.mark.parametrize("kind", ["paced", "burst", "sliced", "sockets"])
async def test_cancelling_the_reader_at_any_step_loses_no_event(nursery: trio.Nursery, kind: str, before: bool) -> None:
    reply = {
        "paced": numbered(8, pace=0.001),
        "burst": burst(8),
        "sliced": numbered(8).sliced(29),
        "sockets": numbered(8),
    }
    server = await serve(nursery, reply[kind], memory=kind != "sockets")
    client, transport = client_over(server, max_connections=1)
    expected = [f"{number} " for number in range(8)] + [""]
    async with client:
        for step in range(1_000):
            texts, fired = await read_with_interruptions(client, step, before=before)
            assert texts == expected
            assert transport.statistics().active == 0
            if not fired:
                break
        assert step > (
            0 if kind == "burst" else 3
        )  # the number of checkpoints in a burst depends on the speed of the machine


async def test_a_reader_cancelled_before_every_event_still_gets_every_event(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, numbered(10, pace=1.0))
    client, _ = client_over(server)
    texts: list[str] = []
    async with client, client.chat.completions.stream(**CHAT) as stream:
        while stream.verdict.state == "open":
            with trio.move_on_after(0.3):
                async for text in stream.text_deltas:
                    texts.append(text)
        assert texts == [f"{number} " for number in range(10)]
        assert stream.snapshot.choices[0].message.content == "".join(f"{number} " for number in range(10))


async def test_the_idle_deadline_counts_only_time_spent_reading(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.sse({"id": "c", "choices": []}, Pause(8), {"id": "c", "choices": []}))
    client, _ = client_over(server)
    async with client, client.chat.completions.stream(**CHAT, timeout=Deadlines(idle=5)) as stream:
        await anext(stream)
        for _ in range(4):
            with trio.move_on_after(1):
                await anext(stream)
            await trio.sleep(1)  # no task reads, so the idle clock stands still while the event arrives
        assert (await anext(stream)).id == "c"
