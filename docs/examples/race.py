"""Ask a second model if the first one has not started to answer within half a second."""

import trio

from trio_openai import TrioOpenAI

MODELS = ("gpt-4o", "gpt-4o-mini")


async def main() -> None:
    messages = [
        {"role": "user", "content": "Why is the sky blue? One sentence."}
    ]
    async with TrioOpenAI() as client:
        calls = [
            client.chat.completions.call(
                key=model, model=model, messages=messages
            )
            for model in MODELS
        ]
        async with client.race(calls, stagger=0.5) as stream:
            async for text in stream.text_deltas:
                print(text, end="", flush=True)
        print(f"\n[{stream.snapshot.model}, {stream.verdict}]")


trio.run(main)
