"""`subscribe(replay=True)`: events are decoded while they are received, and the live events follow without a gap."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing
from net_helpers import CHAT, Steps, client_over, serve
from resume_helpers import ALL, server_that_breaks
from resume_helpers import ASK as RESPONSE

from trio_openai._wire.decoder import Decoder
from trio_openai.testing import Reply

pytestmark = pytest.mark.promise(n=5)

TEXT = " ".join(f"word{number}" for number in range(180))
LONG = Reply.chat(TEXT)


async def collect(events: AsyncIterator[Any], *, cancel: bool) -> list[Any]:
    """Receive all events; with `cancel`, cancel every second receive before it begins."""
    found: list[Any] = []
    while True:
        try:
            with trio.CancelScope() as scope:
                if cancel:
                    scope.cancel()
                found.append(await anext(events))
            found.append(await anext(events))
        except StopAsyncIteration:
            return found


def raws(events: list[Any]) -> list[Any]:
    return [event.raw for event in events]


async def test_a_replay_decodes_no_event_before_it_is_received(
    nursery: trio.Nursery, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = client_over(await serve(nursery, LONG))
    async with client, client.chat.completions.stream(**CHAT) as stream:
        early = stream.subscribe(1000, replay=True)  # keeps the whole body for replays
        mine = [event async for event in stream]
        pulled: list[object] = []
        pull = Decoder.next_event
        monkeypatch.setattr(Decoder, "next_event", lambda decoder: (pulled.append(decoder), pull(decoder))[1])
        late = stream.subscribe(replay=True)
        assert pulled == []
        steps = Steps()
        trio.lowlevel.add_instrument(steps)
        events = [event async for event in late]
        trio.lowlevel.remove_instrument(steps)
        assert events == mine
        assert steps.taken >= len(pulled) >= len(mine)
        assert [event async for event in early] == mine


@pytest.mark.parametrize("cancel", [False, True])
@pytest.mark.parametrize("before", [0, 1, 31, 150, 182])
async def test_a_replay_followed_by_live_events_gives_each_event_once(
    nursery: trio.Nursery, autojump_clock: object, before: int, cancel: bool
) -> None:
    client, _ = client_over(await serve(nursery, Reply.chat(TEXT, pace=0.01)))
    async with client, client.chat.completions.stream(**CHAT) as stream:
        first = stream.subscribe(1000, replay=True)
        mine = [await anext(stream) for _ in range(before)]
        late = [stream.subscribe(buffer, replay=True) for buffer in (0, 1, 1000)]
        results: list[list[Any]] = []

        async def read(events: AsyncIterator[Any]) -> None:
            results.append(await collect(events, cancel=cancel))

        async with trio.open_nursery() as readers:
            for subscription in late:
                readers.start_soon(read, subscription)
            mine += [event async for event in stream]
        assert [raws(events) for events in results] == [raws(mine)] * 3
        assert raws(await collect(first, cancel=cancel)) == raws(mine)


@pytest.mark.parametrize("cancel", [False, True])
@pytest.mark.parametrize("read_first", [0, 1, 3, 40])
async def test_a_replay_of_a_race_winner_gives_each_event_once(
    nursery: trio.Nursery, autojump_clock: object, read_first: int, cancel: bool
) -> None:
    client, _ = client_over(await serve(nursery, LONG))
    async with client, client.race([client.chat.completions.call(**CHAT)]) as stream:
        mine = [await anext(stream) for _ in range(read_first)]
        late = stream.subscribe(1000, replay=True)
        begun = [await anext(late)] if read_first else []  # the replay begins before the rest is read
        mine += [event async for event in stream]
        assert raws(begun + await collect(late, cancel=cancel)) == raws(mine)


@pytest.mark.parametrize("back", [0, 1, 100])
@pytest.mark.parametrize("read_first", range(len(ALL)))
async def test_a_replay_of_a_resumed_stream_gives_each_event_once(
    nursery: trio.Nursery, autojump_clock: object, read_first: int, back: int
) -> None:
    client, _ = client_over(await serve(nursery, server_that_breaks(3, 3, back=back)))
    async with client, client.responses.stream(**RESPONSE, resume=True) as stream:
        mine = [await anext(stream) for _ in range(read_first)]
        late = stream.subscribe(100, replay=True)
        mine += [event async for event in stream]
        assert [event["sequence_number"] for event in raws(mine)] == list(range(len(ALL)))
        assert raws(await collect(late, cancel=True)) == raws(mine)


async def test_closing_a_subscription_ends_its_replay(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, _ = client_over(await serve(nursery, LONG))
    async with client, client.chat.completions.stream(**CHAT) as stream:
        for _ in range(20):
            await anext(stream)
        late = stream.subscribe(replay=True)
        await anext(late)
        async with trio.open_nursery() as readers:

            async def read() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await anext(late)

            readers.start_soon(read)
            readers.start_soon(late.aclose)
            readers.start_soon(read)
        with pytest.raises(trio.ClosedResourceError):
            await anext(late)
        await stream.until_done()


async def after(read_first: int, stream: Any, *, cancel: bool) -> list[Any]:
    for _ in range(read_first):
        await anext(stream)
    return await collect(stream.deltas, cancel=cancel)


@pytest.mark.parametrize("read_first", [5, 100])
@pytest.mark.parametrize("cancel", [False, True])
async def test_deltas_of_a_background_stream_include_events_read_before(
    nursery: trio.Nursery, autojump_clock: object, read_first: int, cancel: bool
) -> None:
    client, _ = client_over(await serve(nursery, LONG))
    async with client, trio.open_nursery() as streams:
        plain = await client.chat.completions.create(**CHAT, stream=True)
        wanted = await after(read_first, plain, cancel=False)
        ahead = await client.chat.completions.start_stream(streams, **CHAT, buffer=400)
        await trio.testing.wait_all_tasks_blocked()
        assert await after(read_first, ahead, cancel=cancel) == wanted
        await plain.aclose()
