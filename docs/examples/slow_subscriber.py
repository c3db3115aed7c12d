"""Redraw a display five times a second, without slowing down the stream."""

import trio

from trio_openai import Subscription, TrioOpenAI
from trio_openai.types import ChatCompletionChunk


async def display(events: Subscription[ChatCompletionChunk]) -> None:
    text, drawn = "", 0
    async for chunk in events:
        for choice in chunk.choices:
            text += choice.delta.content or ""
        drawn += 1
        await trio.sleep(0.2)
    now = events.statistics()
    print(text)
    print(
        f"fewer drawings than events: {drawn < now.received + now.merged}, lost: {now.dropped}"
    )


async def main() -> None:
    messages = [
        {"role": "user", "content": "Write a short poem about the sea."}
    ]
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini", messages=messages
        ) as stream:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(
                    display, stream.subscribe(buffer=4, overflow="coalesce")
                )
                await stream.until_done()


trio.run(main)
