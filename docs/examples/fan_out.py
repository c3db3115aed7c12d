"""Print a stream, and count its words in another task."""

import trio

from trio_openai import Subscription, TrioOpenAI
from trio_openai.types import ChatCompletionChunk


async def count_words(events: Subscription[ChatCompletionChunk]) -> None:
    text = ""
    async for chunk in events:
        for choice in chunk.choices:
            text += choice.delta.content or ""
    print(f"\n{len(text.split())} words")


async def main() -> None:
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Why is the sky blue?"}],
        ) as stream:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(count_words, stream.subscribe())
                async for text in stream.text_deltas:
                    print(text, end="", flush=True)


trio.run(main)
