"""Waiting for events of a stream that no task reads.

Receiving from a subscription raises `RuntimeError` if it is certain that no other task can ever read the stream. If any
task might still read the stream, the subscriber waits.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing
from net_helpers import CHAT, client_over, serve

from trio_openai import TrioOpenAI
from trio_openai.testing import Reply

HELLO = Reply.chat("Hello there, you.")


async def opened(nursery: trio.Nursery) -> TrioOpenAI:
    client, _ = client_over(await serve(nursery, HELLO))
    return client


async def test_receiving_raises_if_only_this_task_could_read_the_stream(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async with await opened(nursery) as client:
        async with client.chat.completions.stream(**CHAT) as stream:
            with pytest.raises(RuntimeError, match=r"start_soon\(stream.until_done\)"):
                async for _ in stream.subscribe():
                    pass


async def test_receiving_after_a_replay_raises_if_only_this_task_could_read_the_stream(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def consume(subscription: Any, found: list[Any]) -> None:
        async for event in subscription:
            found.append(event)

    async with await opened(nursery) as client:
        async with client.chat.completions.stream(**CHAT) as stream:
            first, found = await anext(stream), list[Any]()
            with pytest.raises(RuntimeError, match="no event would ever come"):
                await consume(stream.subscribe(8, replay=True), found)
            assert len(found) == 1
            assert found[0] == first
            await stream.until_done()


Share = Callable[[Any, trio.Nursery], Any]


def by_argument(stream: Any, nursery: trio.Nursery) -> None:
    nursery.start_soon(read_late, stream)


def by_method(stream: Any, nursery: trio.Nursery) -> None:
    nursery.start_soon(later, stream.until_done)


def by_closure(stream: Any, nursery: trio.Nursery) -> None:
    nursery.start_soon(later, lambda: stream.until_done())


held: list[Any] = []


def by_list(stream: Any, nursery: trio.Nursery) -> None:
    held[:] = [stream]
    nursery.start_soon(later, lambda: held.pop().until_done())


def by_view(stream: Any, nursery: trio.Nursery) -> None:
    nursery.start_soon(exhaust, stream.text_deltas)


def by_bytes(stream: Any, nursery: trio.Nursery) -> None:
    nursery.start_soon(exhaust, stream.raw_bytes)


def by_weak_reference(stream: Any, nursery: trio.Nursery) -> None:
    nursery.start_soon(weakly, weakref.ref(stream))


async def read_late(stream: Any) -> None:
    await trio.sleep(1)
    await stream.until_done()


async def later(function: Callable[[], Any]) -> None:
    await trio.sleep(1)
    await function()


async def exhaust(view: Any) -> None:
    await trio.sleep(1)
    async for _ in view:
        pass


async def weakly(reference: Any) -> None:
    await trio.sleep(1)
    await reference().until_done()


@pytest.mark.parametrize("share", [by_argument, by_method, by_closure, by_list, by_view, by_bytes, by_weak_reference])
async def test_receiving_waits_if_another_task_can_reach_the_stream(
    nursery: trio.Nursery, autojump_clock: object, share: Share
) -> None:
    async with await opened(nursery) as client, trio.open_nursery() as readers:
        async with client.chat.completions.stream(**CHAT) as stream:
            share(stream, readers)
            events = [event async for event in stream.subscribe()]
            assert events[-1].choices == [] or events[-1].choices[0].finish_reason
    assert "".join(e.choices[0].delta.content or "" for e in events if e.choices) == "Hello there, you."


async def test_receiving_waits_if_a_closure_can_reach_the_stream(nursery: trio.Nursery, autojump_clock: object) -> None:
    began = trio.Event()

    async with await opened(nursery) as client, trio.open_nursery() as readers:

        async def read() -> None:
            await began.wait()
            await trio.sleep(1)
            await stream.until_done()

        readers.start_soon(read)  # before the variable `stream` is assigned
        async with client.chat.completions.stream(**CHAT) as stream:
            began.set()
            assert len([event async for event in stream.subscribe()]) > 2


async def test_receiving_waits_if_a_container_holds_the_stream(nursery: trio.Nursery, autojump_clock: object) -> None:
    places: dict[str, Any] = {}

    async def read() -> None:
        await trio.sleep(1)
        await places["stream"].until_done()

    async with await opened(nursery) as client, trio.open_nursery() as readers:
        readers.start_soon(read)
        async with client.chat.completions.stream(**CHAT) as places["stream"]:
            assert len([event async for event in places["stream"].subscribe()]) > 2


async def test_receiving_waits_in_another_task_and_for_a_background_stream(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def take(subscription: Any, found: list[Any]) -> None:
        found += [event async for event in subscription]

    async with await opened(nursery) as client:
        async with client.chat.completions.stream(**CHAT) as stream, trio.open_nursery() as readers:
            found: list[Any] = []
            readers.start_soon(take, stream.subscribe(), found)
            await trio.sleep(1)
            await stream.until_done()
        assert len(found) > 2
        async with trio.open_nursery() as readers:
            started = await client.chat.completions.start_stream(readers, **CHAT)
            assert len([event async for event in started.subscribe()]) > 2
