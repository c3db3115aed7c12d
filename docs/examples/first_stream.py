"""Print the answer to one prompt while it is being written."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        messages = [
            {"role": "user", "content": "Why is the sky blue? One sentence."}
        ]
        async with client.chat.completions.stream(
            model="gpt-4o-mini", messages=messages, max_tokens=60
        ) as stream:
            async for text in stream.text_deltas:
                print(text, end="", flush=True)
        print(f"\n[{stream.verdict}]")


trio.run(main)
