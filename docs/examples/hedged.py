"""Send a request again if its answer does not begin within a second."""

import trio

from trio_openai import TrioOpenAI

QUESTION = "Why is the sky blue?"


async def main() -> None:
    async with TrioOpenAI() as client:
        calls = [
            client.chat.completions.call(
                key=attempt,
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": QUESTION}],
            )
            for attempt in ("first", "second")
        ]
        async with client.race(calls, stagger=1) as stream:
            async for text in stream.text_deltas:
                print(text, end="", flush=True)
        print(f"\n[answered by the {stream.key} request]")


trio.run(main)
