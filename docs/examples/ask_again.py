"""Ask again after a truncated answer."""

import trio

from trio_openai import StreamTruncatedError, TrioOpenAI


async def main() -> None:
    prompt = "How do I make a cup of tea?"
    async with TrioOpenAI() as client:
        with trio.fail_after(60):  # for all attempts together
            for _ in range(3):
                manager = client.chat.completions.stream(
                    model="gpt-4o-mini",
                    messages=[{"role": "user", "content": prompt}],
                )
                try:
                    async with manager as stream:
                        await stream.until_done()
                except StreamTruncatedError:
                    print(f"cut after {manager.text!r}")
                else:
                    print(manager.text)
                    break


trio.run(main)
