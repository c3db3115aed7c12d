"""Scenarios for a sweep that make one call, or several calls together, through each door."""

from __future__ import annotations

from typing import Any

import trio
from net_helpers import CHAT
from sweep_places import World, block

from trio_openai import Subscription
from trio_openai.types import ChatCompletionChunk

BIG: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x" * 300_000}]}


async def plain(world: World) -> None:
    await world.client.chat.completions.create(**CHAT)


async def plain_big(world: World) -> None:
    await world.client.chat.completions.create(**BIG)


async def block_never_read(world: World) -> None:
    async with world.client.chat.completions.stream(**CHAT):
        await trio.sleep(1)


async def block_of_text(world: World) -> None:
    async with world.client.responses.stream(model="m", input="hi") as stream:
        assert "".join([text async for text in stream.text_deltas]) == "Hello there."


async def two_connections(world: World) -> None:
    async with world.client.chat.completions.stream(**CHAT) as one:
        async with world.client.chat.completions.stream(**CHAT) as other:
            await other.until_done()
        await one.until_done()


async def two_tasks(world: World) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(block, world)


async def a_task_reads(world: World) -> None:
    async with trio.open_nursery() as nursery:
        stream = await world.client.chat.completions.start_stream(nursery, **CHAT, buffer=1)
        await stream.until_done()


async def a_task_reads_and_is_closed(world: World) -> None:
    async with trio.open_nursery() as nursery:
        stream = await world.client.chat.completions.start_stream(nursery, **CHAT, buffer=0)
        await anext(stream)
        await stream.aclose()


async def slow_subscriber(world: World) -> None:
    async with world.client.chat.completions.stream(**CHAT) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(take_slowly, stream.subscribe())
        nursery.start_soon(take_slowly, stream.subscribe(1, "coalesce"))
        await stream.until_done()


async def take_slowly(subscription: Subscription[ChatCompletionChunk]) -> None:
    async for _ in subscription:
        await trio.sleep(0.1)


async def settled(world: World) -> None:
    stream = await world.client.chat.completions.create(**CHAT, stream=True)
    try:
        await anext(stream)
    except BaseException:
        await stream.aclose()
        raise
    await stream.settle(2)


async def settled_behind_a_task(world: World) -> None:
    async with trio.open_nursery() as nursery:
        stream = await world.client.chat.completions.start_stream(nursery, **CHAT)
        await anext(stream)
        await stream.settle(2)


async def a_race(world: World) -> None:
    call = world.client.chat.completions.call(**CHAT)
    try:
        async with world.client.race([call, call, call], stagger=0.1) as stream:
            await stream.until_done()
    finally:
        assert world.calls.told["race"] == 1


async def many_results(world: World) -> None:
    calls = (world.client.chat.completions.call(**CHAT) for _ in range(3))
    try:
        async with world.client.run_many(calls, max_concurrent=2, ordered=True) as results:
            assert len([result async for result in results]) == 3
    finally:
        assert world.calls.told["many"] == 1


async def many_events(world: World) -> None:
    calls = [world.client.chat.completions.call(**CHAT) for _ in range(2)]
    async with world.client.stream_many(calls, max_concurrent=2) as items:
        async for _ in items:
            pass


async def tools(world: World) -> None:
    async def look_up(word: str) -> str:
        await trio.sleep(0.1)
        return word

    try:
        async with world.client.chat.completions.run_tools(**CHAT, tools=[look_up]) as run:
            assert (await run.get_final_completion()).choices[0].message.content == "Hello there."
    finally:
        assert world.calls.told["round"] in (1, 2)


async def resumed(world: World) -> None:
    ask: dict[str, Any] = {"model": "m", "input": "hi", "background": True, "resume": True}
    async with world.client.responses.stream(**ask) as stream:
        assert (await stream.get_final_response()).status == "completed"
