"""A clean end implies that the last event was delivered: to readers, subscribers, background buffers and threads."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio
import trio.testing
from net_helpers import CHAT, CancelAtStep, client_over, serve

from trio_openai import TrioOpenAI
from trio_openai._limits.limiter import Attempt, Outcome
from trio_openai.sync import SyncOpenAI
from trio_openai.testing import Reply, ScriptedServer

WHOLE = Reply.response("Hello there, you.")
ASK: dict[str, Any] = {"model": "m", "input": "hi"}

pytestmark = pytest.mark.promise(n=4)


class Seen:
    """A record of the events that one reader received and of how its iteration ended."""

    def __init__(self) -> None:
        self.types: list[str] = []
        self.end: BaseException | str | None = None

    async def read(self, events: AsyncIterator[Any], pause: float = 0.0) -> None:
        try:
            async for event in events:
                self.types.append(event.type)
                await trio.sleep(pause)
            self.end = "clean"
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self.end = error

    def check(self) -> None:
        assert self.end is not None
        assert self.end != "clean" or self.types[-1] == "response.completed"


Strike = Callable[[Any, trio.CancelScope], Any]


async def in_a_block(client: TrioOpenAI, slow: list[Seen], mine: Seen, nursery: trio.Nursery) -> None:
    async with client.responses.stream(**ASK) as stream:
        subscribe(stream, slow, nursery)
        await mine.read(stream)


async def by_hand(client: TrioOpenAI, slow: list[Seen], mine: Seen, nursery: trio.Nursery) -> None:
    stream = await client.responses.create(**ASK, stream=True)
    try:
        subscribe(stream, slow, nursery)
        await mine.read(stream)
    finally:
        await stream.aclose()
        if mine.end is None:
            with trio.CancelScope(shield=True):
                await mine.read(stream)


async def in_a_nursery(client: TrioOpenAI, slow: list[Seen], mine: Seen, nursery: trio.Nursery) -> None:
    async with trio.open_nursery() as readers:
        stream = await client.responses.start_stream(readers, **ASK, buffer=1)
        subscribe(stream, slow, nursery)
        nursery.start_soon(mine.read, stream, 0.1)


async def by_race(client: TrioOpenAI, slow: list[Seen], mine: Seen, nursery: trio.Nursery) -> None:
    async with client.race([client.responses.call(**ASK)]) as stream:
        subscribe(stream, slow, nursery)
        await mine.read(stream)


def subscribe(stream: Any, slow: list[Seen], nursery: trio.Nursery) -> None:
    for buffer, overflow in ((0, "wait"), (2, "wait"), (1, "coalesce")):
        slow.append(Seen())
        nursery.start_soon(slow[-1].read, stream.subscribe(buffer, overflow), 0.3)


@pytest.mark.parametrize("act", [in_a_block, by_hand, in_a_nursery, by_race])
@pytest.mark.parametrize("before", [True, False])
async def test_cancelling_the_reader_at_any_checkpoint_gives_no_clean_end_without_the_last_event(
    nursery: trio.Nursery, autojump_clock: object, act: Any, before: bool
) -> None:
    client, _ = client_over(await serve(nursery, WHOLE))
    for step in range(10_000):
        slow, mine = list[Seen](), Seen()
        async with trio.open_nursery() as readers:
            with trio.CancelScope() as scope:
                canceller = CancelAtStep(scope, step, before=before)
                trio.lowlevel.add_instrument(canceller)
                try:
                    await act(client, slow, mine, readers)
                finally:
                    trio.lowlevel.remove_instrument(canceller)
        for seen in slow:
            seen.check()
        if mine.end is not None:
            mine.check()
        if not canceller.fired:
            break
    assert step > 10 or act is in_a_nursery


@pytest.mark.parametrize("door", ["create", "start_stream", "race"])
async def test_closing_the_stream_at_any_time_gives_no_clean_end_without_the_last_event(
    nursery: trio.Nursery, autojump_clock: object, door: str
) -> None:
    client, _ = client_over(await serve(nursery, WHOLE))
    for tenths in range(45):
        slow, mine = list[Seen](), Seen()
        async with trio.open_nursery() as readers:
            if door == "create":
                stream: Any = await client.responses.create(**ASK, stream=True)
            elif door == "start_stream":
                stream = await client.responses.start_stream(readers, **ASK, buffer=tenths % 3)
            else:
                manager: Any = client.race([client.responses.call(**ASK)])
                stream = await manager.__aenter__()
            subscribe(stream, slow, readers)
            readers.start_soon(mine.read, stream, 0.1)
            await trio.sleep(tenths / 10)
            await stream.aclose()
        for seen in (*slow, mine):
            seen.check()


async def test_cancelling_the_background_task_before_it_delivers_the_last_event_is_not_a_clean_end(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    client, _ = client_over(await serve(nursery, WHOLE))
    async with trio.open_nursery() as readers:
        stream = await client.responses.start_stream(readers, **ASK, buffer=0)
        events = [await anext(stream)]
        while stream.verdict.state == "open":
            events.append(await anext(stream))
            await trio.testing.wait_all_tasks_blocked()
        readers.cancel_scope.cancel()
    with pytest.raises(trio.ClosedResourceError):
        while True:
            events.append(await anext(stream))
    assert events[-1].type != "response.completed"


async def test_a_subscriber_of_a_race_winner_gets_events_read_ahead_once(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    client, _ = client_over(await serve(nursery, WHOLE))
    calls = [client.responses.call(**ASK)]
    for read_first in range(9):
        async with client.race(calls) as stream:
            mine = [await anext(stream) for _ in range(read_first)]
            late = stream.subscribe(100, replay=True)
            plain = stream.subscribe(100)
            mine += [event async for event in stream]
            assert [event.type for event in [e async for e in late]] == [event.type for event in mine]
            assert [event async for event in plain] == mine[read_first:]


async def test_a_subscriber_added_during_a_delivery_gets_each_event_once(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    client, _ = client_over(await serve(nursery, WHOLE))
    for use_race in (True, False):
        async with (
            client.race([client.responses.call(**ASK)]) if use_race else client.responses.stream(**ASK)
        ) as stream:
            slow = stream.subscribe()  # receives nothing yet, so the delivery waits
            with trio.move_on_after(1):
                await anext(stream)
            late = stream.subscribe(100, replay=True)
            slow.close()
            mine = [event async for event in stream]
            assert [event.type for event in [e async for e in late]] == [event.type for event in mine]


class RaisingLimiter:
    """A limiter whose permits raise when the outcome of the attempt is recorded."""

    def __init__(self) -> None:
        self.settled = 0

    async def acquire(self, attempt: Attempt) -> RaisingLimiter:
        await trio.lowlevel.checkpoint()
        return self

    def settle(self, outcome: Outcome) -> None:
        self.settled += 1
        raise ZeroDivisionError


async def test_the_last_event_is_delivered_if_a_limiter_raises(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, WHOLE)
    limiter = RaisingLimiter()
    client, transport = client_over(server, limiter=limiter)
    for read in ("events", "messages", "raw_bytes"):
        stream: Any = await client.responses.create(**ASK, stream=True)
        subscriber = stream.subscribe(100)
        pieces: list[Any] = []
        raised = 0
        iterator = stream if read == "events" else getattr(stream, read)
        while True:
            try:
                pieces.append(await anext(iterator))
            except ZeroDivisionError:
                raised += 1
            except StopAsyncIteration:
                break
        assert raised == 1
        last = pieces[-1] if read == "raw_bytes" else repr(pieces[-1]).encode()
        assert b"response.completed" in last or b"ResponseCompleted" in last
        assert [event async for event in subscriber][-1].type == "response.completed"
        assert transport.statistics().active == 0
        await stream.aclose()
    assert limiter.settled == 3


@pytest.mark.parametrize("read", ["events", "messages", "raw_bytes"])
def test_the_sync_client_delivers_the_last_event_if_a_limiter_raises(read: str) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            server = ScriptedServer(WHOLE)
            await server.start(nursery)
            await trio.to_thread.run_sync(read_in_thread, server.base_url)
            nursery.cancel_scope.cancel()

    def read_in_thread(base_url: str) -> None:
        with SyncOpenAI(base_url=base_url, limiter=RaisingLimiter()) as client:
            stream: Any = client.responses.create(**ASK, stream=True)
            iterator = iter(stream if read == "events" else getattr(stream, read))
            pieces: list[Any] = []
            raised = 0
            while True:
                try:
                    pieces.append(next(iterator))
                except ZeroDivisionError:
                    raised += 1
                except StopIteration:
                    break
            assert raised == 1
            last = pieces[-1] if read == "raw_bytes" else repr(pieces[-1]).encode()
            assert b"response.completed" in last or b"ResponseCompleted" in last
            stream.close()

    trio.run(main)


async def test_closing_a_complete_race_winner_before_its_last_event_breaks_its_subscribers(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, Reply.chat("", usage=False))  # complete without content, so the race reads to the end
    client, _ = client_over(server)
    async with client.race([client.chat.completions.call(**CHAT)]) as stream:
        subscriber = stream.subscribe(100)
        await anext(stream)
        await stream.aclose()
        with pytest.raises(trio.BrokenResourceError):
            _ = [event async for event in subscriber]
        with pytest.raises(trio.ClosedResourceError):
            await anext(stream)
    gc.collect()
