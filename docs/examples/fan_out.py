"""Read one stream twice: one task prints it, and a subscriber counts the words."""

import trio

from trio_openai import Subscription, TrioOpenAI
from trio_openai.types import ChatCompletionChunk


async def count_words(events: Subscription[ChatCompletionChunk]) -> None:
    words = 0
    async for chunk in events:
        for choice in chunk.choices:
            words += len((choice.delta.content or "").split())
    print(f"\n{words} words")


async def main() -> None:
    messages = [
        {"role": "user", "content": "Why is the sky blue? One sentence."}
    ]
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini", messages=messages
        ) as stream:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(count_words, stream.subscribe(buffer=16))
                async for text in stream.text_deltas:
                    print(text, end="", flush=True)


trio.run(main)
