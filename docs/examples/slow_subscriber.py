"""Redraw a display five times a second, without slowing the stream."""

import trio

from trio_openai import Subscription, TrioOpenAI
from trio_openai.types import ChatCompletionChunk


async def display(events: Subscription[ChatCompletionChunk]) -> None:
    text = ""
    async for chunk in events:
        for choice in chunk.choices:
            text += choice.delta.content or ""
        await trio.sleep(0.2)  # stands for drawing the text
    counts = events.statistics()
    print(text)
    print(f"merged: {counts.merged > 0}, dropped: {counts.dropped}")


async def main() -> None:
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[
                {"role": "user", "content": "Write a poem on the sea."}
            ],
        ) as stream:
            events = stream.subscribe(buffer=4, overflow="coalesce")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(display, events)
                await stream.until_done()


trio.run(main)
