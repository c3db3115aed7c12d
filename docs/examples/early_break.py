"""Stop after the first sentence, and close the connection."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    prompt = "How do I make a cup of tea?"
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": prompt}],
        ) as stream:
            async for text in stream.text_deltas:
                print(text, end="", flush=True)
                if "." in text:
                    break
        # The block has been left, so the connection is closed by now.
        print(f"\n[{stream.verdict}]")


trio.run(main)
