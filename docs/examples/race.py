"""Ask two models, and read the one that starts to answer first."""

import trio

from trio_openai import TrioOpenAI

QUESTION = "Why is the sky blue?"


async def main() -> None:
    async with TrioOpenAI() as client:
        calls = [
            client.chat.completions.call(
                key=model,
                model=model,
                messages=[{"role": "user", "content": QUESTION}],
            )
            for model in ("gpt-4o", "gpt-4o-mini")
        ]
        async with client.race(calls) as stream:
            async for text in stream.text_deltas:
                print(text, end="", flush=True)
        print(f"\n[{stream.key} was faster]")


trio.run(main)
