"""Subscribe late, and still get all events from the beginning."""

import trio

from trio_openai import Subscription, TrioOpenAI
from trio_openai.types import ChatCompletionChunk


async def print_all(events: Subscription[ChatCompletionChunk]) -> None:
    async for chunk in events:
        for choice in chunk.choices:
            print(choice.delta.content or "", end="", flush=True)
    print()


async def main() -> None:
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Why is the sky blue?"}],
        ) as stream:
            async for text in stream.text_deltas:
                print(f"The answer begins with {text!r}.")
                break
            async with trio.open_nursery() as nursery:
                nursery.start_soon(print_all, stream.subscribe(replay=True))
                await stream.until_done()


trio.run(main)
