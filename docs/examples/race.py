"""Ask two models, and read the one that starts to answer first."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    messages = [{"role": "user", "content": "Why is the sky blue?"}]
    async with TrioOpenAI() as client:
        calls = [
            client.chat.completions.call(
                key=model, model=model, messages=messages
            )
            for model in ("gpt-4o", "gpt-4o-mini")
        ]
        async with client.race(calls) as stream:
            async for text in stream.text_deltas:
                print(text, end="", flush=True)
        print(f"\n[{stream.key} was faster]")


trio.run(main)
